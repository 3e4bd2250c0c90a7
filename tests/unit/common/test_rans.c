#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "entropy_kernels.h"
#include "entropy_rans.h"

#define COUNT 20011
#define ROOM (2 * COUNT + 4096)

static const struct {
    const char *name;
    struct covey_rans_share shares[5];
    size_t count;
} models[] = {
    {"even", {{0, 1024}, {1, 1024}, {-1, 1024}, {2, 1024}}, 4},
    {"P(0) = .99", {{0, 4056}, {1, 20}, {-1, 20}}, 3},
    {"just more than half", {{0, 2049}, {1, 2047}}, 2},
    {"nearly nothing else", {{0, 4094}, {1, 1}, {-1, 1}}, 3},
    {"rare first", {{5, 1}, {0, 1}, {1, 4094}}, 3},
    {"mixed", {{0, 3000}, {-128, 1}, {127, 90}, {3, 1000}, {-3, 5}}, 5},
};
#define MODELS (sizeof models / sizeof models[0])

/* By the model's own shares, or (evenly) whatever they are. */
static void draw_symbols(size_t model, int evenly, int8_t *symbols)
{
    struct covey_random random;
    covey_random_init(&random, 1 + model, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t slot = covey_random_below(&random, COVEY_RANS_SLOTS), s = 0;
        if (evenly)
            s = slot % (uint32_t)models[model].count;
        else
            for (; slot >= models[model].shares[s].frequency; s++)
                slot -= models[model].shares[s].frequency;
        symbols[i] = models[model].shares[s].symbol;
    }
}

/* Every number of lanes, lengths around each boundary, likely and unlikely symbols, only one symbol. */
Test(rans, there_and_back)
{
    static const size_t counts[] = {1, 2, 31, 32, 33, 63, 64, 65, 4096, 4097, COUNT};
    static int8_t symbols[COUNT], back[COUNT];
    static uint8_t bytes[ROOM];
    static uint32_t slots[COVEY_RANS_SLOTS], ranges[256];
    for (size_t m = 0; m < MODELS; m++) {
        covey_rans_slots(models[m].shares, models[m].count, slots);
        covey_rans_ranges(models[m].shares, models[m].count, ranges);
        for (int kind = 0; kind < 4; kind++) {
            draw_symbols(m, kind == 1, symbols);
            if (kind >= 2)
                memset(symbols, models[m].shares[kind - 2].symbol, sizeof symbols);
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                for (uint32_t lanes = 1; lanes <= COVEY_RANS_LANES; lanes *= 2) {
                    const uint8_t *begin =
                        covey_rans_write(ranges, symbols, counts[c], lanes, bytes, bytes + ROOM);
                    struct covey_rans_reader reader;
                    cr_assert_not_null(begin);
                    /* A copy of exactly that size, for the sanitizer. */
                    const size_t size = (size_t)(bytes + ROOM - begin);
                    uint8_t *exact = malloc(size);
                    memcpy(exact, begin, size);
                    covey_rans_open(&reader, exact, exact + size, lanes);
                    size_t at = 0;
                    for (; counts[c] - at > 4096; at += 4096)
                        covey_rans_read(&reader, slots, 4096, back + at);
                    covey_rans_read(&reader, slots, counts[c] - at, back + at);
                    cr_assert_eq(memcmp(symbols, back, counts[c]), 0, "%s, kind %d, %zu symbols, %u lanes",
                                 models[m].name, kind, counts[c], lanes);
                    cr_expect(reader.words == reader.end);
                    free(exact);
                }
            }
        }
    }
}

/* No more than the information and what a lane costs. */
Test(rans, length)
{
    static int8_t symbols[COUNT];
    static uint8_t bytes[ROOM];
    static uint32_t ranges[256];
    covey_rans_ranges(models[0].shares, models[0].count, ranges);
    draw_symbols(0, 0, symbols);
    for (uint32_t lanes = 1; lanes <= COVEY_RANS_LANES; lanes *= 2) {
        const uint8_t *begin = covey_rans_write(ranges, symbols, COUNT, lanes, bytes, bytes + ROOM);
        const double bits = 8. * (double)(bytes + ROOM - begin) - 2. * COUNT;
        cr_expect(bits <= 14. * lanes + 32, "%u lanes cost %g bits", lanes, bits);
    }
}

Test(rans, room_that_is_too_little)
{
    static int8_t symbols[COUNT];
    static uint32_t ranges[256];
    covey_rans_ranges(models[0].shares, models[0].count, ranges);
    draw_symbols(0, 0, symbols);
    for (size_t room = 0; room < COUNT / 4; room += 97) {
        uint8_t *exact = malloc(room + 1);
        cr_expect_null(covey_rans_write(ranges, symbols, COUNT, 32, exact, exact + room));
        free(exact);
    }
}

