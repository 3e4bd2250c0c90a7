/* Uniform quantiser with a dead zone, reconstruction at the centroid, and rANS: encoding.
 *
 * The spread of the values gives step and rounding for the rate; the tokens that come of them are counted,
 * and the counts say exactly what the stream will take. Where that is off the rate, because the spread was
 * looked at in part or the values are not smooth, the search is done again for a corrected rate. */
#include <string.h>

#include "quantise_uniform.h"
#include "rate_share.h"
#include "uniform_parts.h"

#define ATTEMPTS 8
#define SMALLEST 0x1p-70f           /* vectors whose largest value is below are zero */
#define LOOKED_AT ((size_t)1 << 16) /* values at the least, where not all are */
#define SEGMENT_BYTES 32768         /* of a segment, about: then its lanes cost one part in a thousand */
#define SEGMENT_LOG_MIN 3           /* where there are so many values */
#define SEGMENT_LOG_MAX 10
#define LANE_BYTES 512       /* of a segment for each lane */
#define ALL_LANES_BYTES 8192 /* from here on all lanes, which are faster together */
#define LANES_LOG_MAX 5
#define LANE_BITS 11   /* that a lane costs */
#define LIST_BITS 16   /* of a section's length */
#define PART_BYTES 14  /* of a section's parameters, about */
#define LEAST_BITS 64  /* sections that would have less are zero */
#define RATE_MOST 14.0 /* of one section */
#define WORD_SLACK 96  /* bytes that writing runs of rANS needs beyond what it fills */

_Static_assert(1 << LANES_LOG_MAX == COVEY_RANS_LANES, "it is the same");

struct encoding {
    const struct covey_encode_run *run;
    const float *x;
    size_t count, target_bytes, limit_bytes;
    struct covey_part *parts; /* (part_count) */
    size_t part_count;
    struct covey_spread *spreads; /* (part_count) */
    uint8_t *payload;             /* (room) the segments */
    size_t room;
    struct covey_segment *lengths;
    uint32_t kept; /* of COVEY_ALL_KEPT values, chosen by lot; the others are zero */
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
    const size_t head =
        codec->step > 0 ? 128 : 20; /* which is what few values take the most of, when none may be lost */
    return (size_t)bytes + (size_t)(bytes * 0.009) + head;
}

size_t covey_uniform_bound(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + 16;
}

static size_t payload_room(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + COVEY_RANS_STATE_BYTES + WORD_SLACK;
}

static bool is_listed(const struct covey_codec *codec)
{
    return covey_quantiser_row(codec->quantise) == &covey_quantise_sections;
}

static size_t part_bytes(size_t parts)
{
    return parts > 1 ? parts * (whole(sizeof(struct covey_part), 64) + whole(sizeof(struct covey_spread), 64))
                     : 0;
}

size_t covey_uniform_scratch_bytes(const struct covey_codec *codec, size_t count)
{
    return whole(count, 64) + whole(payload_room(codec, count), 64) +
           whole(most_segments(count) * sizeof(struct covey_segment), 64) +
           (is_listed(codec) ? part_bytes(covey_plan_sections(count)) : 0) + 64;
}

/* ---- one attempt ---- */

static void choose_layout(struct encoding *encoding, double payload_bytes)
{
    struct covey_uniform_model *model = &encoding->parts[0].section.model;
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
    for (size_t i = 1; i < encoding->part_count; i++) {
        encoding->parts[i].section.model.segment_log = model->segment_log;
        encoding->parts[i].section.model.lanes_log = model->lanes_log;
    }
}

static bool has_escape(const struct encoding *encoding)
{
    bool has = false;
    for (size_t i = 0; i < encoding->part_count; i++)
        has = has || encoding->parts[i].section.model.has_escape;
    return has;
}

