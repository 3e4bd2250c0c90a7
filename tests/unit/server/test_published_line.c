/* The line of published models: replicas that follow it hold the server's bits, whichever way they take. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/random.h"
#include "published_line.h"

#define SMALL 3000
#define LARGE 199210
#define FROZEN 7 /* shared values behind the update part */
#define KEPT 100

static const size_t small_ends[] = {2500, 2900, SMALL},
                    large_ends[] = {156800, 157000, 197000, 197200, 199200, LARGE};

struct walk {
    struct covey_line line;
    struct covey_random random;
    float *weights, *published, *replica;
    struct covey_line_step steps[KEPT]; /* of round r at r % KEPT */
};

static void begin(struct walk *walk, const char *codec, size_t count, bool frozen)
{
    struct covey_error err = {0};
    *walk = (struct walk){.line = {.seed = 5,
                                   .update_count = count,
                                   .shared_count = count + (frozen ? FROZEN : 0),
                                   .ends = count == SMALL ? small_ends : large_ends,
                                   .tensor_count = count == SMALL ? 3 : 6}};
    const size_t shared = walk->line.shared_count;
    cr_assert_eq(covey_codec_parse_downlink(codec, &walk->line.codec, &err), COVEY_OK, "%s", err.text);
    walk->weights = malloc(shared * sizeof(float));
    walk->published = malloc(shared * sizeof(float));
    walk->replica = malloc(shared * sizeof(float));
    covey_random_init(&walk->random, 7, count, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < shared; i++)
        walk->weights[i] = (covey_random_float(&walk->random) - .5f) * (i < count / 2 ? .1f : .4f);
    cr_assert_eq(covey_line_begin(&walk->line, walk->weights, walk->published, &err), COVEY_OK, "%s",
                 err.text);
    memcpy(walk->replica, walk->published, shared * sizeof(float));
}

static void end(struct walk *walk)
{
    for (size_t i = 0; i < KEPT; i++)
        free(walk->steps[i].stream);
    free(walk->weights);
    free(walk->published);
    free(walk->replica);
}

/* The next model of the server; steps shrink as training goes on. */
static struct covey_line_step *advance(struct walk *walk, uint32_t round)
{
    struct covey_error err = {0};
    const float size = .02f / (1 + .05f * (float)round);
    for (size_t i = 0; i < walk->line.update_count; i++) {
        const float u = covey_random_float(&walk->random) - .5f, v = covey_random_float(&walk->random);
        walk->weights[i] += size * u * v * v;
    }
    struct covey_line_step *step = &walk->steps[round % KEPT];
    free(step->stream);
    cr_assert_eq(covey_line_advance(&walk->line, round, walk->weights, walk->published, step, &err), COVEY_OK,
                 "round %u: %s", round, err.text);
    cr_assert_not_null(step->stream, "round %u: the line was broken off", round);
    return step;
}

static void follow(const struct walk *walk, const struct covey_line_step *step, float *values)
{
    struct covey_error err = {0};
    const struct covey_bytes stream = {step->stream, step->bytes};
    const enum covey_status status =
        step->grid == 0 ? covey_codec_apply(stream, walk->line.shared_count, values, &err)
                        : covey_codec_apply_rounded(stream, walk->line.update_count,
                                                    step->grid - COVEY_GRID_ZERO, values, &err);
    cr_assert_eq(status, COVEY_OK, "%s", err.text);
}

static void expect_same(const struct walk *walk, const float *values, const char *what, uint32_t round)
{
    struct covey_hash a, b;
    cr_assert_eq(covey_hash_floats(walk->published, walk->line.shared_count, &a), COVEY_OK);
    cr_assert_eq(covey_hash_floats(values, walk->line.shared_count, &b), COVEY_OK);
    cr_assert(covey_hash_equal(&a, &b), "%s, round %u: %s ends elsewhere", walk->line.codec.name, round,
              what);
}

