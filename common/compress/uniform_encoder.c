/* Uniform quantiser with a dead zone, reconstruction at the centroid, and rANS: encoding.
 *
 * The spread of the values gives step and rounding for the rate; the tokens that come of them are counted,
 * and the counts say exactly what the stream will take. Where that is off the rate, because the spread was
 * looked at in part or the values are not smooth, the search is done again for a corrected rate. */
#include <endian.h>
#include <string.h>

#include "entropy_kernels.h"
#include "quantise_uniform.h"
#include "segments.h"

#define ATTEMPTS 8
#define SMALLEST 0x1p-70f           /* vectors whose largest value is below are zero */
#define LOOKED_AT ((size_t)1 << 16) /* values at the least, where not all are */
#define SEGMENT_BYTES 32768         /* of a segment, about: then its lanes cost one part in a thousand */
#define SEGMENT_LOG_MIN 3           /* where there are so many values */
#define SEGMENT_LOG_MAX 10
#define LANE_BYTES 512       /* of a segment for each lane */
#define ALL_LANES_BYTES 8192 /* from here on all lanes, which are faster together */
#define LANES_LOG_MAX 5
#define LANE_BITS 11  /* that a lane costs */
#define WORD_SLACK 96 /* bytes that writing runs of rANS needs beyond what it fills */

_Static_assert(1 << LANES_LOG_MAX == COVEY_RANS_LANES, "it is the same");

struct encoding {
    const struct covey_encode_run *run;
    const struct covey_entropy_kernels *kernels;
    const float *x;
    size_t count, target_bytes, limit_bytes;
    int8_t *tokens;   /* (count) */
    uint8_t *payload; /* (room) the segments */
    size_t room;
    struct covey_segment *lengths;
    struct covey_spread spread;
    struct covey_uniform_choice choice;
    uint32_t kept; /* of 65,536 values, chosen by lot; the others are zero */
    struct covey_uniform_model model;
};

/* ---- sizes ---- */

