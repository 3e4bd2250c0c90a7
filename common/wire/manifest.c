/* The manifest: what a published model is made of, by hash (docs/wire.cddl: manifest). It travels signed. */
#include "covey/messages.h"

#include "covey/codec.h"
#include "covey/limits.h"
#include "wire/cbor_fields.h"

static const struct covey_field delta_fields[] = {
    COVEY_UNSIGNED(struct covey_manifest_delta, from_sequence, 1, COVEY_FIELD_OPTIONAL, 0, INT64_MAX),
    COVEY_FIXED(struct covey_manifest_delta, from_model, 2, COVEY_FIELD_REQUIRED),
    COVEY_FIXED(struct covey_manifest_delta, stream, 3, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest_delta, stream_bytes, 4, COVEY_FIELD_REQUIRED, 1, COVEY_BODY_BYTES),
};
static const struct covey_record delta_record = COVEY_RECORD(delta_fields);

static const struct covey_field step_fields[] = {
    COVEY_FIXED(struct covey_manifest_step, stream, 1, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest_step, stream_bytes, 2, COVEY_FIELD_REQUIRED, 1, COVEY_BODY_BYTES),
    COVEY_UNSIGNED(struct covey_manifest_step, grid, 3, COVEY_FIELD_REQUIRED,
                   COVEY_GRID_ZERO + COVEY_EXPONENT_MIN, COVEY_GRID_ZERO + COVEY_EXPONENT_MAX),
};
static const struct covey_record step_record = COVEY_RECORD(step_fields);

static const struct covey_field manifest_fields[] = {
    COVEY_TEXT(struct covey_manifest, federation, 1, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest, sequence, 2, COVEY_FIELD_OPTIONAL, 0, INT64_MAX),
    COVEY_UNSIGNED(struct covey_manifest, round, 3, COVEY_FIELD_OPTIONAL, 0, COVEY_ROUNDS),
    COVEY_SIGNED(struct covey_manifest, created_s, 4, COVEY_FIELD_OPTIONAL, 1ull << 53),
    COVEY_FIXED(struct covey_manifest, description, 5, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest, description_bytes, 6, COVEY_FIELD_REQUIRED, 1,
                   COVEY_DESCRIPTION_BYTES),
    COVEY_FIXED(struct covey_manifest, model, 7, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest, shared_count, 8, COVEY_FIELD_REQUIRED, 1, COVEY_MODEL_PARAMETERS),
    COVEY_FIXED(struct covey_manifest, full, 9, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_manifest, full_bytes, 10, COVEY_FIELD_REQUIRED, 1, COVEY_BODY_BYTES),
    COVEY_RECORDS(struct covey_manifest, deltas, 11, COVEY_FIELD_OPTIONAL,
                  offsetof(struct covey_manifest, delta_count), COVEY_MANIFEST_DELTAS, &delta_record),
    COVEY_RECORDS(struct covey_manifest, steps, 12, COVEY_FIELD_OPTIONAL,
                  offsetof(struct covey_manifest, step_count), COVEY_MANIFEST_STEPS, &step_record),
    COVEY_UNSIGNED(struct covey_manifest, sums_from, 13, COVEY_FIELD_OPTIONAL, 0, INT64_MAX),
};
static const struct covey_record manifest_record = COVEY_RECORD(manifest_fields);

static enum covey_status check_manifest(const struct covey_manifest *manifest, enum covey_status status,
                                        struct covey_error *err)
{
    if (manifest->federation[0] == '\0')
        return covey_fail(err, status, "manifest: federation: empty");
    for (uint32_t i = 0; i < manifest->delta_count && i < COVEY_MANIFEST_DELTAS; i++)
        if (manifest->deltas[i].from_sequence >= manifest->sequence)
            return covey_fail(err, status, "manifest: deltas[%u]: does not start from an earlier model", i);
    if (manifest->step_count > manifest->sequence)
        return covey_fail(err, status, "manifest: steps: more than there are models before");
    if (manifest->sums_from > manifest->sequence)
        return covey_fail(err, status, "manifest: sums_from: a later model");
    return COVEY_OK;
}

enum covey_status covey_manifest_encode(const struct covey_manifest *manifest, uint8_t *out, size_t capacity,
                                        size_t *out_bytes, struct covey_error *err)
{
    COVEY_TRY(check_manifest(manifest, COVEY_INVALID, err));
    return covey_message_encode(&manifest_record, manifest, "manifest", out, capacity, out_bytes, err);
}

enum covey_status covey_manifest_decode(struct covey_bytes message, struct covey_manifest *out,
                                        struct covey_error *err)
{
    if (message.size > COVEY_MANIFEST_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "manifest: %zu bytes, at most %d", message.size,
                          COVEY_MANIFEST_BYTES);
    struct covey_manifest manifest = {0};
    COVEY_TRY(covey_message_decode(&manifest_record, message, "manifest", &manifest, err));
    COVEY_TRY(check_manifest(&manifest, COVEY_CORRUPT, err));
    *out = manifest;
    return COVEY_OK;
}
