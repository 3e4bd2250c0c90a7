/* Trellis coded quantiser and rANS: encoding. Step and what symbols cost (trellis_prices.h) are brought
 * together on a sample of the vector, then the step alone on all of it until the stream's bytes are near
 * enough. */
#include <math.h>
#include <string.h>

#include "quantise_trellis.h"
#include "entropy_kernels.h"
#include "rate_search.h"
#include "segments.h"
#include "trellis_prices.h"
#include "trellis_symbols.h"

#define SMALLEST 0x1p-70f        /* vectors whose largest value is below are zero */
#define SAMPLE ((size_t)1 << 15) /* values that the search looks at, where there are more */
#define SAMPLE_ATTEMPTS 7
#define ATTEMPTS 12
#define SEGMENT_BYTES 16384 /* of a segment, about */
#define SEGMENT_LOG_MAX 10
#define LANE_BYTES 256 /* of a segment for each lane */
#define LANE_BITS 9    /* that a lane costs */
#define WORD_SLACK 96  /* bytes that writing runs of rANS needs beyond what it fills */
#define FINE_RATE 1.5f /* up to here a step of nine bits is too coarse to meet the rate */

struct encoding {
    const struct covey_encode_run *run;
    const struct covey_trellis_kernels *kernels;
    const float *x;
    size_t count, target_bytes, limit_bytes;
    float largest;
    float *sample; /* (sample_count) */
    size_t sample_count;
    int16_t *q;      /* (count + lanes) */
    int8_t *symbols; /* (count + lanes), at first the classes */
    uint8_t *payload;
    size_t room;
    struct covey_segment *lengths;
    float step;
    struct covey_trellis_prices prices;
    struct covey_trellis_costs costs;
    struct covey_trellis_model model;
};

/* ---- sizes ---- */

