#include "published_line.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BITS 9  /* of the smallest tensor's largest value, on a line's first lattice */
#define LEAST_BITS 20 /* of the largest value: no lattice is finer */
#define ROOM_BITS 21  /* of a value at the most: a sum of steps has one more, f32 has 24 */
#define NO_EXPONENT 127

/* ------------------------------------------------------------------ exponents */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7FFFFFFFu;
}

static int within(int exponent)
{
    return exponent < COVEY_EXPONENT_MIN   ? COVEY_EXPONENT_MIN
           : exponent > COVEY_EXPONENT_MAX ? COVEY_EXPONENT_MAX
                                           : exponent;
}

/* Every |x| is below 2^this; COVEY_EXPONENT_MIN at the least. */
static int top_of(const float *x, size_t count)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = bits_of(x[i]) > largest ? bits_of(x[i]) : largest;
    const int top = (int)(largest >> 23) - 126;
    return top < COVEY_EXPONENT_MIN ? COVEY_EXPONENT_MIN : top;
}

/* Every x is a whole multiple of 2^this; NO_EXPONENT: all are zero. */
static int finest_of(const float *x, size_t count)
{
    int finest = NO_EXPONENT;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(x[i]);
        if (bits == 0)
            continue;
        const int lowest = (int)(bits >> 23) - 150 + __builtin_ctz((bits & 0x7FFFFFu) | 0x800000u);
        finest = lowest < finest ? lowest : finest;
    }
    return finest;
}

/* ------------------------------------------------------------------ streams */

static enum covey_status encode(const struct covey_codec *codec, const struct covey_line *line,
                                uint32_t round, const float *values, size_t count, uint8_t **out,
                                size_t *size, float *decoded, struct covey_error *err)
{
    const size_t bound = covey_codec_bound(codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(codec, count);
    uint8_t *stream = malloc(bound);
    void *scratch = scratch_bytes == 0 ? NULL : aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    enum covey_status status = COVEY_OK;
    if (stream == NULL || (scratch_bytes != 0 && scratch == NULL))
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to encode the model");
    const bool by_tensor = count == line->update_count;
    const struct covey_encode_options options = {.seed = line->seed,
                                                 .round = round,
                                                 .ends = by_tensor ? line->ends : NULL,
                                                 .tensor_count = by_tensor ? line->tensor_count : 0,
                                                 .scratch = scratch,
                                                 .scratch_bytes = scratch_bytes};
    if (status == COVEY_OK)
        status = covey_codec_encode(codec, values, count, &options, stream, bound, size, decoded, err);
    free(scratch);
    if (status != COVEY_OK) {
        free(stream);
        return status;
    }
    *out = stream;
    return COVEY_OK;
}

static bool same_codec(const struct covey_line *line, const char *name)
{
    return strcmp(line->codec.name, name) == 0;
}

bool covey_line_has_lattice(const struct covey_line *line)
{
    return !same_codec(line, "raw32") && !same_codec(line, "fp16");
}

/* ------------------------------------------------------------------ the line */

/* Fine enough for the tensor with the smallest values, for what is coarser than a value makes it zero. */
static int first_exponent(const struct covey_line *line, const float *weights)
{
    const int top = top_of(weights, line->update_count);
    int least = top;
    for (size_t i = 0, first = 0; i < line->tensor_count; first = line->ends[i], i++) {
        const int of_tensor = top_of(weights + first, line->ends[i] - first);
        if (of_tensor > COVEY_EXPONENT_MIN && of_tensor < least)
            least = of_tensor;
    }
    least -= FIRST_BITS;
    return within(least < top - LEAST_BITS ? top - LEAST_BITS : least);
}

enum covey_status covey_line_begin(const struct covey_line *line, const float *weights, float *published,
                                   struct covey_error *err)
{
    memcpy(published, weights, line->shared_count * sizeof *published);
    if (!covey_line_has_lattice(line))
        return COVEY_OK;
    const int exponent = first_exponent(line, weights);
    if (!covey_round_to_power(published, line->update_count, exponent, published))
        return covey_fail(err, COVEY_RANGE, "the model has values that are not finite or past 2^%d",
                          exponent + 22);
    return COVEY_OK;
}

/* About the codec's root mean squared error, so that rounding adds at most a twelfth to its square. */
static int exponent_of_error(const float *difference, const float *decoded, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double error = (double)difference[i] - (double)decoded[i];
        sum += error * error;
    }
    const float mean = (float)(sum / (double)count);
    const int power = (int)(bits_of(mean) >> 23) - 127; /* mean >= 2^power */
    return power >= 0 ? power / 2 : -((1 - power) / 2);
}

