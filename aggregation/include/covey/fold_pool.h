/* A few threads that work through numbered tasks: the fold by ranges of coordinates. Tasks may run in any
 * order and at once; each writes only what is its own, so the result does not depend on the number of
 * threads. */
#ifndef COVEY_FOLD_POOL_H
#define COVEY_FOLD_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

struct covey_fold_pool;

/* thread_count: 1..COVEY_FOLD_THREADS, the caller's included; 1 makes no thread. */
COVEY_MUST_CHECK enum covey_status covey_fold_pool_create(uint32_t thread_count, struct covey_fold_pool **out,
                                                          struct covey_error *err);

/* Calls task(user, i) for every i < task_count and returns when all are done. One caller at a time. */
void covey_fold_pool_run(struct covey_fold_pool *pool, size_t task_count,
                         void (*task)(void *user, size_t index), void *user);

uint32_t covey_fold_pool_threads(const struct covey_fold_pool *pool);

/* Waits for the threads to end. */
void covey_fold_pool_destroy(struct covey_fold_pool *pool);

#endif