static size_t whole(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t most_segments(size_t count)
{
    return (count + COVEY_CHUNK_VALUES - 1) / COVEY_CHUNK_VALUES;
}

/* Bytes that a stream of that rate may take, its header included. */
static size_t limit_of(const struct covey_codec *codec, size_t count)
{
    const double bytes = (double)codec->rate * (double)count / 8;
    return (size_t)bytes + (size_t)(bytes * 0.009) + 20;
}

size_t covey_trellis_bound(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + 16;
}

static size_t payload_room(const struct covey_codec *codec, size_t count)
{
    return limit_of(codec, count) + COVEY_RANS_STATE_BYTES + WORD_SLACK;
}

static size_t sample_of(size_t count)
{
    return count < SAMPLE ? count : SAMPLE;
}

size_t covey_trellis_scratch_bytes(const struct covey_codec *codec, size_t count)
{
    return whole(sample_of(count) * sizeof(float)) + whole((count + COVEY_TRELLIS_LANES) * sizeof(int16_t)) +
           whole(count + COVEY_TRELLIS_LANES) + whole(payload_room(codec, count)) +
           most_segments(count) * sizeof(struct covey_segment) + 64;
}

/* ---- one attempt ---- */

/* Symbols of count values at x, each segment by itself; counts: their magnitudes. */
static void quantise(struct encoding *encoding, const float *x, size_t count, size_t segment, size_t lanes,
                     uint32_t counts[128])
{
    const struct covey_trellis_kernels *kernels = encoding->kernels;
    uint32_t by_symbol[256] = {0};
    kernels->units(x, count, COVEY_TRELLIS_STEP / encoding->step, encoding->q);
    memset(encoding->q + count, 0, COVEY_TRELLIS_LANES * sizeof *encoding->q);
    uint8_t *classes = (uint8_t *)encoding->symbols;
    for (size_t at = 0; at < count; at += segment) {
        const size_t n = count - at < segment ? count - at : segment;
        kernels->search(&encoding->costs, encoding->q + at, (n + lanes - 1) / lanes, lanes, classes + at);
        kernels->symbols(&encoding->costs, encoding->q + at, classes + at, n, encoding->symbols + at);
        covey_entropy_kernels_at(0)->count(encoding->symbols + at, n, by_symbol);
    }
    for (size_t m = 0; m < 128; m++)
        counts[m] = by_symbol[m] + (m > 0 ? by_symbol[256 - m] : 0);
}

/* Not so small a step that magnitudes pass what escapes can say. What is sent has nine significant bits; at
 * low rates, where bits change ten times as fast as the step, the search goes on by all of them. */
static void set_step(struct encoding *encoding, double step)
{
    const double least = (double)encoding->largest * 0x1p-17;
    float sent = (float)(step < least ? least : step);
    uint32_t bits;
    if (!(sent < 0x1p96f))
        sent = 0x1p96f;
    encoding->step = sent;
    memcpy(&bits, &sent, sizeof bits);
    bits = (bits + 0x4000u) & 0xFFFF8000u;
    memcpy(&sent, &bits, sizeof bits);
    encoding->model.step = sent;
    if (encoding->run->codec->rate > FINE_RATE)
        encoding->step = sent;
}

static void choose_layout(struct encoding *encoding)
{
    struct covey_trellis_model *model = &encoding->model;
    double of_segment = (double)encoding->run->codec->rate / 8 * COVEY_CHUNK_VALUES;
    const double payload = (double)encoding->target_bytes;
    model->segment_log = 0;
    while (of_segment < SEGMENT_BYTES && model->segment_log < SEGMENT_LOG_MAX &&
           covey_trellis_segment(model) < encoding->count) {
        model->segment_log++;
        of_segment *= 2;
    }
    if (encoding->count < covey_trellis_segment(model))
        of_segment = payload;
    model->lanes_log = 0;
    while (2u << model->lanes_log <= COVEY_RANS_LANES &&
           of_segment >= (double)(2u << model->lanes_log) * LANE_BYTES)
        model->lanes_log++;
}

/* The magnitude of value i: the symbol's, or what it was before it was folded. */
static uint32_t magnitude_of(const struct encoding *encoding, size_t i)
{
    const int v = encoding->symbols[i];
    const uint32_t magnitude = (uint32_t)(v < 0 ? -v : v);
    if (magnitude <= COVEY_TRELLIS_DIRECT)
        return magnitude;
    const uint32_t class = magnitude & 3;
    const uint32_t steps = (uint32_t)(fabsf(encoding->x[i]) / encoding->step);
    const uint32_t nearest = (steps + 2 - class) / 4 * 4 + class;
    return nearest < magnitude ? magnitude : nearest;
}

/* The code's value for a magnitude beyond the rows. */
static uint32_t further_of(const struct covey_trellis_model *model, uint32_t magnitude)
{
    return (magnitude / 2 - model->rows[magnitude & 1]) / 2 + 1;
}

static uint32_t length_of(uint32_t value) /* bits below the leading one */
{
    return 31 - (uint32_t)__builtin_clz(value);
}

static uint32_t symbol_magnitude(const struct encoding *encoding, size_t i)
{
    const int v = encoding->symbols[i];
    return (uint32_t)(v < 0 ? -v : v);
}

/* Indices of the symbols above `direct` among those from `at` on, of one tile at the most. Returns how many
 * are in the tile; *found: how many indices, which count from `at`. */
static size_t find_above(const struct encoding *encoding, size_t at, size_t last, int32_t direct,
                         uint16_t *indices, size_t *found)
{
    const size_t n = last - at < COVEY_DECODE_VALUES ? last - at : COVEY_DECODE_VALUES;
    *found = covey_entropy_kernels_at(0)->outside(encoding->symbols + at, n, -direct, direct, indices);
    return n;
}

/* Indices of the symbols that escape, likewise. */
static size_t find_escapes(const struct encoding *encoding, size_t at, size_t last, uint16_t *indices,
                           size_t *found)
{
    const struct covey_trellis_model *model = &encoding->model;
    const int32_t direct = model->rows[0] <= model->rows[1] ? 2 * model->rows[0] - 1 : 2 * model->rows[1];
    size_t candidates;
    const size_t n = find_above(encoding, at, last, direct, indices, &candidates);
    *found = 0;
    for (size_t i = 0; i < candidates; i++) {
        indices[*found] = indices[i];
        *found += covey_trellis_escapes(model, symbol_magnitude(encoding, at + indices[i]));
    }
    return n;
}

/* Bits that the escapes take beyond what the model, which knows magnitudes mod 4 only, thinks. */
static double escape_bits(const struct encoding *encoding)
{
    double bits = 0;
    uint16_t indices[COVEY_DECODE_VALUES];
    size_t found;
    for (size_t at = 0; at < encoding->count;) {
        const size_t first = at;
        at += find_above(encoding, at, encoding->count, COVEY_TRELLIS_DIRECT, indices, &found);
        for (size_t i = 0; i < found; i++) {
            const uint32_t magnitude = symbol_magnitude(encoding, first + indices[i]);
            bits += 2 * (length_of(further_of(&encoding->model, magnitude_of(encoding, first + indices[i]))) -
                         length_of(further_of(&encoding->model, magnitude)));
        }
    }
    return bits;
}

/* Bytes of the stream, header included, nearly exactly, for the symbols of the whole vector. */
static double stream_bytes(struct encoding *encoding, const uint32_t counts[128])
{
    double bits = covey_trellis_fit(&encoding->model, counts);
    if (counts[124] + counts[125] + counts[126] + counts[127] > 0)
        bits += escape_bits(encoding);
    const size_t segment = covey_trellis_segment(&encoding->model);
    const double segments = (double)((encoding->count + segment - 1) / segment);
    const double lanes = (double)(1u << encoding->model.lanes_log);
    return (double)encoding->run->header_bytes + 1 + bits / 8 +
           segments * (lanes * LANE_BITS / 8 + (encoding->model.has_escape ? 5 : 3));
}

/* ---- the search ---- */

/* Pieces of the vector, evenly spread. */
static void take_sample(struct encoding *encoding)
{
    const size_t pieces = 16, size = SAMPLE / pieces;
    encoding->sample_count = sample_of(encoding->count);
    if (encoding->count <= SAMPLE) {
        memcpy(encoding->sample, encoding->x, encoding->count * sizeof *encoding->x);
        return;
    }
    for (size_t i = 0; i < pieces; i++)
        memcpy(encoding->sample + i * size, encoding->x + (encoding->count - size) / (pieces - 1) * i,
               size * sizeof *encoding->x);
}

static double deviation_of(const float *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)count);
}

