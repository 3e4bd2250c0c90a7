#include "uniform_model.h"

#include <string.h>

#define UNITS 64 /* in a step */
#define FREQUENCY_CODES 144
#define STEP_EXPONENT_MIN 31 /* biased: steps from 2^-96, so that units are normal floats */
#define STEP_EXPONENT_MAX 254

/* ---- frequencies ---- */

/* 1 to 32, then five significant bits. */
static uint32_t frequency_of(uint32_t code)
{
    return code < 32 ? code + 1 : (16 + (code - 32) % 16) << ((code - 32) / 16 + 1);
}

/* The code of the nearest frequency. */
static uint8_t code_of(double frequency)
{
    uint32_t code = 0;
    while (code + 1 < FREQUENCY_CODES &&
           2 * frequency > (double)(frequency_of(code) + frequency_of(code + 1)))
        code++;
    return (uint8_t)code;
}

/* Symbols that row 0 has. */
static uint32_t zero_symbols(const struct covey_uniform_model *model)
{
    return model->shift == 0 ? 1 : 2;
}

static uint32_t pairs(const struct covey_uniform_model *model)
{
    return model->rows + (model->has_escape ? 1u : 0u);
}

/* Slots of row 0's symbols, each; 0 or less where the others take too much. */
static int32_t zero_frequency(const struct covey_uniform_model *model)
{
    int32_t left = (int32_t)COVEY_RANS_SLOTS;
    for (uint32_t row = 1; row < pairs(model); row++)
        left -= 2 * (int32_t)frequency_of(model->frequencies[row]);
    return left / (int32_t)zero_symbols(model);
}

size_t covey_uniform_shares(const struct covey_uniform_model *model, struct covey_rans_share *shares)
{
    size_t count = 0;
    if (pairs(model) == 0 || (model->shift == 0 && pairs(model) == 1))
        return 0;
    for (int row = 0; row < (int)pairs(model); row++) {
        const uint16_t frequency =
            (uint16_t)(row == 0 ? (uint32_t)zero_frequency(model) : frequency_of(model->frequencies[row]));
        shares[count++] = (struct covey_rans_share){(int8_t)row, frequency};
        if (row > 0 || model->shift > 0)
            shares[count++] =
                (struct covey_rans_share){(int8_t)(model->shift == 0 ? -row : -1 - row), frequency};
    }
    return count;
}

/* ---- escapes ---- */

uint32_t covey_uniform_move_row(const struct covey_uniform_model *model, uint32_t row)
{
    if (row == 0)
        return 0;
    const int32_t move = row < 512 ? model->moves[row < 3 ? row - 1 : 2] : 0; /* 15 significant bits */
    return (uint32_t)((int32_t)(row * UNITS) + move);
}

static uint32_t length_of(uint32_t value) /* bits below the leading one */
{
    return 31 - (uint32_t)__builtin_clz(value);
}

/* What is written for a magnitude: with its leading one, at most COVEY_UNIFORM_LONGEST bits below. */
static uint32_t escape_value(const struct covey_uniform_model *model, uint32_t row)
{
    const uint32_t largest = 2u << COVEY_UNIFORM_LONGEST;
    if (row >> (COVEY_UNIFORM_MANTISSA + 1) == 0)
        return row - model->rows + (1u << model->order);
    return row < largest ? row : largest - 1;
}

void covey_uniform_put_escape(const struct covey_uniform_model *model, uint32_t row,
                              struct covey_bit_writer *bits)
{
    const uint32_t value = escape_value(model, row), length = length_of(value);
    const uint32_t kept = length < COVEY_UNIFORM_MANTISSA ? length : COVEY_UNIFORM_MANTISSA;
    covey_bits_write(bits, 0, length - model->order);
    covey_bits_write(bits, 1, 1);
    covey_bits_write(bits, value >> (length - kept) & ((1u << kept) - 1), kept);
}

uint32_t covey_uniform_get_escape(const struct covey_uniform_model *model, struct covey_bit_reader *bits)
{
    uint32_t length = model->order;
    while (length < model->longest && covey_bits_read(bits, 1) == 0)
        length++;
    if (length == model->longest)
        (void)covey_bits_read(bits, 1);
    const uint32_t kept = length < COVEY_UNIFORM_MANTISSA ? length : COVEY_UNIFORM_MANTISSA;
    const uint32_t value = (1u << kept | covey_bits_read(bits, kept)) << (length - kept);
    return length <= COVEY_UNIFORM_MANTISSA ? value + model->rows - (1u << model->order) : value;
}

/* ---- fit ---- */

