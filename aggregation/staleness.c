#include "covey/staleness.h"

#include <math.h>

#define UNIT 65536.0

double covey_staleness_weight(uint32_t staleness)
{
    const double weight = rint(UNIT / sqrt(1.0 + (double)staleness)) / UNIT;
    return weight > 0 ? weight : 1 / UNIT;
}

double covey_staleness_examples(uint32_t examples, double weight_max)
{
    const double whole = floor(weight_max);
    if ((double)examples > whole)
        return whole < 1 ? 1 : whole;
    return examples == 0 ? 1 : (double)examples;
}

void covey_staleness_add(struct covey_staleness_tally *tally, double examples, uint32_t staleness)
{
    tally->examples += (uint64_t)examples;
    tally->stale += staleness > 0;
    tally->sum += staleness;
}

double covey_staleness_scale(const struct covey_staleness_tally *tally, double weight_sum)
{
    if (tally->stale == 0 || tally->examples == 0)
        return 1;
    return fmin(weight_sum / (double)tally->examples, 1);
}
