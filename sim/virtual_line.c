/* The line of published models as the simulated server has it: what a device would fetch, by the same
 * functions and the same choice as the running server and client. */
#include "virtual_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/sign.h"

#define FEDERATION "simulation" /* its name in manifests and paths */
#define STEP_HEAD_BYTES 16      /* of one in a checkpoint: bytes of its stream, grid */

/* ------------------------------------------------------------------ steps */

void covey_virtual_server_drop_steps(struct covey_virtual_server *server)
{
    for (uint32_t i = 0; server->steps != NULL && i < server->steps->count; i++)
        free(server->steps->kept[i].stream);
    free(server->steps);
    server->steps = NULL;
}

static void forget_oldest(struct covey_virtual_steps *steps)
{
    steps->bytes -= steps->kept[0].bytes;
    free(steps->kept[0].stream);
    memmove(&steps->kept[0], &steps->kept[1], --steps->count * sizeof steps->kept[0]);
}

enum covey_status covey_virtual_server_keep_step(struct covey_virtual_server *server,
                                                 struct covey_line_step *step, struct covey_error *err)
{
    if (step->grid == 0) { /* no step, or one that is not kept: sums are of a lattice */
        free(step->stream);
        *step = (struct covey_line_step){0};
        covey_virtual_server_drop_steps(server);
        return COVEY_OK;
    }
    if (server->steps == NULL && (server->steps = calloc(1, sizeof *server->steps)) == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the line's steps");
    struct covey_virtual_steps *steps = server->steps;
    while (steps->count > 0 &&
           (steps->count == COVEY_STEPS_KEPT || steps->bytes + step->bytes > COVEY_STEPS_KEPT_BYTES))
        forget_oldest(steps);
    steps->kept[steps->count++] = *step;
    steps->bytes += step->bytes;
    *step = (struct covey_line_step){0};
    memset(steps->sum_bytes, 0, sizeof steps->sum_bytes);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ fetching */

static uint64_t measure_sum(const struct covey_virtual_server *server, uint32_t behind)
{
    const struct covey_virtual_steps *steps = server->steps;
    uint8_t *stream = NULL;
    size_t size = 0;
    float *sum = calloc(server->line.update_count, sizeof *sum);
    enum covey_status status = sum == NULL ? COVEY_NO_MEMORY : COVEY_OK;
    for (uint32_t i = steps->count - behind; i < steps->count && status == COVEY_OK; i++)
        status =
            covey_line_add(&server->line, (struct covey_bytes){steps->kept[i].stream, steps->kept[i].bytes},
                           steps->kept[i].grid, sum, NULL);
    if (status == COVEY_OK)
        status = covey_line_encode_sum(&server->line, sum, &stream, &size, NULL);
    free(stream);
    free(sum);
    return status == COVEY_OK ? size : UINT64_MAX;
}

static uint64_t sum_bytes(const struct covey_virtual_server *server, uint32_t behind)
{
    uint64_t *known = &server->steps->sum_bytes[behind];
    if (*known == 0)
        *known = measure_sum(server, behind);
    return *known;
}

void covey_virtual_server_fetch(const struct covey_virtual_server *server, uint64_t have,
                                struct covey_virtual_fetch *out)
{
    const struct covey_virtual_steps *steps = server->steps;
    const uint64_t behind = server->sequence - have;
    uint64_t least = server->full_bytes, in_all = 0;
    *out = (struct covey_virtual_fetch){1, {server->full_bytes}};
    if (have == 0)
        return;
    if (behind == 1 && server->delta_bytes > 0 && server->delta_bytes < least)
        out->bytes[0] = server->delta_bytes;
    if (steps == NULL || behind > steps->count)
        return;
    for (uint64_t i = 1; i <= behind && behind <= COVEY_STEPS_LISTED; i++)
        in_all += steps->kept[steps->count - i].bytes;
    if (in_all > 0 && in_all < least) {
        least = in_all;
        out->count = (uint32_t)behind;
        for (uint32_t i = 0; i < behind; i++)
            out->bytes[i] = steps->kept[steps->count - behind + i].bytes;
    }
    if (behind > 1 && sum_bytes(server, (uint32_t)behind) < least)
        *out = (struct covey_virtual_fetch){1, {sum_bytes(server, (uint32_t)behind)}};
}

/* ------------------------------------------------------------------ models */

static void list_steps(const struct covey_virtual_server *server, struct covey_manifest *out)
{
    const struct covey_virtual_steps *steps = server->steps;
    for (uint32_t i = 0; i < steps->count && i < COVEY_STEPS_LISTED; i++)
        out->steps[out->step_count++] =
            (struct covey_manifest_step){.stream_bytes = steps->kept[steps->count - 1 - i].bytes,
                                         .grid = steps->kept[steps->count - 1 - i].grid};
    out->sums_from = server->sequence - steps->count;
}

/* The manifest as it would be signed: its length is what counts, so hashes of streams and the signature stay
 * zero. */
static enum covey_status measure_manifest(struct covey_virtual_server *server, struct covey_error *err)
{
    struct covey_manifest manifest = {.sequence = server->sequence,
                                      .round = server->round,
                                      .created_s = 1700000000,
                                      .description_bytes = server->fleet->description_bytes,
                                      .model = server->model,
                                      .shared_count = server->fleet->layout.shared_count,
                                      .full_bytes = server->full_bytes};
    uint8_t payload[COVEY_MANIFEST_BYTES], message[COVEY_MANIFEST_BYTES + COVEY_SIGNED_OVERHEAD_BYTES];
    size_t size = 0;
    (void)snprintf(manifest.federation, sizeof manifest.federation, FEDERATION);
    if (server->delta_bytes > 0) {
        manifest.deltas[0] = (struct covey_manifest_delta){.from_sequence = server->sequence - 1,
                                                           .stream_bytes = server->delta_bytes};
        manifest.delta_count = 1;
    }
    if (server->steps != NULL && server->steps->count > 0)
        list_steps(server, &manifest);
    COVEY_TRY(covey_manifest_encode(&manifest, payload, sizeof payload, &size, err));
    const struct covey_cose_sign1 cose = {.protected_header = covey_cose_es256_header(),
                                          .payload = {payload, size}};
    COVEY_TRY(covey_cose_encode(&cose, message, sizeof message, &size));
    server->manifest_bytes = size;
    return COVEY_OK;
}

enum covey_status covey_virtual_server_show(struct covey_virtual_server *server, uint64_t delta_bytes,
                                            struct covey_error *err)
{
    const size_t count = server->fleet->layout.shared_count;
    uint8_t *full = NULL;
    size_t full_bytes = 0;
    if (covey_line_has_lattice(&server->line)) {
        COVEY_TRY(covey_line_full(&server->line, server->published, &full, &full_bytes, err));
        free(full);
        server->full_bytes = full_bytes;
    } else {
        struct covey_codec raw;
        COVEY_TRY(covey_codec_parse("raw32", &raw, err));
        server->full_bytes = covey_codec_bound(&raw, count);
    }
    server->delta_bytes = delta_bytes <= server->full_bytes ? delta_bytes : 0;
    uint8_t name[sizeof server->sequence];
    memcpy(name, &server->sequence, sizeof name);
    COVEY_TRY(covey_hash_bytes((struct covey_bytes){name, sizeof name}, &server->model));
    return measure_manifest(server, err);
}

enum covey_status covey_virtual_server_hash(const struct covey_virtual_server *server, struct covey_hash *out)
{
    return covey_hash_floats(server->published, server->fleet->layout.shared_count, out);
}

/* ------------------------------------------------------------------ checkpoints */

size_t covey_virtual_server_steps_bytes(const struct covey_virtual_server *server)
{
    return server->steps == NULL ? 0 : server->steps->count * STEP_HEAD_BYTES + (size_t)server->steps->bytes;
}

void covey_virtual_server_steps_save(const struct covey_virtual_server *server, uint8_t *out)
{
    for (uint32_t i = 0; server->steps != NULL && i < server->steps->count; i++) {
        const struct covey_line_step *step = &server->steps->kept[i];
        const uint64_t head[2] = {step->bytes, step->grid};
        memcpy(out, head, sizeof head);
        memcpy(out + sizeof head, step->stream, step->bytes);
        out += sizeof head + step->bytes;
    }
}

enum covey_status covey_virtual_server_steps_load(struct covey_virtual_server *server,
                                                  struct covey_bytes bytes, struct covey_error *err)
{
    for (size_t at = 0; at < bytes.size;) {
        uint64_t head[2];
        if (bytes.size - at < sizeof head)
            return covey_fail(err, COVEY_CORRUPT, "the checkpoint's steps are cut short");
        memcpy(head, bytes.data + at, sizeof head);
        at += sizeof head;
        if (head[0] > bytes.size - at || head[1] == 0 || head[1] > UINT8_MAX)
            return covey_fail(err, COVEY_CORRUPT, "the checkpoint's steps make no sense");
        struct covey_line_step step = {malloc((size_t)head[0]), (size_t)head[0], (uint8_t)head[1]};
        if (step.stream == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for the line's steps");
        memcpy(step.stream, bytes.data + at, step.bytes);
        at += step.bytes;
        const enum covey_status status = covey_virtual_server_keep_step(server, &step, err);
        if (status != COVEY_OK) {
            free(step.stream);
            return status;
        }
    }
    return COVEY_OK;
}
