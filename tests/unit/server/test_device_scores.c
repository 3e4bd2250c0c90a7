/* What devices say of the model: figures against hand-made ones, who is asked, what is taken. */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "device_scores.h"

static void expect_near(double got, double wanted, const char *what)
{
    cr_expect(fabs(got - wanted) <= 1e-12, "%s: %.12g, expected %.12g", what, got, wanted);
}

Test(device_scores, figures_of_twenty_devices)
{
    struct covey_device_score scores[22];
    struct covey_device_summary up, down, back;
    char text[COVEY_SCORES_TEXT_BYTES];
    for (uint32_t i = 0; i < 20; i++) /* .05, .10 ... 1.00, turned about; device i has i + 1 examples */
        scores[i] = (struct covey_device_score){i, i + 1, .05 * ((i * 7) % 20 + 1)};
    scores[20] = (struct covey_device_score){20, 1000, NAN};
    scores[21] = (struct covey_device_score){21, 1000, INFINITY};
    double weighted = 0;
    for (uint32_t i = 0; i < 20; i++)
        weighted += scores[i].metric * scores[i].examples / 210;
    cr_assert_eq(covey_device_summary_make(scores, 22, false, &up), COVEY_OK);
    cr_expect_eq(up.devices, 20);
    cr_expect_eq(up.examples, 210);
    expect_near(up.mean, .525, "mean");
    expect_near(up.weighted, weighted, "weighted");
    expect_near(up.worst_decile, .075, "worst tenth");
    expect_near(up.tenth, .145, "tenth"); /* NumPy's quantile: place 1.9 of .05, .10 ... */
    expect_near(up.median, .525, "median");
    expect_near(up.ninetieth, .905, "ninetieth");
    /* of errors the greatest are the worst */
    cr_assert_eq(covey_device_summary_make(scores, 22, true, &down), COVEY_OK);
    expect_near(down.worst_decile, .975, "worst tenth of errors");
    expect_near(down.tenth, .905, "tenth of errors");
    expect_near(down.mean, .525, "mean of errors");
    up.round = 7;
    covey_device_summary_write(&up, text);
    cr_assert(covey_device_summary_read(text, &back));
    cr_expect_eq(back.round, 7);
    cr_expect_eq(back.examples, 210);
    cr_expect(fabs(back.tenth - up.tenth) <= 1e-8);
    cr_expect_not(covey_device_summary_read("7 20 210 .5", &back));
    /* of nobody nothing is known; of one it is all */
    cr_assert_eq(covey_device_summary_make(scores, 0, false, &up), COVEY_OK);
    cr_expect(up.devices == 0 && isnan(up.mean) && isnan(up.worst_decile));
    cr_assert_eq(covey_device_summary_make(scores, 1, false, &up), COVEY_OK);
    cr_expect(!(fabs(up.worst_decile - scores[0].metric) > 0) &&
              !(fabs(up.ninetieth - scores[0].metric) > 0));
}

static bool take(struct covey_device_scores *scores, uint32_t place, double round, double examples,
                 double metric)
{
    struct covey_metrics metrics = {0};
    covey_metrics_add(&metrics, COVEY_METRIC_ROUND, "", round);
    covey_metrics_add(&metrics, COVEY_METRIC_JUDGED, "", metric);
    covey_metrics_add(&metrics, COVEY_METRIC_JUDGED_EXAMPLES, "", examples);
    return covey_device_scores_take(scores, place, &metrics, false);
}

Test(device_scores, take_the_newest_round_once_a_device_and_nothing_odd)
{
    struct covey_device_scores *scores = NULL;
    struct covey_device_summary sum;
    struct covey_error err = {0};
    cr_assert_eq(covey_device_scores_create(&scores, &err), COVEY_OK);
    cr_expect_not(covey_device_scores_sum(scores, false, true, &sum));
    cr_expect_eq(sum.devices, 0);
    cr_expect(take(scores, 1, 10, 5, .5));
    cr_expect(take(scores, 2, 10, 15, .9));
    cr_expect(take(scores, 1, 10, 5, .7), "again, in the place of the first");
    cr_expect_not(take(scores, 3, 9, 5, .1), "a round before");
    static const double odd[][3] = {{10, 5, -1},   {10, 5, 1.01}, {10, 0, .5},   {10, 1.5, .5},
                                    {10, 1e9, .5}, {0, 5, .5},    {1e12, 5, .5}, {10.5, 5, .5}};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        cr_expect_not(take(scores, 4, odd[i][0], odd[i][1], odd[i][2]), "case %zu", i);
    cr_expect(covey_device_scores_sum(scores, false, true, &sum));
    cr_expect_eq(sum.round, 10);
    cr_expect_eq(sum.devices, 2);
    expect_near(sum.weighted, (5 * .7 + 15 * .9) / 20, "weighted");
    cr_expect_not(covey_device_scores_sum(scores, false, false, &sum), "nothing new");
    cr_expect(take(scores, 9, 20, 1, 1));
    (void)covey_device_scores_sum(scores, false, false, &sum);
    cr_expect(sum.round == 20 && sum.devices == 1, "a newer round begins anew");
    for (uint32_t place = 0; place < COVEY_SCORED_DEVICES + 5; place++)
        (void)take(scores, place, 30, 1, .5);
    (void)covey_device_scores_sum(scores, false, false, &sum);
    cr_expect_eq(sum.devices, COVEY_SCORED_DEVICES);
    covey_device_scores_destroy(scores);
}

Test(device_scores, asks_a_share_in_every_so_many_rounds)
{
    const struct covey_federation_options options = {.devices_every = 5, .devices_share = .3};
    uint32_t asked = 0, elsewhen = 0;
    for (uint32_t round = 1; round <= 1000; round++)
        for (uint64_t device = 0; device < 50; device++)
            *(round % 5 == 0 ? &asked : &elsewhen) += covey_device_is_asked(&options, device, round);
    cr_expect_eq(elsewhen, 0);
    /* binomial(10000, .3): mean 3000, deviation 46; five of them */
    cr_expect(asked > 2770 && asked < 3230, "%u", asked);
    cr_expect_not(covey_device_is_asked(&(struct covey_federation_options){.devices_share = 1}, 1, 5));
}