static size_t whole(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static size_t most_segments(size_t count)
{
    return (count + COVEY_CHUNK_VALUES - 1) / COVEY_CHUNK_VALUES;
}

/* Bytes that a stream of that rate may take, its header included. */
static size_t limit_of(const struct covey_codec *codec, size_t count)
{
    if (codec->sparsify == COVEY_SPARSIFY_TOP) { /* there the rate is a share; -log2(share) is below 11 */
        const double bits = 12 * (double)codec->rate + 0.03;
        return (size_t)((bits < 2 ? bits : 2) * (double)count / 8) + 128;
    }
    const double bytes = (double)codec->rate * (double)count / 8;
    return (size_t)bytes + (size_t)(bytes * 0.009) + 20;
}

size_t covey_uniform_bound(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + 16;
}

static size_t payload_room(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + COVEY_RANS_STATE_BYTES + WORD_SLACK;
}

size_t covey_uniform_scratch_bytes(const struct covey_codec *codec, size_t count)
{
    return whole(count, 64) + whole(payload_room(codec, count), 64) +
           most_segments(count) * sizeof(struct covey_segment) + 64;
}

/* ---- one attempt ---- */

static struct covey_token_rule token_rule(const struct encoding *encoding)
{
    const struct covey_uniform_choice *choice = &encoding->choice;
    const int32_t most = COVEY_UNIFORM_ROWS;
    return (struct covey_token_rule){.inverse = 1.0f / choice->step,
                                     .rounding = choice->rounding,
                                     .shift = (int32_t)choice->shift,
                                     .lowest = choice->shift == 0 ? -most : -1 - most,
                                     .highest = most};
}

/* The magnitude row of value i, whatever its token is. */
static uint32_t row_of(const struct encoding *encoding, const struct covey_token_rule *rule, size_t i)
{
    uint32_t bits;
    memcpy(&bits, &encoding->x[i], sizeof bits);
    const uint32_t code = (uint32_t)(__builtin_fabsf(encoding->x[i]) * rule->inverse + rule->rounding);
    /* A negative code's row is that of -1 - code, of which the magnitude is one less. */
    return (rule->shift > 0 && bits >> 31 && code > 0 ? code - 1 : code) >> rule->shift;
}

static void count_beyond(const struct encoding *encoding, const struct covey_token_rule *rule,
                         struct covey_uniform_counts *counts)
{
    uint16_t found[COVEY_DECODE_VALUES];
    for (size_t at = 0; at < encoding->count; at += COVEY_DECODE_VALUES) {
        const size_t left = encoding->count - at;
        const size_t n = encoding->kernels->outside(encoding->tokens + at,
                                                    left < COVEY_DECODE_VALUES ? left : COVEY_DECODE_VALUES,
                                                    rule->lowest + 1, rule->highest - 1, found);
        for (size_t i = 0; i < n; i++)
            counts->beyond[31 - __builtin_clz(row_of(encoding, rule, at + found[i]))]++;
    }
}

/* Zeros for the values that are not kept. */
static void thin_out(const struct encoding *encoding, size_t first, size_t count, int8_t *tokens)
{
    const uint32_t start = encoding->run->key[0] ^ encoding->run->high[0] ^ (uint32_t)first;
    for (size_t i = 0; i < count; i++) {
        uint32_t lot = (start + (uint32_t)i) * 0x9E3779B1u;
        lot = (lot ^ lot >> 15) * 0x85EBCA6Bu;
        tokens[i] = (lot ^ lot >> 13) >> 16 < encoding->kept ? tokens[i] : 0;
    }
}

static void make_counts(const struct encoding *encoding, struct covey_uniform_counts *counts)
{
    const struct covey_token_rule rule = token_rule(encoding);
    uint32_t by_token[256] = {0};
    for (size_t at = 0; at < encoding->count; at += COVEY_DECODE_VALUES) {
        const size_t left = encoding->count - at, n = left < COVEY_DECODE_VALUES ? left : COVEY_DECODE_VALUES;
        encoding->kernels->tokens(&rule, encoding->x + at, n, encoding->tokens + at);
        if (encoding->kept < 65536)
            thin_out(encoding, at, n, encoding->tokens + at);
        encoding->kernels->count(encoding->tokens + at, n, by_token);
    }
    *counts = (struct covey_uniform_counts){.total = encoding->count};
    for (int row = 0; row < COVEY_UNIFORM_ROWS; row++) {
        const int other = rule.shift == 0 ? -row : -1 - row;
        counts->rows[row] = by_token[row] + (other != row ? by_token[(uint8_t)other] : 0);
    }
    if (by_token[(uint8_t)rule.lowest] + by_token[(uint8_t)rule.highest] > 0)
        count_beyond(encoding, &rule, counts);
}

/* Where values of rows 1, 2 and above are to be found, in 64ths of a step from the middle of the row. */
static void make_moves(struct encoding *encoding)
{
    const double step = (double)encoding->choice.step, rounding = (double)encoding->choice.rounding;
    for (uint32_t row = 1; row <= 3; row++) {
        const double low = (row - rounding) * step, high = row < 3 ? low + step : 0x1p127;
        double mean = covey_spread_mean(&encoding->spread, low, high) / step;
        if (row == 3) /* all from 3 on: how far one of them lies into its own cell, as if they fell evenly */
            mean = 3 - rounding + covey_spread_rest(&encoding->spread, low, step);
        const double move = 64 * (mean - row);
        encoding->model.moves[row - 1] = (int8_t)(move < -63  ? -63
                                                  : move > 63 ? 63
                                                  : move < 0  ? move - 0.5
                                                              : move + 0.5);
    }
}

static void choose_layout(struct encoding *encoding, double payload_bytes)
{
    struct covey_uniform_model *model = &encoding->model;
    const double bytes_per_value = payload_bytes / (double)encoding->count;
    double of_segment = bytes_per_value * COVEY_CHUNK_VALUES;
    model->segment_log = 0;
    while ((of_segment < SEGMENT_BYTES || model->segment_log < SEGMENT_LOG_MIN) &&
           model->segment_log < SEGMENT_LOG_MAX && covey_uniform_segment(model) < encoding->count) {
        model->segment_log++;
        of_segment *= 2;
    }
    if (encoding->count < covey_uniform_segment(model))
        of_segment = payload_bytes;
    model->lanes_log = of_segment >= ALL_LANES_BYTES ? LANES_LOG_MAX : 0;
    while (model->lanes_log < LANES_LOG_MAX && of_segment >= (double)(2u << model->lanes_log) * LANE_BYTES)
        model->lanes_log++;
}

/* Tokens and model for the choice; returns the bytes of the stream, header included, nearly exactly. */
static double attempt(struct encoding *encoding)
{
    struct covey_uniform_counts counts;
    encoding->model =
        (struct covey_uniform_model){.shift = (uint8_t)encoding->choice.shift, .step = encoding->choice.step};
    make_counts(encoding, &counts);
    if (encoding->choice.shift == 0)
        make_moves(encoding);
    const double bits = covey_uniform_fit(&encoding->model, &counts) +
                        (double)encoding->choice.shift * (double)encoding->count;
    choose_layout(encoding, bits / 8);
    const size_t segment = covey_uniform_segment(&encoding->model);
    const double segments = (double)((encoding->count + segment - 1) / segment);
    const double lanes = (double)(1u << encoding->model.lanes_log);
    return (double)encoding->run->header_bytes + 1 + bits / 8 +
           segments * (lanes * LANE_BITS / 8 + (encoding->model.has_escape ? 5 : 3));
}

/* ---- segments ---- */

/* Eight values in `shift` bytes; what is missing from the last eight is zero. */
static void pack_low(const struct encoding *encoding, size_t first, size_t count, uint8_t *out)
{
    const struct covey_token_rule rule = token_rule(encoding);
    uint8_t low[COVEY_DECODE_VALUES + 8];
    for (size_t at = 0; at < count; at += COVEY_DECODE_VALUES) {
        const size_t n = count - at < COVEY_DECODE_VALUES ? count - at : COVEY_DECODE_VALUES;
        encoding->kernels->low_bits(&rule, encoding->x + first + at, n, low);
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

/* Returns their bytes, SIZE_MAX where they do not fit. */
static size_t pack_escapes(const struct encoding *encoding, size_t first, size_t count, uint8_t *out,
                           uint8_t *end)
{
    const struct covey_uniform_model *model = &encoding->model;
    const struct covey_token_rule rule = token_rule(encoding);
    struct covey_bit_writer bits = {.at = out, .limit = end};
    uint16_t found[COVEY_DECODE_VALUES];
    const int32_t highest = model->rows - 1, lowest = model->shift == 0 ? -highest : -1 - highest;
    for (size_t at = first; model->has_escape && at < first + count; at += COVEY_DECODE_VALUES) {
        const size_t left = first + count - at;
        const size_t n = encoding->kernels->outside(encoding->tokens + at,
                                                    left < COVEY_DECODE_VALUES ? left : COVEY_DECODE_VALUES,
                                                    lowest, highest, found);
        for (size_t i = 0; i < n; i++)
            covey_uniform_put_escape(model, row_of(encoding, &rule, at + found[i]), &bits);
    }
    covey_bits_flush(&bits);
    return bits.full ? SIZE_MAX : (size_t)(bits.at - out);
}

/* Symbols by token: those that escape have the range of the escape. False: there is nothing to code. */
static bool make_ranges(const struct covey_uniform_model *model, uint32_t ranges[256])
{
    struct covey_rans_share shares[COVEY_UNIFORM_SHARES];
    const size_t share_count = covey_uniform_shares(model, shares);
    covey_rans_ranges(shares, share_count, ranges);
    for (int row = model->rows + 1; model->has_escape && row <= COVEY_UNIFORM_ROWS; row++) {
        const int other = model->shift == 0 ? 0 : -1;
        ranges[row] = ranges[model->rows];
        ranges[(uint8_t)(other - row)] = ranges[(uint8_t)(other - model->rows)];
    }
    return share_count > 0;
}

/* Writes the segment's bytes at out, which has room up to end. SIZE_MAX where they do not fit. */
static size_t write_segment(const struct encoding *encoding, const uint32_t *ranges, size_t first,
                            size_t count, uint8_t *out, uint8_t *end, size_t *escape_bytes)
{
    const size_t low_bytes = covey_uniform_low_bytes(&encoding->model, count);
    uint8_t *begin =
        covey_rans_write(ranges, encoding->tokens + first, count, 1u << encoding->model.lanes_log, out, end);
    if (begin == NULL)
        return SIZE_MAX;
    const size_t symbol_bytes = (size_t)(end - begin);
    memmove(out, begin, symbol_bytes);
    *escape_bytes = pack_escapes(encoding, first, count, out + symbol_bytes, end);
    if (*escape_bytes == SIZE_MAX || (size_t)(end - out) - symbol_bytes - *escape_bytes < low_bytes)
        return SIZE_MAX;
    if (encoding->model.shift > 0)
        pack_low(encoding, first, count, out + symbol_bytes + *escape_bytes);
    return symbol_bytes + *escape_bytes + low_bytes;
}

/* All of them to the payload. SIZE_MAX where they do not fit. *segments: how many; none where all is zero. */
static size_t write_segments(struct encoding *encoding, size_t *segments)
{
    const size_t segment_values = covey_uniform_segment(&encoding->model);
    uint32_t ranges[256] = {0};
    size_t used = 0, segment = 0;
    if (!make_ranges(&encoding->model, ranges)) {
        *segments = 0;
        return 0;
    }
    for (size_t first = 0; first < encoding->count; first += segment_values, segment++) {
        const size_t left = encoding->count - first;
        size_t escape_bytes = 0;
        const size_t bytes =
            write_segment(encoding, ranges, first, left < segment_values ? left : segment_values,
                          encoding->payload + used, encoding->payload + encoding->room, &escape_bytes);
        if (bytes == SIZE_MAX)
            return SIZE_MAX;
        encoding->lengths[segment] = (struct covey_segment){(uint32_t)bytes, (uint32_t)escape_bytes};
        used += bytes;
    }
    *segments = segment;
    return used;
}

/* ---- the stream ---- */

/* Returns the bytes of the stream, 0 where those pass limit. */
static size_t put_stream(const struct encoding *encoding, size_t segments, size_t payload_bytes, uint8_t *out,
                         size_t limit)
{
    uint8_t head[COVEY_UNIFORM_HEAD_BYTES];
    const struct covey_bytes written = {head, covey_uniform_write(&encoding->model, head)};
    return covey_segments_write(written, encoding->lengths, segments, encoding->model.has_escape,
                                (struct covey_bytes){encoding->payload, payload_bytes}, out, limit);
}

/* The vector as zeros: what is left where nothing else fits. */
static size_t put_zeros(struct encoding *encoding, uint8_t *out, size_t limit)
{
    encoding->model = (struct covey_uniform_model){.rows = 1, .step = 1};
    return put_stream(encoding, 0, 0, out, limit);
}

/* Where many values are of one size, either all of them are zero or too many are not: then some are kept, so
 * many as the rate allows. False: even that is too much. */
static bool find_share(struct encoding *encoding)
{
    uint32_t fits = 0, above = 65536;
    while (above - fits > 64) {
        encoding->kept = fits + (above - fits) / 2;
        if (attempt(encoding) <= (double)encoding->target_bytes)
            fits = encoding->kept;
        else
            above = encoding->kept;
    }
    encoding->kept = fits;
    return fits > 0 && attempt(encoding) <= (double)encoding->limit_bytes;
}

/* Choices until the bytes are near enough to the rate. False: none is below the limit. */
static bool find_choice(struct encoding *encoding)
{
    const double target = (double)encoding->target_bytes, count = (double)encoding->count;
    const double least_bits = 0.5 * (double)encoding->run->codec->rate;
    struct covey_uniform_choice under = {0}, over = {0};
    /* A little more rather than a little less, in bits a value: within six parts in a thousand, and when the
     * bits are many within what they tell of the error. */
    const double rate = (double)encoding->run->codec->rate, scale = rate < 3 ? rate : 3;
    const double slack_over = 0.006 * scale, aim = 0.0025 * scale;
    double bits = aim + (target - (double)encoding->run->header_bytes - 12) * 8 / count;
    double under_bytes = 0, over_bytes = 0;
    encoding->kept = 65536;
    for (int i = 0; i < ATTEMPTS; i++) {
        bits = bits < least_bits ? least_bits : bits;
        (void)covey_rate_search(&encoding->spread, bits, &encoding->choice);
        const double bytes = attempt(encoding);
        if (bytes >= target - 3 && bytes <= target + slack_over * count / 8 + 6)
            return true;
        if (bytes <= (double)encoding->limit_bytes && bytes > under_bytes) {
            under_bytes = bytes;
            under = encoding->choice;
        }
        if (bytes > (double)encoding->limit_bytes && (over_bytes == 0 || bytes < over_bytes)) {
            over_bytes = bytes;
            over = encoding->choice;
        }
        bits += (aim + (target - bytes) * 8 / count) * (over_bytes == 0 && bytes < target / 2 ? 1 << i : 1);
    }
    if (under_bytes < 0.9 * target && over_bytes > 0 && over.shift == 0) {
        encoding->choice = over;
        if (find_share(encoding))
            return true;
        encoding->kept = 65536;
    }
    encoding->choice = under;
    return under_bytes > 0 && attempt(encoding) > 0;
}

/* ---- sparse ternary ---- */

static uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7FFFFFFFu;
}

/* The bits of the magnitude that `kept` values reach: digit after digit, from the highest. */
static uint32_t find_threshold(const float *x, size_t count, size_t kept)
{
    static const struct {
        uint32_t shift, digits;
    } passes[] = {{20, 2048}, {9, 2048}, {0, 512}};
    uint32_t found = 0, bins[2048];
    for (size_t pass = 0; pass < 3; pass++) {
        const uint32_t shift = passes[pass].shift, digits = passes[pass].digits;
        uint32_t digit = digits - 1;
        memset(bins, 0, sizeof bins);
        for (size_t i = 0; i < count; i++) {
            const uint32_t bits = magnitude_bits(x[i]);
            if (pass == 0 || bits >> passes[pass - 1].shift == found >> passes[pass - 1].shift)
                bins[bits >> shift & (digits - 1)]++;
        }
        for (; digit > 0 && bins[digit] < kept; digit--)
            kept -= bins[digit];
        found |= digit << shift;
    }
    return found;
}

/* The largest magnitudes as +-1 times their mean (Sattler et al., "Robust and communication-efficient
 * federated learning from non-IID data", IEEE TNNLS 31(9), 2020, algorithm 1). False: none is above zero. */
static bool find_top(struct encoding *encoding)
{
    const double wanted = (double)encoding->run->codec->rate * (double)encoding->count;
    const uint32_t threshold =
        find_threshold(encoding->x, encoding->count, wanted < 1 ? 1 : (size_t)(wanted + 0.5));
    const uint32_t least = threshold > magnitude_bits(SMALLEST) ? threshold : magnitude_bits(SMALLEST);
    struct covey_uniform_counts counts = {.total = encoding->count};
    double sum = 0;
    for (size_t i = 0; i < encoding->count; i++) {
        const bool is_kept = magnitude_bits(encoding->x[i]) >= least;
        encoding->tokens[i] = (int8_t)(!is_kept ? 0 : encoding->x[i] < 0 ? -1 : 1);
        counts.rows[is_kept ? 1 : 0]++;
        sum += is_kept ? (double)__builtin_fabsf(encoding->x[i]) : 0;
    }
    if (counts.rows[1] == 0)
        return false;
    const uint32_t step = (magnitude_bits((float)(sum / counts.rows[1])) + 0x4000u) & 0xFFFF8000u;
    encoding->model = (struct covey_uniform_model){0};
    memcpy(&encoding->model.step, &step, sizeof step);
    choose_layout(encoding, covey_uniform_fit(&encoding->model, &counts) / 8);
    return true;
}

static void prepare(struct encoding *encoding, const struct covey_encode_run *run, const float *x,
                    size_t count, void *scratch)
{
    const double bytes = (double)run->codec->rate * (double)count / 8;
    uint8_t *at = scratch;
    encoding->run = run;
    encoding->kernels = covey_entropy_kernels_at(0);
    encoding->x = x;
    encoding->count = count;
    encoding->target_bytes = (size_t)bytes;
    encoding->limit_bytes = limit_of(run->codec, count);
    encoding->tokens = (int8_t *)at;
    at += whole(count, 64);
    encoding->payload = at;
    encoding->room = payload_room(run->codec, count);
    at += whole(encoding->room, 64);
    encoding->lengths = (struct covey_segment *)(void *)at;
}

/* Tokens and model; false where nothing fits. */
static bool find_tokens(struct encoding *encoding, float largest)
{
    const size_t every = encoding->count / LOOKED_AT;
    if (encoding->run->codec->sparsify == COVEY_SPARSIFY_TOP)
        return find_top(encoding);
    covey_spread_measure(&encoding->spread, encoding->x, encoding->count, largest,
                         every < 1   ? 1
                         : every > 8 ? 8
                                     : every);
    return find_choice(encoding);
}

enum covey_status covey_uniform_encode(const struct covey_encode_run *run, const float *x, size_t count,
                                       void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    struct encoding encoding;
    float largest = 0;
    size_t bytes = 0;
    prepare(&encoding, run, x, count, scratch);
    const uint32_t bits = run->kernels->largest(x, count);
    memcpy(&largest, &bits, sizeof bits);
    const size_t limit = capacity < encoding.limit_bytes ? capacity : encoding.limit_bytes;
    if (largest >= SMALLEST && find_tokens(&encoding, largest)) {
        size_t segments = 0;
        const size_t payload_bytes = write_segments(&encoding, &segments);
        if (payload_bytes != SIZE_MAX)
            bytes = put_stream(&encoding, segments, payload_bytes, out, limit);
    }
    if (bytes == 0 && (largest < SMALLEST || capacity >= encoding.limit_bytes))
        bytes = put_zeros(&encoding, out, capacity);
    if (bytes == 0)
        return covey_fail(err, COVEY_LIMIT,
                          "a stream of %zu values in codec %s may have %zu bytes, there is room for %zu",
                          count, run->codec->name, covey_uniform_bound(run->codec, count), capacity);
    *out_bytes = bytes;
    return COVEY_OK;
}
