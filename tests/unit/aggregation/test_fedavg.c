#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "cohort.h"
#include "covey/limits.h"

#define UPDATES 20

static struct covey_aggregation_plan plan_of(uint32_t threads)
{
    return (struct covey_aggregation_plan){.ends = cohort_ends,
                                           .tensor_count = COHORT_TENSORS,
                                           .updates_max = 2 * UPDATES,
                                           .weight_max = 1000,
                                           .threads = threads};
}

static const struct covey_chain *fedavg(void)
{
    static struct covey_chain chain;
    cr_assert_eq(covey_chain_parse("fedavg", &chain, NULL), COVEY_OK);
    return &chain;
}

static struct covey_aggregation *begin(const struct covey_aggregation_plan *plan)
{
    struct covey_aggregation *aggregation = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_aggregation_begin(fedavg(), plan, &aggregation, &err), COVEY_OK, "%s", err.text);
    return aggregation;
}

/* Codecs mixed, weights unlike. */
static void make_cohort(struct cohort_update *cohort, int spread)
{
    static const char *const codecs[] = {"int8", "int4", "fp16", "raw32", "int8"};
    for (size_t i = 0; i < UPDATES; i++)
        cohort[i] = cohort_update_make(codecs[i % 5], i, spread, (double)(1 + 37 * i % 900));
}

static struct covey_contribution contribution_of(const struct cohort_update *update)
{
    return (struct covey_contribution){{update->bytes, update->size}, update->weight, 0};
}

static void add_all(struct covey_aggregation *aggregation, const struct cohort_update *cohort,
                    const size_t *order, size_t count, size_t at_once)
{
    for (size_t i = 0; i < count; i += at_once) {
        struct covey_contribution updates[UPDATES];
        struct covey_verdict verdicts[UPDATES];
        const size_t some = count - i < at_once ? count - i : at_once;
        for (size_t j = 0; j < some; j++)
            updates[j] = contribution_of(&cohort[order[i + j]]);
        cr_assert_eq(covey_aggregation_add(aggregation, updates, some, verdicts, NULL), COVEY_OK);
        for (size_t j = 0; j < some; j++)
            cr_assert_eq(verdicts[j].status, COVEY_OK, "%s", verdicts[j].error.text);
    }
}

static double *mean_of(struct covey_aggregation *aggregation, int16_t *next)
{
    const double *mean = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_aggregation_finish(aggregation, &mean, NULL, next, &err), COVEY_OK, "%s", err.text);
    double *copy = malloc(COHORT_COUNT * sizeof *copy);
    memcpy(copy, mean, COHORT_COUNT * sizeof *copy);
    return copy;
}

/* Every order, every number of threads, every grouping, one level or two: one result. */
Test(fedavg, the_mean_does_not_depend_on_how_it_was_made)
{
    struct cohort_update cohort[UPDATES];
    uint32_t shuffled[UPDATES];
    size_t order[UPDATES];
    double *first = NULL;
    int16_t first_next[COHORT_TENSORS];
    struct covey_random random;
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    make_cohort(cohort, 1);
    for (uint32_t i = 0; i < UPDATES; i++)
        shuffled[i] = i;
    static const struct {
        uint32_t threads;
        size_t at_once, split; /* split: so many updates go to a second aggregation that is merged in */
    } ways[] = {{1, 1, 0}, {2, 1, 0}, {8, 1, 0},  {1, UPDATES, 0}, {2, 7, 0},
                {8, 3, 0}, {2, 4, 9}, {1, 1, 19}, {8, 20, 1}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        const struct covey_aggregation_plan plan = plan_of(ways[w].threads);
        struct covey_aggregation *aggregation = begin(&plan), *part = begin(&plan);
        int16_t next[COHORT_TENSORS];
        for (size_t i = 0; i < UPDATES; i++)
            order[i] = shuffled[i];
        add_all(part, cohort, order, ways[w].split, ways[w].at_once);
        add_all(aggregation, cohort, order + ways[w].split, UPDATES - ways[w].split, ways[w].at_once);
        const size_t size = covey_aggregation_save_bytes(part);
        uint8_t *saved = malloc(size);
        size_t written = 0;
        cr_assert_eq(covey_aggregation_save(part, saved, size, &written), COVEY_OK);
        cr_assert_eq(covey_aggregation_merge(aggregation, (struct covey_bytes){saved, written}, NULL),
                     COVEY_OK);
        double *mean = mean_of(aggregation, next);
        if (first == NULL) {
            first = mean;
            memcpy(first_next, next, sizeof next);
        } else {
            cr_expect_eq(memcmp(first, mean, COHORT_COUNT * sizeof *mean), 0, "way %zu", w);
            cr_expect_eq(memcmp(first_next, next, sizeof next), 0, "way %zu", w);
            free(mean);
        }
        free(saved);
        covey_aggregation_destroy(aggregation);
        covey_aggregation_destroy(part);
        covey_random_shuffle(&random, shuffled, UPDATES);
    }
    free(first);
    for (size_t i = 0; i < UPDATES; i++)
        cohort_update_free(&cohort[i]);
}

