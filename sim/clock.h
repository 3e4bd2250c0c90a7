/* Virtual time: a clock that jumps from event to event, and the queue of what is to come. Events are taken in
 * order of (time, device, kind, order of arrival), so a run has one order of events whatever made them. Not
 * thread-safe. */
#ifndef COVEY_CLOCK_H
#define COVEY_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

struct covey_clock_event {
    uint64_t at_ms;
    uint32_t device; /* COVEY_CLOCK_SERVER: none */
    uint32_t kind;   /* the caller's own */
    uint32_t place;  /* likewise; not part of the order */
    uint32_t ticket; /* likewise */
    uint64_t sequence;
};

#define COVEY_CLOCK_SERVER UINT32_MAX /* behind all devices of the same moment */

/* All zero: empty, at time 0. */
struct covey_clock {
    uint64_t now_ms;
    struct covey_clock_event *heap; /* (capacity), owned */
    size_t count, capacity;
    uint64_t sequence;
};

/* at_ms in the past counts as now. sequence is filled in here. */
COVEY_MUST_CHECK enum covey_status covey_clock_post(struct covey_clock *clock,
                                                    const struct covey_clock_event *event);
/* The next event, and the clock stands at its time; false: nothing is to come. */
bool covey_clock_next(struct covey_clock *clock, struct covey_clock_event *out);
/* The next event, still to come; NULL: none. */
const struct covey_clock_event *covey_clock_first(const struct covey_clock *clock);
/* Keeps those events for which keep says so; it may change their place and ticket. */
void covey_clock_sift(struct covey_clock *clock, bool (*keep)(void *user, struct covey_clock_event *event),
                      void *user);
/* An event of before, with the sequence that it had. */
COVEY_MUST_CHECK enum covey_status covey_clock_restore(struct covey_clock *clock,
                                                       const struct covey_clock_event *event);
/* Forgets what is to come; the time stays. */
void covey_clock_clear(struct covey_clock *clock);
void covey_clock_deinit(struct covey_clock *clock);

#endif
