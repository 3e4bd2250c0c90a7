/* Uniform quantiser with a dead zone, reconstruction at the centroid, and rANS: decoding. What stands in the
 * stream is told in uniform_model.h; a segment is
 *
 *   symbols, a run of rANS | bits of the escapes | bits below the symbols, eight values at a time
 *
 * and values in it are in the vector's order. */
#include "quantise_uniform.h"

#include <endian.h>
#include <string.h>

#include "entropy_kernels.h"
#include "segments.h"

/* What decoder->state holds. */
struct reading {
    uint32_t slots[COVEY_RANS_SLOTS];
    struct covey_uniform_model model;
    struct covey_rans_reader symbols;
    struct covey_bit_reader escapes;
    const uint8_t *low;     /* the next eight values' bits */
    const uint8_t *low_end; /* of the stream */
    struct covey_segment_table segments;
    bool codes; /* something is coded: there are segments */
} __attribute__((may_alias));
_Static_assert(sizeof(struct reading) <= sizeof(uint64_t) * COVEY_DECODER_STATE_WORDS, "it fits");

static struct reading *reading_of(struct covey_decoder *decoder)
{
    return (struct reading *)(void *)decoder->state;
}

static const struct reading *reading_in(const struct covey_decoder *decoder)
{
    return (const struct reading *)(const void *)decoder->state;
}

static enum covey_status open_stream(struct covey_decoder *decoder, struct covey_error *err)
{
    struct reading *reading = reading_of(decoder);
    struct covey_rans_share shares[COVEY_UNIFORM_SHARES];
    const struct covey_bytes body = {decoder->stream.data + decoder->body,
                                     decoder->stream.size - decoder->body};
    size_t used = 0;
    COVEY_TRY(covey_uniform_read(body, &reading->model, &used, err));
    const size_t share_count = covey_uniform_shares(&reading->model, shares);
    reading->codes = share_count > 0;
    const size_t segment_values = covey_uniform_segment(&reading->model);
    const size_t count = reading->codes ? (decoder->count + segment_values - 1) / segment_values : 0;
    const struct covey_segment_layout layout = {
        .count = count,
        .has_escape = reading->model.has_escape,
        .tail_bytes = covey_uniform_low_bytes(&reading->model, segment_values),
        .last_tail_bytes =
            covey_uniform_low_bytes(&reading->model, decoder->count - (count - 1) * segment_values)};
    COVEY_TRY(covey_segments_open(&reading->segments, body, used, &layout, err));
    covey_rans_slots(shares, share_count, reading->slots);
    decoder->chunk_values = segment_values;
    return COVEY_OK;
}

static void seek_segment(struct covey_decoder *decoder, size_t first)
{
    struct reading *reading = reading_of(decoder);
    const struct covey_uniform_model *model = &reading->model;
    const size_t left = decoder->count - first;
    struct covey_segment segment;
    if (!reading->codes)
        return;
    const uint8_t *begin = covey_segments_find(&reading->segments, first / decoder->chunk_values, &segment);
    reading->low_end = begin + segment.bytes;
    reading->low = reading->low_end - covey_uniform_low_bytes(
                                          model, left < decoder->chunk_values ? left : decoder->chunk_values);
    const uint8_t *escapes = reading->low - segment.escape_bytes;
    reading->escapes = (struct covey_bit_reader){.at = escapes, .limit = reading->low};
    covey_rans_open(&reading->symbols, begin, escapes, 1u << model->lanes_log);
}

/* Eight values lie in `shift` bytes. */
static void unpack_low(struct reading *reading, size_t count, uint8_t *low)
{
    const uint32_t shift = reading->model.shift, mask = (1u << shift) - 1;
    for (size_t i = 0; i < count; i += 8, reading->low += shift) {
        uint64_t eight = 0;
        if (reading->low_end - reading->low >= 8)
            memcpy(&eight, reading->low, sizeof eight);
        else
            memcpy(&eight, reading->low, shift);
        eight = le64toh(eight);
        for (uint32_t j = 0; j < 8; j++)
            low[i + j] = (uint8_t)(eight >> shift * j & mask);
    }
}

/* An escape's level, with the bits below its symbol. */
static int32_t escape_level(const struct covey_uniform_model *model, uint32_t row, bool negative,
                            uint32_t low)
{
    if (model->shift == 0) {
        const int32_t level = (int32_t)covey_uniform_move_row(model, row);
        return negative ? -level : level;
    }
    const uint32_t mask = (1u << model->shift) - 1;
    const uint32_t magnitude = row << model->shift | (negative ? ~low & mask : low);
    const uint32_t length = 31 - (uint32_t)__builtin_clz(magnitude | 1);
    if (length > COVEY_UNIFORM_MANTISSA) {
        const int32_t level =
            (int32_t)(magnitude >> (length - COVEY_UNIFORM_MANTISSA) << (length - COVEY_UNIFORM_MANTISSA));
        return negative ? -level : level;
    }
    return negative ? -1 - (int32_t)magnitude : (int32_t)magnitude;
}

static void next_levels(struct covey_decoder *decoder, size_t count, int32_t *levels)
{
    struct reading *reading = reading_of(decoder);
    const struct covey_uniform_model *model = &reading->model;
    const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(0);
    int8_t tokens[COVEY_DECODE_VALUES];
    uint8_t low[COVEY_DECODE_VALUES] = {0};
    uint16_t escapes[COVEY_DECODE_VALUES];
    if (!reading->codes) {
        memset(levels, 0, count * sizeof *levels);
        return;
    }
    covey_rans_read(&reading->symbols, reading->slots, count, tokens);
    if (model->shift == 0) {
        const struct covey_level_rule rule = {{model->moves[0], model->moves[1], model->moves[2]}};
        kernels->levels(&rule, tokens, count, levels);
    } else {
        unpack_low(reading, count, low);
        kernels->levels_with_low(tokens, low, count, model->shift, levels);
    }
    if (!model->has_escape)
        return;
    const int32_t highest = model->rows - 1, lowest = model->shift == 0 ? -highest : -1 - highest;
    const size_t found = kernels->outside(tokens, count, lowest, highest, escapes);
    for (size_t i = 0; i < found; i++)
        levels[escapes[i]] = escape_level(model, covey_uniform_get_escape(model, &reading->escapes),
                                          tokens[escapes[i]] < 0, low[escapes[i]]);
}

static float scale_of(const struct covey_decoder *decoder)
{
    return covey_uniform_unit(&reading_in(decoder)->model);
}

static float peak_of(const struct covey_decoder *decoder, size_t first, size_t last)
{
    const struct reading *reading = reading_in(decoder);
    (void)first;
    (void)last; /* one quantiser for all values */
    if (!reading->codes)
        return 0;
    return (float)((double)covey_uniform_level_limit(&reading->model) * (double)scale_of(decoder) *
                   (1 + 0x1p-20)); /* so that it is never rounded below */
}

static const struct covey_vector_coder coder = {.bound = covey_uniform_bound,
                                                .scratch_bytes = covey_uniform_scratch_bytes,
                                                .encode = covey_uniform_encode,
                                                .open = open_stream,
                                                .seek = seek_segment,
                                                .next = next_levels,
                                                .scale = scale_of,
                                                .peak = peak_of};

const struct covey_quantiser covey_quantise_uniform = {.name = "uniform", .vector = &coder};