/* Tokens and models for the choices; returns the bytes of the stream, header included, nearly exactly. */
static double attempt(struct encoding *encoding)
{
    const uint32_t lot = encoding->run->key[0] ^ encoding->run->high[0];
    double bits = is_listed(encoding->run->codec) ? 8 + LIST_BITS * (double)encoding->part_count : 0;
    for (size_t i = 0; i < encoding->part_count; i++)
        bits += covey_part_attempt(&encoding->parts[i], encoding->kept, lot);
    choose_layout(encoding, bits / 8);
    const struct covey_uniform_model *model = &encoding->parts[0].section.model;
    const size_t segment = covey_uniform_segment(model);
    const double segments = (double)((encoding->count + segment - 1) / segment);
    const double lanes = (double)(1u << model->lanes_log);
    return (double)encoding->run->header_bytes + 1 + bits / 8 +
           segments * (lanes * LANE_BITS / 8 + (has_escape(encoding) ? 5 : 3));
}

/* ---- the stream ---- */

/* Returns the bytes of the stream, 0 where those pass limit. */
static size_t put_stream(const struct encoding *encoding, size_t segments, size_t payload_bytes, uint8_t *out,
                         size_t limit)
{
    uint8_t head[1 + COVEY_PLAN_SECTIONS * COVEY_SECTION_HEAD_BYTES];
    struct covey_section sections[COVEY_PLAN_SECTIONS];
    for (size_t i = 0; i < encoding->part_count; i++)
        sections[i] = encoding->parts[i].section;
    const struct covey_bytes written = {
        head, covey_sections_write(sections, encoding->part_count, is_listed(encoding->run->codec), head)};
    return covey_segments_write(written, encoding->lengths, segments, has_escape(encoding),
                                (struct covey_bytes){encoding->payload, payload_bytes}, out, limit);
}

/* The vector as zeros: what is left where nothing else fits. */
static size_t put_zeros(struct encoding *encoding, uint8_t *out, size_t limit)
{
    encoding->parts[0].section.model = (struct covey_uniform_model){.rows = 1, .step = 1};
    return put_stream(encoding, 0, 0, out, limit);
}

/* The quantisers with the least error whose symbols take `bits` a value in all. */
static void choose(struct encoding *encoding, double bits)
{
    struct covey_rate_part shares[COVEY_PLAN_SECTIONS] = {{.spread = &encoding->spreads[0], .bits = bits}};
    size_t used = 0;
    for (size_t i = 0; i < encoding->part_count; i++)
        if (encoding->spreads[i].largest > 0)
            shares[used++] =
                (struct covey_rate_part){&encoding->spreads[i], covey_part_count(&encoding->parts[i]), bits};
    if (encoding->part_count > 1)
        (void)covey_rate_share(shares, used, bits * (double)encoding->count);
    used = 0;
    for (size_t i = 0; i < encoding->part_count; i++) {
        struct covey_part *part = &encoding->parts[i];
        const double share = encoding->spreads[i].largest > 0 ? shares[used++].bits : 0;
        part->choice = (struct covey_uniform_choice){.step = 1};
        part->is_zero = encoding->part_count > 1 && share * (double)covey_part_count(part) < LEAST_BITS;
        if (!part->is_zero)
            (void)covey_rate_search(part->spread, share < RATE_MOST ? share : RATE_MOST, &part->choice);
    }
}

/* Where many values are of one size, either all of them are zero or too many are not: then some are kept, so
 * many as the rate allows. False: even that is too much. */
