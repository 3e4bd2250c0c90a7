/* A rate shared between parts of a vector so that each bit lowers the error by as much wherever it is spent:
 * at one step for all of them (reverse water-filling: Cover and Thomas, "Elements of information theory",
 * section 10.3.3; a uniform quantiser's error goes with its step). Parts of little variance get little, or
 * nothing. */
#ifndef COVEY_RATE_SHARE_H
#define COVEY_RATE_SHARE_H

#include <stddef.h>

#include "rate_search.h"

struct covey_rate_part {
    const struct covey_spread *spread;
    size_t values;
    double bits; /* a value: its share */
};

/* Error and rate of the spread at that step, in bits a value: error / lambda + bits, with the rounding that
 * is best. *bits: what symbols take. */
double covey_rate_cost(const struct covey_spread *spread, double step, double *bits);

/* The step at which all parts together take `total` bits. Sets their shares, which add up to that. */
double covey_rate_share(struct covey_rate_part *parts, size_t count, double total);

/* into has both parts' values; both were measured with the same largest value. */
void covey_spread_add(struct covey_spread *into, const struct covey_spread *from);

#endif
