/* Uniform quantiser with a dead zone: the tokens of a section, and the segments of all sections. */
#include "uniform_parts.h"

#include <endian.h>
#include <string.h>

#include "quantise_uniform.h"

/* ---- tokens ---- */

static struct covey_token_rule token_rule(const struct covey_part *part)
{
    const struct covey_uniform_choice *choice = &part->choice;
    const int32_t most = COVEY_UNIFORM_ROWS;
    return (struct covey_token_rule){.inverse = 1.0f / choice->step,
                                     .rounding = choice->rounding,
                                     .shift = (int32_t)choice->shift,
                                     .lowest = choice->shift == 0 ? -most : -1 - most,
                                     .highest = most};
}

static size_t tile_after(size_t at, size_t last)
{
    return last - at < COVEY_DECODE_VALUES ? last - at : COVEY_DECODE_VALUES;
}

/* The magnitude row of value i, whatever its token is. */
static uint32_t row_of(const struct covey_part *part, const struct covey_token_rule *rule, size_t i)
{
    uint32_t bits;
    memcpy(&bits, &part->x[i], sizeof bits);
    const uint32_t code = (uint32_t)(__builtin_fabsf(part->x[i]) * rule->inverse + rule->rounding);
    /* A negative code's row is that of -1 - code, of which the magnitude is one less. */
    return (rule->shift > 0 && bits >> 31 && code > 0 ? code - 1 : code) >> rule->shift;
}

static void count_beyond(const struct covey_part *part, const struct covey_token_rule *rule,
                         struct covey_uniform_counts *counts)
{
    const size_t count = covey_part_count(part);
    uint16_t found[COVEY_DECODE_VALUES];
    for (size_t at = 0; at < count; at += COVEY_DECODE_VALUES) {
        const size_t n = covey_entropy_kernels_at(0)->outside(part->tokens + at, tile_after(at, count),
                                                              rule->lowest + 1, rule->highest - 1, found);
        for (size_t i = 0; i < n; i++)
            counts->beyond[31 - __builtin_clz(row_of(part, rule, at + found[i]))]++;
    }
}

/* Zeros for the values that are not kept. */
static void thin_out(uint32_t kept, uint32_t start, size_t count, int8_t *tokens)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t lot = (start + (uint32_t)i) * 0x9E3779B1u;
        lot = (lot ^ lot >> 15) * 0x85EBCA6Bu;
        tokens[i] = (lot ^ lot >> 13) >> 16 < kept ? tokens[i] : 0;
    }
}

static void make_counts(const struct covey_part *part, uint32_t kept, uint32_t lot,
                        struct covey_uniform_counts *counts)
{
    const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(0);
    const struct covey_token_rule rule = token_rule(part);
    const size_t count = covey_part_count(part);
    uint32_t by_token[256] = {0};
    for (size_t at = 0; at < count; at += COVEY_DECODE_VALUES) {
        const size_t n = tile_after(at, count);
        kernels->tokens(&rule, part->x + at, n, part->tokens + at);
        if (kept < COVEY_ALL_KEPT)
            thin_out(kept, lot ^ (uint32_t)at, n, part->tokens + at);
        kernels->count(part->tokens + at, n, by_token);
    }
    *counts = (struct covey_uniform_counts){.total = count};
    for (int row = 0; row < COVEY_UNIFORM_ROWS; row++) {
        const int other = rule.shift == 0 ? -row : -1 - row;
        counts->rows[row] = by_token[row] + (other != row ? by_token[(uint8_t)other] : 0);
    }
    if (by_token[(uint8_t)rule.lowest] + by_token[(uint8_t)rule.highest] > 0)
        count_beyond(part, &rule, counts);
}

/* Where values of rows 1, 2 and above are to be found, in 64ths of a step from the middle of the row. */
static void make_moves(struct covey_part *part)
{
    const double step = (double)part->choice.step, rounding = (double)part->choice.rounding;
    for (uint32_t row = 1; row <= 3; row++) {
        const double low = (row - rounding) * step, high = row < 3 ? low + step : 0x1p127;
        double mean = covey_spread_mean(part->spread, low, high) / step;
        if (row == 3) /* all from 3 on: how far one of them lies into its own cell, as if they fell evenly */
            mean = 3 - rounding + covey_spread_rest(part->spread, low, step);
        const double move = 64 * (mean - row);
        part->section.model.moves[row - 1] = (int8_t)(move < -63  ? -63
                                                      : move > 63 ? 63
                                                      : move < 0  ? move - 0.5
                                                                  : move + 0.5);
    }
}

double covey_part_attempt(struct covey_part *part, uint32_t kept, uint32_t lot)
{
    struct covey_uniform_model *model = &part->section.model;
    struct covey_uniform_counts counts = {.rows = {(uint32_t)covey_part_count(part)},
                                          .total = covey_part_count(part)};
    *model = (struct covey_uniform_model){.shift = (uint8_t)part->choice.shift, .step = part->choice.step};
    if (part->is_zero)
        memset(part->tokens, 0, covey_part_count(part));
    else
        make_counts(part, kept, lot, &counts);
    if (part->choice.shift == 0 && !part->is_zero && part->spread != NULL)
        make_moves(part);
    return covey_uniform_fit(model, &counts) + (double)part->choice.shift * (double)covey_part_count(part);
}

/* ---- segments ---- */

/* Values of a segment that lie in one section, counted from its beginning. */
struct stretch {
    size_t first, last;
};

static struct stretch stretch_of(const struct covey_part *part, size_t first, size_t last)
{
    const size_t from = first > part->section.first ? first : part->section.first;
    const size_t to = last < part->section.last ? last : part->section.last;
    return from < to ? (struct stretch){from - part->section.first, to - part->section.first}
                     : (struct stretch){0, 0};
}