/* The factor for the step that takes `off` bits a value more than wanted away: about half as much again at
 * low rates, where all values are zero or one. */
static double step_factor(double off, double bits)
{
    double change = off < -0.6 * bits - 0.1 ? -0.6 * bits - 0.1 : off;
    change = change > 1 ? 1 : change;
    const double slope = bits > 0.8 ? 1.0 : bits > 0.3 ? 0.75 : 0.6;
    double factor = 1 + change * slope * (0.6931471805599453 + change * slope * 0.2402265069591007);
    return factor < 0.5 ? 0.5 : factor;
}

/* Step and bits for `wanted` bits a value, on the sample. */
static void search_sample(struct encoding *encoding, double wanted)
{
    uint32_t counts[128];
    for (int i = 0; i < SAMPLE_ATTEMPTS; i++) {
        struct covey_trellis_model model = encoding->model;
        covey_trellis_prices_costs(&encoding->prices, &encoding->costs);
        quantise(encoding, encoding->sample, encoding->sample_count, encoding->sample_count,
                 COVEY_TRELLIS_LANES, counts);
        /* Without the model's own bytes, which the wanted bits do not have either. */
        const double bits = covey_trellis_fit(&model, counts) / (double)encoding->sample_count;
        const double off = bits - wanted;
        covey_trellis_prices_learn(&encoding->prices, counts);
        set_step(encoding, (double)encoding->step * step_factor(off, wanted));
    }
}