static size_t check_full(const struct walk *walk, uint32_t round)
{
    uint8_t *stream = NULL;
    size_t size = 0;
    struct covey_error err = {0};
    float *values = malloc(walk->line.shared_count * sizeof *values);
    cr_assert_eq(covey_line_full(&walk->line, walk->published, &stream, &size, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(
        covey_codec_decode((struct covey_bytes){stream, size}, walk->line.shared_count, values, &err),
        COVEY_OK, "%s", err.text);
    expect_same(walk, values, "the full model", round);
    free(values);
    free(stream);
    return size;
}

/* base: the model `behind` rounds ago. Returns the bytes of the sum; *chain: of the steps one by one. */
static size_t check_sum(const struct walk *walk, const float *base, uint32_t round, uint32_t behind,
                        size_t *chain)
{
    const size_t count = walk->line.update_count;
    struct covey_error err = {0};
    uint8_t *stream = NULL;
    size_t size = 0;
    float *sum = calloc(count, sizeof *sum), *values = malloc(walk->line.shared_count * sizeof *values);
    memcpy(values, base, walk->line.shared_count * sizeof *values);
    *chain = 0;
    for (uint32_t r = round - behind + 1; r <= round; r++) {
        const struct covey_line_step *step = &walk->steps[r % KEPT];
        cr_assert_eq(covey_line_add(&walk->line, (struct covey_bytes){step->stream, step->bytes}, step->grid,
                                    sum, &err),
                     COVEY_OK, "%s", err.text);
        *chain += step->bytes;
    }
    cr_assert_eq(covey_line_encode_sum(&walk->line, sum, &stream, &size, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_codec_apply((struct covey_bytes){stream, size}, count, values, &err), COVEY_OK, "%s",
                 err.text);
    expect_same(walk, values, "the sum", round);
    free(stream);
    free(values);
    free(sum);
    return size;
}

Test(published_line, a_thousand_steps_and_the_replica_has_the_same_hash_after_each, .timeout = 300)
{
    struct walk walk;
    begin(&walk, "ec:1", SMALL, true);
    float *old =
        malloc(walk.line.shared_count * sizeof *old); /* the model KEPT rounds ago, each KEPT rounds */
    memcpy(old, walk.published, walk.line.shared_count * sizeof *old);
    for (uint32_t round = 1; round <= 1000; round++) {
        follow(&walk, advance(&walk, round), walk.replica);
        expect_same(&walk, walk.replica, "the replica", round);
        if (round % KEPT == 0) {
            size_t chain;
            (void)check_sum(&walk, old, round, KEPT, &chain);
            (void)check_full(&walk, round);
            memcpy(old, walk.published, walk.line.shared_count * sizeof *old);
        }
    }
    double error = 0, energy = 0;
    for (size_t i = 0; i < SMALL; i++) {
        const double off = (double)walk.published[i] - (double)walk.weights[i];
        error += off * off;
        energy += (double)walk.weights[i] * (double)walk.weights[i];
    }
    cr_expect(error <= 1e-4 * energy, "the line has left the weights: %g of %g", error, energy);
    cr_expect_eq(memcmp(walk.published + SMALL, walk.weights + SMALL, FROZEN * sizeof(float)), 0,
                 "what is frozen never moves");
    free(old);
    end(&walk);
}

Test(published_line, any_codec_fits, .timeout = 300)
{
    static const char *const codecs[] = {"raw32",    "fp16",   "int8",    "int4",  "eden1",
                                         "eden4",    "ec:0.1", "ec:8",    "tcq:1", "tcq:0.3",
                                         "stc:0.01", "auto:1", "auto:0.2"};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        struct walk walk;
        begin(&walk, codecs[i], SMALL, false);
        float *old = malloc(SMALL * sizeof *old);
        memcpy(old, walk.published, SMALL * sizeof *old);
        for (uint32_t round = 1; round <= 20; round++) {
            follow(&walk, advance(&walk, round), walk.replica);
            expect_same(&walk, walk.replica, "the replica", round);
        }
        size_t chain;
        if (covey_line_has_lattice(&walk.line))
            (void)check_sum(&walk, old, 20, 20, &chain);
        (void)check_full(&walk, 20);
        free(old);
        end(&walk);
    }
}

/* RATE is a ceiling here, and steps come near to it. */
Test(published_line, no_step_takes_more_bits_than_its_rate)
{
    static const struct {
        const char *codec;
        double rate;
    } rows[] = {{"ec:.1", .1}, {"ec:.5", .5}, {"ec:1", 1},  {"ec:2", 2},
                {"ec:4", 4},   {"tcq:1", 1},  {"auto:1", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct walk walk;
        begin(&walk, rows[i].codec, LARGE, false);
        for (uint32_t round = 1; round <= 5; round++) {
            const double bits = 8 * (double)advance(&walk, round)->bytes / LARGE;
            cr_expect(bits <= rows[i].rate && bits >= .97 * rows[i].rate, "%s, round %u: %.4f bits a value",
                      rows[i].codec, round, bits);
        }
        end(&walk);
    }
}

/* Bytes of each way, of a model as large as 2nn: run with --verbose to see them. */
Test(published_line, each_way_back_and_its_bytes, .timeout = 600)
{
    static const uint32_t gaps[] = {1, 2, 3, 4, 10, 30, 100};
    struct walk walk;
    begin(&walk, "ec:1", LARGE, false);
    float *bases[7];
    for (size_t i = 0; i < 7; i++)
        bases[i] = malloc(LARGE * sizeof(float));
    for (uint32_t round = 1; round <= 110; round++) {
        for (size_t i = 0; i < 7; i++)
            if (round + gaps[i] == 111)
                memcpy(bases[i], walk.published, LARGE * sizeof(float));
        (void)advance(&walk, round);
    }
    const size_t full = check_full(&walk, 110);
    for (size_t i = 0; i < 7; i++) {
        size_t chain;
        const size_t sum = check_sum(&walk, bases[i], 110, gaps[i], &chain);
        cr_log_info("%u behind: steps %zu, sum %zu, full %zu, raw32 %d", gaps[i], chain, sum, full,
                    4 * LARGE);
        cr_expect(gaps[i] < 10 || sum < chain, "%u behind: the sum has %zu bytes, the steps %zu", gaps[i],
                  sum, chain);
        cr_expect(sum < full);
        free(bases[i]);
    }
    cr_expect(full < 4 * LARGE / 2);
    end(&walk);
}

/* A value that outgrows the lattice: the line begins anew, and goes on. */
Test(published_line, what_leaves_the_lattice_begins_a_new_one)
{
    struct walk walk;
    struct covey_error err = {0};
    begin(&walk, "ec:1", SMALL, false);
    (void)advance(&walk, 1);
    walk.weights[17] = 1e9f;
    struct covey_line_step step;
    cr_assert_eq(covey_line_advance(&walk.line, 2, walk.weights, walk.published, &step, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_null(step.stream);
    cr_expect_eq(step.grid, 0);
    (void)check_full(&walk, 2);
    walk.weights[17] = 0.1f;
    cr_assert_eq(covey_line_advance(&walk.line, 3, walk.weights, walk.published, &step, &err), COVEY_OK, "%s",
                 err.text);
    free(step.stream);
    memcpy(walk.replica, walk.published, SMALL * sizeof(float));
    walk.weights[3] = NAN;
    cr_expect_neq(covey_line_advance(&walk.line, 4, walk.weights, walk.published, &step, &err), COVEY_OK);
    end(&walk);
}

Test(published_line, damaged_streams_are_refused_or_end_elsewhere)
{
    struct walk walk;
    struct covey_error err = {0};
    begin(&walk, "ec:1", SMALL, false);
    struct covey_line_step *step = advance(&walk, 1);
    const int exponent = step->grid - COVEY_GRID_ZERO;
    float *values = malloc(SMALL * sizeof *values);
    for (size_t at = 0; at < step->bytes; at += 7) {
        struct covey_hash a, b;
        step->stream[at] ^= 0x21;
        memcpy(values, walk.replica, SMALL * sizeof *values);
        if (covey_codec_apply_rounded((struct covey_bytes){step->stream, step->bytes}, SMALL, exponent,
                                      values, &err) == COVEY_OK) {
            cr_assert_eq(covey_hash_floats(walk.published, SMALL, &a), COVEY_OK);
            cr_assert_eq(covey_hash_floats(values, SMALL, &b), COVEY_OK);
            cr_expect(!covey_hash_equal(&a, &b), "byte %zu", at);
        }
        step->stream[at] ^= 0x21;
    }
    const struct covey_bytes stream = {step->stream, step->bytes};
    cr_expect_neq(covey_codec_apply_rounded((struct covey_bytes){step->stream, step->bytes / 2}, 0, exponent,
                                            values, &err),
                  COVEY_OK);
    cr_expect_eq(covey_codec_apply_rounded(stream, SMALL - 1, exponent, values, &err), COVEY_MISMATCH);
    cr_expect_eq(covey_codec_apply_rounded(stream, SMALL, COVEY_EXPONENT_MIN, values, &err), COVEY_RANGE);
    cr_expect_eq(covey_codec_apply_rounded(stream, SMALL, COVEY_EXPONENT_MAX + 1, values, &err), COVEY_RANGE);
    free(values);
    end(&walk);
}
