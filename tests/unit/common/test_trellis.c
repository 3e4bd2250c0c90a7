/* The trellis coded quantiser: every table of kernels against the plain one, the plain search against all
 * paths, the model's bytes, rates and errors. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"
#include "trellis_model.h"
#include "trellis_symbols.h"

static struct covey_trellis_costs some_costs(uint64_t seed)
{
    struct covey_random random;
    struct covey_trellis_costs costs;
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (int kind = 0; kind < 2; kind++)
        for (int row = 0; row < COVEY_TRELLIS_RATES; row++)
            costs.rates[kind][row] = (uint8_t)covey_random_below(&random, seed % 2 == 0 ? 60 : 188);
    for (int j = 0; j < 4; j++)
        costs.shifts[j] = (int16_t)covey_random_below(&random, COVEY_TRELLIS_SHIFT_MAX + 1);
    return costs;
}

static void some_units(int16_t *q, size_t count, uint64_t seed)
{
    struct covey_random random;
    covey_random_init(&random, seed, 1, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        const int32_t reach = covey_random_below(&random, 50) == 0 ? COVEY_TRELLIS_REACH : 60;
        q[i] = (int16_t)((int32_t)covey_random_below(&random, (uint32_t)(2 * reach + 1)) - reach);
    }
}

Test(trellis, every_table_gives_the_same_bits)
{
    enum { STEPS = 777, COUNT = STEPS * 32 };
    static int16_t q[COUNT], p[COUNT];
    static uint8_t classes[COUNT], others[COUNT];
    static int8_t symbols[COUNT], other_symbols[COUNT];
    static int32_t levels[COUNT], other_levels[COUNT];
    static float x[COUNT];
    const struct covey_trellis_kernels *plain = &covey_trellis_kernels_plain;
    const struct covey_trellis_moves moves = {{-7, 13, 31}};
    for (size_t k = 0; covey_trellis_kernels_at(k) != NULL; k++) {
        const struct covey_trellis_kernels *kernels = covey_trellis_kernels_at(k);
        for (uint64_t seed = 0; seed < 6; seed++) {
            const struct covey_trellis_costs costs = some_costs(seed);
            const size_t lanes = seed == 5 ? 4 : 32, steps = seed < 3 ? (size_t)seed + 1 : STEPS;
            some_units(q, COUNT, seed);
            kernels->search(&costs, q, steps, lanes, classes);
            plain->search(&costs, q, steps, lanes, others);
            cr_expect_eq(memcmp(classes, others, steps * lanes), 0, "%s, %zu", kernels->name, (size_t)seed);
            kernels->symbols(&costs, q, others, steps * lanes - 3, symbols);
            plain->symbols(&costs, q, others, steps * lanes - 3, other_symbols);
            cr_expect_eq(memcmp(symbols, other_symbols, steps * lanes - 3), 0, "%s", kernels->name);
            kernels->levels(&moves, symbols, steps * lanes - 3, levels);
            plain->levels(&moves, symbols, steps * lanes - 3, other_levels);
            cr_expect_eq(memcmp(levels, other_levels, (steps * lanes - 3) * sizeof *levels), 0);
            for (size_t i = 0; i < COUNT; i++)
                x[i] = (float)q[i] * 1.37f + 0.499f;
            kernels->units(x, COUNT, 1.0f, q);
            plain->units(x, COUNT, 1.0f, p);
            cr_expect_eq(memcmp(q, p, sizeof q), 0, "%s", kernels->name);
        }
    }
}

/* Any bytes decode, to the same in every table: also what no encoder would write. */
Test(trellis, every_table_decodes_the_same)
{
    enum { GROUPS = 200, COUNT = GROUPS * COVEY_RANS_LANES, BYTES = 4 * COUNT };
    static uint32_t slots[2 * COVEY_TRELLIS_SLOTS];
    static uint8_t bytes[BYTES];
    static int8_t symbols[2][COUNT];
    struct covey_random random;
    covey_random_init(&random, 4, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)covey_random_u32(&random);
    for (uint32_t i = 0; i < 2 * COVEY_TRELLIS_SLOTS;) { /* runs of slots, all even frequencies */
        const uint32_t left = COVEY_TRELLIS_SLOTS - i % COVEY_TRELLIS_SLOTS;
        uint32_t n = 1 + covey_random_below(&random, 900);
        n = n > left ? left : n;
        const uint32_t v = 2 * covey_random_below(&random, 128) + i / COVEY_TRELLIS_SLOTS;
        for (uint32_t j = 0; j < n && n < COVEY_TRELLIS_SLOTS; j++)
            slots[i + j] = 2 * n | 2 * j << COVEY_RANS_BITS | (v & 0xFF) << 24;
        i += n;
    }
    for (size_t k = 0; covey_trellis_kernels_at(k) != NULL; k++) {
        uint32_t lanes[2][COVEY_RANS_LANES], states[2][COVEY_RANS_LANES];
        const uint8_t *words[2] = {bytes, bytes};
        size_t groups[2];
        for (int i = 0; i < 2; i++) {
            const struct covey_trellis_kernels *these =
                i == 0 ? &covey_trellis_kernels_plain : covey_trellis_kernels_at(k);
            for (uint32_t lane = 0; lane < COVEY_RANS_LANES; lane++) {
                lanes[i][lane] = lane % 3 == 0 ? lane : COVEY_RANS_LOW + 7654321 * lane;
                states[i][lane] = lane % 8;
            }
            groups[i] =
                these->decode(slots, lanes[i], states[i], &words[i], bytes + BYTES, GROUPS, symbols[i]);
        }
        cr_assert_eq(groups[0], groups[1]);
        cr_expect_gt(groups[0], 0);
        cr_expect_eq(words[0], words[1]);
        cr_expect_eq(memcmp(lanes[0], lanes[1], sizeof lanes[0]), 0);
        cr_expect_eq(memcmp(states[0], states[1], sizeof states[0]), 0);
        cr_expect_eq(memcmp(symbols[0], symbols[1], sizeof symbols[0]), 0, "%s",
                     covey_trellis_kernels_at(k)->name);
    }
}

