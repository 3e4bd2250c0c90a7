/* Threads that work off a queue in order of arrival. The queue is bounded; a full one refuses. */
#ifndef COVEY_WORKERS_H
#define COVEY_WORKERS_H

#include <stdint.h>

#include "covey/status.h"

/* One piece of work: first member of the asker's struct, which run owns and usually frees. */
struct covey_work {
    struct covey_work *next;
    void (*run)(struct covey_work *work);
};

struct covey_workers;

COVEY_MUST_CHECK enum covey_status covey_workers_create(uint32_t thread_count, uint32_t queue_limit,
                                                        struct covey_workers **out, struct covey_error *err);
/* Any thread. BUSY when the queue is full or the workers are ending; run is not called then. */
COVEY_MUST_CHECK enum covey_status covey_workers_post(struct covey_workers *workers, struct covey_work *work);
/* Returns when nothing is queued or running. What is posted meanwhile is waited for too. */
void covey_workers_wait(struct covey_workers *workers);
/* Works off the queue, then ends the threads. NULL is legal. */
void covey_workers_destroy(struct covey_workers *workers);

#endif