/* Bytes as they come of steps, and the two that lie around the target. */
struct bracket {
    double above, above_bytes; /* a step that takes more, and how many bytes; 0: none is known */
    double under, under_bytes;
};

/* The next step to try: between the two, or further the way that it should go. */
static double next_step(const struct bracket *bracket, double step, double target, double factor)
{
    if (bracket->above == 0 || bracket->under == 0)
        return step * (factor > 1 ? 1 + 1.5 * (factor - 1) : 1 - 1.5 * (1 - factor));
    double place = (bracket->above_bytes - target) / (bracket->above_bytes - bracket->under_bytes);
    place = place < 0.1 ? 0.1 : place > 0.9 ? 0.9 : place;
    return bracket->above + place * (bracket->under - bracket->above);
}

static double attempt(struct encoding *encoding)
{
    uint32_t counts[128];
    quantise(encoding, encoding->x, encoding->count, covey_trellis_segment(&encoding->model),
             (size_t)1 << encoding->model.lanes_log, counts);
    return stream_bytes(encoding, counts);
}

/* Until the bytes are near enough; the costs stay, so that bytes depend on the step alone. False: none is
 * below the limit. */
static bool search_vector(struct encoding *encoding)
{
    const double target = (double)encoding->target_bytes, limit = (double)encoding->limit_bytes;
    /* Half a percent, at high rates less: there a hundredth of a bit is more than a percent of the error. */
    const double share = 0.005 * target, bits = 0.004 * (double)encoding->count / 8,
                 near = (share < bits ? share : bits) + 4;
    struct bracket bracket = {0};
    for (int i = 0; i < ATTEMPTS; i++) {
        const double bytes = attempt(encoding), step = (double)encoding->step;
        if (fabs(bytes - target) <= near)
            return true;
        if (bytes > target && (bracket.above == 0 || step > bracket.above)) {
            bracket.above = step;
            bracket.above_bytes = bytes;
        }
        if (bytes <= target && (bracket.under == 0 || step < bracket.under)) {
            bracket.under = step;
            bracket.under_bytes = bytes;
        }
        const double off = (bytes - target) * 8 / (double)encoding->count;
        set_step(encoding,
                 next_step(&bracket, step, target, step_factor(off, target * 8 / (double)encoding->count)));
        if ((double)encoding->step == step)
            break;
    }
    if (bracket.under == 0)
        return false;
    set_step(encoding, bracket.under);
    return attempt(encoding) <= limit;
}

/* ---- moves ---- */

/* Where values of magnitudes 1, 2 and above are to be found, from the symbols of some tiles. */
static void make_moves(struct encoding *encoding)
{
    int64_t by_symbol[256] = {0}, sums[3] = {0}, counts[3] = {0};
    uint32_t occurrences[256] = {0};
    const size_t every = encoding->count / (2 * SAMPLE); /* tiles, of which one is looked at */
    const size_t stride = (every < 1 ? 1 : every) * COVEY_DECODE_VALUES;
    for (size_t at = 0; at < encoding->count; at += stride) {
        const size_t left = encoding->count - at, n = left < COVEY_DECODE_VALUES ? left : COVEY_DECODE_VALUES;
        covey_entropy_kernels_at(0)->count(encoding->symbols + at, n, occurrences);
        for (size_t i = at; i < at + n; i++)
            by_symbol[(uint8_t)encoding->symbols[i]] += encoding->q[i];
    }
    for (int magnitude = 1; magnitude <= COVEY_TRELLIS_DIRECT; magnitude++) {
        const int kind = magnitude < 3 ? magnitude - 1 : 2;
        const int64_t n = (int64_t)occurrences[magnitude] + occurrences[256 - magnitude];
        sums[kind] += by_symbol[magnitude] - by_symbol[256 - magnitude] - n * COVEY_TRELLIS_STEP * magnitude;
        counts[kind] += n;
    }
    for (int kind = 0; kind < 3; kind++) {
        const double move = counts[kind] == 0 ? 0
                                              : (double)sums[kind] / (double)counts[kind] *
                                                    COVEY_TRELLIS_UNITS / COVEY_TRELLIS_STEP;
        encoding->model.moves[kind] = (int8_t)(move < -31  ? -31
                                               : move > 31 ? 31
                                               : move < 0  ? move - 0.5
                                                           : move + 0.5);
    }
}