static int32_t cost_of(const struct covey_trellis_costs *costs, int32_t q, int32_t v)
{
    const int32_t row = abs(v) / 2;
    return (q - 16 * v) * (q - 16 * v) +
           8 * costs->rates[v & 1][row < COVEY_TRELLIS_RATES ? row : COVEY_TRELLIS_RATES - 1];
}

/* The cheapest of all paths through `steps` values, by trying each: two classes in every state. */
static int32_t cheapest(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps,
                        uint32_t state)
{
    int32_t best = INT32_MAX;
    if (steps == 0)
        return 0;
    for (uint8_t twice_parity = 0; twice_parity <= 2; twice_parity += 2) {
        const int32_t v = covey_trellis_symbol(costs, *q, (uint8_t)((state & 1) + twice_parity));
        const int32_t cost =
            cost_of(costs, *q, v) + cheapest(costs, q + 1, steps - 1, covey_trellis_next(state, v));
        best = cost < best ? cost : best;
    }
    return best;
}

Test(trellis, search_finds_the_cheapest_path)
{
    enum { STEPS = 12 };
    int16_t q[STEPS];
    uint8_t classes[STEPS];
    for (uint64_t seed = 0; seed < 60; seed++) {
        const struct covey_trellis_costs costs = some_costs(seed);
        struct covey_random random;
        int32_t cost = 0;
        uint32_t state = 0;
        covey_random_init(&random, seed, 2, 0, COVEY_PURPOSE_TEST);
        for (size_t i = 0; i < STEPS; i++)
            q[i] = (int16_t)((int32_t)covey_random_below(&random, 241) - 120);
        covey_trellis_kernels_plain.search(&costs, q, STEPS, 1, classes);
        for (size_t i = 0; i < STEPS; i++) {
            const int8_t v = covey_trellis_symbol(&costs, q[i], classes[i]);
            cr_assert_eq((uint32_t)v & 1, state & 1, "seed %zu: value %zu is none of its state", (size_t)seed,
                         i);
            cr_assert_eq((uint32_t)v & 3, classes[i]);
            cost += cost_of(&costs, q[i], v);
            state = covey_trellis_next(state, v);
        }
        cr_expect_eq(cost, cheapest(&costs, q, STEPS, 0), "seed %zu", (size_t)seed);
    }
}

