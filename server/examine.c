#include "examine.h"

#include <string.h>

#include "covey/admit.h"
#include "covey/codec.h"
#include "covey/grid.h"
#include "covey/hash.h"

static enum covey_status verify(const struct covey_examine_round *round,
                                const struct covey_assignment_id *assignment,
                                const struct covey_update *update, struct covey_error *err)
{
    struct covey_codec assigned;
    struct covey_decoder decoder;
    if (memcmp(&update->assignment, assignment, sizeof *assignment) != 0)
        return covey_fail(err, COVEY_CORRUPT, "the update names another assignment than its path");
    if (!covey_hash_equal(&update->model, round->base_model))
        return covey_fail(err, COVEY_CONFLICT, "the update started from another model than the round's");
    COVEY_TRY(covey_codec_parse(round->terms->codec, &assigned, err));
    COVEY_TRY(covey_decoder_init(&decoder, update->stream, round->update_count, err));
    if (!covey_codec_made(&assigned, &decoder.codec))
        return covey_fail(err, COVEY_MISMATCH, "the update is coded as %s, the plan says %s",
                          decoder.codec.name, assigned.name);
    return COVEY_OK;
}

enum covey_status covey_examine_norm(const struct covey_examine_round *round, struct covey_bytes stream,
                                     double *norm, struct covey_error *err)
{
    int16_t exponents[COVEY_MODEL_TENSORS];
    float peaks[COVEY_MODEL_TENSORS];
    const struct covey_round_terms *terms = round->terms;
    for (size_t i = 0; i < terms->tensor_count; i++)
        exponents[i] = terms->has_exponents ? terms->exponents[i] : COVEY_GRID_EXPONENT_WIDE;
    const struct covey_admit_rule rule = {.ends = round->ends,
                                          .tensor_count = terms->tensor_count,
                                          .exponents = exponents,
                                          .refuse_range = terms->refuse_range,
                                          .norm_limit = terms->norm_limit,
                                          .wants_norm = terms->weighting.kind == COVEY_WEIGH_LOSS};
    struct covey_admission admission;
    COVEY_TRY(covey_admit(stream, &rule, &admission, peaks, err));
    *norm = admission.norm * admission.scale;
    return COVEY_OK;
}

enum covey_status covey_examine_update(const struct covey_examine_round *round,
                                       const struct covey_assignment_id *assignment, struct covey_bytes body,
                                       struct covey_update *out, double *norm, struct covey_error *err)
{
    struct covey_update update;
    const enum covey_status status = covey_update_decode(body, &update, err);
    if (status == COVEY_LIMIT || status == COVEY_MISMATCH)
        return COVEY_CORRUPT; /* of the message itself, not of the update */
    COVEY_TRY(status);
    COVEY_TRY(verify(round, assignment, &update, err));
    COVEY_TRY(covey_examine_norm(round, update.stream, norm, err));
    *out = update;
    return COVEY_OK;
}
