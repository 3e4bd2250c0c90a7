#include <criterion/criterion.h>
#include <math.h>

#include "yardstick.h"

static struct covey_sim_round judged(uint32_t round, double metric)
{
    return (struct covey_sim_round){
        .round = round, .metric = metric, .bytes_up = 100, .virtual_s = 10.0 * round, .joules = 2};
}

static void near(double value, double wanted)
{
    cr_assert(!(fabs(value - wanted) > 1e-9), "%.12g instead of %.12g", value, wanted);
}

Test(target, is_crossed_between_two_rounds)
{
    /* The best so far is .90 when .98 comes; .95 lies 5/8 of the way from round 4 to round 6. */
    const struct covey_sim_round rounds[] = {judged(1, .5),  judged(2, .9),  judged(3, NAN), judged(4, .85),
                                             judged(5, NAN), judged(6, .98), judged(7, .99)};
    struct covey_target_crossing crossing;
    covey_target_find(rounds, 7, .95, false, &crossing);
    cr_assert(crossing.reached);
    near(crossing.rounds, 4 + 2 * 5. / 8);
    near(crossing.virtual_s, 40 + 20 * 5. / 8);
    near(crossing.bytes_up, 400 + 200 * 5. / 8);
    near(crossing.joules, 8 + 4 * 5. / 8);
}

Test(target, at_once_and_never)
{
    const struct covey_sim_round rounds[] = {judged(1, .97), judged(2, .96)};
    struct covey_target_crossing crossing;
    covey_target_find(rounds, 2, .95, false, &crossing);
    cr_assert(crossing.reached);
    near(crossing.rounds, 1);
    covey_target_find(rounds, 2, .98, false, &crossing);
    cr_assert(!crossing.reached);
    cr_assert(isnan(crossing.rounds) && isnan(crossing.bytes_up));
    covey_target_find(rounds, 2, NAN, false, &crossing);
    cr_assert(!crossing.reached);
    covey_target_find(rounds, 0, .5, false, &crossing);
    cr_assert(!crossing.reached);
}

Test(target, met_exactly)
{
    const struct covey_sim_round rounds[] = {judged(1, .5), judged(2, .95), judged(3, .95)};
    struct covey_target_crossing crossing;
    covey_target_find(rounds, 3, .95, false, &crossing);
    near(crossing.rounds, 2);
}

Test(target, of_an_error_is_crossed_downwards)
{
    const struct covey_sim_round rounds[] = {judged(1, .9), judged(2, .6), judged(3, .7), judged(4, .4)};
    struct covey_target_crossing crossing;
    covey_target_find(rounds, 4, .5, true, &crossing);
    cr_assert(crossing.reached);
    near(crossing.rounds, 3.5); /* from the best so far, .6, at round 3 to .4 at round 4 */
    covey_target_find(rounds, 4, .3, true, &crossing);
    cr_assert(!crossing.reached);
}

Test(gini, known_cases)
{
    uint32_t alike[] = {4, 4, 4, 4}, one[] = {0, 12, 0, 0}, ramp[] = {4, 1, 3, 2}, none[] = {0, 0};
    near(covey_gini_counts(alike, 4), 0);
    near(covey_gini_counts(one, 4), .75); /* (n - 1) / n */
    near(covey_gini_counts(ramp, 4), .25);
    near(covey_gini_counts(none, 2), 0);
    near(covey_gini_counts(none, 0), 0);
}

Test(gini, of_a_histogram_is_that_of_its_values)
{
    uint32_t counts[] = {0, 0, 1, 1, 1, 2, 5};
    const double values[] = {0, 1, 2, 5}, weights[] = {2, 3, 1, 1};
    near(covey_gini(values, weights, 4), covey_gini_counts(counts, 7));
}

Test(spread, mean_and_deviation)
{
    const double values[] = {1, 2, 3, 4};
    near(covey_mean(values, 4), 2.5);
    near(covey_deviation(values, 4), sqrt(5. / 3));
    cr_assert(isnan(covey_mean(values, 0)));
    cr_assert(isnan(covey_deviation(values, 1)));
}

Test(pareto, nothing_on_the_front_is_beaten)
{
    const double points[][2] = {{1, 5}, {2, 3}, {3, 3}, {4, 1}, {1, 5}, {NAN, 0}, {5, 2}};
    const bool wanted[] = {true, true, false, true, true, false, false};
    bool front[7];
    covey_pareto_front(&points[0][0], 7, 2, front);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(front[i], wanted[i], "point %d", i);
}
