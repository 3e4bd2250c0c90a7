/* The first steps of training, beside PyTorch; test_following_long has all of them. */
#include <criterion/criterion.h>

#include "following.h"
#include "following_engines.h"

#define PART (COVEY_SANITIZED ? 10 : 1)          /* of the perceptron's steps */
#define FEW(steps) (COVEY_SANITIZED ? 1 : steps) /* of the slow ones */

static const char *const optimisers[] = {"sgd", "momentum", "adam"};

Test(following, the_reference_follows_pytorch_within_1e_9)
{
    for (int i = 0; i < 3; i++) {
        const struct following perceptron = {
            "2nn", optimisers[i], &covey_engine_reference, 60 / PART, 60 / PART, 1e-9, 0};
        const struct following convolutional = {
            "mcmahan-cnn", optimisers[i], &covey_engine_reference, FEW(3), FEW(3), 1e-9, 0};
        const struct following depthwise = {
            "depthwise", optimisers[i], &covey_engine_reference, FEW(10), FEW(10), 1e-9, 0};
        follow_pytorch(&perceptron);
        follow_pytorch(&convolutional);
        follow_pytorch(&depthwise);
    }
}

Test(following, f32_follows_pytorch_within_1e_3)
{
    for (int e = 0; following_engines[e] != NULL; e++)
        for (int i = 0; i < 3; i++) {
            const struct covey_engine *engine = following_engines[e];
            const struct following perceptron = {"2nn", optimisers[i],      engine, 200 / PART, 200 / PART,
                                                 1e-3,  PART == 1 ? 0.1 : 0};
            const struct following convolutional = {"mcmahan-cnn", optimisers[i], engine, FEW(5),
                                                    FEW(5),        1e-3,          0};
            const struct following depthwise = {"depthwise", optimisers[i], engine, FEW(10),
                                                FEW(10),     1e-3,          0};
            follow_pytorch(&perceptron);
            follow_pytorch(&convolutional);
            follow_pytorch(&depthwise);
        }
}
