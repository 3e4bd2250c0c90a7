/* Choosing the cohort: fairness of chance, and what each policy prefers. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "covey/random.h"
#include "covey/selection.h"

static const struct covey_selection at_random = {.policy = COVEY_SELECT_RANDOM};

static void choose(const struct covey_selection *selection, uint32_t round,
                   const struct covey_candidates *candidates, uint32_t count, uint32_t *chosen)
{
    cr_assert_eq(covey_cohort_select(selection, 7, round, candidates, count, chosen), COVEY_OK);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_lt(chosen[i], candidates->count);
        cr_assert(i == 0 || chosen[i] > chosen[i - 1], "not ascending, or one twice");
    }
}

static void name_devices(uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "device-%u", i);
        ids[i] = covey_random_id(name);
    }
}

Test(selection, is_a_function_of_seed_round_and_ids_and_not_of_their_order)
{
    uint64_t ids[100];
    name_devices(ids, 100);
    const struct covey_candidates all = {.ids = ids, .count = 100};
    uint32_t first[10], again[10], other[10];
    choose(&at_random, 3, &all, 10, first);
    choose(&at_random, 3, &all, 10, again);
    choose(&at_random, 4, &all, 10, other);
    cr_assert_eq(memcmp(first, again, sizeof first), 0);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);

    uint64_t reversed[100];
    for (uint32_t i = 0; i < 100; i++)
        reversed[i] = ids[99 - i];
    choose(&at_random, 3, &(struct covey_candidates){.ids = reversed, .count = 100}, 10, again);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(reversed[again[i]], ids[first[9 - i]]);

    /* without one who was not chosen, the same are chosen */
    uint32_t gone = 0;
    for (uint32_t i = 0; i < 10 && first[i] == gone; i++)
        gone++;
    uint64_t fewer[99];
    for (uint32_t i = 0, j = 0; i < 100; i++)
        if (i != gone)
            fewer[j++] = ids[i];
    choose(&at_random, 3, &(struct covey_candidates){.ids = fewer, .count = 99}, 10, again);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(fewer[again[i]], ids[first[i]]);
}

Test(selection, random_treats_devices_alike_over_many_rounds)
{
    enum { N = 20, K = 5, ROUNDS = 4000 };
    uint64_t ids[N];
    uint32_t hits[N] = {0}, chosen[K];
    name_devices(ids, N);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        choose(&at_random, round, &(struct covey_candidates){.ids = ids, .count = N}, K, chosen);
        for (uint32_t i = 0; i < K; i++)
            hits[chosen[i]]++;
    }
    /* binomial(4000, 1/4): mean 1000, deviation 27.4; five of them */
    for (uint32_t i = 0; i < N; i++)
        cr_assert(hits[i] > 863 && hits[i] < 1137, "device %u was chosen %u times of an expected 1000", i,
                  hits[i]);
}

/* One of two, weights 1 and 3: the second in three of four rounds. Nothing known: the mean stands for it. */
Test(selection, examples_draws_in_proportion)
{
    enum { ROUNDS = 8000 };
    uint64_t ids[3];
    uint32_t hits[3] = {0}, chosen;
    name_devices(ids, 3);
    const struct covey_device_record records[3] = {
        {.last_round = 1, .examples = 100}, {.last_round = 1, .examples = 300}, {0}};
    const struct covey_selection selection = {.policy = COVEY_SELECT_EXAMPLES};
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        choose(&selection, round, &(struct covey_candidates){.ids = ids, .records = records, .count = 3}, 1,
               &chosen);
        hits[chosen]++;
    }
    /* shares 1/6, 1/2, 1/3 of 8000; five deviations of a binomial are at most 224 */
    cr_assert(hits[0] > 1133 && hits[0] < 1533, "%u", hits[0]);
    cr_assert(hits[1] > 3776 && hits[1] < 4224, "%u", hits[1]);
    cr_assert(hits[2] > 2456 && hits[2] < 2877, "%u", hits[2]);
}

