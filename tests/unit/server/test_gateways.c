/* Partial sums at a parent: the same models as from the devices themselves, each kind of wrong one refused
 * with its code, nobody counted twice, and a restart that goes on exactly. The gateways are made here, from
 * the aggregation's own parts. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contributors.h"
#include "covey/device_metrics.h"
#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/strategy.h"
#include "fake_host.h"

#define ROUNDS 3
#define SUM_BYTES (1u << 20)

static const char *const left[] = {"d1", "d2", "d3"}, *const right[] = {"d4", "d5"};

struct rig {
    char folder[64];
    struct fake_model model;
    struct covey_key *signer;
    struct covey_federation_options federation;
    struct covey_server_options options;
    struct covey_server *server;
    struct fake_host host;
    struct covey_gateway gateways[2];
};

static void start(struct rig *rig)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&rig->options, &rig->server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&rig->host, rig->server);
}

static void stop(struct rig *rig)
{
    fake_host_stop(&rig->host);
    covey_server_destroy(rig->server);
}

/* participants: available before a round opens, and all of them chosen. */
static void set_up(struct rig *rig, uint32_t participants, const char *strategy)
{
    memset(rig, 0, sizeof *rig);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fake_folder_make(rig->folder);
    fake_model_init(&rig->model, 40);
    cr_assert_eq(covey_key_generate(&rig->signer, NULL), COVEY_OK);
    fake_options(&rig->model, &rig->federation, &rig->options, rig->folder, rig->signer);
    rig->gateways[0] = (struct covey_gateway){"left", 3};
    rig->gateways[1] = (struct covey_gateway){"right", 2};
    rig->federation.gateways = rig->gateways;
    rig->federation.gateway_count = 2;
    rig->federation.rules.minimum_devices = participants;
    rig->federation.rules.minimum_updates = 1;
    rig->federation.rules.stop_rounds = ROUNDS;
    (void)snprintf(rig->federation.strategy, sizeof rig->federation.strategy, "%s", strategy);
}

static void tear_down(struct rig *rig)
{
    stop(rig);
    fake_model_deinit(&rig->model);
    covey_key_destroy(rig->signer);
    fake_folder_remove(rig->folder);
}

static uint8_t put(struct rig *rig, const char *name, const struct covey_plan *plan, const uint8_t *body,
                   size_t size, char text[256])
{
    char path[COVEY_PATH_BYTES];
    struct fake_answer answer;
    fake_put_path(plan, "digits", path);
    fake_request(&rig->host, name, COVEY_PUT, path, (struct covey_bytes){body, size}, false, &answer);
    if (text != NULL)
        (void)snprintf(text, 256, "%s", (const char *)answer.body);
    free(answer.body);
    return answer.code;
}

/* ------------------------------------------------------------------ a gateway */

/* What a test may change about a sum before it is sent. */
struct twist {
    uint32_t more_updates_max; /* added to the terms': another split, perhaps */
    int exponent;              /* added to every exponent */
    bool other_model, other_terms, other_assignment;
    uint32_t more_examples; /* that the first contributor claims */
};

static struct covey_sum_terms fetch_terms(struct rig *rig, const char *gateway, const struct covey_plan *plan,
                                          struct fake_answer *answer)
{
    char path[COVEY_PATH_BYTES], hex[COVEY_HASH_TEXT_BYTES];
    struct covey_sum_terms terms;
    struct covey_error err = {0};
    covey_hex_write(plan->terms.bytes, sizeof plan->terms.bytes, hex);
    (void)snprintf(path, sizeof path, "f/digits/d/%s", hex);
    fake_request(&rig->host, gateway, COVEY_GET, path, (struct covey_bytes){0}, false, answer);
    cr_assert_eq(answer->code, COVEY_CODE_CONTENT);
    cr_assert_eq(covey_sum_terms_decode((struct covey_bytes){answer->body, answer->size}, &terms, &err),
                 COVEY_OK, "%s", err.text);
    return terms;
}

