/* What symbols cost on a path of the trellis: its squared error plus lambda times their bits. The bits come
 * from the counts of the attempt before, first of all from those of a normal vector at this rate. */
#ifndef COVEY_TRELLIS_PRICES_H
#define COVEY_TRELLIS_PRICES_H

#include <stdint.h>

#include "trellis_kernels.h"

#define COVEY_TRELLIS_PRICED 64 /* rows of a kind */

struct covey_trellis_prices {
    double lambda;                        /* squared steps a bit */
    double bits[2][COVEY_TRELLIS_PRICED]; /* by kind and row; the sign is in it */
};

/* Those of a normal vector of deviation 1 at so many bits a value; returns its step. */
double covey_trellis_prices_begin(struct covey_trellis_prices *prices, double rate);
/* Half way from what was thought before to the bits of symbols as they were counted, by magnitude. */
void covey_trellis_prices_learn(struct covey_trellis_prices *prices, const uint32_t counts[128]);
/* As the search takes them. */
void covey_trellis_prices_costs(const struct covey_trellis_prices *prices, struct covey_trellis_costs *out);

#endif