struct adder {
    struct covey_aggregation *aggregation;
    const struct cohort_update *cohort;
    size_t from, to;
};

static void *add_from_thread(void *argument)
{
    const struct adder *adder = argument;
    for (size_t i = adder->from; i < adder->to; i++) {
        const struct covey_contribution update = contribution_of(&adder->cohort[i]);
        struct covey_verdict verdict;
        cr_assert_eq(covey_aggregation_add(adder->aggregation, &update, 1, &verdict, NULL), COVEY_OK);
        cr_assert_eq(verdict.status, COVEY_OK);
    }
    return NULL;
}

Test(fedavg, several_threads_may_add_at_once)
{
    struct cohort_update cohort[UPDATES];
    make_cohort(cohort, 0);
    const struct covey_aggregation_plan plan = plan_of(2);
    struct covey_aggregation *together = begin(&plan), *alone = begin(&plan);
    pthread_t threads[4];
    struct adder adders[4];
    for (size_t i = 0; i < 4; i++) {
        adders[i] = (struct adder){together, cohort, i * 5, i * 5 + 5};
        cr_assert_eq(pthread_create(&threads[i], NULL, add_from_thread, &adders[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    add_from_thread(&(struct adder){alone, cohort, 0, UPDATES});
    double *a = mean_of(together, NULL), *b = mean_of(alone, NULL);
    cr_expect_eq(memcmp(a, b, COHORT_COUNT * sizeof *a), 0);
    free(a);
    free(b);
    covey_aggregation_destroy(together);
    covey_aggregation_destroy(alone);
    for (size_t i = 0; i < UPDATES; i++)
        cohort_update_free(&cohort[i]);
}

/* The error against f64 is at most 2^-22 of each tensor's RMS, in the first round with its wide range and in
 * the second with the exponents of the first; the worst coordinate counts. */
Test(fedavg, the_mean_is_as_exact_as_promised)
{
    struct cohort_update cohort[UPDATES];
    int16_t next[COHORT_TENSORS];
    double *exact = calloc(COHORT_COUNT, sizeof *exact);
    double weights = 0;
    make_cohort(cohort, 0);
    for (size_t u = 0; u < UPDATES; u++) {
        weights += cohort[u].weight;
        for (size_t i = 0; i < COHORT_COUNT; i++)
            exact[i] += cohort[u].weight * (double)cohort[u].values[i];
    }
    struct covey_aggregation_plan plan = plan_of(2);
    for (int round = 0; round < 2; round++) {
        struct covey_aggregation *aggregation = begin(&plan);
        struct covey_aggregation_report report;
        add_from_thread(&(struct adder){aggregation, cohort, 0, UPDATES});
        covey_aggregation_report(aggregation, &report);
        cr_expect_eq(report.updates, UPDATES);
        cr_expect_eq(report.weight_sum, weights);
        cr_expect_eq(report.refused + report.scaled_down + report.capped, 0);
        double *mean = mean_of(aggregation, next);
        for (size_t t = 0, i = 0; t < COHORT_TENSORS; t++) {
            double worst = 0, squares = 0;
            const size_t begin_of_tensor = i;
            for (; i < cohort_ends[t]; i++) {
                const double e = fabs(mean[i] - exact[i] / weights);
                worst = e > worst || isnan(e) ? e : worst;
                squares += exact[i] / weights * exact[i] / weights;
            }
            const double rms = sqrt(squares / (double)(i - begin_of_tensor));
            cr_expect(worst <= 0x1p-22 * rms, "round %d tensor %zu: 2^%.1f of its RMS", round, t,
                      log2(worst / rms));
        }
        free(mean);
        covey_aggregation_destroy(aggregation);
        plan.exponents = next;
    }
    free(exact);
    for (size_t i = 0; i < UPDATES; i++)
        cohort_update_free(&cohort[i]);
}

Test(fedavg, refused_updates_leave_no_trace)
{
    struct cohort_update good = cohort_update_make("int8", 1, 0, 10),
                         bad = cohort_update_make("raw32", 2, 0, 10);
    const struct covey_aggregation_plan plan = plan_of(2);
    struct covey_aggregation *aggregation = begin(&plan), *clean = begin(&plan);
    struct covey_verdict verdict;
    const struct covey_contribution update = contribution_of(&good);
    cr_assert_eq(covey_aggregation_add(aggregation, &update, 1, &verdict, NULL), COVEY_OK);
    cr_assert_eq(covey_aggregation_add(clean, &update, 1, &verdict, NULL), COVEY_OK);
    const uint32_t nan = 0x7FC00000;
    memcpy(bad.bytes + bad.size - 400, &nan, sizeof nan);
    struct covey_contribution updates[] = {
        contribution_of(&bad),                          /* NaN near its end */
        {{good.bytes, good.size - 1}, 10, 0},           /* truncated */
        {{good.bytes, 0}, 10, 0},                       /* nothing */
        {{(const uint8_t *)"not a stream", 12}, 10, 0}, /* rubbish */
        {{good.bytes, good.size}, 0, 0},                /* no weight */
        {{good.bytes, good.size}, NAN, 0},
        {{good.bytes, good.size}, -1, 0},
    };
    const enum covey_status expected[] = {COVEY_NOT_FINITE, COVEY_CORRUPT, COVEY_CORRUPT, COVEY_CORRUPT,
                                          COVEY_INVALID,    COVEY_INVALID, COVEY_INVALID};
    struct covey_verdict verdicts[7];
    cr_assert_eq(covey_aggregation_add(aggregation, updates, 7, verdicts, NULL), COVEY_OK);
    for (size_t i = 0; i < 7; i++) {
        cr_expect_eq(verdicts[i].status, expected[i], "update %zu: %d %s", i, verdicts[i].status,
                     verdicts[i].error.text);
        cr_expect(verdicts[i].error.text[0] != '\0');
        cr_assert_eq(covey_aggregation_add(aggregation, &updates[i], 1, &verdict, NULL), COVEY_OK);
        cr_expect_eq(verdict.status, expected[i]);
    }
    struct covey_aggregation_report report;
    covey_aggregation_report(aggregation, &report);
    cr_expect_eq(report.refused, 14);
    cr_expect_eq(report.updates, 1);
    double *a = mean_of(aggregation, NULL), *b = mean_of(clean, NULL);
    cr_expect_eq(memcmp(a, b, COHORT_COUNT * sizeof *a), 0);
    free(a);
    free(b);
    covey_aggregation_destroy(aggregation);
    covey_aggregation_destroy(clean);
    cohort_update_free(&good);
    cohort_update_free(&bad);
}

Test(fedavg, out_of_range_is_scaled_down_whole_or_refused)
{
    struct cohort_update update = cohort_update_make("raw32", 1, 0, 10),
                         codes = cohort_update_make("int8", 1, 0, 10);
    int16_t tight[COHORT_TENSORS];
    for (size_t t = 0; t < COHORT_TENSORS; t++)
        tight[t] = t == 7 ? -13 : 0; /* the tensor's values reach about 2^-10 */
    const struct cohort_update *both[] = {&update, &codes};
    for (size_t k = 0; k < 2; k++) {
        struct covey_aggregation_plan plan = plan_of(1);
        plan.exponents = tight;
        struct covey_aggregation *aggregation = begin(&plan);
        const struct covey_contribution contribution = contribution_of(both[k]);
        struct covey_verdict verdict;
        struct covey_aggregation_report report;
        int16_t next[COHORT_TENSORS];
        cr_assert_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, NULL), COVEY_OK);
        cr_assert_eq(verdict.status, COVEY_OK);
        cr_expect(verdict.scale < 1 && verdict.scale > 0x1p-6, "%g", verdict.scale);
        covey_aggregation_report(aggregation, &report);
        cr_expect_eq(report.scaled_down, 1);
        double *mean = mean_of(aggregation, next);
        for (size_t i = 0; i < COHORT_COUNT; i += 31)
            cr_expect(!(fabs(mean[i] - verdict.scale * (double)both[k]->values[i]) > 0x1p-38),
                      "coordinate %zu", i);
        cr_expect_gt(next[7], -13 + 4, "the next round has room: %d", next[7]);
        free(mean);
        covey_aggregation_destroy(aggregation);
        plan.refuse_range = true;
        aggregation = begin(&plan);
        cr_assert_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, NULL), COVEY_OK);
        cr_expect_eq(verdict.status, COVEY_RANGE);
        covey_aggregation_destroy(aggregation);
    }
    cohort_update_free(&update);
    cohort_update_free(&codes);
}