static struct covey_aggregation *begin(struct rig *rig, const struct covey_sum_terms *terms,
                                       const struct covey_plan *plan, const struct twist *twist)
{
    size_t ends[COVEY_MODEL_TENSORS];
    int16_t exponents[COVEY_MODEL_TENSORS];
    struct covey_chain chain;
    struct covey_aggregation *aggregation = NULL;
    struct covey_error err = {0};
    const size_t tensors = covey_layout_update_ends(&rig->model.layout, ends, COVEY_MODEL_TENSORS);
    const bool wide = terms->exponents.size == 0;
    for (size_t i = 0; i < tensors; i++)
        exponents[i] =
            (int16_t)(twist->exponent + (wide ? 6
                                              : (int16_t)(uint16_t)(terms->exponents.data[2 * i] |
                                                                    terms->exponents.data[2 * i + 1] << 8)));
    cr_assert_eq(covey_chain_parse(terms->strategy, &chain, &err), COVEY_OK, "%s", err.text);
    const struct covey_aggregation_plan how = {.ends = ends,
                                               .tensor_count = tensors,
                                               .exponents = exponents,
                                               .updates_max = terms->updates_max + twist->more_updates_max,
                                               .weight_max = terms->weight_max,
                                               .threads = 1,
                                               .norm_limit = terms->norm_limit,
                                               .refuse_range = terms->refuse_range != 0,
                                               .kept = terms->kept,
                                               .seed = plan->recipe.seed,
                                               .round = plan->round};
    cr_assert_eq(covey_aggregation_begin(&chain, &how, &aggregation, &err), COVEY_OK, "%s", err.text);
    return aggregation;
}

/* The partial sum of those devices as a message, malloc'ed. */
static uint8_t *make_sum(struct rig *rig, const char *gateway, const struct covey_plan *plan,
                         const char *const *names, uint32_t count, struct twist twist, size_t *size)
{
    struct covey_manifest manifest;
    struct fake_answer answer;
    struct covey_error err = {0};
    static uint8_t list[8 * COVEY_CONTRIBUTOR_BYTES], sum[SUM_BYTES];
    size_t list_bytes = 0, sum_bytes = 0;
    free(fake_fetch(&rig->host, gateway, "digits", plan, rig->signer, NULL, &manifest));
    const struct covey_sum_terms terms = fetch_terms(rig, gateway, plan, &answer);
    struct covey_aggregation *aggregation = begin(rig, &terms, plan, &twist);
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = 0, one = 0;
        struct covey_update update;
        struct covey_verdict verdict;
        struct covey_contributor entry = {.examples = 0};
        uint8_t *message = fake_update(&rig->model, names[i], plan, &manifest.model, 0, &bytes);
        cr_assert_eq(covey_update_decode((struct covey_bytes){message, bytes}, &update, &err), COVEY_OK);
        const struct covey_contribution contribution = {update.stream, (double)update.examples, i};
        cr_assert_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, &err), COVEY_OK);
        cr_assert_eq(verdict.status, COVEY_OK, "%s", verdict.error.text);
        (void)snprintf(entry.name, sizeof entry.name, "%s", names[i]);
        entry.examples = update.examples + (i == 0 ? twist.more_examples : 0);
        cr_assert_eq(covey_hash_bytes((struct covey_bytes){message, bytes}, &entry.update), COVEY_OK);
        cr_assert_eq(covey_contributor_encode(&entry, list + list_bytes, COVEY_CONTRIBUTOR_BYTES, &one, &err),
                     COVEY_OK);
        list_bytes += one;
        free(message);
    }
    cr_assert_eq(covey_aggregation_save(aggregation, sum, sizeof sum, &sum_bytes), COVEY_OK);
    covey_aggregation_destroy(aggregation);
    free(answer.body);
    struct covey_partial_sum partial = {.assignment = plan->assignment,
                                        .model = manifest.model,
                                        .terms = plan->terms,
                                        .updates = count,
                                        .loss_after = 1,
                                        .contributors = {list, list_bytes},
                                        .sum = {sum, sum_bytes}};
    partial.model.bytes[0] ^= twist.other_model;
    partial.terms.bytes[0] ^= twist.other_terms;
    partial.assignment.bytes[0] ^= twist.other_assignment;
    cr_assert_eq(covey_hash_bytes(partial.sum, &partial.digest), COVEY_OK);
    uint8_t *out = malloc(SUM_BYTES + 4096);
    cr_assert_eq(covey_partial_sum_encode(&partial, out, SUM_BYTES + 4096, size, &err), COVEY_OK, "%s",
                 err.text);
    return out;
}

static uint8_t send_sum(struct rig *rig, const char *gateway, const struct covey_plan *plan,
                        const char *const *names, uint32_t count, struct twist twist, char text[256])
{
    size_t size = 0;
    uint8_t *message = make_sum(rig, gateway, plan, names, count, twist, &size);
    const uint8_t code = put(rig, gateway, plan, message, size, text);
    free(message);
    return code;
}