Test(selection, round_robin_gives_everybody_the_same_number_of_turns)
{
    enum { N = 10, K = 3 };
    uint64_t ids[N];
    uint32_t chosen[K];
    struct covey_device_record records[N] = {{0}};
    const struct covey_selection selection = {.policy = COVEY_SELECT_ROUND_ROBIN};
    name_devices(ids, N);
    for (uint32_t round = 1; round <= 20; round++) {
        choose(&selection, round, &(struct covey_candidates){.ids = ids, .records = records, .count = N}, K,
               chosen);
        for (uint32_t i = 0; i < K; i++)
            records[chosen[i]].chosen++;
    }
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(records[i].chosen, 6, "device %u had %u turns", i, records[i].chosen);
}

/* With as many candidates as devices it is the highest loss; those of whom nothing is known come first. */
Test(selection, power_of_choice_takes_the_highest_loss_of_those_drawn)
{
    enum { N = 12 };
    uint64_t ids[N];
    struct covey_device_record records[N];
    uint32_t chosen[3];
    name_devices(ids, N);
    for (uint32_t i = 0; i < N; i++)
        records[i] =
            (struct covey_device_record){.last_round = 1, .examples = 10 + i, .loss = (float)(i % 6)};
    records[8].last_round = 0;
    const struct covey_candidates all = {.ids = ids, .records = records, .count = N};
    const struct covey_selection greedy = {.policy = COVEY_SELECT_POWER_OF_CHOICE, .candidates = 4};
    choose(&greedy, 2, &all, 3, chosen);
    cr_assert_eq(chosen[0], 5);
    cr_assert_eq(chosen[1], 8);
    cr_assert_eq(chosen[2], 11);

    /* one candidate a place is a draw by examples alone */
    const struct covey_selection mild = {.policy = COVEY_SELECT_POWER_OF_CHOICE, .candidates = 1};
    const struct covey_selection weighted = {.policy = COVEY_SELECT_EXAMPLES};
    uint32_t same[3];
    choose(&mild, 2, &all, 3, chosen);
    choose(&weighted, 2, &all, 3, same);
    cr_assert_eq(memcmp(chosen, same, sizeof chosen), 0);
}

Test(selection, utility_prefers_useful_and_fast_ones_and_explores)
{
    enum { N = 20, KNOWN = 10, K = 4 };
    uint64_t ids[N];
    struct covey_device_record records[N] = {{0}};
    uint32_t chosen[K];
    name_devices(ids, N);
    for (uint32_t i = 0; i < KNOWN; i++)
        records[i] =
            (struct covey_device_record){.last_round = 5, .examples = 100, .taken_ms = 1000, .loss = .1f};
    records[3].loss = records[7].loss = records[9].loss = 5; /* three stand out */
    records[9].taken_ms = 60000;                             /* one of them is slow */
    const struct covey_candidates all = {.ids = ids, .records = records, .count = N};
    const struct covey_selection even = {.policy = COVEY_SELECT_UTILITY, .exploration = .25};
    choose(&even, 6, &all, K, chosen);
    cr_assert_eq(chosen[0], 3);
    cr_assert_eq(chosen[1], 7);
    cr_assert_eq(chosen[2], 9);
    cr_assert_geq(chosen[3], KNOWN, "a quarter of the cohort are new ones");

    const struct covey_selection paced = {.policy = COVEY_SELECT_UTILITY, .exploration = .25, .pace_s = 5};
    choose(&paced, 6, &all, K, chosen);
    for (uint32_t i = 0; i < K; i++)
        cr_assert_neq(chosen[i], 9, "sixty seconds where five are wanted");

    /* of nobody anything is known: as good as random, and everybody is chosen */
    choose(&paced, 1, &(struct covey_candidates){.ids = ids, .count = N}, K, chosen);
    /* of everybody: no exploration is possible */
    choose(&paced, 6, &(struct covey_candidates){.ids = ids, .records = records, .count = KNOWN}, K, chosen);
}