/* ---- segments ---- */

/* The longest code that is needed. */
static void set_longest(struct encoding *encoding)
{
    uint16_t indices[COVEY_DECODE_VALUES];
    size_t found;
    encoding->model.longest = 0;
    for (size_t at = 0; encoding->model.has_escape && at < encoding->count;) {
        const size_t first = at;
        at += find_escapes(encoding, at, encoding->count, indices, &found);
        for (size_t i = 0; i < found; i++) {
            const uint32_t magnitude = magnitude_of(encoding, first + indices[i]);
            const uint32_t length = length_of(further_of(&encoding->model, magnitude));
            if (length > encoding->model.longest)
                encoding->model.longest = (uint8_t)length;
        }
    }
}

/* Returns their bytes, SIZE_MAX where they do not fit. */
static size_t pack_escapes(const struct encoding *encoding, size_t first, size_t count, uint8_t *out,
                           uint8_t *end)
{
    struct covey_bit_writer bits = {.at = out, .limit = end};
    uint16_t indices[COVEY_DECODE_VALUES];
    size_t found;
    for (size_t at = first; encoding->model.has_escape && at < first + count;) {
        const size_t tile = at;
        at += find_escapes(encoding, at, first + count, indices, &found);
        for (size_t i = 0; i < found; i++) {
            const uint32_t value = further_of(&encoding->model, magnitude_of(encoding, tile + indices[i]));
            const uint32_t length = length_of(value);
            covey_bits_write(&bits, 0, length);
            covey_bits_write(&bits, 1, 1);
            covey_bits_write(&bits, value & ((1u << length) - 1), length);
        }
    }
    covey_bits_flush(&bits);
    return bits.full ? SIZE_MAX : (size_t)(bits.at - out);
}

/* All of them to the payload. SIZE_MAX where they do not fit. *segments: how many; none where all is zero. */
static size_t write_segments(struct encoding *encoding, size_t *segments)
{
    const size_t segment_values = covey_trellis_segment(&encoding->model);
    uint32_t ranges[256];
    size_t used = 0;
    *segments = 0;
    if (encoding->model.rows[1] == 0)
        return 0;
    covey_trellis_ranges(&encoding->model, ranges);
    for (size_t first = 0; first < encoding->count; first += segment_values, (*segments)++) {
        const size_t left = encoding->count - first, n = left < segment_values ? left : segment_values;
        uint8_t *out = encoding->payload + used, *end = encoding->payload + encoding->room;
        uint8_t *begin =
            covey_rans_write(ranges, encoding->symbols + first, n, 1u << encoding->model.lanes_log, out, end);
        if (begin == NULL)
            return SIZE_MAX;
        const size_t symbol_bytes = (size_t)(end - begin);
        memmove(out, begin, symbol_bytes);
        const size_t escape_bytes = pack_escapes(encoding, first, n, out + symbol_bytes, end);
        if (escape_bytes == SIZE_MAX)
            return SIZE_MAX;
        encoding->lengths[*segments] =
            (struct covey_segment){(uint32_t)(symbol_bytes + escape_bytes), (uint32_t)escape_bytes};
        used += symbol_bytes + escape_bytes;
    }
    return used;
}

/* ---- the stream ---- */