static void come(struct rig *rig, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fake_come(&rig->host, names[i], true);
        (void)fake_plan(&rig->host, names[i], "digits");
    }
}

/* ------------------------------------------------------------------ the same models */

static struct covey_hash end_of(struct rig *rig)
{
    struct covey_federation_view view;
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        covey_server_federation_view(rig->server, 0, &view);
        if (view.round.phase == COVEY_PHASE_ENDED)
            break;
        fake_sleep_ms(5);
    }
    cr_assert_eq(view.round.completed, ROUNDS);
    return view.model;
}

static struct covey_hash play_one_level(const char *strategy)
{
    static const char *const all[] = {"d1", "d2", "d3", "d4", "d5", "d6"};
    struct rig rig;
    set_up(&rig, 6, strategy);
    start(&rig);
    come(&rig, all, 6);
    for (uint32_t round = 1; round <= ROUNDS; round++)
        for (uint32_t i = 0; i < 6; i++) {
            const struct covey_plan plan = fake_await(&rig.host, all[i], "digits", COVEY_PLAN_TRAIN, round);
            cr_assert_eq(plan.share, 0);
            cr_assert_eq(fake_work(&rig.host, &rig.model, all[i], "digits", &plan, rig.signer),
                         COVEY_CODE_CHANGED);
        }
    const struct covey_hash hash = end_of(&rig);
    tear_down(&rig);
    return hash;
}

/* Two gateways and a device; restart: the server, with one sum recorded. */
static struct covey_hash play_two_levels(const char *strategy, bool restart)
{
    static const char *const all[] = {"left", "right", "d6"};
    struct rig rig;
    set_up(&rig, 3, strategy);
    start(&rig);
    come(&rig, all, 3);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct covey_plan plan = fake_await(&rig.host, "left", "digits", COVEY_PLAN_TRAIN, round);
        cr_assert_eq(plan.share, 3);
        char text[256];
        cr_assert_eq(send_sum(&rig, "left", &plan, left, 3, (struct twist){0}, text), COVEY_CODE_CHANGED,
                     "%s", text);
        cr_assert_eq(send_sum(&rig, "left", &plan, left, 3, (struct twist){0}, text), COVEY_CODE_CHANGED,
                     "sent again: %s", text);
        if (restart && round == 2) {
            stop(&rig);
            start(&rig);
            come(&rig, all, 3);
            plan = fake_await(&rig.host, "right", "digits", COVEY_PLAN_TRAIN, round);
            static const char *const twice[] = {"d3", "d4"};
            cr_assert_eq(send_sum(&rig, "right", &plan, twice, 2, (struct twist){0}, text),
                         COVEY_CODE_CONFLICT, "who is in the sum was forgotten");
        }
        plan = fake_await(&rig.host, "right", "digits", COVEY_PLAN_TRAIN, round);
        cr_assert_eq(send_sum(&rig, "right", &plan, right, 2, (struct twist){0}, text), COVEY_CODE_CHANGED,
                     "%s", text);
        plan = fake_await(&rig.host, "d6", "digits", COVEY_PLAN_TRAIN, round);
        cr_assert_eq(fake_work(&rig.host, &rig.model, "d6", "digits", &plan, rig.signer), COVEY_CODE_CHANGED);
    }
    const struct covey_hash hash = end_of(&rig);
    tear_down(&rig);
    return hash;
}

Test(gateways, two_levels_make_the_same_models_as_one)
{
    static const char *const strategies[] = {"fedavg", "fedavg clip=fixed clip_norm=0.5",
                                             "fedavg clip=quantile clip_norm=0.5",
                                             "norm-bound clip_norm=0.3"};
    for (size_t i = 0; i < sizeof strategies / sizeof strategies[0]; i++) {
        const struct covey_hash one = play_one_level(strategies[i]);
        const struct covey_hash two = play_two_levels(strategies[i], false);
        const struct covey_hash again = play_two_levels(strategies[i], true);
        cr_expect(covey_hash_equal(&one, &two), "%s: two levels end elsewhere", strategies[i]);
        cr_expect(covey_hash_equal(&one, &again), "%s: after a restart it ends elsewhere", strategies[i]);
    }
}

/* ------------------------------------------------------------------ what is refused */

