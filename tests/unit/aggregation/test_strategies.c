/* Every strategy through the interface that servers call: same bits for any order and number of threads, what
 * it keeps, what it refuses, and what hostile updates do to it. */
#include <criterion/criterion.h>
#include <math.h>

#include "cohort.h"
#include "covey/hash.h"

#define UPDATES 23

static const char *const lines[] = {
    "fedavg",
    "fedavg clip=fixed clip_norm=.02",
    "equal-mean",
    "norm-bound clip=quantile clip_norm=.02",
    "median hostile=5",
    "trimmed-mean hostile=5",
    "krum hostile=5",
    "multi-krum hostile=5 clip=quantile clip_norm=.02",
    "bulyan hostile=5",
    "geometric-median hostile=5 mix=nearest",
    "geometric-median hostile=5 mix=bucketing",
    "centred-clipping hostile=5 mix=bucketing",
    "centred-clipping hostile=5 radius=.01 mix=nearest",
    "median hostile=5 mix=bucketing",
    "bulyan hostile=2 mix=bucketing",
    "fltrust",
};
#define LINES (sizeof lines / sizeof lines[0])

static struct cohort_update cohort[UPDATES];

static void make_cohort(void)
{
    static const char *const codecs[] = {"int8", "raw32", "int8", "fp16"};
    for (size_t i = 0; i < UPDATES; i++)
        cohort[i] = cohort_update_make(codecs[i % 4], i, 2, (double)(1 + i));
}

static void free_cohort(void)
{
    for (size_t i = 0; i < UPDATES; i++)
        cohort_update_free(&cohort[i]);
}

