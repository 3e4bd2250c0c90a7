#include "trellis_model.h"

#include <string.h>

#include "rate_search.h"

#define FREQUENCY_CODES 128
#define STEP_EXPONENT_MIN 31 /* biased: steps from 2^-96, so that units are normal floats */
#define STEP_EXPONENT_MAX 224
#define PLAIN_MAGNITUDES 1024 /* below, levels have moves */

/* ---- frequencies, of COVEY_TRELLIS_SLOTS ---- */

/* 1 to 32, then five significant bits. */
static uint32_t frequency_of(uint32_t code)
{
    return code < 32 ? code + 1 : (16 + (code - 32) % 16) << ((code - 32) / 16 + 1);
}

static uint8_t code_of(double frequency)
{
    uint32_t code = 0; /* the first whose middle to the next is not below */
    for (uint32_t half = FREQUENCY_CODES / 2; half > 0; half /= 2)
        if (2 * frequency > (double)(frequency_of(code + half - 1) + frequency_of(code + half)))
            code += half;
    return (uint8_t)code;
}

static uint32_t rows_and_escapes(const struct covey_trellis_model *model, uint32_t kind)
{
    return model->rows[kind] + (model->has_escape ? 2u : 0u);
}

/* Slots that are left for row 0, which has one symbol of even, two of odd magnitude. */
static int32_t first_frequency(const struct covey_trellis_model *model, uint32_t kind)
{
    int32_t left = COVEY_TRELLIS_SLOTS;
    for (uint32_t row = 1; row < rows_and_escapes(model, kind); row++)
        left -= 2 * (int32_t)frequency_of(model->frequencies[kind][row]);
    return kind == 0 ? left : left / 2;
}

static uint32_t row_frequency(const struct covey_trellis_model *model, uint32_t kind, uint32_t row)
{
    return row == 0 ? (uint32_t)first_frequency(model, kind) : frequency_of(model->frequencies[kind][row]);
}

/* The row whose symbol stands for a magnitude. */
static uint32_t symbol_row(const struct covey_trellis_model *model, uint32_t magnitude)
{
    const uint32_t row = magnitude / 2, rows = model->rows[magnitude & 1];
    return row < rows ? row : rows + ((row - rows) & 1);
}

double covey_trellis_bits(const struct covey_trellis_model *model, uint32_t magnitude)
{
    const uint32_t kind = magnitude & 1, row = symbol_row(model, magnitude);
    if (model->rows[kind] == 0 || row >= rows_and_escapes(model, kind))
        return 20; /* it has no symbol */
    double bits = COVEY_RANS_BITS - 1 - covey_log2((double)row_frequency(model, kind, row));
    if (row >= model->rows[kind])
        for (uint32_t further = (magnitude / 2 - row) / 2 + 1; further > 0; further /= 2)
            bits += further > 1 ? 2 : 1;
    return bits;
}

/* Calls for every symbol: its slots begin at `start` of the kind's. */
struct symbol {
    int8_t v;
    uint32_t start, frequency;
};

static size_t symbols_of(const struct covey_trellis_model *model, uint32_t kind, struct symbol *out)
{
    size_t count = 0;
    uint32_t start = 0;
    for (uint32_t row = 0; row < rows_and_escapes(model, kind); row++) {
        const uint32_t frequency = row_frequency(model, kind, row);
        const int v = (int)(2 * row + kind);
        for (int sign = 1; sign >= (v == 0 ? 1 : -1); sign -= 2) {
            out[count++] = (struct symbol){(int8_t)(sign * v), start, frequency};
            start += frequency;
        }
    }
    return count;
}

/* Frequencies are even in the coder's slots, so that two of them share an entry. */
void covey_trellis_slots(const struct covey_trellis_model *model, uint32_t *slots)
{
    struct symbol symbols[COVEY_TRELLIS_SHARES / 2];
    for (uint32_t kind = 0; kind < 2; kind++) {
        uint32_t *of_kind = slots + kind * COVEY_TRELLIS_SLOTS;
        const size_t count = symbols_of(model, kind, symbols);
        /* Odd rows' first frequency is rounded down: a slot that nobody has does as the first symbol's. */
        for (uint32_t i = 0; i < COVEY_TRELLIS_SLOTS; i++)
            of_kind[i] = 2 * symbols[0].frequency | (uint32_t)(uint8_t)symbols[0].v << 24;
        for (size_t s = 0; s < count; s++)
            for (uint32_t i = 0; i < symbols[s].frequency; i++)
                of_kind[symbols[s].start + i] = 2 * symbols[s].frequency | 2 * i << COVEY_RANS_BITS |
                                                (uint32_t)(uint8_t)symbols[s].v << 24;
    }
}