/* From a state, the two classes lead to two states; into a state lead two classes of one kind. */
Test(trellis, is_a_trellis)
{
    int entered[8] = {0}, classes[8] = {0};
    for (uint32_t s = 0; s < 8; s++) {
        for (int32_t parity = 0; parity < 2; parity++) {
            const int32_t v = (int32_t)(s & 1) + 2 * parity;
            const uint32_t next = covey_trellis_next(s, v);
            cr_expect_eq(next, covey_trellis_next(s, v - 4));
            cr_expect_eq(next, covey_trellis_next(s, v - 40));
            entered[next]++;
            classes[next] |= 1 << v;
        }
        cr_expect_neq(covey_trellis_next(s, (int32_t)(s & 1)), covey_trellis_next(s, (int32_t)(s & 1) + 2));
    }
    for (uint32_t s = 0; s < 8; s++) {
        cr_expect_eq(entered[s], 2);
        cr_expect(classes[s] == 5 || classes[s] == 10, "state %u", s);
    }
}

/* The head's bytes and back; slots and ranges tell of the same symbols. */
Test(trellis, model_there_and_back)
{
    struct covey_random random;
    static uint32_t slots[2 * COVEY_TRELLIS_SLOTS];
    covey_random_init(&random, 3, 0, 0, COVEY_PURPOSE_TEST);
    for (int k = 0; k < 200; k++) {
        uint32_t counts[128] = {0}, ranges[256];
        uint8_t bytes[COVEY_TRELLIS_HEAD_BYTES];
        struct covey_trellis_model model = {.lanes_log = 5, .segment_log = 3, .step = 0.75f}, back;
        for (uint32_t m = 0, most = 2 + covey_random_below(&random, 126); m < most; m++)
            counts[m] = covey_random_below(&random, 1u << (1 + covey_random_below(&random, 16)));
        model.moves[1] = -9;
        (void)covey_trellis_fit(&model, counts);
        const size_t size = covey_trellis_write(&model, bytes);
        size_t used = 0;
        cr_assert(size <= sizeof bytes);
        cr_assert_eq(covey_trellis_read((struct covey_bytes){bytes, size}, &back, &used, NULL), COVEY_OK);
        cr_expect_eq(used, size);
        for (size_t cut = 0; cut < size; cut++)
            cr_assert_eq(covey_trellis_read((struct covey_bytes){bytes, cut}, &back, &used, NULL),
                         COVEY_CORRUPT);
        cr_assert_eq(covey_trellis_read((struct covey_bytes){bytes, size}, &back, &used, NULL), COVEY_OK);
        cr_expect(back.rows[0] == model.rows[0] && back.rows[1] == model.rows[1] &&
                  back.has_escape == model.has_escape && back.step == model.step &&
                  memcmp(back.moves, model.moves, 3) == 0);
        if (model.rows[1] == 0)
            continue;
        covey_trellis_slots(&back, slots);
        covey_trellis_ranges(&model, ranges);
        for (uint32_t kind = 0; kind < 2; kind++) {
            for (uint32_t i = 0; i < COVEY_TRELLIS_SLOTS; i++) {
                const uint32_t packed = slots[kind * COVEY_TRELLIS_SLOTS + i], v = packed >> 24;
                const uint32_t start = 2 * i - (packed >> 12 & 0xFFF);
                cr_assert_eq(v & 1, kind);
                cr_assert_eq(ranges[v], (packed & 0xFFF) | start << 12);
            }
        }
        /* Whatever has a count has a symbol of its class. */
        for (uint32_t m = 0; m < 128; m++)
            if (counts[m] > 0)
                cr_assert(ranges[m] != 0 && (m == 0 || ranges[256 - m] != 0));
    }
}

struct vector {
    float *x, *y;
    size_t count;
    uint8_t *bytes;
    size_t size;
    double nmse;
};

static void encode(struct vector *vector, const char *name)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_parse(name, &codec, NULL), COVEY_OK);
    const size_t capacity = covey_codec_bound(&codec, vector->count);
    const size_t scratch_bytes = covey_codec_scratch_bytes(&codec, vector->count);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    const struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = scratch_bytes};
    vector->y = malloc(vector->count * sizeof(float));
    vector->bytes = malloc(capacity);
    cr_assert_eq(covey_codec_encode(&codec, vector->x, vector->count, &options, vector->bytes, capacity,
                                    &vector->size, vector->y, &err),
                 COVEY_OK, "%s", err.text);
    double error = 0, squares = 0;
    for (size_t i = 0; i < vector->count; i++) {
        const double x = (double)vector->x[i], d = (double)vector->y[i] - x;
        error += d * d;
        squares += x * x;
    }
    vector->nmse = squares > 0 ? error / squares : error;
    free(scratch);
}

static void release(struct vector *vector)
{
    free(vector->bytes);
    free(vector->y);
}

