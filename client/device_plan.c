/* What a model costs on a device: parameters, memory by kind, bytes on the wire; before anything runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_session.h"
#include "covey/codec.h"
#include "covey/model.h"
#include "covey/training_plan.h"
#include "memory_use.h"

/* What a connected client holds besides the program as it stands when `plan` runs and besides its model: DTLS
 * session with its buffers, libcoap, the handshake's certificates, the pages of the program that only a round
 * touches. Measured by tests/integration/client_memory (docs/client.md). */
#define LINK_BYTES (900u << 10)
/* What OpenBLAS touches once it works: its buffer, its code. */
#define FAST_BYTES (1u << 20)
/* Of a datagram that carries a block: DTLS record (13 header, 8 explicit nonce, 8 tag), CoAP header, token,
 * path, block, size, tag. */
#define FRAMING_BYTES 70

struct estimate {
    struct covey_model_description *model;
    struct covey_recipe recipe;
    const char *codec, *downlink;
    uint32_t examples;
    int64_t feedback; /* enum covey_feedback */
    const struct covey_engine *engine;
    struct covey_training_plan *plan;
    struct covey_model_summary summary;
    struct covey_training_memory training;
    struct covey_client_memory client;
    uint64_t program, received, peak;     /* received: a delta while it is put together */
    uint64_t update, upload, model_bytes; /* on the wire, a round */
};

static uint64_t framed(uint64_t bytes)
{
    return bytes + (bytes + COVEY_BLOCK_BYTES - 1) / COVEY_BLOCK_BYTES * FRAMING_BYTES;
}

/* What comes in at once: a step, or the whole model as a line on a lattice has it. */
static uint64_t received_bytes(const struct covey_codec *downlink, uint64_t count)
{
    const uint64_t step = covey_codec_bound(downlink, (size_t)count), whole = COVEY_EXACT_BITS * count / 8;
    return step > whole ? step : whole;
}

static enum covey_status estimate(struct estimate *e, struct covey_error *err)
{
    struct covey_codec codec, downlink;
    struct covey_memory_use use;
    COVEY_TRY(covey_codec_parse(e->codec, &codec, err));
    COVEY_TRY(covey_codec_parse_downlink(e->downlink, &downlink, err));
    COVEY_TRY(covey_model_summarise(e->model, &e->summary, err));
    const struct covey_training_options options = {
        .engine = e->engine, .recipe = &e->recipe, .examples = e->examples};
    COVEY_TRY(covey_training_plan_create(e->model, &options, &e->plan, err));
    covey_training_plan_memory(e->plan, &e->training);
    covey_client_memory(e->codec, e->feedback, e->summary.parameters, e->summary.update_count, &e->client);
    covey_memory_use(&use);
    const struct covey_engine *engine = e->engine != NULL ? e->engine : covey_engine_default();
    e->program = use.now_bytes + LINK_BYTES + (engine == &covey_engine_plain ? 0 : FAST_BYTES);
    e->received = received_bytes(&downlink, e->summary.parameters);
    e->peak = e->program + e->client.parameters + e->client.residual + e->client.message + e->client.codec +
              e->client.stack + e->received + e->training.total;
    e->update = covey_codec_bound(&codec, (size_t)e->summary.update_count);
    e->upload = framed(e->update + COVEY_UPDATE_HEAD_BYTES);
    e->model_bytes = framed(covey_codec_bound(&downlink, (size_t)e->summary.parameters));
    return COVEY_OK;
}

static void print_json(const struct estimate *e)
{
    char text[4096];
    struct covey_json json;
    const struct {
        const char *name;
        uint64_t bytes;
    } memory[] = {{"program", e->program},
                  {"parameters", e->client.parameters},
                  {"residual", e->client.residual},
                  {"message", e->client.message},
                  {"codec", e->client.codec},
                  {"stack", e->client.stack},
                  {"received", e->received},
                  {"gradients", e->training.gradients},
                  {"optimiser", e->training.optimiser},
                  {"activations", e->training.activations},
                  {"kernel", e->training.kernel},
                  {"batch", e->training.batch},
                  {"peak", e->peak}};
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "model", e->model->name);
    covey_json_int(&json, "parameters", (int64_t)e->summary.parameters);
    covey_json_int(&json, "update_parameters", (int64_t)e->summary.update_count);
    covey_json_int(&json, "forward_flops", (int64_t)e->summary.forward_flops);
    covey_json_text(&json, "engine",
                    covey_engine_name(e->engine != NULL ? e->engine : covey_engine_default()));
    covey_json_text(&json, "codec", e->codec);
    covey_json_open(&json, "memory_bytes", '{');
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        covey_json_int(&json, memory[i].name, (int64_t)memory[i].bytes);
    covey_json_close(&json, '}');
    covey_json_int(&json, "update_bytes_up", (int64_t)e->update);
    covey_json_int(&json, "upload_bytes_up", (int64_t)e->upload);
    covey_json_int(&json, "bytes_down", (int64_t)e->model_bytes);
    covey_json_int(&json, "bytes_up_fp32", (int64_t)(4 * e->summary.update_count));
    covey_json_close(&json, '}');
    covey_print_json(&json);
}

static void print_steps(const struct estimate *e)
{
    printf("  %-16s %-26s %-10s %14s %14s\n", "step", "operation", "kernel", "parameters", "output bytes");
    for (uint32_t i = 0; i < covey_training_plan_step_count(e->plan); i++) {
        struct covey_training_step step;
        covey_training_plan_step(e->plan, i, &step);
        printf("  %-16s %-26s %-10s %14llu %14llu\n", step.name, step.kind, step.kernel,
               (unsigned long long)step.parameters, (unsigned long long)step.output_bytes);
    }
}

