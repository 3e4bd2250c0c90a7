#include "covey/admit.h"

#include <math.h>
#include <string.h>

#include "covey/codec.h"
#include "fold_kernels.h"

/* One reading of a stream: where it stands, and what it has seen. */
struct reading {
    const struct covey_admit_rule *rule;
    struct covey_decoder decoder;
    size_t tensor; /* that the next value lies in */
    float *peaks;
    double squares;
};

/* Calls for values [first, first + count), all of which are at most `most` in magnitude. */
static void raise_peaks(struct reading *reading, size_t first, size_t count, float most)
{
    const size_t last = first + count;
    while (reading->rule->ends[reading->tensor] <= first)
        reading->tensor++;
    /* A block that ends in a later tensor counts for each tensor that it touches. */
    for (size_t t = reading->tensor; t < reading->rule->tensor_count; t++) {
        if (most > reading->peaks[t])
            reading->peaks[t] = most;
        if (reading->rule->ends[t] >= last)
            break;
    }
}

/* A stream of codes: the scales bound the values. */
static enum covey_status read_scales(struct reading *reading)
{
    const struct covey_fold_kernels *kernels = covey_fold_kernels_at(0);
    struct covey_codes codes;
    for (;;) {
        const size_t first = reading->decoder.position;
        COVEY_TRY(covey_decoder_next_scales(&reading->decoder, &codes));
        if (codes.count == 0)
            return COVEY_OK;
        if (first + codes.count <= reading->rule->ends[reading->tensor]) { /* the tile lies in one tensor */
            const size_t blocks = (codes.count + COVEY_BLOCK_VALUES - 1) / COVEY_BLOCK_VALUES;
            const uint32_t bits = kernels->largest(codes.scales, blocks);
            float most;
            memcpy(&most, &bits, sizeof most);
            raise_peaks(reading, first, codes.count, most * (float)codes.code_limit);
            continue;
        }
        for (size_t at = 0; at < codes.count; at += COVEY_BLOCK_VALUES) {
            const size_t left = codes.count - at;
            raise_peaks(reading, first + at, left < COVEY_BLOCK_VALUES ? left : COVEY_BLOCK_VALUES,
                        codes.scales[at / COVEY_BLOCK_VALUES] * (float)codes.code_limit);
        }
    }
}

/* A stream whose header bounds the values, if it is one. */
static bool read_header(struct reading *reading)
{
    const struct covey_admit_rule *rule = reading->rule;
    size_t first = 0;
    float most;
    for (size_t t = 0; t < rule->tensor_count; first = rule->ends[t], t++) {
        if (!covey_decoder_peak(&reading->decoder, first, rule->ends[t], &most))
            return false;
        reading->peaks[t] = most;
    }
    return true;
}

/* A stream whose side records bound the values. */
static enum covey_status read_bounds(struct reading *reading)
{
    for (;;) {
        const size_t first = reading->decoder.position;
        size_t count;
        float most;
        COVEY_TRY(covey_decoder_next_peak(&reading->decoder, &most, &count));
        if (count == 0)
            return COVEY_OK;
        raise_peaks(reading, first, count, most);
    }
}

static enum covey_status read_values(struct reading *reading, bool wants_peaks, bool wants_norm)
{
    const struct covey_fold_kernels *kernels = covey_fold_kernels_at(0);
    float tile[COVEY_DECODE_VALUES];
    for (;;) {
        const size_t first = reading->decoder.position;
        size_t count = 0;
        COVEY_TRY(covey_decoder_next(&reading->decoder, tile, &count));
        if (count == 0)
            return COVEY_OK;
        if (wants_norm)
            reading->squares += kernels->squares(tile, count);
        for (size_t at = 0; wants_peaks && at < count;) {
            while (reading->rule->ends[reading->tensor] <= first + at)
                reading->tensor++;
            const size_t left = reading->rule->ends[reading->tensor] - first - at;
            const size_t here = left < count - at ? left : count - at;
            const uint32_t bits = kernels->largest(tile + at, here);
            float most;
            memcpy(&most, &bits, sizeof most);
            raise_peaks(reading, first + at, here, most);
            at += here;
        }
    }
}

/* The largest power of two, at most 1, that brings every tensor into its range. */
static double fitting_scale(const struct covey_admit_rule *rule, const float *peaks)
{
    double scale = 1.0;
    for (size_t t = 0; t < rule->tensor_count; t++) {
        const double limit = ldexp(1.0, rule->exponents[t]);
        while ((double)peaks[t] * scale > limit)
            scale *= 0.5;
    }
    return scale;
}

static enum covey_status judge(const struct covey_admit_rule *rule, const float *peaks,
                               struct covey_admission *admission, struct covey_error *err)
{
    if (rule->norm_limit > 0.0 && !(admission->norm <= rule->norm_limit))
        return covey_fail(err, COVEY_RANGE, "the update's norm is %g, at most %g is taken", admission->norm,
                          rule->norm_limit);
    admission->scale = fitting_scale(rule, peaks);
    if (admission->scale < 1.0 && rule->refuse_range)
        return covey_fail(err, COVEY_RANGE, "the update has values %g times as large as the grid holds",
                          1.0 / admission->scale);
    return COVEY_OK;
}

enum covey_status covey_admit(struct covey_bytes stream, const struct covey_admit_rule *rule,
                              struct covey_admission *out, float *peaks, struct covey_error *err)
{
    struct reading reading = {.rule = rule, .peaks = peaks};
    struct covey_admission admission = {.scale = 1.0, .norm = -1.0};
    const size_t count = rule->ends[rule->tensor_count - 1];
    const bool wants_norm = rule->wants_norm || rule->norm_limit > 0.0;
    memset(peaks, 0, rule->tensor_count * sizeof *peaks);
    COVEY_TRY(covey_decoder_init(&reading.decoder, stream, count, err));
    enum covey_status status = COVEY_OK;
    bool has_peaks = read_header(&reading);
    if (!has_peaks && covey_decoder_has_scales(&reading.decoder)) {
        status = read_scales(&reading);
        has_peaks = true;
    }
    if (!has_peaks && !wants_norm && covey_decoder_has_peaks(&reading.decoder)) {
        status = read_bounds(&reading);
        has_peaks = status == COVEY_OK && fitting_scale(rule, peaks) == 1.0; /* else the values must tell */
    }
    if (status == COVEY_OK && (wants_norm || !has_peaks)) {
        if (!has_peaks)
            memset(peaks, 0, rule->tensor_count * sizeof *peaks);
        reading.tensor = 0;
        status = covey_decoder_seek(&reading.decoder, 0);
        if (status == COVEY_OK)
            status = read_values(&reading, !has_peaks, wants_norm);
    }
    if (status != COVEY_OK)
        return covey_fail(err, status, "the update's stream (%s): %s, from value %zu on",
                          reading.decoder.codec.name, covey_status_text(status), reading.decoder.position);
    if (wants_norm)
        admission.norm = sqrt(reading.squares);
    COVEY_TRY(judge(rule, peaks, &admission, err));
    *out = admission;
    return COVEY_OK;
}