/* Bits of all escapes if rows from `rows` on are some, with the order. */
static double escape_bits(const struct covey_uniform_counts *counts, uint32_t rows, uint32_t order)
{
    double bits = 0;
    for (uint32_t row = rows; row < COVEY_UNIFORM_ROWS; row++)
        if (counts->rows[row] > 0)
            bits += (double)counts->rows[row] * (2 * length_of(row - rows + (1u << order)) - order + 1);
    for (uint32_t n = 0; n <= COVEY_UNIFORM_LONGEST; n++)
        bits += (double)counts->beyond[n] *
                (n - order + 1 + (n < COVEY_UNIFORM_MANTISSA ? n : COVEY_UNIFORM_MANTISSA));
    return bits;
}

/* Bits of n symbols that have this frequency each. */
static double symbol_bits(double n, uint32_t frequency)
{
    return n > 0 ? n * (COVEY_RANS_BITS - covey_log2((double)frequency)) : 0;
}

/* Takes frequency codes down until row 0 has something left, from the largest. */
static void make_room(struct covey_uniform_model *model)
{
    while (zero_frequency(model) < 1) {
        uint32_t largest = 1;
        for (uint32_t row = 2; row < pairs(model); row++)
            if (model->frequencies[row] > model->frequencies[largest])
                largest = row;
        model->frequencies[largest]--;
    }
}

/* Frequencies for the model's rows; the bits of all symbols and of the frequencies' bytes. */
static double fit_frequencies(struct covey_uniform_model *model, const struct covey_uniform_counts *counts,
                              double escapes)
{
    const double slots = (double)COVEY_RANS_SLOTS / 2 / (double)counts->total;
    double bits = 0;
    for (uint32_t row = 1; row < pairs(model); row++)
        model->frequencies[row] = code_of((row < model->rows ? (double)counts->rows[row] : escapes) * slots);
    make_room(model);
    for (uint32_t row = 0; row < pairs(model); row++) {
        const uint32_t frequency =
            row == 0 ? (uint32_t)zero_frequency(model) : frequency_of(model->frequencies[row]);
        if (pairs(model) > 1 || model->shift > 0)
            bits += symbol_bits(row < model->rows ? (double)counts->rows[row] : escapes, frequency);
        bits += row > 0 ? 8 : 0;
    }
    return bits;
}

/* With `rows` rows and an escape where values are left over. */
static double fit_rows(struct covey_uniform_model *model, const struct covey_uniform_counts *counts,
                       uint32_t rows, double escapes)
{
    double bits = 0;
    model->rows = (uint8_t)rows;
    model->has_escape = escapes > 0;
    model->order = 0;
    if (model->has_escape) {
        bits = escape_bits(counts, rows, 0);
        for (uint32_t order = 1; order <= 6 && 1u << order <= rows; order++) {
            const double other = escape_bits(counts, rows, order);
            if (other >= bits)
                break;
            bits = other;
            model->order = (uint8_t)order;
        }
    }
    return bits + fit_frequencies(model, counts, escapes);
}

static uint8_t longest_escape(const struct covey_uniform_model *model,
                              const struct covey_uniform_counts *counts)
{
    uint32_t longest = model->order;
    for (uint32_t row = model->rows; row < COVEY_UNIFORM_ROWS; row++)
        if (counts->rows[row] > 0 && length_of(row - model->rows + (1u << model->order)) > longest)
            longest = length_of(row - model->rows + (1u << model->order));
    for (uint32_t n = 0; n <= COVEY_UNIFORM_LONGEST; n++)
        if (counts->beyond[n] > 0 && n > longest)
            longest = n;
    return (uint8_t)longest;
}

double covey_uniform_fit(struct covey_uniform_model *model, const struct covey_uniform_counts *counts)
{
    double escapes = 0, best = -1;
    uint32_t last = COVEY_UNIFORM_ROWS, best_rows = 1;
    double best_escapes = 0;
    for (uint32_t n = 0; n <= COVEY_UNIFORM_LONGEST; n++)
        escapes += (double)counts->beyond[n];
    while (escapes == 0 && last > 1 && counts->rows[last - 1] == 0)
        last--;
    /* From all rows down, as long as the few that then escape are not too many. */
    for (uint32_t rows = last; rows >= 1; rows--) {
        if (rows < last)
            escapes += (double)counts->rows[rows];
        if (rows < last && escapes > 0.05 * (double)counts->total && rows > 2)
            break;
        const double bits = fit_rows(model, counts, rows, escapes);
        if (best < 0 || bits < best) {
            best = bits;
            best_rows = rows;
            best_escapes = escapes;
        }
    }
    best = fit_rows(model, counts, best_rows, best_escapes);
    model->longest = model->has_escape ? longest_escape(model, counts) : 0;
    return best + 8 * (5 + (model->has_escape ? 1 : 0) + (model->shift == 0 ? 3 : 0));
}