/* Oort, equations 1 and 2, by hand: |B| (loss + sqrt(.1 ln R / L)) (T / t)^2, in round R = 10.
 *   first   100 (1.0 + sqrt(.2303 / 5)) = 121.5    second   100 (.9 + sqrt(.2303 / 1)) = 138.0
 * so the one that was not seen for long; where the pace is 5 s and it takes 6, it counts for 95.8. */
Test(selection, utility_is_oorts)
{
    uint64_t ids[2];
    uint32_t chosen;
    struct covey_device_record records[2] = {
        {.last_round = 5, .examples = 100, .loss = 1, .taken_ms = 4000},
        {.last_round = 1, .examples = 100, .loss = .9f, .taken_ms = 6000}};
    const struct covey_candidates both = {.ids = ids, .records = records, .count = 2};
    name_devices(ids, 2);
    choose(&(struct covey_selection){.policy = COVEY_SELECT_UTILITY}, 10, &both, 1, &chosen);
    cr_expect_eq(chosen, 1);
    choose(&(struct covey_selection){.policy = COVEY_SELECT_UTILITY, .pace_s = 5}, 10, &both, 1, &chosen);
    cr_expect_eq(chosen, 0);
    records[1].examples = 130; /* 124.5: within the cut-off of 95 % of each other, both have their turns */
    uint32_t second = 0;
    for (uint32_t round = 10; round < 20; round++) {
        choose(&(struct covey_selection){.policy = COVEY_SELECT_UTILITY, .pace_s = 5}, round, &both, 1,
               &chosen);
        second += chosen;
    }
    cr_expect(second > 0 && second < 10, "%u", second);
}

Test(selection, odd_records_do_no_harm)
{
    enum { N = 6 };
    uint64_t ids[N];
    struct covey_device_record records[N];
    uint32_t chosen[N], places[N] = {5, 4, 3, 2, 1, 0};
    name_devices(ids, N);
    for (uint32_t i = 0; i < N; i++)
        records[i] = (struct covey_device_record){.chosen = UINT32_MAX, .last_round = 1, .examples = 1};
    records[0].loss = NAN;
    records[1].loss = INFINITY;
    records[2].loss = -1;
    records[3].examples = UINT32_MAX;
    records[4].taken_ms = UINT32_MAX;
    const struct covey_candidates all = {.ids = ids, .places = places, .records = records, .count = N};
    for (int64_t policy = 0; policy < COVEY_SELECT_POLICIES; policy++) {
        const struct covey_selection selection = {.policy = policy};
        for (uint32_t count = 0; count <= N; count++)
            choose(&selection, UINT32_MAX, &all, count, chosen);
    }
}

Test(selection, refuses_what_makes_no_sense)
{
    static const struct covey_selection wrong[] = {
        {.policy = COVEY_SELECT_POLICIES},
        {.policy = -1},
        {.policy = COVEY_SELECT_POWER_OF_CHOICE, .candidates = .5},
        {.policy = COVEY_SELECT_POWER_OF_CHOICE, .candidates = NAN},
        {.policy = COVEY_SELECT_RANDOM, .candidates = 3},
        {.policy = COVEY_SELECT_UTILITY, .exploration = 1.5},
        {.policy = COVEY_SELECT_UTILITY, .pace_s = -1},
        {.policy = COVEY_SELECT_EXAMPLES, .pace_s = 3},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct covey_error err = {0};
        cr_expect_eq(covey_selection_check(&wrong[i], &err), COVEY_INVALID, "case %zu", i);
        cr_expect_neq(err.text[0], '\0', "case %zu says nothing", i);
    }
    cr_expect_eq(covey_selection_check(&at_random, NULL), COVEY_OK);
}