Test(fedavg, an_update_that_is_too_long_is_refused)
{
    struct cohort_update update = cohort_update_make("int8", 1, 0, 10);
    double squares = 0;
    for (size_t i = 0; i < COHORT_COUNT; i++)
        squares += (double)update.values[i] * (double)update.values[i];
    const double norm = sqrt(squares), limits[] = {norm * 1.001, norm * .999};
    for (int i = 0; i < 2; i++) {
        struct covey_aggregation_plan plan = plan_of(1);
        plan.norm_limit = limits[i];
        struct covey_aggregation *aggregation = begin(&plan);
        const struct covey_contribution contribution = contribution_of(&update);
        struct covey_verdict verdict;
        cr_assert_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, NULL), COVEY_OK);
        cr_expect_eq(verdict.status, i == 0 ? COVEY_OK : COVEY_RANGE);
        if (i == 0)
            cr_expect(!(fabs(verdict.norm / norm - 1) > 1e-12), "%g %g", verdict.norm, norm);
        covey_aggregation_destroy(aggregation);
    }
    cohort_update_free(&update);
}

Test(fedavg, order_of_calls_and_limits)
{
    struct cohort_update update = cohort_update_make("int4", 1, 0, 5000);
    struct covey_aggregation_plan plan = plan_of(1);
    const struct covey_contribution contribution = contribution_of(&update);
    const double *mean = NULL;
    struct covey_verdict verdict, verdicts[3];
    struct covey_aggregation_report report;
    plan.updates_max = 2;
    struct covey_aggregation *aggregation = begin(&plan);
    cr_expect_eq(covey_aggregation_finish(aggregation, &mean, NULL, NULL, NULL), COVEY_STATE,
                 "nothing is in");
    const struct covey_contribution three[] = {contribution, contribution, contribution};
    cr_assert_eq(covey_aggregation_add(aggregation, three, 3, verdicts, NULL), COVEY_OK);
    cr_expect(verdicts[0].status == COVEY_OK && verdicts[1].status == COVEY_OK &&
              verdicts[2].status == COVEY_LIMIT);
    cr_expect_eq(verdicts[0].weight, 1000, "above weight_max it counts as that");
    cr_assert_eq(covey_aggregation_finish(aggregation, &mean, &report, NULL, NULL), COVEY_OK);
    cr_expect_eq(report.capped, 2);
    cr_expect_eq(report.refused, 1);
    cr_expect_eq(covey_aggregation_finish(aggregation, &mean, NULL, NULL, NULL), COVEY_STATE);
    cr_expect_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, NULL), COVEY_STATE);
    cr_expect_eq(covey_aggregation_add(aggregation, three, 3, verdicts, NULL), COVEY_STATE);
    for (size_t i = 0; i < COHORT_COUNT; i += 17)
        cr_expect(!(fabs(mean[i] - (double)update.values[i]) > 0x1p-34));
    covey_aggregation_destroy(aggregation);
    covey_aggregation_destroy(NULL);
    cohort_update_free(&update);
}

Test(fedavg, plans_are_checked)
{
    struct covey_aggregation *aggregation = NULL;
    struct covey_aggregation_plan plans[5];
    for (size_t i = 0; i < 5; i++)
        plans[i] = plan_of(1);
    plans[0].threads = 0;
    plans[1].updates_max = 0;
    plans[2].weight_max = 0;
    plans[3].tensor_count = 0;
    plans[4].norm_limit = -1;
    for (size_t i = 0; i < 5; i++) {
        struct covey_error err = {0};
        cr_expect_eq(covey_aggregation_begin(fedavg(), &plans[i], &aggregation, &err), COVEY_INVALID,
                     "plan %zu", i);
        cr_expect(err.text[0] != '\0');
    }
    cr_expect_null(covey_strategy_find("magic"));
    for (size_t i = 0; covey_strategy_at(i) != NULL; i++)
        cr_expect_eq(covey_strategy_find(covey_strategy_at(i)->name), covey_strategy_at(i));
}
