/* Trellis coded quantiser and rANS: decoding. What stands in the stream is told in trellis_model.h; a segment
 * is
 *
 *   symbols, a run of rANS whose slots are those of the lane's trellis' state | bits of the escapes
 *
 * and values in it are in the vector's order. */
#include "quantise_trellis.h"

#include <string.h>

#include "entropy_kernels.h"
#include "segments.h"

/* What decoder->state holds. */
struct reading {
    uint32_t slots[2 * COVEY_TRELLIS_SLOTS];
    uint32_t states[COVEY_TRELLIS_LANES];
    struct covey_trellis_model model;
    struct covey_rans_reader symbols;
    struct covey_bit_reader escapes;
    struct covey_segment_table segments;
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
    const struct covey_bytes body = {decoder->stream.data + decoder->body,
                                     decoder->stream.size - decoder->body};
    size_t used = 0;
    COVEY_TRY(covey_trellis_read(body, &reading->model, &used, err));
    const size_t segment_values = covey_trellis_segment(&reading->model);
    const struct covey_segment_layout layout = {
        .count = reading->model.rows[1] > 0 ? (decoder->count + segment_values - 1) / segment_values : 0,
        .has_escape = reading->model.has_escape};
    COVEY_TRY(covey_segments_open(&reading->segments, decoder, used, &layout, err));
    if (reading->model.rows[1] > 0)
        covey_trellis_slots(&reading->model, reading->slots);
    decoder->chunk_values = segment_values;
    return COVEY_OK;
}

static void seek_segment(struct covey_decoder *decoder, size_t first)
{
    struct reading *reading = reading_of(decoder);
    struct covey_segment segment;
    if (reading->model.rows[1] == 0)
        return;
    const uint8_t *begin = covey_segments_find(&reading->segments, first / decoder->chunk_values, &segment);
    const uint8_t *end = begin + segment.bytes, *escapes = end - segment.escape_bytes;
    reading->escapes = (struct covey_bit_reader){.at = escapes, .limit = end};
    covey_rans_open(&reading->symbols, begin, escapes, 1u << reading->model.lanes_log);
    memset(reading->states, 0, sizeof reading->states);
}

/* One symbol, of value i of a tile. */
static int8_t read_symbol(struct reading *reading, size_t i)
{
    struct covey_rans_reader *symbols = &reading->symbols;
    const size_t lane = i & (symbols->lane_count - 1);
    const uint32_t slot = symbols->lanes[lane] & (COVEY_RANS_SLOTS - 1);
    const uint32_t packed = reading->slots[(reading->states[lane] & 1) * COVEY_TRELLIS_SLOTS + slot / 2];
    const int8_t v = (int8_t)(packed >> 24);
    uint32_t x = (packed & (COVEY_RANS_SLOTS - 1)) * (symbols->lanes[lane] >> COVEY_RANS_BITS) +
                 (packed >> COVEY_RANS_BITS & (COVEY_RANS_SLOTS - 1)) + (slot & 1);
    if (x < COVEY_RANS_LOW && symbols->end - symbols->words >= 2) {
        x = x << 16 | symbols->words[0] | (uint32_t)symbols->words[1] << 8;
        symbols->words += 2;
    }
    symbols->lanes[lane] = x;
    reading->states[lane] = covey_trellis_next(reading->states[lane], v);
    return v;
}

static void read_symbols(struct reading *reading, size_t count, int8_t *out)
{
    struct covey_rans_reader *symbols = &reading->symbols;
    size_t done = 0;
    if (symbols->lane_count == COVEY_TRELLIS_LANES)
        done = COVEY_TRELLIS_LANES * covey_trellis_kernels_at(0)->decode(
                                         reading->slots, symbols->lanes, reading->states, &symbols->words,
                                         symbols->end, count / COVEY_TRELLIS_LANES, out);
    for (size_t i = done; i < count; i++)
        out[i] = read_symbol(reading, i);
}

/* How many times two rows further than its symbol an escaped magnitude lies. */
static uint32_t read_further(struct reading *reading)
{
    uint32_t length = 0;
    while (length < reading->model.longest && covey_bits_read(&reading->escapes, 1) == 0)
        length++;
    if (length == reading->model.longest)
        (void)covey_bits_read(&reading->escapes, 1);
    return (1u << length | covey_bits_read(&reading->escapes, length)) - 1;
}

static void read_escapes(struct reading *reading, const int8_t *symbols, size_t count, int32_t *levels)
{
    const struct covey_trellis_model *model = &reading->model;
    uint16_t found[COVEY_DECODE_VALUES];
    const int32_t direct = model->rows[0] <= model->rows[1] ? 2 * model->rows[0] - 1 : 2 * model->rows[1];
    const size_t candidates = covey_entropy_kernels_at(0)->outside(symbols, count, -direct, direct, found);
    for (size_t i = 0; i < candidates; i++) {
        const int v = symbols[found[i]];
        const uint32_t magnitude = (uint32_t)(v < 0 ? -v : v);
        if (!covey_trellis_escapes(model, magnitude))
            continue;
        const int32_t level = covey_trellis_level(model, magnitude + 4 * read_further(reading));
        levels[found[i]] = v < 0 ? -level : level;
    }
}

static size_t next_levels(struct covey_decoder *decoder, size_t count, int32_t *levels)
{
    struct reading *reading = reading_of(decoder);
    const struct covey_trellis_model *model = &reading->model;
    const struct covey_trellis_moves moves = {{model->moves[0], model->moves[1], model->moves[2]}};
    int8_t symbols[COVEY_DECODE_VALUES];
    if (model->rows[1] == 0) {
        memset(levels, 0, count * sizeof *levels);
        return count;
    }
    read_symbols(reading, count, symbols);
    covey_trellis_kernels_at(0)->levels(&moves, symbols, count, levels);
    if (model->has_escape)
        read_escapes(reading, symbols, count, levels);
    return count;
}

static float scale_of(const struct covey_decoder *decoder)
{
    return reading_in(decoder)->model.step * (1.0f / COVEY_TRELLIS_UNITS);
}

static float peak_of(const struct covey_decoder *decoder, size_t first, size_t last)
{
    (void)first;
    (void)last; /* one quantiser for all values */
    const double most = (double)covey_trellis_largest(&reading_in(decoder)->model);
    return (float)((most > 0 ? most + 1 : 0) * (double)reading_in(decoder)->model.step * (1 + 0x1p-20));
}

static const struct covey_vector_coder coder = {.bound = covey_trellis_bound,
                                                .scratch_bytes = covey_trellis_scratch_bytes,
                                                .encode = covey_trellis_encode,
                                                .open = open_stream,
                                                .seek = seek_segment,
                                                .next = next_levels,
                                                .scale = scale_of,
                                                .peak = peak_of};

const struct covey_quantiser covey_quantise_trellis = {.name = "trellis", .vector = &coder};
