/* Whose an assignment is, and what became of its update: asked before a body is taken, and by a device that
 * was restarted and does not know whether it was heard. */
#ifndef COVEY_INQUIRY_H
#define COVEY_INQUIRY_H

#include <string.h>

#include "federation.h"

enum covey_standing {
    COVEY_STANDING_OPEN,     /* wanted */
    COVEY_STANDING_EARLY,    /* wanted, once the next round is open */
    COVEY_STANDING_TAKEN,    /* the same device is sending it already */
    COVEY_STANDING_RECORDED, /* there already */
    COVEY_STANDING_OVER,     /* the round is over, or the device was withdrawn */
    COVEY_STANDING_UNKNOWN   /* not among the last two rounds' assignments of this device */
};

static inline bool covey_same_assignment(const struct covey_assignment_id *a,
                                         const struct covey_assignment_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* What this assignment is for this device; *hash when RECORDED. With the mutex held. */
enum covey_standing covey_standing_of(const struct covey_federation *federation, uint32_t place,
                                      const struct covey_assignment_id *id, struct covey_hash *hash);

/* An update is there already: 2.04 for the same bytes again, 4.09 for others. body: NULL for others. */
void covey_answer_recorded(struct covey_exchange *exchange, const struct covey_hash *there,
                           const struct covey_hash *body);

/* Answers from the ledger, on an intake thread, where the assignment is older than what is in memory.
 * body_hash: NULL when there is no body, only the question. */
void covey_inquire(struct covey_federation *federation, uint32_t place, const struct covey_assignment_id *id,
                   const struct covey_hash *body_hash, struct covey_exchange *exchange);

/* GET of an upload: what became of it? */
void covey_inquiry_get(struct covey_federation *federation, uint32_t place,
                       const struct covey_assignment_id *id, struct covey_exchange *exchange);

#endif