void covey_trellis_ranges(const struct covey_trellis_model *model, uint32_t *ranges)
{
    uint32_t own[256] = {0};
    struct symbol symbols[COVEY_TRELLIS_SHARES / 2];
    for (uint32_t kind = 0; kind < 2; kind++) {
        const size_t count = symbols_of(model, kind, symbols);
        for (size_t s = 0; s < count; s++)
            own[(uint8_t)symbols[s].v] = 2 * symbols[s].frequency | 2 * symbols[s].start << COVEY_RANS_BITS;
    }
    for (int v = -127; v <= 127; v++) {
        const uint32_t magnitude = (uint32_t)(v < 0 ? -v : v);
        const int stands = (int)(2 * symbol_row(model, magnitude) + (magnitude & 1));
        ranges[(uint8_t)v] = stands <= 127 ? own[(uint8_t)(v < 0 ? -stands : stands)] : 0;
    }
}

/* ---- fit ---- */

/* Rows of a kind: as many as leave at most `most` values beyond them. */
static uint32_t rows_for(const uint32_t counts[128], uint32_t kind, double most)
{
    uint32_t rows = 64;
    double beyond = 0;
    while (rows > 1 && (rows > COVEY_TRELLIS_ROWS || beyond + counts[2 * (rows - 1) + kind] <= most)) {
        rows--;
        beyond += counts[2 * rows + kind];
    }
    return rows;
}

static void fit_kind(struct covey_trellis_model *model, const uint32_t counts[128], uint32_t kind)
{
    double by_row[66] = {0}, total = 0;
    for (uint32_t m = kind; m < 128; m += 2) {
        by_row[symbol_row(model, m)] += counts[m];
        total += counts[m];
    }
    const uint32_t rows = rows_and_escapes(model, kind);
    for (uint32_t row = 1; row < rows; row++)
        model->frequencies[kind][row] =
            total > 0 ? code_of(by_row[row] / total * COVEY_TRELLIS_SLOTS / 2) : 0;
    while (first_frequency(model, kind) < 1) {
        uint32_t largest = 1;
        for (uint32_t row = 2; row < rows; row++)
            if (model->frequencies[kind][row] > model->frequencies[kind][largest])
                largest = row;
        model->frequencies[kind][largest]--;
    }
}

/* With as many rows as leave at most `most` values of each kind beyond them; the bits of it all. */
static double fit_rows(struct covey_trellis_model *model, const uint32_t counts[128], double most)
{
    double bits = 8 * 8;
    model->has_escape = false;
    for (uint32_t kind = 0; kind < 2; kind++) {
        model->rows[kind] = (uint8_t)rows_for(counts, kind, most);
        for (uint32_t m = 2u * model->rows[kind] + kind; m < 128; m += 2)
            model->has_escape = model->has_escape || counts[m] > 0;
    }
    model->longest = model->has_escape ? COVEY_TRELLIS_LONGEST : 0;
    if (model->rows[0] == 1 && !model->has_escape)
        model->rows[0] = 2; /* no symbol may have all slots */
    for (uint32_t kind = 0; kind < 2; kind++) {
        fit_kind(model, counts, kind);
        bits += 8.0 * (rows_and_escapes(model, kind) - 1);
    }
    for (uint32_t m = 0; m < 128; m++)
        if (counts[m] > 0)
            bits += counts[m] * covey_trellis_bits(model, m);
    return bits + (model->has_escape ? 8 : 0);
}

double covey_trellis_fit(struct covey_trellis_model *model, const uint32_t counts[128])
{
    double total = counts[0], best = -1, best_most = 0;
    for (uint32_t m = 1; m < 128; m++)
        total += counts[m];
    if (total == counts[0]) {
        model->has_escape = false;
        model->longest = model->rows[1] = 0;
        model->rows[0] = 1;
        return 8 * 8;
    }
    /* A rare symbol takes slots from the others, an escape takes bits. */
    for (double share = 0; share <= 0x1p-6; share = share == 0 ? 0x1p-13 : 2 * share) {
        const double bits = fit_rows(model, counts, total * share);
        if (best < 0 || bits < best) {
            best = bits;
            best_most = total * share;
        }
    }
    return fit_rows(model, counts, best_most);
}

/* ---- bytes ---- */

