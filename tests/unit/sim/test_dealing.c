/* Who is hostile, and what the honest have then. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "dealing.h"

#define EXAMPLES 1000u

static uint8_t labels[EXAMPLES];

static struct covey_sim_data made_data(void)
{
    for (uint32_t i = 0; i < EXAMPLES; i++)
        labels[i] = (uint8_t)(i % 10);
    return (struct covey_sim_data){.train = {.count = EXAMPLES,
                                             .rows = EXAMPLES,
                                             .inputs = {.values = labels, .width = 1},
                                             .labels = {.values = labels, .width = 1}}};
}

static struct covey_scenario hostile_scenario(int64_t seed, double share)
{
    return (struct covey_scenario){.seed = seed,
                                   .attack = {.kind = COVEY_ATTACK_SIGN_FLIP, .share = share},
                                   .partition = {.kind = COVEY_PARTITION_SHARDS, .devices = 25, .shards = 1}};
}

static uint32_t count_true(const bool *flags, uint32_t count)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += flags[i];
    return found;
}

Test(dealing, so_many_are_hostile_as_the_share_says_whatever_the_seed)
{
    bool hostile[25], other[25];
    uint32_t differ = 0;
    for (int64_t seed = 1; seed <= 20; seed++) {
        struct covey_scenario scenario = hostile_scenario(seed, .2);
        cr_assert_eq(covey_draw_hostile(&scenario, 25, hostile, NULL), COVEY_OK);
        cr_expect_eq(count_true(hostile, 25), 5, "seed %lld", (long long)seed);
        cr_assert_eq(covey_draw_hostile(&scenario, 25, other, NULL), COVEY_OK);
        cr_expect_eq(memcmp(hostile, other, sizeof hostile), 0);
        scenario.seed = seed + 100;
        cr_assert_eq(covey_draw_hostile(&scenario, 25, other, NULL), COVEY_OK);
        differ += memcmp(hostile, other, sizeof hostile) != 0;
        scenario.attack.share = 1;
        cr_assert_eq(covey_draw_hostile(&scenario, 25, other, NULL), COVEY_OK);
        cr_expect_eq(count_true(other, 25), 25);
        scenario.attack.share = .01; /* a quarter of a device: nobody */
        cr_assert_eq(covey_draw_hostile(&scenario, 25, other, NULL), COVEY_OK);
        cr_expect_eq(count_true(other, 25), 0);
    }
    cr_expect_gt(differ, 15);
}

Test(dealing, nobody_is_hostile_without_an_attack)
{
    const struct covey_sim_data data = made_data();
    struct covey_scenario scenario = hostile_scenario(1, .2);
    struct covey_partition *partition;
    bool *hostile;
    scenario.attack.kind = COVEY_ATTACK_NONE;
    scenario.attack.data = COVEY_ATTACK_DATA_SAMPLE;
    cr_assert_eq(covey_deal(&scenario, &data, &partition, &hostile, NULL), COVEY_OK);
    cr_expect_null(hostile);
    cr_expect_eq(covey_partition_devices(partition), 25);
    covey_partition_destroy(partition);
}

Test(dealing, the_honest_share_everything_where_the_hostile_have_samples)
{
    const struct covey_sim_data data = made_data();
    for (int is_sample = 0; is_sample < 2; is_sample++) {
        struct covey_scenario scenario = hostile_scenario(3, .2);
        struct covey_partition *partition;
        struct covey_error err = {0};
        uint32_t met[EXAMPLES] = {0}, scratch[EXAMPLES], count, missing = 0;
        bool *hostile;
        scenario.attack.data = is_sample != 0 ? COVEY_ATTACK_DATA_SAMPLE : COVEY_ATTACK_DATA_OWN;
        cr_assert_eq(covey_deal(&scenario, &data, &partition, &hostile, &err), COVEY_OK, "%s", err.text);
        cr_assert_eq(covey_partition_devices(partition), 25);
        cr_assert_eq(count_true(hostile, 25), 5);
        for (uint32_t device = 0; device < 25; device++) {
            const uint32_t *share = covey_partition_share(partition, device, scratch, &count);
            uint32_t mask = 0, own[EXAMPLES] = {0};
            cr_expect_eq(count, is_sample != 0 ? 50 : 40);
            for (uint32_t i = 0; i < count; i++) {
                mask |= 1u << labels[share[i]];
                cr_expect_eq(own[share[i]]++, 0, "one example twice on a device");
                met[share[i]] += !hostile[device];
            }
            if (hostile[device] && is_sample != 0)
                cr_expect_geq(__builtin_popcount(mask), 7); /* 50 of 1,000: ten labels but for luck */
            else
                cr_expect_leq(__builtin_popcount(mask), 2);
        }
        for (uint32_t i = 0; i < EXAMPLES; i++) {
            cr_expect_leq(met[i], 1);
            missing += met[i] == 0;
        }
        cr_expect_eq(missing, is_sample != 0 ? 0 : 200);
        cr_expect_leq(covey_partition_bytes(partition), 4 * (EXAMPLES + 250 + 30) + 100);
        covey_partition_destroy(partition);
        free(hostile);
    }
}

Test(dealing, somebody_must_be_honest_where_the_honest_have_everything)
{
    const struct covey_sim_data data = made_data();
    struct covey_scenario scenario = hostile_scenario(1, 1);
    struct covey_partition *partition;
    struct covey_error err = {0};
    bool *hostile;
    scenario.attack.data = COVEY_ATTACK_DATA_SAMPLE;
    cr_expect_eq(covey_deal(&scenario, &data, &partition, &hostile, &err), COVEY_INVALID);
    cr_expect(strstr(err.text, "attack.share") != NULL, "%s", err.text);
    cr_expect_null(partition);
    cr_expect_null(hostile);
}