/* ---- bytes ---- */

static uint32_t move_count(const struct covey_uniform_model *model)
{
    if (model->shift > 0)
        return 0;
    return pairs(model) - 1 < 3 ? pairs(model) - 1 : 3;
}

size_t covey_uniform_write(const struct covey_uniform_model *model, uint8_t *out)
{
    uint32_t step;
    size_t used = 0;
    memcpy(&step, &model->step, sizeof step);
    out[used++] = (uint8_t)(model->shift << 4 | model->segment_log);
    out[used++] = (uint8_t)(model->lanes_log << 5 | model->order << 2 | (model->has_escape ? 2 : 0));
    out[used++] = (uint8_t)(model->rows - 1);
    out[used++] = (uint8_t)(step >> 15);
    out[used++] = (uint8_t)(step >> 23);
    if (model->has_escape)
        out[used++] = model->longest;
    memcpy(out + used, model->moves, move_count(model));
    used += move_count(model);
    memcpy(out + used, model->frequencies + 1, pairs(model) - 1);
    return used + pairs(model) - 1;
}

/* What follows the first five bytes. */
static bool read_rest(struct covey_bytes bytes, struct covey_uniform_model *model, size_t *used)
{
    const size_t moves = move_count(model), frequencies = pairs(model) - 1;
    size_t at = 5;
    if (bytes.size < at + (model->has_escape ? 1 : 0) + moves + frequencies)
        return false;
    if (model->has_escape)
        model->longest = bytes.data[at++];
    memcpy(model->moves, bytes.data + at, moves);
    memcpy(model->frequencies + 1, bytes.data + at + moves, frequencies);
    *used = at + moves + frequencies;
    for (size_t row = 1; row <= frequencies; row++)
        if (model->frequencies[row] >= FREQUENCY_CODES)
            return false;
    for (size_t i = 0; i < moves; i++)
        if (model->moves[i] < -63 || model->moves[i] > 63)
            return false;
    return zero_frequency(model) >= 1;
}

static bool is_sound(const struct covey_uniform_model *model)
{
    uint32_t step;
    memcpy(&step, &model->step, sizeof step);
    if (step >> 23 < STEP_EXPONENT_MIN || step >> 23 > STEP_EXPONENT_MAX)
        return false;
    if (model->has_escape &&
        (model->longest < model->order || model->longest + model->shift > COVEY_UNIFORM_LONGEST ||
         1u << model->order > model->rows))
        return false;
    return (double)covey_uniform_level_limit(model) * (double)covey_uniform_unit(model) < 0x1.fffp127;
}

enum covey_status covey_uniform_read(struct covey_bytes bytes, struct covey_uniform_model *out, size_t *used,
                                     struct covey_error *err)
{
    struct covey_uniform_model model = {0};
    if (bytes.size < 5)
        return covey_fail(err, COVEY_CORRUPT, "codec stream: it ends among the quantiser's parameters");
    const uint32_t step = (uint32_t)(bytes.data[3] | bytes.data[4] << 8) << 15;
    model.shift = bytes.data[0] >> 4;
    model.segment_log = bytes.data[0] & 15;
    model.lanes_log = bytes.data[1] >> 5;
    model.order = bytes.data[1] >> 2 & 7;
    model.has_escape = (bytes.data[1] & 2) != 0;
    model.rows = (uint8_t)(bytes.data[2] + 1);
    memcpy(&model.step, &step, sizeof step);
    if (model.shift > COVEY_UNIFORM_SHIFT_MAX || 1u << model.lanes_log > COVEY_RANS_LANES ||
        (bytes.data[1] & 1) != 0 || bytes.data[2] >= COVEY_UNIFORM_ROWS || !read_rest(bytes, &model, used) ||
        !is_sound(&model))
        return covey_fail(err, COVEY_CORRUPT, "codec stream: the quantiser's parameters make no sense");
    *out = model;
    return COVEY_OK;
}

/* ---- levels ---- */

float covey_uniform_unit(const struct covey_uniform_model *model)
{
    return model->shift == 0 ? model->step * (1.0f / UNITS) : model->step;
}

uint32_t covey_uniform_level_limit(const struct covey_uniform_model *model)
{
    uint32_t most = model->rows - 1u;
    if (model->has_escape)
        most = model->longest > COVEY_UNIFORM_MANTISSA ? (2u << model->longest) - 1
                                                       : (2u << model->longest) - 1 + model->rows;
    return model->shift == 0 ? most * UNITS + (most > 0 ? UNITS - 1 : 0) : (most + 1) << model->shift;
}
