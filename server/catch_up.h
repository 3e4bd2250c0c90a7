/* GET s/{from}-{to}: what a device adds to model `from` to have model `to`, as one stream: the exact sum of
 * the steps between them. Made when the first one asks, by the work thread, and kept for the others. */
#ifndef COVEY_CATCH_UP_H
#define COVEY_CATCH_UP_H

#include <stdint.h>

#include "covey/transport.h"

#define COVEY_SUMS_KEPT 32 /* the oldest go first; each is shorter than the full model */

/* Guarded by the federation's mutex. */
struct covey_sums {
    struct covey_sum {
        uint64_t from, to;       /* to 0: the place is free */
        struct covey_blob *blob; /* NULL: there is a shorter way */
    } kept[COVEY_SUMS_KEPT];
    uint32_t next;
};

void covey_sums_deinit(struct covey_sums *sums);

struct covey_federation;
/* range: "from-to", decimal. 4.04: there is none, or the full model or the listed steps are shorter. */
void covey_catch_up_get(struct covey_federation *federation, const char *range,
                        struct covey_exchange *exchange);

#endif