/* All tables do the same. */
Test(rans, kernels_agree)
{
    const struct covey_entropy_kernels *plain = NULL;
    static float x[4096];
    struct covey_random random;
    covey_random_init(&random, 9, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < 4096; i++)
        x[i] = (float)(covey_random_normal(&random) * (i % 50 == 0 ? 100 : 1) * (i % 7 == 0 ? 0 : 1));
    for (size_t k = 0; covey_entropy_kernels_at(k) != NULL; k++)
        plain = covey_entropy_kernels_at(k);
    for (size_t k = 0; covey_entropy_kernels_at(k) != plain; k++) {
        const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(k);
        for (int32_t shift = 0; shift <= 8; shift++) {
            const struct covey_token_rule rule = {31.7f, .37f, shift, -64 - (shift > 0), 64};
            const struct covey_level_rule levels = {{-7, 13, -1}};
            static int8_t tokens[2][4096];
            static uint8_t low[2][4096];
            static int32_t made[2][4096];
            static uint16_t outside[2][4096];
            uint32_t counts[2][256] = {{0}};
            size_t found[2];
            for (int i = 0; i < 2; i++) {
                const struct covey_entropy_kernels *these = i == 0 ? plain : kernels;
                these->tokens(&rule, x, 4093, tokens[i]);
                these->low_bits(&rule, x, 4093, low[i]);
                these->count(tokens[i], 4093, counts[i]);
                found[i] = these->outside(tokens[i], 4093, -5, 5, outside[i]);
                if (shift == 0)
                    these->levels(&levels, tokens[i], 4093, made[i]);
                else
                    these->levels_with_low(tokens[i], low[i], 4093, shift, made[i]);
            }
            cr_expect_eq(memcmp(tokens[0], tokens[1], sizeof tokens[0]), 0);
            cr_expect_eq(memcmp(low[0], low[1], sizeof low[0]), 0);
            cr_expect_eq(memcmp(counts[0], counts[1], sizeof counts[0]), 0);
            cr_expect_eq(memcmp(made[0], made[1], sizeof made[0]), 0);
            cr_assert_eq(found[0], found[1]);
            cr_expect_eq(memcmp(outside[0], outside[1], found[0] * sizeof *outside[0]), 0);
        }
    }
}

/* Counts of tokens as few as the kernels compare with, and of more: they change their way in between. */
Test(rans, counts_of_all_kernels_agree)
{
    enum { TOKENS = 40000 };
    static int8_t tokens[TOKENS];
    static const uint32_t reaches[] = {0, 1, 3, 4, 7, 8, 20, 127};
    struct covey_random random;
    covey_random_init(&random, 10, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t r = 0; r < sizeof reaches / sizeof *reaches; r++) {
        for (size_t i = 0; i < TOKENS; i++) {
            const uint32_t reach = covey_random_below(&random, 40) == 0 ? 128 : reaches[r];
            tokens[i] = (int8_t)((int32_t)covey_random_below(&random, 2 * reach + 1) - (int32_t)reach);
        }
        for (size_t count = TOKENS; count > 0; count /= 3) {
            uint32_t expected[256] = {0};
            for (size_t i = 0; i < count; i++)
                expected[(uint8_t)tokens[i]]++;
            for (size_t k = 0; covey_entropy_kernels_at(k) != NULL; k++) {
                uint32_t counts[256] = {0};
                covey_entropy_kernels_at(k)->count(tokens, count, counts);
                cr_expect_eq(memcmp(counts, expected, sizeof counts), 0, "%s, %u, %zu",
                             covey_entropy_kernels_at(k)->name, reaches[r], count);
            }
        }
    }
}

Test(rans, lanes_of_all_kernels_agree)
{
    static int8_t symbols[COUNT], back[COUNT];
    static uint8_t bytes[2][ROOM];
    static uint32_t slots[COVEY_RANS_SLOTS], ranges[256];
    for (size_t m = 0; m < MODELS; m++) {
        covey_rans_slots(models[m].shares, models[m].count, slots);
        covey_rans_ranges(models[m].shares, models[m].count, ranges);
        for (int evenly = 0; evenly < 2; evenly++) {
            uint32_t first[COVEY_RANS_LANES], lanes[COVEY_RANS_LANES];
            const size_t groups = COUNT / COVEY_RANS_LANES;
            size_t size = 0;
            draw_symbols(m, evenly, symbols);
            for (size_t k = 0; covey_entropy_kernels_at(k) != NULL; k++) {
                const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(k);
                for (uint32_t i = 0; i < COVEY_RANS_LANES; i++)
                    lanes[i] = COVEY_RANS_LOW + i * 1000003;
                const uint8_t *begin = kernels->encode(ranges, lanes, symbols, groups, bytes[k != 0] + ROOM);
                if (k == 0) {
                    size = (size_t)(bytes[0] + ROOM - begin);
                    memcpy(first, lanes, sizeof first);
                }
                cr_assert_eq((size_t)(bytes[k != 0] + ROOM - begin), size);
                cr_expect_eq(memcmp(bytes[0] + ROOM - size, begin, size), 0);
                cr_expect_eq(memcmp(first, lanes, sizeof lanes), 0);
                const uint8_t *words = begin;
                const size_t done = kernels->decode(slots, lanes, &words, bytes[k != 0] + ROOM, groups, back);
                cr_expect(done + 70 > groups || size < 128 || models[m].shares[0].frequency > 4000);
                cr_expect_eq(memcmp(symbols, back, done * COVEY_RANS_LANES), 0, "%s", models[m].name);
            }
        }
    }
}
