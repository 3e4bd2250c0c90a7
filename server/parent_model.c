/* The parent's model as a gateway's current one: checked against the parent's signature, stored durably, byte
 * for byte what the parent would give. Where steps were fetched in its place, it is made of them and of the
 * model before; its stream is coded again, and is the parent's if it has the hash that the parent signed. */
#include "federation.h"

#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/sign.h"

#include "step_store.h"

/* Signed by the parent, of this federation and model, and newer than what is here. */
static enum covey_status check_manifest(const struct covey_federation *federation,
                                        const struct covey_offer *offer, struct covey_manifest *out,
                                        struct covey_error *err)
{
    struct covey_bytes payload;
    COVEY_TRY(covey_verify_message(federation->options.parent->trust, covey_blob_view(offer->manifest),
                                   &payload, err));
    COVEY_TRY(covey_manifest_decode(payload, out, err));
    if (strcmp(out->federation, federation->options.name) != 0)
        return covey_fail(err, COVEY_MISMATCH, "the parent's model is of the federation %s", out->federation);
    if (!covey_hash_equal(&out->description, &federation->description_hash) ||
        out->shared_count != federation->shared_count)
        return covey_fail(err, COVEY_MISMATCH,
                          "the parent's model has another description than the one configured here: "
                          "give both the same `model`");
    return covey_sequence_check(federation->sequence, federation->full == NULL ? NULL : &federation->manifest,
                                out->sequence, covey_blob_hash(offer->manifest), err);
}

/* ------------------------------------------------------------------ steps */

/* From the model here to the manifest's: values (shared_count) in and out, models[i]: before step i, as the
 * manifest counts. */
static enum covey_status walk(const struct covey_federation *federation, const struct covey_offer *offer,
                              const struct covey_manifest *manifest, uint32_t behind, float *values,
                              struct covey_hash *models, struct covey_error *err)
{
    struct covey_hash hash = federation->model;
    for (uint32_t i = behind; i-- > 0;) {
        models[i] = hash;
        COVEY_TRY(covey_codec_apply_rounded(covey_blob_view(offer->steps[i]), federation->update_count,
                                            manifest->steps[i].grid - COVEY_GRID_ZERO, values, err));
        COVEY_TRY(covey_hash_floats(values, federation->shared_count, &hash));
    }
    return covey_hash_equal(&hash, &manifest->model)
               ? COVEY_OK
               : covey_fail(err, COVEY_MISMATCH, "the parent's steps lead to another model than it signed");
}

/* For this gateway's devices: steps and sums of them. */
static enum covey_status keep_steps(const struct covey_federation *federation,
                                    const struct covey_offer *offer, const struct covey_manifest *manifest,
                                    uint32_t behind, const struct covey_hash *models, struct covey_error *err)
{
    const char *folder = covey_model_store_folder(federation->store);
    for (uint32_t i = behind; i-- > 0;) {
        const struct covey_bytes stream = covey_blob_view(offer->steps[i]);
        const struct covey_stored_step step = {.bytes = stream.size,
                                               .grid = manifest->steps[i].grid,
                                               .from = models[i],
                                               .to = i == 0 ? manifest->model : models[i - 1],
                                               .stream = *covey_blob_hash(offer->steps[i])};
        COVEY_TRY(covey_step_store_save(folder, NULL, manifest->sequence - i, &step, stream.data, err));
    }
    return COVEY_OK;
}

/* The stream of the whole model as the parent made it. */
static enum covey_status code_again(const struct covey_federation *federation,
                                    const struct covey_manifest *manifest, const float *values,
                                    struct covey_blob **out, struct covey_error *err)
{
    struct covey_line line = federation->line;
    struct covey_blob *blob = NULL;
    uint8_t *stream = NULL;
    size_t size = 0;
    COVEY_TRY(covey_codec_parse_downlink("ec:1", &line.codec, err)); /* any that has a lattice */
    COVEY_TRY(covey_line_full(&line, values, &stream, &size, err));
    const enum covey_status status =
        covey_blob_create((struct covey_bytes){stream, size}, NULL, free, stream, &blob);
    if (status != COVEY_OK) {
        free(stream);
        return covey_fail(err, status, "no memory for the parent's model");
    }
    if (!covey_hash_equal(covey_blob_hash(blob), &manifest->full)) {
        covey_blob_release(blob);
        return covey_fail(err, COVEY_MISMATCH, "the parent codes its model otherwise");
    }
    *out = blob;
    return COVEY_OK;
}

