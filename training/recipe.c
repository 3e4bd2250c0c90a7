/* What a recipe may hold, and the learning rate of a round. Recipes come over the network. */
#include <math.h>

#include "covey/trainer.h"

static enum covey_status check_optimiser(const struct covey_recipe *recipe, struct covey_error *err)
{
    if ((unsigned)recipe->optimiser > COVEY_OPTIMISER_ADAM)
        return covey_fail(err, COVEY_INVALID, "recipe: an unknown optimiser");
    if (recipe->optimiser == COVEY_OPTIMISER_SGD)
        return COVEY_OK;
    if (!(recipe->momentum >= 0 && recipe->momentum < 1))
        return covey_fail(err, COVEY_INVALID, "recipe: momentum %g is not in [0, 1)",
                          (double)recipe->momentum);
    if (recipe->optimiser == COVEY_OPTIMISER_MOMENTUM)
        return COVEY_OK;
    if (!(recipe->beta2 >= 0 && recipe->beta2 < 1))
        return covey_fail(err, COVEY_INVALID, "recipe: beta2 %g is not in [0, 1)", (double)recipe->beta2);
    if (!(recipe->epsilon > 0 && recipe->epsilon <= 1))
        return covey_fail(err, COVEY_INVALID, "recipe: epsilon %g is not in (0, 1]", (double)recipe->epsilon);
    return COVEY_OK;
}

static enum covey_status check_schedule(const struct covey_recipe *recipe, struct covey_error *err)
{
    if ((unsigned)recipe->schedule > COVEY_SCHEDULE_WARMUP)
        return covey_fail(err, COVEY_INVALID, "recipe: an unknown learning-rate schedule");
    if (recipe->schedule == COVEY_SCHEDULE_CONSTANT)
        return COVEY_OK;
    if (!(recipe->schedule_factor >= 0 && recipe->schedule_factor <= 1))
        return covey_fail(err, COVEY_INVALID, "recipe: schedule factor %g is not in [0, 1]",
                          (double)recipe->schedule_factor);
    if (recipe->schedule_period == 0)
        return covey_fail(err, COVEY_INVALID, "recipe: a schedule needs a period of 1 round or more");
    return COVEY_OK;
}

/* What the device keeps is of one kind, and every algorithm has its own; FedProx goes with those that have no
 * proximal term themselves. */
static enum covey_status check_algorithm(const struct covey_recipe *recipe, struct covey_error *err)
{
    const double strength = (double)recipe->strength;
    switch (recipe->algorithm) {
    case COVEY_LOCAL_PLAIN:
        return COVEY_OK;
    case COVEY_LOCAL_MOMENTUM:
        return strength > 0 && strength < 1
                   ? COVEY_OK
                   : covey_fail(err, COVEY_INVALID, "recipe: client momentum %g is not in (0, 1)", strength);
    case COVEY_LOCAL_FEDDYN:
        if (!(strength > 0 && strength <= 1000))
            return covey_fail(err, COVEY_INVALID, "recipe: feddyn's alpha %g is not in (0, 1000]", strength);
        return recipe->proximal_mu > 0
                   ? covey_fail(err, COVEY_INVALID,
                                "recipe: feddyn has a proximal term: leave proximal_mu out")
                   : COVEY_OK;
    case COVEY_LOCAL_SCAFFOLD:
        return recipe->optimiser == COVEY_OPTIMISER_ADAM
                   ? covey_fail(err, COVEY_INVALID,
                                "recipe: scaffold corrects gradients: use sgd or momentum")
                   : COVEY_OK;
    case COVEY_LOCAL_DITTO:
        return strength > 0 && strength <= 1000
                   ? COVEY_OK
                   : covey_fail(err, COVEY_INVALID, "recipe: ditto's lambda %g is not in (0, 1000]",
                                strength);
    }
    return covey_fail(err, COVEY_UNSUPPORTED, "recipe: an unknown algorithm");
}

double covey_recipe_effective_steps(const struct covey_recipe *recipe, uint32_t round, uint32_t steps)
{
    const double momentum = recipe->optimiser == COVEY_OPTIMISER_MOMENTUM ? (double)recipe->momentum : 0;
    const double mu =
        recipe->algorithm == COVEY_LOCAL_FEDDYN ? (double)recipe->strength : (double)recipe->proximal_mu;
    const double pull = covey_recipe_rate(recipe, round) * mu;
    double velocity = 0, moved = 0; /* by gradients of 1, in units of the rate */
    if (recipe->optimiser == COVEY_OPTIMISER_ADAM || !(momentum > 0 || pull > 0))
        return steps;
    for (uint32_t i = 0; i < steps; i++) {
        velocity = momentum * velocity + 1 - pull * moved;
        moved += velocity;
    }
    return moved > 0 && isfinite(moved) ? moved : steps;
}

enum covey_status covey_recipe_check(const struct covey_recipe *recipe, struct covey_error *err)
{
    if (recipe->epochs == 0 && recipe->steps == 0)
        return covey_fail(err, COVEY_INVALID, "recipe: neither epochs nor steps");
    if (recipe->epochs > COVEY_LOCAL_EPOCHS)
        return covey_fail(err, COVEY_LIMIT, "recipe: %u epochs, at most %d", recipe->epochs,
                          COVEY_LOCAL_EPOCHS);
    if (recipe->batch > COVEY_DATASET_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "recipe: batches of %u examples, at most %u", recipe->batch,
                          COVEY_DATASET_EXAMPLES);
    if (!(recipe->learning_rate > 0 && recipe->learning_rate <= 1000))
        return covey_fail(err, COVEY_INVALID, "recipe: learning rate %g is not in (0, 1000]",
                          (double)recipe->learning_rate);
    if (!(recipe->weight_decay >= 0 && recipe->weight_decay <= 1))
        return covey_fail(err, COVEY_INVALID, "recipe: weight decay %g is not in [0, 1]",
                          (double)recipe->weight_decay);
    if (!(recipe->proximal_mu >= 0 && recipe->proximal_mu <= 1000))
        return covey_fail(err, COVEY_INVALID, "recipe: proximal mu %g is not in [0, 1000]",
                          (double)recipe->proximal_mu);
    COVEY_TRY(check_algorithm(recipe, err));
    COVEY_TRY(check_optimiser(recipe, err));
    return check_schedule(recipe, err);
}

double covey_recipe_rate(const struct covey_recipe *recipe, uint32_t round)
{
    const double rate = (double)recipe->learning_rate, factor = (double)recipe->schedule_factor;
    const double period = recipe->schedule_period;
    const double share =
        round < recipe->schedule_period ? round / period : 1.0; /* 0 at the start, 1 at the end */
    switch (recipe->schedule) {
    case COVEY_SCHEDULE_STEP:
        return rate * pow(factor, (double)(round / recipe->schedule_period));
    case COVEY_SCHEDULE_COSINE:
        return rate * (factor + (1.0 - factor) * 0.5 * (1.0 + cos(3.14159265358979323846 * share)));
    case COVEY_SCHEDULE_WARMUP:
        return rate * (factor + (1.0 - factor) * share);
    case COVEY_SCHEDULE_CONSTANT:
        break;
    }
    return rate;
}