size_t covey_trellis_write(const struct covey_trellis_model *model, uint8_t *out)
{
    uint32_t step;
    size_t used = 8;
    memcpy(&step, &model->step, sizeof step);
    out[0] = (uint8_t)(model->lanes_log << 5 | (model->has_escape ? 16 : 0) | model->segment_log);
    out[1] = model->rows[0];
    out[2] = model->rows[1];
    out[3] = (uint8_t)(step >> 15);
    out[4] = (uint8_t)(step >> 23);
    memcpy(out + 5, model->moves, 3);
    if (model->has_escape)
        out[used++] = model->longest;
    for (uint32_t kind = 0; kind < 2 && model->rows[1] > 0; kind++) {
        memcpy(out + used, model->frequencies[kind] + 1, rows_and_escapes(model, kind) - 1);
        used += rows_and_escapes(model, kind) - 1;
    }
    return used;
}

/* What follows the first eight bytes. */
static bool read_rest(struct covey_bytes bytes, struct covey_trellis_model *model, size_t *used)
{
    size_t at = 8;
    if (model->has_escape) {
        if (at >= bytes.size)
            return false;
        model->longest = bytes.data[at++];
    }
    for (uint32_t kind = 0; kind < 2 && model->rows[1] > 0; kind++) {
        const size_t count = rows_and_escapes(model, kind) - 1;
        if (bytes.size - at < count)
            return false;
        memcpy(model->frequencies[kind] + 1, bytes.data + at, count);
        at += count;
        for (size_t row = 1; row <= count; row++)
            if (model->frequencies[kind][row] >= FREQUENCY_CODES)
                return false;
        /* In the coder a symbol has at most all slots but one. */
        if (first_frequency(model, kind) < 1 || (kind == 0 && count == 0))
            return false;
    }
    *used = at;
    return true;
}

static bool is_sound(const struct covey_trellis_model *model)
{
    uint32_t step;
    memcpy(&step, &model->step, sizeof step);
    for (size_t i = 0; i < 3; i++)
        if (model->moves[i] < -31 || model->moves[i] > 31)
            return false;
    if (step >> 23 < STEP_EXPONENT_MIN || step >> 23 > STEP_EXPONENT_MAX ||
        model->longest > COVEY_TRELLIS_LONGEST || model->rows[0] < 1 || model->rows[0] > COVEY_TRELLIS_ROWS ||
        model->rows[1] > COVEY_TRELLIS_ROWS)
        return false;
    return (double)(covey_trellis_largest(model) + 1) * (double)model->step < 0x1p127;
}

enum covey_status covey_trellis_read(struct covey_bytes bytes, struct covey_trellis_model *out, size_t *used,
                                     struct covey_error *err)
{
    struct covey_trellis_model model = {0};
    if (bytes.size < 8)
        return covey_fail(err, COVEY_CORRUPT, "codec stream: it ends among the trellis' parameters");
    const uint32_t step = (uint32_t)(bytes.data[3] | bytes.data[4] << 8) << 15;
    model.segment_log = bytes.data[0] & 15;
    model.lanes_log = bytes.data[0] >> 5;
    model.has_escape = (bytes.data[0] & 16) != 0;
    model.rows[0] = bytes.data[1];
    model.rows[1] = bytes.data[2];
    memcpy(&model.step, &step, sizeof step);
    memcpy(model.moves, bytes.data + 5, 3);
    if (1u << model.lanes_log > COVEY_RANS_LANES || bytes.data[1] > COVEY_TRELLIS_ROWS ||
        bytes.data[2] > COVEY_TRELLIS_ROWS || !read_rest(bytes, &model, used) || !is_sound(&model))
        return covey_fail(err, COVEY_CORRUPT, "codec stream: the trellis' parameters make no sense");
    *out = model;
    return COVEY_OK;
}

/* ---- levels ---- */

int32_t covey_trellis_level(const struct covey_trellis_model *model, uint32_t magnitude)
{
    if (magnitude < PLAIN_MAGNITUDES)
        return magnitude == 0 ? 0
                              : (int32_t)(magnitude * COVEY_TRELLIS_UNITS) +
                                    model->moves[magnitude < 3 ? magnitude - 1 : 2];
    uint32_t kept = magnitude;
    for (uint32_t low = 1; kept >> 15 != 0 && magnitude >> 15 >= low; low *= 2)
        kept &= ~low;
    return (int32_t)(kept * COVEY_TRELLIS_UNITS);
}

uint32_t covey_trellis_largest(const struct covey_trellis_model *model)
{
    const uint32_t rows = model->rows[0] > model->rows[1] ? model->rows[0] : model->rows[1];
    if (model->rows[1] == 0)
        return 0;
    if (!model->has_escape)
        return 2 * (rows - 1u) + 1;
    /* The second escape, and twice as many rows as the longest code says. */
    return 2 * (rows + 1u + 2 * ((2u << model->longest) - 2)) + 1;
}