/* The step on the lattice. *fits: published is P(r+1); false: nothing leads there from P(r). */
static enum covey_status step_on_lattice(const struct covey_line *line, uint32_t round, const float *weights,
                                         float *published, float *difference, struct covey_line_step *step,
                                         bool *fits, struct covey_error *err)
{
    const size_t count = line->update_count;
    const int before = finest_of(published, count), top = top_of(weights, count);
    *fits = false;
    if (before < COVEY_EXPONENT_MIN ||
        (before != NO_EXPONENT && top_of(published, count) > before + ROOM_BITS))
        return COVEY_OK;
    float *decoded = malloc(count * sizeof *decoded);
    if (decoded == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model's delta");
    for (size_t i = 0; i < count; i++)
        difference[i] = weights[i] - published[i];
    enum covey_status status =
        encode(&line->codec, line, round, difference, count, &step->stream, &step->bytes, decoded, err);
    if (status == COVEY_OK) {
        int exponent = exponent_of_error(difference, decoded, count);
        exponent = within(exponent < top - LEAST_BITS ? top - LEAST_BITS : exponent);
        const int finest = exponent < before ? exponent : before;
        step->grid = (uint8_t)(exponent + COVEY_GRID_ZERO);
        *fits = covey_codec_apply_rounded((struct covey_bytes){step->stream, step->bytes}, count, exponent,
                                          published, NULL) == COVEY_OK &&
                top_of(published, count) <= finest + ROOM_BITS;
    }
    free(decoded);
    return status;
}

static enum covey_status advance_on_lattice(const struct covey_line *line, uint32_t round,
                                            const float *weights, float *published, float *difference,
                                            struct covey_line_step *step, struct covey_error *err)
{
    bool fits = false;
    COVEY_TRY(step_on_lattice(line, round, weights, published, difference, step, &fits, err));
    if (fits)
        return COVEY_OK;
    free(step->stream);
    *step = (struct covey_line_step){0};
    return covey_line_begin(line, weights, published, err);
}

enum covey_status covey_line_advance(const struct covey_line *line, uint32_t round, const float *weights,
                                     float *published, struct covey_line_step *step, struct covey_error *err)
{
    const size_t count = line->shared_count;
    *step = (struct covey_line_step){0};
    float *difference = malloc(count * sizeof *difference);
    if (difference == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model's delta");
    enum covey_status status;
    if (covey_line_has_lattice(line)) {
        status = advance_on_lattice(line, round, weights, published, difference, step, err);
    } else {
        for (size_t i = 0; i < count; i++)
            difference[i] = weights[i] - published[i];
        status = encode(&line->codec, line, round, difference, count, &step->stream, &step->bytes, NULL, err);
        if (status == COVEY_OK)
            status =
                covey_codec_apply((struct covey_bytes){step->stream, step->bytes}, count, published, err);
    }
    free(difference);
    if (status != COVEY_OK) {
        free(step->stream);
        *step = (struct covey_line_step){0};
    }
    return status;
}

/* ------------------------------------------------------------------ models and sums */

/* Whole multiples of a power of two, without loss. UNSUPPORTED: they are none, or not in so few bytes. */
static enum covey_status encode_exactly(const struct covey_line *line, const float *values, uint8_t **out,
                                        size_t *size, struct covey_error *err)
{
    const size_t count = line->update_count;
    const int finest = finest_of(values, count);
    struct covey_codec exact;
    struct covey_error why = {0};
    uint8_t *stream = NULL;
    if (covey_codec_exact(finest == NO_EXPONENT ? 0 : finest, &exact, &why) != COVEY_OK)
        return covey_fail(err, COVEY_UNSUPPORTED, "the values lie on no lattice: %s", why.text);
    float *decoded = malloc(count * sizeof *decoded);
    if (decoded == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a stream");
    enum covey_status status = encode(&exact, line, 0, values, count, &stream, size, decoded, &why);
    bool same = status == COVEY_OK;
    for (size_t i = 0; same && i < count; i++)
        same = decoded[i] == values[i];
    free(decoded);
    if (status != COVEY_OK && status != COVEY_LIMIT)
        return covey_fail(err, status, "%s", why.text);
    if (!same) {
        free(stream);
        return covey_fail(err, COVEY_UNSUPPORTED, "the values lie on no lattice with so few steps");
    }
    *out = stream;
    return COVEY_OK;
}

enum covey_status covey_line_full(const struct covey_line *line, const float *published, uint8_t **out,
                                  size_t *size, struct covey_error *err)
{
    struct covey_codec raw;
    COVEY_TRY(covey_codec_parse("raw32", &raw, err));
    if (covey_line_has_lattice(line) && line->update_count == line->shared_count) {
        const enum covey_status status = encode_exactly(line, published, out, size, err);
        if (status == COVEY_OK && *size < covey_codec_bound(&raw, line->shared_count))
            return COVEY_OK;
        if (status == COVEY_OK)
            free(*out);
        else if (status != COVEY_UNSUPPORTED)
            return status;
    }
    return encode(&raw, line, 0, published, line->shared_count, out, size, NULL, err);
}

enum covey_status covey_line_add(const struct covey_line *line, struct covey_bytes stream, uint8_t grid,
                                 float *sum, struct covey_error *err)
{
    return covey_codec_apply_rounded(stream, line->update_count, grid - COVEY_GRID_ZERO, sum, err);
}

enum covey_status covey_line_encode_sum(const struct covey_line *line, const float *sum, uint8_t **out,
                                        size_t *size, struct covey_error *err)
{
    return encode_exactly(line, sum, out, size, err);
}