/* By what was fetched from the model that is the current one now. */
static enum covey_status values_by_steps(const struct covey_federation *federation, struct covey_offer *offer,
                                         const struct covey_manifest *manifest, float *values,
                                         struct covey_error *err)
{
    struct covey_hash models[COVEY_MANIFEST_STEPS];
    const uint64_t behind = manifest->sequence - federation->sequence;
    if (federation->full == NULL || behind > offer->step_count)
        return covey_fail(err, COVEY_STATE, "the steps begin at another model");
    COVEY_TRY(covey_codec_decode(covey_blob_view(federation->full), federation->shared_count, values, err));
    COVEY_TRY(walk(federation, offer, manifest, (uint32_t)behind, values, models, err));
    COVEY_TRY(code_again(federation, manifest, values, &offer->full, err));
    return keep_steps(federation, offer, manifest, (uint32_t)behind, models, err);
}

/* ------------------------------------------------------------------ the model */

static enum covey_status values_of_full(const struct covey_federation *federation,
                                        const struct covey_offer *offer,
                                        const struct covey_manifest *manifest, float *values,
                                        struct covey_error *err)
{
    struct covey_hash hash;
    COVEY_TRY(covey_codec_decode(covey_blob_view(offer->full), federation->shared_count, values, err));
    COVEY_TRY(covey_hash_floats(values, federation->shared_count, &hash));
    if (!covey_hash_equal(&hash, &manifest->model))
        return covey_fail(err, COVEY_CORRUPT, "the parent's model does not have the hash that it signed");
    return COVEY_OK;
}

static enum covey_status store(struct covey_federation *federation, const struct covey_offer *offer,
                               const struct covey_manifest *manifest, const float *values,
                               struct covey_bytes kept, struct covey_error *err)
{
    struct covey_round_state keep = {0};
    uint8_t *state = NULL, *part = NULL;
    size_t state_bytes = 0;
    uint32_t round = 0;
    enum covey_status status = COVEY_OK;
    if (kept.size > 0)
        status = covey_round_state_set(&keep, COVEY_STATE_STRATEGY, kept.size, &part, err);
    if (status == COVEY_OK && kept.size > 0)
        memcpy(part, kept.data, kept.size);
    const struct covey_next_model next = {.round = manifest->round, .weights = values, .state = &keep};
    if (status == COVEY_OK)
        status = covey_publish_state(federation, &next, &state, &state_bytes, err);
    if (status == COVEY_OK) {
        const struct covey_bytes sections[COVEY_SECTION_COUNT] = {
            [COVEY_SECTION_MANIFEST] = covey_blob_view(offer->manifest),
            [COVEY_SECTION_FULL] = covey_blob_view(offer->full),
            [COVEY_SECTION_DELTA] =
                offer->delta_count > 0 ? covey_blob_view(offer->deltas[0]) : (struct covey_bytes){NULL, 0},
            [COVEY_SECTION_STATE] = {state, state_bytes}};
        status = covey_model_store_save(federation->store, manifest->sequence, sections, err);
    }
    free(state);
    covey_round_state_deinit(&keep);
    for (uint32_t i = 1; status == COVEY_OK && i < offer->delta_count; i++)
        covey_shelf_put(&federation->shelf, covey_blob_retain(offer->deltas[i]),
                        manifest->sequence + COVEY_FULL_KEPT);
    if (status == COVEY_OK)
        status = covey_publish_stored(federation, manifest->sequence, &round, err);
    if (status == COVEY_OK)
        covey_publish_prune(federation);
    return status;
}

enum covey_status covey_parent_model_adopt(struct covey_federation *federation, struct covey_offer *offer,
                                           struct covey_bytes kept, struct covey_error *err)
{
    struct covey_manifest manifest;
    if (offer->manifest == NULL || covey_hash_equal(covey_blob_hash(offer->manifest), &federation->manifest))
        return COVEY_OK;
    COVEY_TRY(check_manifest(federation, offer, &manifest, err));
    float *values = malloc(federation->shared_count * sizeof *values);
    if (values == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the parent's model");
    enum covey_status status = offer->step_count > 0
                                   ? values_by_steps(federation, offer, &manifest, values, err)
                                   : values_of_full(federation, offer, &manifest, values, err);
    offer->steps_useless = status != COVEY_OK && offer->step_count > 0;
    if (status == COVEY_OK)
        status = store(federation, offer, &manifest, values, kept, err);
    free(values);
    return status;
}