/* Returns the bytes of the stream, 0 where those pass limit. */
static size_t put_stream(const struct encoding *encoding, size_t segments, size_t payload_bytes, uint8_t *out,
                         size_t limit)
{
    uint8_t head[COVEY_TRELLIS_HEAD_BYTES];
    const struct covey_bytes written = {head, covey_trellis_write(&encoding->model, head)};
    return covey_segments_write(written, encoding->lengths, segments, encoding->model.has_escape,
                                (struct covey_bytes){encoding->payload, payload_bytes}, out, limit);
}

static void prepare(struct encoding *encoding, const struct covey_encode_run *run, const float *x,
                    size_t count, void *scratch)
{
    uint8_t *at = scratch;
    *encoding = (struct encoding){.run = run, .kernels = covey_trellis_kernels_at(0), .x = x, .count = count};
    encoding->target_bytes = (size_t)((double)run->codec->rate * (double)count / 8);
    encoding->limit_bytes = limit_of(run->codec, count);
    encoding->sample = (float *)(void *)at;
    at += whole(sample_of(count) * sizeof(float));
    encoding->q = (int16_t *)(void *)at;
    at += whole((count + COVEY_TRELLIS_LANES) * sizeof(int16_t));
    encoding->symbols = (int8_t *)at;
    at += whole(count + COVEY_TRELLIS_LANES);
    encoding->payload = at;
    encoding->room = payload_room(run->codec, count);
    at += whole(encoding->room);
    encoding->lengths = (struct covey_segment *)(void *)at;
}

/* Everything up to the symbols; false where no attempt fits the rate. */
static bool find_symbols(struct encoding *encoding)
{
    choose_layout(encoding);
    const double segments = (double)((encoding->count + covey_trellis_segment(&encoding->model) - 1) /
                                     covey_trellis_segment(&encoding->model));
    const double overhead = (double)encoding->run->header_bytes + 1 +
                            segments * ((1u << encoding->model.lanes_log) * LANE_BITS / 8.0 + 4);
    double wanted = ((double)encoding->target_bytes - overhead) * 8 / (double)encoding->count;
    const double least = 0.5 * (double)encoding->run->codec->rate;
    wanted = wanted < least ? least : wanted;
    take_sample(encoding);
    const double deviation = deviation_of(encoding->sample, encoding->sample_count);
    const double unit = deviation > 0 ? deviation : (double)encoding->largest;
    const float first = (float)(covey_trellis_prices_begin(&encoding->prices, wanted) * unit);
    set_step(encoding, (double)first);
    search_sample(encoding, wanted);
    covey_trellis_prices_costs(&encoding->prices, &encoding->costs);
    return search_vector(encoding);
}

enum covey_status covey_trellis_encode(const struct covey_encode_run *run, const float *x, size_t count,
                                       void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    struct encoding encoding;
    size_t bytes = 0;
    prepare(&encoding, run, x, count, scratch);
    const uint32_t largest = run->kernels->largest(x, count);
    memcpy(&encoding.largest, &largest, sizeof largest);
    const size_t limit = capacity < encoding.limit_bytes ? capacity : encoding.limit_bytes;
    if (encoding.largest >= SMALLEST && find_symbols(&encoding)) {
        size_t segments = 0;
        make_moves(&encoding);
        set_longest(&encoding);
        const size_t payload_bytes = write_segments(&encoding, &segments);
        if (payload_bytes != SIZE_MAX)
            bytes = put_stream(&encoding, segments, payload_bytes, out, limit);
    }
    if (bytes == 0 && (encoding.largest < SMALLEST || capacity >= encoding.limit_bytes)) {
        /* Zeros: what is left where nothing else fits. */
        encoding.model = (struct covey_trellis_model){.rows = {1, 0}, .step = 1};
        bytes = put_stream(&encoding, 0, 0, out, capacity);
    }
    if (bytes == 0)
        return covey_fail(err, COVEY_LIMIT,
                          "a stream of %zu values in codec %s may have %zu bytes, there is room for %zu",
                          count, run->codec->name, covey_trellis_bound(run->codec, count), capacity);
    *out_bytes = bytes;
    return COVEY_OK;
}