Test(gateways, wrong_sums_are_refused_with_their_code)
{
    static const char *const all[] = {"left", "right", "d6"}, *const four[] = {"d1", "d2", "d3", "d4"};
    static const struct {
        const char *what;
        uint32_t count;
        struct twist twist;
        uint8_t code;
    } cases[] = {
        {"another model", 3, {.other_model = true}, COVEY_CODE_CONFLICT},
        {"other terms", 3, {.other_terms = true}, COVEY_CODE_UNPROCESSABLE},
        {"another assignment inside", 3, {.other_assignment = true}, COVEY_CODE_BAD_REQUEST},
        {"more devices than its share", 4, {0}, COVEY_CODE_UNPROCESSABLE},
        {"another split of the grid", 3, {.more_updates_max = 4000}, COVEY_CODE_UNPROCESSABLE},
        {"other exponents", 3, {.exponent = 1}, COVEY_CODE_UNPROCESSABLE},
        {"weights that do not add up", 3, {.more_examples = 1}, COVEY_CODE_UNPROCESSABLE},
    };
    struct rig rig;
    char text[256];
    set_up(&rig, 3, "fedavg");
    start(&rig);
    come(&rig, all, 3);
    const struct covey_plan plan = fake_await(&rig.host, "left", "digits", COVEY_PLAN_TRAIN, 1);
    const struct covey_plan device = fake_await(&rig.host, "d6", "digits", COVEY_PLAN_TRAIN, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(send_sum(&rig, "left", &plan, four, cases[i].count, cases[i].twist, text), cases[i].code,
                     "%s: %s", cases[i].what, text);
        cr_expect_gt(strlen(text), 0, "%s: no reason", cases[i].what);
    }
    /* a device sends no sum, a gateway no update */
    size_t size = 0;
    uint8_t *sum = make_sum(&rig, "left", &plan, left, 3, (struct twist){0}, &size);
    struct covey_hash base = {{0}};
    size_t update_bytes = 0;
    uint8_t *update = fake_update(&rig.model, "left", &plan, &base, 0, &update_bytes);
    cr_expect_eq(put(&rig, "left", &plan, update, update_bytes, text), COVEY_CODE_BAD_REQUEST, "%s", text);
    const uint8_t code = put(&rig, "d6", &device, sum, size, text);
    cr_expect(code == COVEY_CODE_BAD_REQUEST || code == COVEY_CODE_TOO_LARGE, "%u: %s", code, text);
    /* and after all that the good one */
    cr_expect_eq(put(&rig, "left", &plan, sum, size, text), COVEY_CODE_CHANGED, "%s", text);
    free(update);
    free(sum);
    tear_down(&rig);
}

Test(gateways, nobody_is_counted_twice)
{
    static const char *const all[] = {"left", "right", "d1"}, *const both[] = {"d3", "d4"};
    struct rig rig;
    char text[256];
    set_up(&rig, 3, "fedavg");
    rig.federation.rules.stop_rounds = 1;
    start(&rig);
    come(&rig, all, 3);
    const struct covey_plan plan = fake_await(&rig.host, "left", "digits", COVEY_PLAN_TRAIN, 1);
    const struct covey_plan other = fake_await(&rig.host, "right", "digits", COVEY_PLAN_TRAIN, 1);
    const struct covey_plan device = fake_await(&rig.host, "d1", "digits", COVEY_PLAN_TRAIN, 1);
    cr_expect_eq(send_sum(&rig, "left", &plan, left, 3, (struct twist){0}, text), COVEY_CODE_CHANGED, "%s",
                 text);
    /* through two gateways */
    cr_expect_eq(send_sum(&rig, "right", &other, both, 2, (struct twist){0}, text), COVEY_CODE_CONFLICT);
    cr_expect_not_null(strstr(text, "d3"), "the reason does not name it: %s", text);
    /* directly and through a gateway; the round closes, for nobody else will come */
    cr_expect_eq(fake_work(&rig.host, &rig.model, "d1", "digits", &device, rig.signer), COVEY_CODE_CONFLICT);
    struct covey_federation_view view;
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        covey_server_federation_view(rig.server, 0, &view);
        if (view.round.phase == COVEY_PHASE_ENDED)
            break;
        fake_sleep_ms(5);
    }
    cr_expect_eq(view.round.completed, 1);
    tear_down(&rig);
}

