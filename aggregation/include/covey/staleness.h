/* What an update counts for that started from an older model than the one it is added to (FedBuff: Nguyen et
 * al. 2022, section 3; FedAsync: Xie et al. 2019, section 5.2, polynomial with a = 1/2). Staleness is the
 * number of models that were published in between:
 *
 *   s(t) = 1 / sqrt(1 + t),  in 2^-16, ties to even
 *
 * An update weighs its examples n times s, while the mean is divided by the examples alone: sum n s x / sum
 * n. So a buffer of stale updates makes a smaller step, and a buffer of one is FedAsync, w = (1 - a) w + a
 * w_k with a = server_rate s. The aggregation divides by the weights as they counted; the scale puts that
 * right. */
#ifndef COVEY_STALENESS_H
#define COVEY_STALENESS_H

#include <stdint.h>

/* (0, 1]; 1 for what is not stale. The same bits everywhere: division and square root are exact to rounding.
 */
double covey_staleness_weight(uint32_t staleness);

/* Sums over the updates that are in the mean, in integers: the same in any order. All-zero: none yet. */
struct covey_staleness_tally {
    uint64_t examples; /* each update's, after the cap */
    uint64_t stale;    /* updates with staleness above 0 */
    uint64_t sum;      /* of staleness */
};

/* Examples that an update counts for under a cap: at least 1. */
double covey_staleness_examples(uint32_t examples, double weight_max);
/* examples: as covey_staleness_examples gave them. */
void covey_staleness_add(struct covey_staleness_tally *tally, double examples, uint32_t staleness);
/* What the mean is to be multiplied by, (0, 1]. weight_sum: as in the aggregation's report. */
double covey_staleness_scale(const struct covey_staleness_tally *tally, double weight_sum);

#endif