static bool find_share(struct encoding *encoding)
{
    uint32_t fits = 0, above = COVEY_ALL_KEPT;
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
    /* A little more rather than a little less, in bits a value: within six parts in a thousand, and when the
     * bits are many within what they tell of the error. */
    const double rate = (double)encoding->run->codec->rate, scale = rate < 3 ? rate : 3;
    const double slack_over = 0.006 * scale, aim = 0.0025 * scale;
    const double head = encoding->part_count > 1 ? PART_BYTES * (double)encoding->part_count : 12;
    double bits = aim + (target - (double)encoding->run->header_bytes - head) * 8 / count;
    double under_bytes = 0, over_bytes = 0, under = 0, over = 0;
    encoding->kept = COVEY_ALL_KEPT;
    for (int i = 0; i < ATTEMPTS; i++) {
        bits = bits < least_bits ? least_bits : bits;
        choose(encoding, bits);
        const double bytes = attempt(encoding);
        if (bytes >= target - 3 && bytes <= target + slack_over * count / 8 + 6)
            return true;
        if (bytes <= (double)encoding->limit_bytes && bytes > under_bytes) {
            under_bytes = bytes;
            under = bits;
        }
        if (bytes > (double)encoding->limit_bytes && (over_bytes == 0 || bytes < over_bytes)) {
            over_bytes = bytes;
            over = bits;
        }
        bits += (aim + (target - bytes) * 8 / count) * (over_bytes == 0 && bytes < target / 2 ? 1 << i : 1);
    }
    if (under_bytes < 0.9 * target && encoding->part_count > 1)
        return false;
    if (under_bytes < 0.9 * target && over_bytes > 0) {
        choose(encoding, over);
        if (encoding->parts[0].choice.shift == 0 && find_share(encoding))
            return true;
        encoding->kept = COVEY_ALL_KEPT;
    }
    if (under_bytes == 0)
        return false;
    choose(encoding, under);
    return attempt(encoding) > 0;
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
        encoding->parts[0].tokens[i] = (int8_t)(!is_kept ? 0 : encoding->x[i] < 0 ? -1 : 1);
        counts.rows[is_kept ? 1 : 0]++;
        sum += is_kept ? (double)__builtin_fabsf(encoding->x[i]) : 0;
    }
    if (counts.rows[1] == 0)
        return false;
    const uint32_t step = (magnitude_bits((float)(sum / counts.rows[1])) + 0x4000u) & 0xFFFF8000u;
    struct covey_uniform_model *model = &encoding->parts[0].section.model;
    encoding->parts[0].choice.step = 1;
    *model = (struct covey_uniform_model){0};
    memcpy(&model->step, &step, sizeof step);
    choose_layout(encoding, covey_uniform_fit(model, &counts) / 8);
    return true;
}

/* ---- whole multiples of a step ---- */

#define SYMBOLS_LOG 4 /* of the mean magnitude, above the bits that are stored as they are */

static uint32_t bits_of(uint32_t value)
{
    return value == 0 ? 0 : 32 - (uint32_t)__builtin_clz(value);
}

/* As they are: the bits below the symbols are as many as take the least, of those about the mean magnitude.
 */
static bool find_exact(struct encoding *encoding, float largest)
{
    struct covey_part *part = &encoding->parts[0];
    const float inverse = 1.0f / encoding->run->codec->step;
    double sum = 0, best = 0;
    if (!(largest * inverse < (float)(1u << COVEY_EXACT_BITS)))
        return false;
    for (size_t i = 0; i < encoding->count; i++)
        sum += (double)__builtin_fabsf(encoding->x[i]);
    const uint32_t mean = bits_of((uint32_t)(sum * (double)inverse / (double)encoding->count));
    const uint32_t first = mean > SYMBOLS_LOG + 1 ? mean - SYMBOLS_LOG - 1 : 0;
    uint32_t chosen = 0;
    *part = (struct covey_part){
        .section = {0, encoding->count, true, {0}}, .x = encoding->x, .tokens = part->tokens};
    part->choice = (struct covey_uniform_choice){.step = encoding->run->codec->step, .rounding = 0.5f};
    encoding->kept = COVEY_ALL_KEPT;
    for (uint32_t shift = first; shift <= first + 2; shift++) {
        part->choice.shift = shift < COVEY_UNIFORM_SHIFT_MAX ? shift : COVEY_UNIFORM_SHIFT_MAX;
        const double bytes = attempt(encoding);
        if (best > 0 && bytes >= best)
            continue;
        best = bytes;
        chosen = part->choice.shift;
    }
    part->choice.shift = chosen;
    return attempt(encoding) <= (double)encoding->limit_bytes;
}

