#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "covey/server_optimiser.h"

Test(server_optimiser, plain_step)
{
    struct covey_server_optimiser optimiser;
    const double mean[] = {0.5, -1, 1e-30, 0};
    float weights[] = {1, 2, 3, -0.0f};
    cr_assert_eq(covey_server_optimiser_init(&optimiser, COVEY_SERVER_SGD, 1.0, 4, NULL), COVEY_OK);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, mean, weights, NULL), COVEY_OK);
    cr_expect(weights[0] == 1.5f && weights[1] == 1.0f && weights[2] == 3.0f && weights[3] == 0.0f);
    covey_server_optimiser_deinit(&optimiser);
    cr_assert_eq(covey_server_optimiser_init(&optimiser, COVEY_SERVER_SGD, 0.1, 2, NULL), COVEY_OK);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, mean, weights, NULL), COVEY_OK);
    cr_expect_eq(weights[0], (float)(1.5 + 0.1 * 0.5));
    covey_server_optimiser_deinit(&optimiser);
}

Test(server_optimiser, what_would_not_be_finite_changes_nothing)
{
    struct covey_server_optimiser optimiser;
    struct covey_error err = {0};
    const double means[][2] = {{1, 1e39}, {1, NAN}, {1, -INFINITY}};
    cr_assert_eq(covey_server_optimiser_init(&optimiser, COVEY_SERVER_SGD, 1.0, 2, NULL), COVEY_OK);
    for (size_t i = 0; i < 3; i++) {
        float weights[] = {1, 2};
        cr_expect_eq(covey_server_optimiser_step(&optimiser, means[i], weights, &err), COVEY_NOT_FINITE);
        cr_expect(weights[0] == 1 && weights[1] == 2);
        cr_expect(strstr(err.text, "weight 1") != NULL, "%s", err.text);
    }
    covey_server_optimiser_deinit(&optimiser);
}

Test(server_optimiser, words_and_rates)
{
    struct covey_server_optimiser optimiser;
    enum covey_server_optimiser_kind kind;
    cr_expect_eq(covey_server_optimiser_parse("sgd", &kind), 0);
    cr_expect_eq(covey_server_optimiser_parse("magic", &kind), -1);
    const double rates[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(covey_server_optimiser_init(&optimiser, COVEY_SERVER_SGD, rates[i], 1, NULL),
                     COVEY_INVALID);
}
