/* 200 steps of training beside PyTorch: the reference within 1e-9 all the way; f32 within 1e-3 for as long as
 * rounding does not grow on its own, and with the same mean loss at the end. */
#include <criterion/criterion.h>

#include "following.h"
#include "following_engines.h"

static const char *const models[] = {"2nn", "mcmahan-cnn", "depthwise"};
static const char *const optimisers[] = {"sgd", "momentum", "adam"};

Test(following_long, the_reference_follows_pytorch_for_200_steps_within_1e_9)
{
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 3; i++) {
            const struct following at = {models[m], optimisers[i], &covey_engine_reference, 200, 200,
                                         1e-9,      1e-9};
            follow_pytorch(&at);
        }
}

Test(following_long, f32_follows_pytorch_for_10_steps_within_1e_3_and_its_mean_loss_within_a_tenth)
{
    for (int e = 0; following_engines[e] != NULL; e++)
        for (int m = 0; m < 3; m++)
            for (int i = 0; i < 3; i++) {
                const unsigned compared = m == 0 ? 200 : 10;
                const struct following at = {
                    models[m], optimisers[i], following_engines[e], 200, compared, 1e-3, 0.1};
                follow_pytorch(&at);
            }
}