static void prepare(struct encoding *encoding, const struct covey_encode_run *run, const float *x,
                    size_t count, void *scratch)
{
    const double bytes = (double)run->codec->rate * (double)count / 8;
    uint8_t *at = scratch;
    encoding->run = run;
    encoding->x = x;
    encoding->count = count;
    encoding->target_bytes = (size_t)bytes;
    encoding->limit_bytes = limit_of(run->codec, count);
    encoding->parts[0].tokens = (int8_t *)at;
    at += whole(count, 64);
    encoding->payload = at;
    encoding->room = payload_room(run->codec, count);
    at += whole(encoding->room, 64);
    encoding->lengths = (struct covey_segment *)(void *)at;
    at += whole(most_segments(count) * sizeof(struct covey_segment), 64);
    if (run->piece_count > 1) {
        int8_t *tokens = encoding->parts[0].tokens;
        encoding->part_count = run->piece_count;
        encoding->parts = (struct covey_part *)(void *)at;
        at += whole(run->piece_count * sizeof(struct covey_part), 64);
        encoding->spreads = (struct covey_spread *)(void *)at;
        encoding->parts[0].tokens = tokens;
    }
}

/* Sections and how their values are spread. */
static void measure(struct encoding *encoding)
{
    const struct covey_piece whole_vector = {0, encoding->count, true};
    int8_t *tokens = encoding->parts[0].tokens;
    for (size_t i = 0; i < encoding->part_count; i++) {
        const struct covey_piece *piece =
            encoding->part_count > 1 ? &encoding->run->pieces[i] : &whole_vector;
        const size_t count = piece->last - piece->first, every = count / LOOKED_AT;
        const uint32_t bits = encoding->run->kernels->largest(encoding->x + piece->first, count);
        float largest;
        memcpy(&largest, &bits, sizeof largest);
        encoding->parts[i] = (struct covey_part){.section = {piece->first, piece->last, piece->rotated, {0}},
                                                 .x = encoding->x + piece->first,
                                                 .tokens = tokens + piece->first,
                                                 .spread = &encoding->spreads[i]};
        if (largest < SMALLEST)
            encoding->spreads[i].largest = 0;
        else
            covey_spread_measure(&encoding->spreads[i], encoding->x + piece->first, count, largest,
                                 every < 1   ? 1
                                 : every > 8 ? 8
                                             : every);
    }
}

/* Tokens and models; false where nothing fits. */
static bool find_tokens(struct encoding *encoding, float largest)
{
    if (encoding->run->codec->step > 0)
        return find_exact(encoding, largest);
    if (encoding->run->codec->sparsify == COVEY_SPARSIFY_TOP)
        return find_top(encoding);
    measure(encoding);
    return find_choice(encoding);
}

enum covey_status covey_uniform_encode(const struct covey_encode_run *run, const float *x, size_t count,
                                       void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    struct covey_spread spread;
    struct covey_part part = {.section = {0, count, true, {0}}};
    struct encoding encoding = {.parts = &part, .part_count = 1, .spreads = &spread};
    float largest = 0;
    size_t bytes = 0;
    prepare(&encoding, run, x, count, scratch);
    const uint32_t bits = run->kernels->largest(x, count);
    memcpy(&largest, &bits, sizeof bits);
    const size_t limit = capacity < encoding.limit_bytes ? capacity : encoding.limit_bytes;
    if (largest >= SMALLEST && find_tokens(&encoding, largest)) {
        size_t segments = 0;
        const size_t payload_bytes = covey_parts_write(encoding.parts, encoding.part_count, encoding.payload,
                                                       encoding.room, encoding.lengths, &segments);
        if (payload_bytes != SIZE_MAX)
            bytes = put_stream(&encoding, segments, payload_bytes, out, limit);
    }
    const bool may_be_zeros =
        largest < SMALLEST || (capacity >= encoding.limit_bytes && !(run->codec->step > 0));
    if (bytes == 0 && encoding.part_count == 1 && may_be_zeros)
        bytes = put_zeros(&encoding, out, capacity);
    if (bytes == 0)
        return covey_fail(err, COVEY_LIMIT,
                          "a stream of %zu values in codec %s may have %zu bytes, there is room for %zu",
                          count, run->codec->name, covey_uniform_bound(run->codec, count), capacity);
    *out_bytes = bytes;
    return COVEY_OK;
}
