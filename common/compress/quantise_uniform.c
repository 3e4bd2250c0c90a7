/* Uniform quantiser with a dead zone, reconstruction at the centroid, and rANS: decoding. What stands in the
 * stream is told in uniform_model.h; a segment is
 *
 *   symbols, a run of rANS | bits of the escapes | bits below the symbols, eight values at a time
 *
 * and values in it are in the vector's order. Where the vector is cut into sections (sections.h), each has
 * its own frequencies: the table is made anew where one begins. */
#include "quantise_uniform.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "entropy_kernels.h"
#include "sections.h"
#include "segments.h"

/* What decoder->state holds. */
struct reading {
    uint32_t slots[COVEY_RANS_SLOTS];
    struct covey_section_walk list; /* from its beginning */
    struct covey_section_walk walk; /* from the next section on */
    struct covey_section section;   /* that is being read */
    struct covey_rans_reader symbols;
    struct covey_bit_reader escapes;
    const uint8_t *low;     /* the next eight values' bits */
    const uint8_t *low_end; /* of the stream */
    struct covey_segment_table segments;
    bool codes;         /* something is coded: there are segments */
    bool section_codes; /* something is coded in this section */
    bool plain;         /* no section is rotated */
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

/* ---- sections ---- */

/* The next section of a list that has been read once: it cannot fail. */
static void next_section(struct covey_section_walk *walk, struct covey_section *section)
{
    const enum covey_status status = covey_sections_next(walk, section, NULL);
    assert(status == COVEY_OK);
    (void)status;
}

static void make_table(struct reading *reading)
{
    struct covey_rans_share shares[COVEY_UNIFORM_SHARES];
    const size_t share_count = covey_uniform_shares(&reading->section.model, shares);
    reading->section_codes = share_count > 0;
    covey_rans_slots(shares, share_count, reading->slots);
}

/* Bytes below the symbols of a segment's values. */
static size_t low_bytes(const struct covey_decoder *decoder, size_t index)
{
    struct covey_section_walk walk = reading_in(decoder)->list;
    struct covey_section section = {0};
    size_t bytes = 0;
    do {
        next_section(&walk, &section);
        const size_t values = covey_uniform_segment(&section.model), begin = index * values;
        const size_t first = section.first > begin ? section.first : begin;
        const size_t last = section.last < begin + values ? section.last : begin + values;
        bytes += first < last ? covey_uniform_low_bytes(&section.model, last - first) : 0;
    } while (walk.left > 0);
    return bytes;
}

/* Reads the whole list once. *has_escape: some section has them. */
static enum covey_status check_sections(struct covey_decoder *decoder, bool *has_escape,
                                        struct covey_error *err)
{
    struct reading *reading = reading_of(decoder);
    struct covey_rans_share shares[COVEY_UNIFORM_SHARES];
    const bool transformed = covey_transform_row(decoder->codec.transform)->inverse != NULL;
    reading->walk = reading->list;
    reading->section = (struct covey_section){0};
    reading->codes = false;
    reading->plain = true;
    *has_escape = false;
    do {
        COVEY_TRY(covey_sections_next(&reading->walk, &reading->section, err));
        if (reading->walk.listed && reading->section.rotated && !transformed)
            return covey_fail(err, COVEY_CORRUPT, "codec stream: a section is rotated, and nothing says how");
        *has_escape = *has_escape || reading->section.model.has_escape;
        reading->codes = reading->codes || covey_uniform_shares(&reading->section.model, shares) > 0;
        reading->plain = reading->plain && !(transformed && reading->section.rotated);
    } while (reading->walk.left > 0);
    return COVEY_OK;
}

static enum covey_status open_stream(struct covey_decoder *decoder, struct covey_error *err)
{
    struct reading *reading = reading_of(decoder);
    const struct covey_bytes body = {decoder->stream.data + decoder->body,
                                     decoder->stream.size - decoder->body};
    const bool listed = covey_quantiser_row(decoder->codec.quantise) == &covey_quantise_sections;
    bool has_escape = false;
    COVEY_TRY(covey_sections_begin(&reading->list, body, decoder->count, listed, err));
    COVEY_TRY(check_sections(decoder, &has_escape, err));
    const size_t segment_values = covey_uniform_segment(&reading->section.model);
    const struct covey_segment_layout layout = {
        .count = reading->codes ? (decoder->count + segment_values - 1) / segment_values : 0,
        .has_escape = has_escape,
        .tail_bytes = low_bytes};
    COVEY_TRY(covey_segments_open(&reading->segments, decoder, (size_t)(reading->walk.at - body.data),
                                  &layout, err));
    decoder->chunk_values = segment_values;
    return COVEY_OK;
}

static void seek_segment(struct covey_decoder *decoder, size_t first)
{
    struct reading *reading = reading_of(decoder);
    struct covey_segment segment;
    reading->walk = reading->list;
    reading->section = (struct covey_section){0};
    while (reading->section.last <= first)
        next_section(&reading->walk, &reading->section);
    make_table(reading);
    if (!reading->codes)
        return;
    const size_t index = first / decoder->chunk_values;
    const uint8_t *begin = covey_segments_find(&reading->segments, index, &segment);
    reading->low_end = begin + segment.bytes;
    reading->low = reading->low_end - low_bytes(decoder, index);
    const uint8_t *escapes = reading->low - segment.escape_bytes;
    reading->escapes = (struct covey_bit_reader){.at = escapes, .limit = reading->low};
    covey_rans_open(&reading->symbols, begin, escapes, 1u << reading->section.model.lanes_log);
}

/* ---- levels ---- */

/* Eight values lie in `shift` bytes. */
static void unpack_low(struct reading *reading, size_t count, uint8_t *low)
{
    const uint32_t shift = reading->section.model.shift, mask = (1u << shift) - 1;
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

/* Levels of values of one section. */
static void read_levels(struct reading *reading, size_t count, int32_t *levels)
{
    const struct covey_uniform_model *model = &reading->section.model;
    const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(0);
    int8_t tokens[COVEY_DECODE_VALUES];
    uint8_t low[COVEY_DECODE_VALUES] = {0};
    uint16_t escapes[COVEY_DECODE_VALUES];
    if (!reading->section_codes) {
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

static size_t next_levels(struct covey_decoder *decoder, size_t count, int32_t *levels)
{
    struct reading *reading = reading_of(decoder);
    if (decoder->position == reading->section.last) {
        next_section(&reading->walk, &reading->section);
        make_table(reading);
    }
    const size_t left = reading->section.last - decoder->position, n = left < count ? left : count;
    read_levels(reading, n, levels);
    return n;
}

static float scale_of(const struct covey_decoder *decoder)
{
    return covey_uniform_unit(&reading_in(decoder)->section.model);
}

static bool is_rotated(const struct covey_decoder *decoder)
{
    return reading_in(decoder)->section.rotated;
}

static bool is_plain(const struct covey_decoder *decoder)
{
    return reading_in(decoder)->plain;
}

static float peak_of(const struct covey_decoder *decoder, size_t first, size_t last)
{
    struct covey_section_walk walk = reading_in(decoder)->list;
    struct covey_section section = {0};
    double most = 0;
    do {
        next_section(&walk, &section);
        const double peak =
            (double)covey_uniform_level_limit(&section.model) * (double)covey_uniform_unit(&section.model);
        if (section.first < last && section.last > first && peak > most)
            most = peak;
    } while (walk.left > 0);
    return (float)(most * (1 + 0x1p-20)); /* so that it is never rounded below */
}

static const struct covey_vector_coder coder = {.bound = covey_uniform_bound,
                                                .scratch_bytes = covey_uniform_scratch_bytes,
                                                .encode = covey_uniform_encode,
                                                .open = open_stream,
                                                .seek = seek_segment,
                                                .next = next_levels,
                                                .scale = scale_of,
                                                .peak = peak_of,
                                                .is_rotated = is_rotated,
                                                .is_plain = is_plain};

const struct covey_quantiser covey_quantise_uniform = {.name = "uniform", .vector = &coder};
const struct covey_quantiser covey_quantise_sections = {.name = "sections", .vector = &coder};