/* A gateway that says that it has failed is not waited for, and nothing else is lost. */
Test(gateways, a_lost_group_is_lost_alone)
{
    static const char *const all[] = {"left", "right"};
    struct rig rig;
    char text[256];
    uint8_t bytes[COVEY_METRICS_BYTES];
    size_t size = 0;
    struct fake_answer answer;
    set_up(&rig, 2, "fedavg");
    rig.federation.rules.stop_rounds = 1;
    start(&rig);
    come(&rig, all, 2);
    const struct covey_plan plan = fake_await(&rig.host, "left", "digits", COVEY_PLAN_TRAIN, 1);
    struct covey_metrics metrics = {.count = 0};
    covey_metrics_add(&metrics, COVEY_METRIC_ROUND, "", 1);
    covey_metrics_add(&metrics, COVEY_METRIC_FAILED, "", COVEY_ROUND_OTHER);
    cr_assert_eq(covey_metrics_encode(&metrics, bytes, sizeof bytes, &size, NULL), COVEY_OK);
    fake_request(&rig.host, "right", COVEY_POST, "f/digits/metrics", (struct covey_bytes){bytes, size}, false,
                 &answer);
    free(answer.body);
    cr_expect_eq(send_sum(&rig, "left", &plan, left, 3, (struct twist){0}, text), COVEY_CODE_CHANGED, "%s",
                 text);
    struct covey_federation_view view;
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        covey_server_federation_view(rig.server, 0, &view);
        if (view.round.phase == COVEY_PHASE_ENDED)
            break;
        fake_sleep_ms(5);
    }
    cr_expect_eq(view.round.completed, 1);
    tear_down(&rig);
}

Test(gateways, what_cannot_be_added_up_is_refused_at_start)
{
    static const struct {
        const char *strategy, *second;
        uint32_t devices;
        enum covey_status status;
    } cases[] = {{"median", "right", 2, COVEY_UNSUPPORTED}, {"krum hostile=1", "right", 2, COVEY_UNSUPPORTED},
                 {"fedavg", "left", 2, COVEY_INVALID},      {"fedavg", "", 2, COVEY_INVALID},
                 {"fedavg", "right", 0, COVEY_INVALID},     {"fedavg", "right", COVEY_DEVICES, COVEY_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        struct covey_error err = {0};
        set_up(&rig, 3, cases[i].strategy);
        (void)snprintf(rig.gateways[1].name, sizeof rig.gateways[1].name, "%s", cases[i].second);
        rig.gateways[1].devices = cases[i].devices;
        cr_expect_eq(covey_server_create(&rig.options, &rig.server, &err), cases[i].status, "case %zu: %s", i,
                     err.text);
        cr_expect_gt(strlen(err.text), 0);
        fake_model_deinit(&rig.model);
        covey_key_destroy(rig.signer);
        fake_folder_remove(rig.folder);
    }
}

/* ------------------------------------------------------------------ the table of names */

Test(contributors, claims_are_all_or_nothing)
{
    struct covey_contributors contributors = {0};
    const struct covey_bytes none = {NULL, 0};
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES];
    for (uint32_t i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "device-%u", i);
        cr_assert_eq(covey_contributors_claim(&contributors, i / 10, name, none, &err), COVEY_OK);
    }
    cr_expect_eq(contributors.count, 1000);
    uint8_t list[3 * COVEY_CONTRIBUTOR_BYTES];
    size_t used = 0, one = 0;
    static const char *const names[] = {"a-new", "device-55", "z-new"};
    for (size_t i = 0; i < 3; i++) {
        struct covey_contributor entry = {.examples = 1};
        (void)snprintf(entry.name, sizeof entry.name, "%s", names[i]);
        cr_assert_eq(covey_contributor_encode(&entry, list + used, COVEY_CONTRIBUTOR_BYTES, &one, &err),
                     COVEY_OK);
        used += one;
    }
    const struct covey_bytes three = {list, used};
    cr_expect_eq(covey_contributors_claim(&contributors, 200, "gate", three, &err), COVEY_CONFLICT);
    cr_expect_not_null(strstr(err.text, "device-55"));
    cr_expect_eq(contributors.count, 1000, "a refused claim leaves something behind");
    covey_contributors_release(&contributors, 5);
    cr_expect_eq(contributors.count, 990);
    cr_expect_eq(covey_contributors_claim(&contributors, 200, "gate", three, &err), COVEY_OK);
    cr_expect_eq(covey_contributors_claim(&contributors, 200, "gate", three, &err), COVEY_OK);
    cr_expect_eq(contributors.count, 993);
    cr_expect_eq(covey_contributors_claim(&contributors, 5, "device-55", none, &err), COVEY_CONFLICT);
    covey_contributors_release(&contributors, 200);
    cr_expect_eq(covey_contributors_claim(&contributors, 5, "device-55", none, &err), COVEY_OK);
    covey_contributors_deinit(&contributors);
}