/* One round from what was kept; the mean's hash, and what is kept after it. */
static struct covey_hash run_round(const char *line, uint32_t threads, size_t step, size_t at_once,
                                   uint32_t round, struct covey_round_state *kept, double *mean_out)
{
    struct covey_chain chain;
    struct covey_error err = {0};
    struct covey_aggregation *aggregation = NULL;
    struct covey_round_state next = {0};
    const double *mean = NULL;
    struct covey_hash hash;
    cr_assert_eq(covey_chain_parse(line, &chain, &err), COVEY_OK, "%s: %s", line, err.text);
    const struct covey_aggregation_plan plan = {
        .ends = cohort_ends,
        .tensor_count = COHORT_TENSORS,
        .updates_max = UPDATES,
        .weight_max = 600,
        .threads = threads,
        .kept = covey_round_state_part(kept, COVEY_STATE_STRATEGY),
        .seed = 7,
        .round = round,
    };
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK, "%s: %s", line,
                 err.text);
    for (size_t i = 0; i < UPDATES; i += at_once) {
        struct covey_contribution updates[UPDATES];
        struct covey_verdict verdicts[UPDATES];
        size_t count = 0;
        for (; count < at_once && i + count < UPDATES; count++) {
            const size_t place = (i + count) * step % UPDATES;
            updates[count] = (struct covey_contribution){
                {cohort[place].bytes, cohort[place].size}, cohort[place].weight, place};
        }
        cr_assert_eq(covey_aggregation_add(aggregation, updates, count, verdicts, &err), COVEY_OK);
        for (size_t j = 0; j < count; j++)
            cr_assert_eq(verdicts[j].status, COVEY_OK, "%s: %s", line, verdicts[j].error.text);
    }
    if (chain.strategy->needs_reference) /* any will do */
        cr_assert_eq(covey_aggregation_refer(aggregation, cohort[3].values, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_aggregation_finish(aggregation, &mean, NULL, NULL, &err), COVEY_OK, "%s: %s", line,
                 err.text);
    cr_assert_eq(covey_aggregation_keep(aggregation, &next, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(
        covey_hash_bytes((struct covey_bytes){(const uint8_t *)mean, COHORT_COUNT * sizeof *mean}, &hash),
        COVEY_OK);
    if (mean_out != NULL)
        memcpy(mean_out, mean, COHORT_COUNT * sizeof *mean);
    covey_aggregation_destroy(aggregation);
    covey_round_state_deinit(kept);
    *kept = next;
    return hash;
}

Test(strategies, order_and_threads_do_not_matter)
{
    static const struct {
        uint32_t threads;
        size_t step, at_once;
    } ways[] = {{1, 1, 1}, {2, 5, 1}, {3, 7, 8}, {8, 22, 23}};
    make_cohort();
    for (size_t l = 0; l < LINES; l++) {
        struct covey_hash first;
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            struct covey_round_state kept = {0};
            struct covey_hash hash =
                run_round(lines[l], ways[w].threads, ways[w].step, ways[w].at_once, 0, &kept, NULL);
            if (w == 0)
                first = hash;
            cr_expect(covey_hash_equal(&first, &hash), "%s, way %zu", lines[l], w);
            covey_round_state_deinit(&kept);
        }
    }
    free_cohort();
}

/* What is kept goes through bytes between two rounds, as it does when a server starts again. */
Test(strategies, a_restart_between_rounds_changes_nothing)
{
    make_cohort();
    for (size_t l = 0; l < LINES; l++) {
        struct covey_round_state whole = {0}, parts = {0};
        struct covey_hash a, b;
        for (uint32_t round = 0; round < 3; round++) {
            a = run_round(lines[l], 2, 1, 8, round, &whole, NULL);
            b = run_round(lines[l], 2, 1, 8, round, &parts, NULL);
            const size_t bytes = covey_round_state_encoded_bytes(&parts);
            uint8_t *saved = malloc(bytes);
            covey_round_state_encode(&parts, saved);
            covey_round_state_deinit(&parts);
            cr_assert_eq(covey_round_state_decode((struct covey_bytes){saved, bytes}, &parts, NULL),
                         COVEY_OK);
            if (bytes > 48)
                cr_expect_neq(covey_round_state_decode((struct covey_bytes){saved, bytes - 9}, &whole, NULL),
                              COVEY_OK);
            free(saved);
        }
        cr_expect(covey_hash_equal(&a, &b), "%s", lines[l]);
        covey_round_state_deinit(&whole);
        covey_round_state_deinit(&parts);
    }
    free_cohort();
}

static double distance(const double *a, const double *b)
{
    double square = 0;
    for (size_t i = 0; i < COHORT_COUNT; i++)
        square += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(square);
}

/* Five of 23 send their update times 1,000: the mean goes along, the others stay. */
Test(strategies, robust_ones_hold_what_the_mean_does_not)
{
    static const char *const robust[] = {
        "median hostile=5",
        "trimmed-mean hostile=5",
        "krum hostile=5",
        "multi-krum hostile=5",
        "bulyan hostile=5",
        "geometric-median hostile=5",
        "centred-clipping hostile=5",
        "centred-clipping hostile=5 mix=nearest",
    };
    double *honest = malloc(COHORT_COUNT * sizeof *honest), *mean = malloc(COHORT_COUNT * sizeof *mean);
    struct covey_round_state kept = {0};
    make_cohort();
    (void)run_round("fedavg", 2, 1, 8, 0, &kept, honest);
    struct covey_codec codec;
    cr_assert_eq(covey_codec_parse("raw32", &codec, NULL), COVEY_OK);
    for (size_t i = 0; i < 5; i++) {
        const size_t capacity = covey_codec_bound(&codec, COHORT_COUNT);
        for (size_t j = 0; j < COHORT_COUNT; j++)
            cohort[i].values[j] = 1000 * cohort[i].values[j] + .01f;
        cohort[i].bytes = realloc(cohort[i].bytes, capacity);
        cr_assert_eq(covey_codec_encode(&codec, cohort[i].values, COHORT_COUNT,
                                        &(struct covey_encode_options){.seed = 1}, cohort[i].bytes, capacity,
                                        &cohort[i].size, NULL, NULL),
                     COVEY_OK);
    }
    (void)run_round("fedavg", 2, 1, 8, 0, &kept, mean);
    const double led_astray = distance(mean, honest);
    for (size_t i = 0; i < sizeof robust / sizeof robust[0]; i++) {
        covey_round_state_deinit(&kept);
        (void)run_round(robust[i], 2, 1, 8, 0, &kept, mean);
        const double moved = distance(mean, honest);
        cr_expect(moved <= led_astray / 20, "%s: %g from the honest mean; the plain mean %g", robust[i],
                  moved, led_astray);
    }
    covey_round_state_deinit(&kept);
    free(honest);
    free(mean);
    free_cohort();
}

/* ---- the line of words ---- */

Test(chain, what_makes_no_sense_is_refused_with_the_reason)
{
    static const struct {
        const char *line, *reason;
    } bad[] = {
        {"", "there is no strategy"},
        {"magic", "there are fedavg"},
        {"fltrust hostile=2", "takes no 'hostile'"},
        {"fedavg hostile=2", "takes no 'hostile'"},
        {"fedavg mix=bucketing", "never sees single updates"},
        {"median keep=3", "that is for multi-krum"},
        {"median bucket=3", "mix=bucketing"},
        {"fedavg clip_norm=3", "clip=fixed"},
        {"fedavg clip=fixed clip_rate=.3", "clip=quantile"},
        {"median hostile=2 hostile=3", "twice"},
        {"median hostile=2.5", "whole number"},
        {"median hostile=-1", "whole number"},
        {"median mix=some", "possible are none, bucketing, nearest"},
        {"median colour=red", "unknown key 'colour'"},
        {"median krum", "must be key=value"},
        {"centred-clipping radius=nan", "must be a number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct covey_chain chain;
        struct covey_error err = {0};
        cr_expect_neq(covey_chain_parse(bad[i].line, &chain, &err), COVEY_OK, "%s", bad[i].line);
        cr_expect(strstr(err.text, bad[i].reason) != NULL, "%s: %s", bad[i].line, err.text);
    }
}

Test(chain, comes_back_from_its_own_words)
{
    for (size_t l = 0; l < LINES; l++) {
        struct covey_chain chain, back;
        char text[COVEY_STRATEGY_TEXT_BYTES], again[COVEY_STRATEGY_TEXT_BYTES];
        cr_assert_eq(covey_chain_parse(lines[l], &chain, NULL), COVEY_OK);
        covey_chain_write(&chain, text);
        cr_assert_eq(covey_chain_parse(text, &back, NULL), COVEY_OK, "%s", text);
        covey_chain_write(&back, again);
        cr_expect_str_eq(text, again);
        cr_expect_eq(back.hostile, chain.hostile);
        cr_expect(!(back.clip_norm < chain.clip_norm) && !(back.clip_norm > chain.clip_norm));
        cr_expect_eq(back.mix, chain.mix);
    }
}

Test(chain, cohorts_that_are_too_small_are_refused)
{
    static const struct {
        const char *line;
        uint64_t least;
    } rows[] = {{"fedavg", 1},
                {"median hostile=5", 11},
                {"trimmed-mean hostile=5", 11},
                {"krum hostile=5", 13},
                {"multi-krum hostile=5", 13},
                {"bulyan hostile=5", 23},
                {"geometric-median hostile=5", 11},
                {"geometric-median hostile=5 mix=bucketing", 21},
                {"centred-clipping hostile=5 mix=nearest", 11}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_chain chain;
        struct covey_error err = {0};
        cr_assert_eq(covey_chain_parse(rows[i].line, &chain, NULL), COVEY_OK);
        cr_expect_eq(covey_chain_updates_min(&chain), rows[i].least, "%s", rows[i].line);
        cr_expect_eq(covey_chain_check(&chain, &(struct covey_chain_demands){.cohort = rows[i].least}, &err),
                     COVEY_OK, "%s", err.text);
        if (rows[i].least > 1)
            cr_expect_eq(
                covey_chain_check(&chain, &(struct covey_chain_demands){.cohort = rows[i].least - 1}, &err),
                COVEY_INVALID);
        const enum covey_status sums =
            covey_chain_check(&chain, &(struct covey_chain_demands){.sums_only = true}, &err);
        cr_expect_eq(sums, i == 0 ? COVEY_OK : COVEY_UNSUPPORTED, "%s", rows[i].line);
    }
}

/* Andrew et al. 2021: with half of the norms below the bound it stays; otherwise it moves by e^(-.2 (b -
 * .5)).
 */
Test(strategies, the_bound_follows_the_quantile)
{
    make_cohort();
    struct covey_round_state kept = {0};
    double bound;
    (void)run_round("fedavg clip=quantile clip_norm=1e6", 1, 1, 1, 0, &kept, NULL);
    const struct covey_bytes part = covey_round_state_part(&kept, COVEY_STATE_STRATEGY);
    cr_assert_eq(part.size, 24);
    memcpy(&bound, part.data + 8, sizeof bound);
    cr_expect(fabs(bound / (1e6 * exp(-.1)) - 1) <= 1e-12, "%g", bound);
    covey_round_state_deinit(&kept);
    for (uint32_t round = 0; round < 40; round++)
        (void)run_round("fedavg clip=quantile clip_norm=1", 2, 1, 8, round, &kept, NULL);
    memcpy(&bound, covey_round_state_part(&kept, COVEY_STATE_STRATEGY).data + 8, sizeof bound);
    /* Where the norms lie close together it swings about their median by one step at most. */
    const double step = exp(.2 * .5);
    size_t below = 0, above = 0;
    for (size_t i = 0; i < UPDATES; i++) {
        double square = 0;
        for (size_t j = 0; j < COHORT_COUNT; j++)
            square += (double)cohort[i].values[j] * (double)cohort[i].values[j];
        below += sqrt(square) <= bound * step;
        above += sqrt(square) >= bound / step;
    }
    cr_expect(below >= UPDATES / 2 && above >= UPDATES / 2, "%zu below, %zu above %g", below, above, bound);
    covey_round_state_deinit(&kept);
    free_cohort();
}
