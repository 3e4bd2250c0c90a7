#include "covey/weighting.h"

#include <math.h>

#define STEPS_UNIT 65536.0      /* effective steps are added up in 2^-16 */
#define STEPS_MAX 4294967296.0  /* more steps than a plan can ask for */
#define SHARE_UNIT 1073741824.0 /* shares of q-FedAvg's denominator, in 2^-30 */
#define SHARE_MAX 1073741824.0
#define LOSS_MIN 1e-10 /* as in the authors' code */
#define POWER_MAX 16.0
#define WEIGHT_MAX 1099511627776.0
#define LOSS_USUAL 16.0 /* the loss that the grid has room for */
#define BATCHES_USUAL 16.0

enum covey_status covey_weighting_check(const struct covey_weighting *weighting, struct covey_error *err)
{
    if ((unsigned)weighting->kind >= COVEY_WEIGHTINGS)
        return covey_fail(err, COVEY_INVALID, "there is no weighting number %d", (int)weighting->kind);
    if (weighting->kind != COVEY_WEIGH_LOSS)
        return COVEY_OK;
    if (!(weighting->power > 0 && weighting->power <= POWER_MAX))
        return covey_fail(err, COVEY_INVALID, "q is %g, must be above 0 and at most %g", weighting->power,
                          POWER_MAX);
    if (!(weighting->smoothness > 0) || !isfinite(weighting->smoothness))
        return covey_fail(err, COVEY_INVALID, "q-fedavg: 1 / learning rate is %g, must be above 0",
                          weighting->smoothness);
    return COVEY_OK;
}

double covey_weighting_cap(const struct covey_weighting *weighting, double examples_max, uint32_t batch)
{
    switch (weighting->kind) {
    case COVEY_WEIGH_EQUAL:
        return 1;
    case COVEY_WEIGH_STEPS: /* n / tau: about the batch, over the epochs */
        return batch == 0 ? examples_max : fmin(BATCHES_USUAL * batch, examples_max);
    case COVEY_WEIGH_LOSS:
        return fmin(pow(LOSS_USUAL, weighting->power), WEIGHT_MAX);
    default:
        return examples_max;
    }
}

static double steps_of(const struct covey_weighed *update)
{
    return update->steps > 1 ? fmin(update->steps, STEPS_MAX) : 1;
}

static double loss_of(const struct covey_weighed *update)
{
    return update->loss > LOSS_MIN ? update->loss : LOSS_MIN;
}

double covey_weighting_weight(const struct covey_weighting *weighting, const struct covey_weighed *update)
{
    switch (weighting->kind) {
    case COVEY_WEIGH_EQUAL:
        return 1;
    case COVEY_WEIGH_STEPS:
        return (double)update->examples / steps_of(update);
    case COVEY_WEIGH_LOSS:
        return fmin(fmax(pow(loss_of(update), weighting->power), LOSS_MIN), WEIGHT_MAX);
    default:
        return (double)update->examples;
    }
}

void covey_weighting_add(const struct covey_weighting *weighting, const struct covey_weighed *update,
                         struct covey_weighting_tally *tally)
{
    tally->examples += update->examples;
    if (weighting->kind == COVEY_WEIGH_STEPS)
        tally->other += (__extension__(unsigned __int128) update->examples) *
                        (uint64_t)llrint(steps_of(update) * STEPS_UNIT);
    if (weighting->kind == COVEY_WEIGH_LOSS) {
        const double loss = loss_of(update), q = weighting->power;
        const double share =
            pow(loss, q) + q * pow(loss, q - 1) * weighting->smoothness * update->norm * update->norm;
        tally->other += (uint64_t)llrint(fmin(share, SHARE_MAX) * SHARE_UNIT);
    }
}

double covey_weighting_scale(const struct covey_weighting *weighting,
                             const struct covey_weighting_tally *tally, double weight_sum)
{
    const double examples = (double)tally->examples, other = (double)tally->other;
    if (examples == 0 || other == 0)
        return 1;
    if (weighting->kind == COVEY_WEIGH_STEPS)
        return (other / STEPS_UNIT / examples) * (weight_sum / examples);
    if (weighting->kind == COVEY_WEIGH_LOSS)
        return weight_sum / (other / SHARE_UNIT);
    return 1;
}