static float *normal_values(size_t count, float deviation)
{
    struct covey_random random;
    float *x = malloc(count * sizeof *x);
    covey_random_init(&random, 11, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = deviation * (float)covey_random_normal(&random);
    return x;
}

/* What must be reached on normal vectors, at the bits really produced: the bound moves with them. */
Test(trellis, error_at_a_rate)
{
    static const struct {
        const char *name;
        double rate, nmse;
    } rows[] = {{"tcq:0.25", .25, .79}, {"tcq:0.5", .5, .580}, {"tcq:1", 1, .293},  {"tcq:2", 2, .0710},
                {"tcq:3", 3, .0178},    {"tcq:4", 4, .00440},  {"tcq:5", 5, .00113}};
    struct vector vector = {.count = 1 << 18};
    vector.x = normal_values(vector.count, 1e-3f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        encode(&vector, rows[i].name);
        const double bits = 8. * (double)vector.size / (double)vector.count;
        cr_expect(!(fabs(bits / rows[i].rate - 1) > .01), "%s: %g bits", rows[i].name, bits);
        cr_expect(!(vector.nmse * pow(4, bits - rows[i].rate) > rows[i].nmse * 1.005), "%s: NMSE %g at %g",
                  rows[i].name, vector.nmse, bits);
        release(&vector);
    }
    free(vector.x);
}

/* Within one percent or 24 bytes, small vectors and heavy tails too. */
Test(trellis, keeps_to_the_rate)
{
    static const char *const names[] = {"tcq:0.2", "tcq:0.5", "tcq:1", "tcq:3.3",
                                        "tcq:5.5", "tcq:0.1", "tcq:8"};
    static const double rates[] = {.2, .5, 1, 3.3, 5.5, .1, 8};
    static const size_t counts[] = {7850, 30000, 70000};
    for (size_t k = 0; k < 3; k++) {
        struct vector vector = {.count = counts[k]};
        vector.x = normal_values(counts[k], 1);
        for (int heavy = 0; heavy < 2; heavy++) {
            for (size_t i = 0; heavy && i < vector.count; i++)
                vector.x[i] *= vector.x[i] * vector.x[i];
            for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                encode(&vector, names[i]);
                const double wanted = rates[i] * (double)counts[k] / 8,
                             near = wanted * .01 > 24 ? wanted * .01 : 24;
                cr_expect(!(fabs((double)vector.size - wanted) > near), "%s, %zu values: %zu bytes, not %g",
                          names[i], counts[k], vector.size, wanted);
                cr_expect(!(vector.nmse > 1), "%s: NMSE %g", names[i], vector.nmse);
                release(&vector);
            }
        }
        free(vector.x);
    }
}

Test(trellis, vectors_at_the_edges)
{
    enum { COUNT = 5000 };
    static const float specials[][3] = {{0, 0, 0},          {1, 1, 1},      {-3e-5f, -3e-5f, 3e-5f},
                                        {0, 1e30f, 0},      {1e-38f, 1, 0}, {1e-42f, 0, 1e-42f},
                                        {0x1p126f, 1, -1},  {1e-3f, 10, 0}, {1e-3f, 1e6f, -2e-3f},
                                        {1e-20f, 1e-25f, 0}};
    for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++) {
        struct vector vector = {.count = COUNT, .x = malloc(COUNT * sizeof(float))};
        static const char *const names[] = {"tcq:0.3", "tcq:1", "tcq:4"};
        for (size_t i = 0; i < COUNT; i++)
            vector.x[i] = i == 1234 ? specials[s][1] : specials[s][i % 3 == 0 ? 0 : i % 3 == 1 ? 2 : 0];
        for (size_t k = 0; k < 3; k++) {
            encode(&vector, names[k]);
            for (size_t i = 0; i < COUNT; i++)
                cr_assert(isfinite(vector.y[i]), "row %zu", s);
            cr_expect(!(vector.nmse > 1.0001), "row %zu, %s: NMSE %g", s, names[k], vector.nmse);
            float *again = malloc(COUNT * sizeof(float));
            cr_assert_eq(
                covey_codec_decode((struct covey_bytes){vector.bytes, vector.size}, COUNT, again, NULL),
                COVEY_OK);
            cr_expect_eq(memcmp(again, vector.y, COUNT * sizeof(float)), 0);
            free(again);
            release(&vector);
        }
        free(vector.x);
    }
}