static void print_bytes(const char *what, uint64_t bytes)
{
    char text[16];
    if (bytes != 0)
        printf("  %-44s %14llu  %s\n", what, (unsigned long long)bytes, covey_progress_bytes(bytes, text));
}

static void print_text(const struct estimate *e)
{
    printf("%s: %llu parameters, %llu of them in an update, %llu multiply-adds an example\n\n",
           e->model->name, (unsigned long long)e->summary.parameters,
           (unsigned long long)e->summary.update_count, (unsigned long long)(e->summary.forward_flops / 2));
    print_steps(e);
    printf("\nmemory, batch %u of %u examples, %s kernels\n", e->recipe.batch, e->examples,
           covey_engine_name(e->engine != NULL ? e->engine : covey_engine_default()));
    print_bytes("program and connection", e->program);
    print_bytes("parameters (published, and the trained copy)", e->client.parameters);
    print_bytes("residual of error feedback", e->client.residual);
    print_bytes("gradients", e->training.gradients);
    print_bytes("optimiser", e->training.optimiser);
    print_bytes("activations", e->training.activations);
    print_bytes("kernel's scratch", e->training.kernel);
    print_bytes("batch", e->training.batch);
    print_bytes("encoded update", e->client.message + e->client.codec);
    print_bytes("step or model while it comes in", e->received);
    print_bytes("stack of the training thread", e->client.stack);
    print_bytes("peak (data that is mapped comes on top)", e->peak);
    printf("\nbytes a round\n");
    print_bytes("update, encoded", e->update);
    print_bytes("up, with all framing", e->upload);
    print_bytes("down, a step of the model", e->model_bytes);
    print_bytes("the update as fp32 would be", 4 * e->summary.update_count);
}

static int read_recipe(const struct covey_command *command, const char *optimiser,
                       struct covey_recipe *recipe)
{
    static const char *const names[] = {"sgd", "momentum", "adam"};
    *recipe = (struct covey_recipe){
        .epochs = 1, .batch = 10, .learning_rate = .1f, .momentum = .9f, .beta2 = .999f, .epsilon = 1e-8f};
    for (int i = 0; optimiser != NULL && i < 3; i++)
        if (strcmp(optimiser, names[i]) == 0)
            recipe->optimiser = (enum covey_optimiser_kind)i;
    if (optimiser != NULL && strcmp(optimiser, names[recipe->optimiser]) != 0) {
        fprintf(stderr, "covey-client %s: --optimiser: '%s' is none of sgd, momentum, adam\n", command->name,
                optimiser);
        return COVEY_EXIT_USAGE;
    }
    if (recipe->optimiser == COVEY_OPTIMISER_SGD)
        recipe->momentum = 0;
    return -1;
}

int covey_command_plan(const struct covey_command *command, int argc, char **argv)
{
    struct estimate e = {
        .codec = COVEY_CODEC_DEFAULT, .downlink = COVEY_DOWNLINK_DEFAULT, .feedback = COVEY_FEEDBACK_AUTO};
    struct covey_error err = {0};
    const char *name, *batch = "10", *examples = "600", *epochs = "1", *optimiser = NULL;
    int plain = 0, no_feedback = 0, json = 0;
    long long number;
    const struct covey_option options[] = {
        {"--batch", &batch, NULL},   {"--examples", &examples, NULL},       {"--epochs", &epochs, NULL},
        {"--codec", &e.codec, NULL}, {"--downlink", &e.downlink, NULL},     {"--optimiser", &optimiser, NULL},
        {"--plain", NULL, &plain},   {"--no-feedback", NULL, &no_feedback}, {"--json", NULL, &json},
        {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &name);
    if (result < 0)
        result = read_recipe(command, optimiser, &e.recipe);
    if (result < 0 &&
        (result = covey_option_number(command, "--batch", batch, 1, COVEY_BATCH_EXAMPLES, &number)) < 0)
        e.recipe.batch = (uint32_t)number;
    if (result < 0 && (result = covey_option_number(command, "--examples", examples, 1, COVEY_UPDATE_EXAMPLES,
                                                    &number)) < 0)
        e.examples = (uint32_t)number;
    if (result < 0 &&
        (result = covey_option_number(command, "--epochs", epochs, 1, COVEY_LOCAL_EPOCHS, &number)) < 0)
        e.recipe.epochs = (uint32_t)number;
    if (result >= 0)
        return result;
    e.engine = plain ? &covey_engine_plain : NULL;
    if (no_feedback)
        e.feedback = COVEY_FEEDBACK_OFF;
    e.model = calloc(1, sizeof *e.model);
    enum covey_status status = e.model == NULL
                                   ? covey_fail(&err, COVEY_NO_MEMORY, "no memory for a model description")
                                   : covey_model_load(name, e.model, &err);
    if (status == COVEY_OK)
        status = estimate(&e, &err);
    if (status != COVEY_OK)
        result = covey_command_fail(command, status, &err);
    else
        result = COVEY_EXIT_DONE;
    if (result == COVEY_EXIT_DONE && json)
        print_json(&e);
    else if (result == COVEY_EXIT_DONE)
        print_text(&e);
    covey_training_plan_destroy(e.plan);
    free(e.model);
    return result;
}