/* Eight values in `shift` bytes; what is missing from the last eight is zero. */
static void pack_low(const struct covey_part *part, struct stretch stretch, uint8_t *out)
{
    const struct covey_token_rule rule = token_rule(part);
    uint8_t low[COVEY_DECODE_VALUES + 8];
    for (size_t at = stretch.first; at < stretch.last; at += COVEY_DECODE_VALUES) {
        const size_t n = tile_after(at, stretch.last);
        covey_entropy_kernels_at(0)->low_bits(&rule, part->x + at, n, low);
        memset(low + n, 0, 8);
        for (size_t i = 0; i < n; i += 8, out += rule.shift) {
            uint64_t eight = 0;
            for (size_t j = 0; j < 8; j++)
                eight |= (uint64_t)low[i + j] << (size_t)rule.shift * j;
            eight = htole64(eight);
            memcpy(out, &eight, (size_t)rule.shift);
        }
    }
}

static void pack_escapes(const struct covey_part *part, struct stretch stretch, struct covey_bit_writer *bits)
{
    const struct covey_uniform_model *model = &part->section.model;
    const struct covey_token_rule rule = token_rule(part);
    uint16_t found[COVEY_DECODE_VALUES];
    const int32_t highest = model->rows - 1, lowest = model->shift == 0 ? -highest : -1 - highest;
    for (size_t at = stretch.first; model->has_escape && at < stretch.last; at += COVEY_DECODE_VALUES) {
        const size_t n = covey_entropy_kernels_at(0)->outside(part->tokens + at, tile_after(at, stretch.last),
                                                              lowest, highest, found);
        for (size_t i = 0; i < n; i++)
            covey_uniform_put_escape(model, row_of(part, &rule, at + found[i]), bits);
    }
}

/* Those that escape have the range of the escape. */
static void make_ranges(struct covey_part *part)
{
    const struct covey_uniform_model *model = &part->section.model;
    struct covey_rans_share shares[COVEY_UNIFORM_SHARES];
    const size_t share_count = covey_uniform_shares(model, shares);
    memset(part->ranges, 0, sizeof part->ranges);
    covey_rans_ranges(shares, share_count, part->ranges);
    for (int row = model->rows + 1; model->has_escape && row <= COVEY_UNIFORM_ROWS; row++) {
        const int other = model->shift == 0 ? 0 : -1;
        part->ranges[row] = part->ranges[model->rows];
        part->ranges[(uint8_t)(other - row)] = part->ranges[(uint8_t)(other - model->rows)];
    }
    part->is_zero = share_count == 0;
}

/* Values [first, last) of the vector, at out, which has room up to end. SIZE_MAX where they do not fit. */
static size_t write_segment(const struct covey_part *parts, size_t part_count, size_t first, size_t last,
                            uint8_t *out, uint8_t *end, size_t *escape_bytes)
{
    struct covey_rans_part coded[COVEY_PLAN_SECTIONS] = {{0}};
    size_t coded_count = 0, low_bytes = 0;
    for (size_t i = 0; i < part_count; i++) {
        const struct stretch stretch = stretch_of(&parts[i], first, last);
        if (parts[i].is_zero || stretch.first == stretch.last)
            continue;
        low_bytes += covey_uniform_low_bytes(&parts[i].section.model, stretch.last - stretch.first);
        coded[coded_count++] = (struct covey_rans_part){parts[i].ranges, parts[i].tokens + stretch.first,
                                                        stretch.last - stretch.first};
    }
    uint8_t *begin =
        covey_rans_write_parts(coded, coded_count, 1u << parts[0].section.model.lanes_log, out, end);
    if (begin == NULL)
        return SIZE_MAX;
    const size_t symbol_bytes = (size_t)(end - begin);
    memmove(out, begin, symbol_bytes);
    struct covey_bit_writer bits = {.at = out + symbol_bytes, .limit = end};
    for (size_t i = 0; i < part_count; i++)
        pack_escapes(&parts[i], stretch_of(&parts[i], first, last), &bits);
    covey_bits_flush(&bits);
    if (bits.full || (size_t)(end - bits.at) < low_bytes)
        return SIZE_MAX;
    *escape_bytes = (size_t)(bits.at - out) - symbol_bytes;
    for (size_t i = 0; i < part_count; i++) {
        const struct stretch stretch = stretch_of(&parts[i], first, last);
        if (parts[i].section.model.shift > 0)
            pack_low(&parts[i], stretch, bits.at);
        bits.at += covey_uniform_low_bytes(&parts[i].section.model, stretch.last - stretch.first);
    }
    return (size_t)(bits.at - out);
}

size_t covey_parts_write(struct covey_part *parts, size_t part_count, uint8_t *payload, size_t room,
                         struct covey_segment *lengths, size_t *segments)
{
    const size_t count = parts[part_count - 1].section.last,
                 segment_values = covey_uniform_segment(&parts[0].section.model);
    size_t used = 0;
    bool is_zero = true;
    *segments = 0;
    for (size_t i = 0; i < part_count; i++) {
        make_ranges(&parts[i]);
        is_zero = is_zero && parts[i].is_zero;
    }
    for (size_t first = 0; !is_zero && first < count; first += segment_values, (*segments)++) {
        const size_t last = count - first < segment_values ? count : first + segment_values;
        size_t escape_bytes = 0;
        const size_t bytes =
            write_segment(parts, part_count, first, last, payload + used, payload + room, &escape_bytes);
        if (bytes == SIZE_MAX)
            return SIZE_MAX;
        lengths[*segments] = (struct covey_segment){(uint32_t)bytes, (uint32_t)escape_bytes};
        used += bytes;
    }
    return used;
}
