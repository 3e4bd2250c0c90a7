/* The published line (ARCHITECTURE 8, published_line.h): W stays here. A model is made, hashed, signed,
 * stored whole, and only then shown. */
#include "federation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/log.h"
#include "covey/sign.h"
#include "covey/little_endian.h"

#include "step_store.h"

/* ------------------------------------------------------------------ the state section: W and what the next
 * round needs */

#define STATE_VERSION 2 /* 1: nothing behind W */
#define STATE_HEAD_BYTES 32

static void put_floats(uint8_t *out, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        covey_little_put(out + 4 * i, bits, 4);
    }
}

static void get_floats(const uint8_t *in, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)covey_little_get(in + 4 * i, 4);
        memcpy(&values[i], &bits, sizeof bits);
    }
}

/* version u32, tensor_count u32, shared_count u64, has_exponents u32, 0 u32, bytes kept u64; exponents i16
 * padded to 4; W f32; what is kept (covey/round_state.h) */
static size_t exponent_bytes(size_t tensor_count)
{
    return (2 * tensor_count + 3) / 4 * 4;
}

enum covey_status covey_publish_state(const struct covey_federation *federation,
                                      const struct covey_next_model *next, uint8_t **out, size_t *size,
                                      struct covey_error *err)
{
    const size_t head = STATE_HEAD_BYTES + exponent_bytes(federation->tensor_count);
    const size_t weights_end = head + 4 * federation->shared_count;
    const size_t kept = next->state == NULL ? 0 : covey_round_state_encoded_bytes(next->state);
    *size = weights_end + kept;
    uint8_t *bytes = malloc(*size);
    if (bytes == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model");
    memset(bytes, 0, head);
    covey_little_put(bytes, STATE_VERSION, 4);
    covey_little_put(bytes + 4, federation->tensor_count, 4);
    covey_little_put(bytes + 8, federation->shared_count, 8);
    covey_little_put(bytes + 16, next->has_exponents, 4);
    covey_little_put(bytes + 24, kept, 8);
    for (size_t i = 0; next->has_exponents && i < federation->tensor_count; i++)
        covey_little_put(bytes + STATE_HEAD_BYTES + 2 * i, (uint16_t)next->exponents[i], 2);
    put_floats(bytes + head, next->weights, federation->shared_count);
    if (kept > 0)
        covey_round_state_encode(next->state, bytes + weights_end);
    *out = bytes;
    return COVEY_OK;
}

static size_t weights_at(const struct covey_federation *federation)
{
    return STATE_HEAD_BYTES + exponent_bytes(federation->tensor_count);
}

static enum covey_status check_state(const struct covey_federation *federation, struct covey_bytes state,
                                     struct covey_error *err)
{
    const size_t weights_end = weights_at(federation) + 4 * federation->shared_count;
    if (state.size < STATE_HEAD_BYTES || covey_little_get(state.data, 4) < 1 ||
        covey_little_get(state.data, 4) > STATE_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "the stored model's state is of another version");
    if (covey_little_get(state.data + 4, 4) != federation->tensor_count ||
        covey_little_get(state.data + 8, 8) != federation->shared_count || state.size < weights_end ||
        state.size - weights_end != covey_little_get(state.data + 24, 8))
        return covey_fail(err, COVEY_MISMATCH, "the stored model's state has another shape than the model");
    return COVEY_OK;
}

enum covey_status covey_publish_weights(struct covey_federation *federation, float **out,
                                        struct covey_error *err)
{
    struct covey_blob *state = NULL;
    COVEY_TRY(
        covey_model_store_section(federation->store, federation->sequence, COVEY_SECTION_STATE, &state, err));
    const struct covey_bytes bytes = covey_blob_view(state);
    enum covey_status status = check_state(federation, bytes, err);
    float *weights = status == COVEY_OK ? malloc(federation->shared_count * sizeof *weights) : NULL;
    if (status == COVEY_OK && weights == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for the model");
    if (status == COVEY_OK) {
        get_floats(bytes.data + weights_at(federation), weights, federation->shared_count);
        *out = weights;
    }
    covey_blob_release(state);
    return status;
}

/* ------------------------------------------------------------------ streams */

/* The next model before it is stored: everything owned here. */
struct draft {
    uint64_t sequence;
    float *published; /* P: (shared_count) */
    struct covey_line_step step;
    struct covey_hash step_hash;
    uint8_t *full, *state;
    size_t full_bytes, state_bytes;
    uint8_t manifest[COVEY_MANIFEST_BYTES];
    size_t manifest_bytes;
    struct covey_hash model;
};

static void free_draft(struct draft *draft)
{
    free(draft->published);
    free(draft->step.stream);
    free(draft->full);
    free(draft->state);
}

/* P(r+1) and the stream that leads there from P(r). */
static enum covey_status draft_values(struct covey_federation *federation,
                                      const struct covey_next_model *next, struct draft *draft,
                                      struct covey_error *err)
{
    const size_t count = federation->shared_count;
    draft->published = malloc(count * sizeof *draft->published);
    if (draft->published == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model");
    if (federation->full == NULL)
        return covey_line_begin(&federation->line, next->weights, draft->published, err);
    COVEY_TRY(covey_codec_decode(covey_blob_view(federation->full), count, draft->published, err));
    COVEY_TRY(covey_line_advance(&federation->line, next->round, next->weights, draft->published,
                                 &draft->step, err));
    return draft->step.stream == NULL
               ? COVEY_OK
               : covey_hash_bytes((struct covey_bytes){draft->step.stream, draft->step.bytes},
                                  &draft->step_hash);
}

/* ------------------------------------------------------------------ manifest */

/* The one delta that leads here, unless the full model is smaller. */
static void list_delta(const struct covey_federation *federation, const struct draft *draft,
                       struct covey_manifest *out)
{
    if (draft->step.bytes > draft->full_bytes)
        return;
    out->deltas[0] = (struct covey_manifest_delta){.from_sequence = federation->sequence,
                                                   .from_model = federation->model,
                                                   .stream = draft->step_hash,
                                                   .stream_bytes = draft->step.bytes};
    out->delta_count = 1;
}

/* From which model on the steps are all there, as many and as large as may be kept; the new one is the last.
 */
static uint64_t oldest_base(const struct covey_federation *federation, const struct draft *draft)
{
    const struct covey_federation_options *options = &federation->options;
    const char *folder = covey_model_store_folder(federation->store);
    uint64_t base = federation->sequence, bytes = draft->step.bytes;
    struct covey_hash to = federation->model;
    struct covey_stored_step step;
    while (base > federation->sums_from && federation->sums_from > 0 &&
           draft->sequence - base < options->deltas_kept &&
           covey_step_store_load(folder, base, &step, NULL, NULL) == COVEY_OK &&
           covey_hash_equal(&step.to, &to) && bytes + step.bytes <= options->deltas_kept_bytes) {
        bytes += step.bytes;
        to = step.from;
        base--;
    }
    return base;
}

/* The last steps one by one, and how far sums reach back. */
static void list_steps(const struct covey_federation *federation, const struct draft *draft,
                       struct covey_manifest *out)
{
    out->steps[0] = (struct covey_manifest_step){
        .stream = draft->step_hash, .stream_bytes = draft->step.bytes, .grid = draft->step.grid};
    out->step_count = 1;
    for (uint32_t i = 0; i < federation->step_count && out->step_count < COVEY_STEPS_LISTED; i++)
        out->steps[out->step_count++] = federation->steps[i];
    out->sums_from = oldest_base(federation, draft);
}

static enum covey_status read_manifest(struct covey_bytes message, struct covey_manifest *out,
                                       struct covey_error *err)
{
    struct covey_cose_sign1 signed_message;
    COVEY_TRY(covey_cose_decode(message, &signed_message, err));
    return covey_manifest_decode(signed_message.payload, out, err);
}

static enum covey_status draft_manifest(struct covey_federation *federation,
                                        const struct covey_next_model *next, struct draft *draft,
                                        struct covey_error *err)
{
    const struct covey_server *server = federation->server;
    struct covey_manifest manifest = {.sequence = draft->sequence,
                                      .round = next->round,
                                      .created_s = covey_server_wall_ms(server) / 1000,
                                      .description = federation->description_hash,
                                      .description_bytes = federation->options.description.size,
                                      .model = draft->model,
                                      .shared_count = federation->shared_count,
                                      .full_bytes = draft->full_bytes};
    memcpy(manifest.federation, federation->options.name, sizeof manifest.federation);
    COVEY_TRY(covey_hash_bytes((struct covey_bytes){draft->full, draft->full_bytes}, &manifest.full));
    if (draft->step.grid != 0)
        list_steps(federation, draft, &manifest);
    else if (draft->step.stream != NULL)
        list_delta(federation, draft, &manifest);
    uint8_t payload[COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES];
    size_t size = 0;
    COVEY_TRY(covey_manifest_encode(&manifest, payload, sizeof payload, &size, err));
    return covey_sign_message(server->options.signer, (struct covey_bytes){payload, size}, draft->manifest,
                              sizeof draft->manifest, &draft->manifest_bytes, err);
}

/* ------------------------------------------------------------------ showing */

static enum covey_status shelve_section(struct covey_federation *federation, uint64_t sequence,
                                        enum covey_model_section which, uint64_t until,
                                        struct covey_blob **kept, struct covey_error *err)
{
    struct covey_blob *blob = NULL;
    COVEY_TRY(covey_model_store_section(federation->store, sequence, which, &blob, err));
    if (kept != NULL)
        *kept = covey_blob_retain(blob);
    if (covey_blob_view(blob).size > 0)
        covey_shelf_put(&federation->shelf, blob, until);
    else
        covey_blob_release(blob);
    return COVEY_OK;
}

/* The steps that the manifest lists, on the shelf. One that is damaged is missing there: whoever wants it
 * takes the full model. */
static enum covey_status shelve_steps(struct covey_federation *federation,
                                      const struct covey_manifest *manifest, struct covey_error *err)
{
    const char *folder = covey_model_store_folder(federation->store);
    for (uint32_t i = 0; i < manifest->step_count; i++) {
        struct covey_stored_step step;
        uint8_t *stream = NULL;
        struct covey_blob *blob = covey_shelf_find(&federation->shelf, &manifest->steps[i].stream);
        if (blob == NULL) {
            if (covey_step_store_load(folder, manifest->sequence - i, &step, &stream, NULL) != COVEY_OK)
                continue;
            const enum covey_status status = covey_blob_create(
                (struct covey_bytes){stream, (size_t)step.bytes}, &step.stream, free, stream, &blob);
            if (status != COVEY_OK) {
                free(stream);
                return covey_fail(err, status, "no memory for a step");
            }
        }
        covey_shelf_put(&federation->shelf, blob, manifest->sequence + COVEY_FULL_KEPT);
    }
    return COVEY_OK;
}

static void read_exponents(struct covey_federation *federation, struct covey_bytes state)
{
    federation->has_exponents = covey_little_get(state.data + 16, 4) != 0;
    for (size_t i = 0; i < federation->tensor_count; i++)
        federation->exponents[i] = (int16_t)covey_little_get(state.data + STATE_HEAD_BYTES + 2 * i, 2);
}

static enum covey_status read_kept(const struct covey_federation *federation, struct covey_bytes state,
                                   struct covey_round_state *out, struct covey_error *err)
{
    const size_t at = weights_at(federation) + 4 * federation->shared_count;
    return covey_round_state_decode((struct covey_bytes){state.data + at, state.size - at}, out, err);
}

/* Sequences that a model stays fetchable after the next one. */
static uint64_t models_shelved(const struct covey_federation *federation)
{
    const uint32_t late = federation->options.rules.staleness_max;
    return late <= COVEY_FULL_KEPT       ? COVEY_FULL_KEPT
           : late < COVEY_FULL_KEPT_LATE ? late
                                         : COVEY_FULL_KEPT_LATE;
}

void covey_publish_older(struct covey_federation *federation)
{
    static const enum covey_model_section sections[] = {COVEY_SECTION_MANIFEST, COVEY_SECTION_FULL};
    const uint64_t kept = covey_federation_lasts(federation) ? models_shelved(federation) : 0;
    for (uint64_t back = 1; back <= kept && back < federation->sequence; back++)
        for (size_t i = 0; i < 2; i++)
            if (covey_model_store_has(federation->store, federation->sequence - back))
                (void)shelve_section(federation, federation->sequence - back, sections[i],
                                     federation->sequence - back + kept, NULL, NULL);
}

void covey_publish_manifest_of(const struct covey_federation *federation, uint64_t sequence,
                               struct covey_hash *out)
{
    struct covey_blob *blob = NULL;
    *out = (struct covey_hash){0};
    if (!covey_model_store_has(federation->store, sequence) ||
        covey_model_store_section(federation->store, sequence, COVEY_SECTION_MANIFEST, &blob, NULL) !=
            COVEY_OK)
        return;
    *out = *covey_blob_hash(blob);
    covey_blob_release(blob);
}

/* Of a gateway: from which model on the steps to this one are all here; 0: none is. */
static uint64_t oldest_here(const struct covey_federation *federation, const struct covey_manifest *manifest)
{
    const char *folder = covey_model_store_folder(federation->store);
    uint64_t base = manifest->sequence;
    struct covey_hash to = manifest->model;
    struct covey_stored_step step;
    while (base > manifest->sums_from && manifest->sums_from > 0 &&
           covey_step_store_load(folder, base, &step, NULL, NULL) == COVEY_OK &&
           covey_hash_equal(&step.to, &to)) {
        to = step.from;
        base--;
    }
    return base < manifest->sequence ? base : 0;
}

/* Makes a stored model the current one. */
static enum covey_status show(struct covey_federation *federation, uint64_t sequence, uint32_t *round,
                              struct covey_error *err)
{
    struct covey_blob *full = NULL, *manifest_blob = NULL, *state = NULL;
    struct covey_manifest manifest;
    struct covey_round_state kept = {0};
    const uint64_t until = sequence + models_shelved(federation);
    enum covey_status status =
        shelve_section(federation, sequence, COVEY_SECTION_MANIFEST, until, &manifest_blob, err);
    if (status == COVEY_OK)
        status = shelve_section(federation, sequence, COVEY_SECTION_FULL, until, &full, err);
    if (status == COVEY_OK)
        status = shelve_section(federation, sequence, COVEY_SECTION_DELTA, until, NULL, err);
    if (status == COVEY_OK)
        status = covey_model_store_section(federation->store, sequence, COVEY_SECTION_STATE, &state, err);
    if (status == COVEY_OK)
        status = read_manifest(covey_blob_view(manifest_blob), &manifest, err);
    if (status == COVEY_OK)
        status = shelve_steps(federation, &manifest, err);
    if (status == COVEY_OK)
        status = check_state(federation, covey_blob_view(state), err);
    if (status == COVEY_OK)
        status = read_kept(federation, covey_blob_view(state), &kept, err);
    if (status == COVEY_OK) {
        const uint64_t sums_from =
            federation->options.parent == NULL ? manifest.sums_from : oldest_here(federation, &manifest);
        covey_shelf_expire(&federation->shelf, sequence);
        pthread_mutex_lock(&federation->mutex);
        struct covey_blob *old = federation->full;
        federation->full = full;
        federation->sequence = sequence;
        federation->model = manifest.model;
        federation->manifest = *covey_blob_hash(manifest_blob);
        memcpy(federation->steps, manifest.steps, sizeof federation->steps);
        federation->step_count = manifest.step_count;
        federation->sums_from = sums_from;
        read_exponents(federation, covey_blob_view(state));
        const struct covey_round_state before = federation->state;
        federation->state = kept;
        kept = before;
        pthread_mutex_unlock(&federation->mutex);
        full = old;
        *round = manifest.round;
    }
    covey_round_state_deinit(&kept);
    covey_blob_release(full);
    covey_blob_release(manifest_blob);
    covey_blob_release(state);
    return status;
}

/* The step before the model: one that leads to no model is written over or removed when there is one. */
static enum covey_status store_step(const struct covey_federation *federation, const struct draft *draft,
                                    struct covey_error *err)
{
    const char *folder = covey_model_store_folder(federation->store);
    if (draft->step.grid == 0) {
        covey_step_store_remove(folder, draft->sequence);
        return COVEY_OK;
    }
    const struct covey_stored_step step = {.bytes = draft->step.bytes,
                                           .grid = draft->step.grid,
                                           .from = federation->model,
                                           .to = draft->model,
                                           .stream = draft->step_hash};
    return covey_step_store_save(folder, NULL, draft->sequence, &step, draft->step.stream, err);
}

static enum covey_status make_draft(struct covey_federation *federation, const struct covey_next_model *next,
                                    struct draft *draft, struct covey_error *err)
{
    draft->sequence = federation->sequence + 1;
    COVEY_TRY(draft_values(federation, next, draft, err));
    COVEY_TRY(covey_line_full(&federation->line, draft->published, &draft->full, &draft->full_bytes, err));
    COVEY_TRY(covey_hash_floats(draft->published, federation->shared_count, &draft->model));
    COVEY_TRY(draft_manifest(federation, next, draft, err));
    COVEY_TRY(covey_publish_state(federation, next, &draft->state, &draft->state_bytes, err));
    COVEY_TRY(store_step(federation, draft, err));
    const bool in_model = draft->step.grid == 0; /* the delta: a step of a lattice has a file of its own */
    const struct covey_bytes sections[COVEY_SECTION_COUNT] = {
        [COVEY_SECTION_MANIFEST] = {draft->manifest, draft->manifest_bytes},
        [COVEY_SECTION_FULL] = {draft->full, draft->full_bytes},
        [COVEY_SECTION_DELTA] = {draft->step.stream, in_model ? draft->step.bytes : 0},
        [COVEY_SECTION_STATE] = {draft->state, draft->state_bytes}};
    return covey_model_store_save(federation->store, draft->sequence, sections, err);
}

enum covey_status covey_publish_next(struct covey_federation *federation, const struct covey_next_model *next,
                                     struct covey_error *err)
{
    struct draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model");
    enum covey_status status = make_draft(federation, next, draft, err);
    const uint64_t sequence = draft->sequence;
    free_draft(draft);
    free(draft);
    uint32_t round = 0;
    if (status == COVEY_OK)
        status = show(federation, sequence, &round, err);
    if (status == COVEY_OK)
        covey_publish_prune(federation);
    return status;
}

void covey_publish_prune(struct covey_federation *federation)
{
    covey_model_store_prune(federation->store, federation->sequence, federation->options.models_kept);
    covey_step_store_prune(covey_model_store_folder(federation->store),
                           federation->sums_from > 0 ? federation->sums_from : federation->sequence);
}

enum covey_status covey_publish_stored(struct covey_federation *federation, uint64_t sequence,
                                       uint32_t *round, struct covey_error *err)
{
    struct covey_blob *blob = NULL;
    struct covey_manifest manifest;
    COVEY_TRY(covey_model_store_section(federation->store, sequence, COVEY_SECTION_MANIFEST, &blob, err));
    enum covey_status status = read_manifest(covey_blob_view(blob), &manifest, err);
    covey_blob_release(blob);
    COVEY_TRY(status);
    if (strcmp(manifest.federation, federation->options.name) != 0)
        return covey_fail(err, COVEY_MISMATCH, "the stored model is of the federation %s",
                          manifest.federation);
    if (!covey_hash_equal(&manifest.description, &federation->description_hash) ||
        manifest.shared_count != federation->shared_count)
        return covey_fail(
            err, COVEY_MISMATCH,
            "the stored model (sequence %llu) has another description than the configured one: give the "
            "federation another name, or move its folder away",
            (unsigned long long)sequence);
    return show(federation, sequence, round, err);
}

/* ------------------------------------------------------------------ from outside */

enum covey_status covey_server_read_model(const char *folder, const char *federation, float **values,
                                          size_t *count, struct covey_manifest *manifest,
                                          struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES - 64];
    struct covey_model_store *store = NULL;
    struct covey_blob *blob = NULL, *full = NULL;
    float *out = NULL;
    uint64_t sequence = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, federation) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the path is too long");
    COVEY_TRY(covey_model_store_open_to_read(path, &store, err));
    enum covey_status status = covey_model_store_newest(store, &sequence, err);
    if (status == COVEY_OK)
        status = covey_model_store_section(store, sequence, COVEY_SECTION_MANIFEST, &blob, err);
    if (status == COVEY_OK)
        status = read_manifest(covey_blob_view(blob), manifest, err);
    if (status == COVEY_OK && manifest->shared_count > COVEY_MODEL_PARAMETERS)
        status = covey_fail(err, COVEY_CORRUPT, "the stored model has too many values");
    if (status == COVEY_OK)
        status = covey_model_store_section(store, sequence, COVEY_SECTION_FULL, &full, err);
    if (status == COVEY_OK && (out = malloc((size_t)manifest->shared_count * sizeof *out)) == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for the model");
    if (status == COVEY_OK)
        status = covey_codec_decode(covey_blob_view(full), (size_t)manifest->shared_count, out, err);
    covey_blob_release(blob);
    covey_blob_release(full);
    covey_model_store_close(store);
    if (status != COVEY_OK) {
        free(out);
        return status;
    }
    *values = out;
    *count = (size_t)manifest->shared_count;
    return COVEY_OK;
}
