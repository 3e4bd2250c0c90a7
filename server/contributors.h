/* Whose updates are in the open round's sum, by whatever way they came: directly, or in a gateway's partial
 * sum. A device that comes by two ways is counted once: what came first stays. A hash table of names; the
 * caller locks. All zero: empty. */
#ifndef COVEY_CONTRIBUTORS_H
#define COVEY_CONTRIBUTORS_H

#include <stdint.h>

#include "covey/bytes.h"
#include "covey/limits.h"
#include "covey/status.h"

struct covey_contributors {
    struct covey_claim {
        char name[COVEY_NAME_BYTES]; /* "": free */
        uint32_t slot;               /* of the cohort: who brought it */
    } * claims;                      /* (capacity), a power of two, at least half of them free */
    uint32_t capacity, count;
};

/* Everyone in `list` (covey_contributor_next; already checked), or `name` alone when it is empty, for one
 * slot: all of them, or CONFLICT with the name of one that another slot has brought. Again for the same slot
 * is OK. */
COVEY_MUST_CHECK enum covey_status covey_contributors_claim(struct covey_contributors *contributors,
                                                            uint32_t slot, const char *name,
                                                            struct covey_bytes list, struct covey_error *err);
/* What that slot brought is gone again: it was not recorded. */
void covey_contributors_release(struct covey_contributors *contributors, uint32_t slot);
void covey_contributors_deinit(struct covey_contributors *contributors);

#endif
