#include "covey/fold_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "covey/limits.h"

struct covey_fold_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, idle; /* a new job for the threads; the last thread is done with the job */
    uint64_t job;              /* number of the current job; a thread does each once */
    uint32_t busy;             /* threads that have not finished the current job */
    bool stop;
    void (*task)(void *user, size_t index);
    void *user;
    size_t task_count;
    atomic_size_t next;    /* task that nobody has taken yet */
    uint32_t thread_count; /* the caller's included */
    pthread_t threads[COVEY_FOLD_THREADS];
};

static void work_through(struct covey_fold_pool *pool)
{
    for (;;) {
        const size_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->task_count)
            return;
        pool->task(pool->user, index);
    }
}

static void *thread_main(void *argument)
{
    struct covey_fold_pool *pool = argument;
    uint64_t done = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->job == done && !pool->stop)
            (void)pthread_cond_wait(&pool->work, &pool->mutex);
        if (pool->stop)
            break;
        done = pool->job;
        (void)pthread_mutex_unlock(&pool->mutex);
        work_through(pool);
        (void)pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0)
            (void)pthread_cond_signal(&pool->idle);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

enum covey_status covey_fold_pool_create(uint32_t thread_count, struct covey_fold_pool **out,
                                         struct covey_error *err)
{
    if (thread_count < 1 || thread_count > COVEY_FOLD_THREADS)
        return covey_fail(err, COVEY_INVALID, "the fold runs on 1 to %d threads, not %u", COVEY_FOLD_THREADS,
                          thread_count);
    struct covey_fold_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the fold's threads");
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->idle, NULL);
    pool->thread_count = 1;
    for (uint32_t i = 1; i < thread_count; i++) {
        if (pthread_create(&pool->threads[i], NULL, thread_main, pool) != 0) {
            covey_fold_pool_destroy(pool);
            return covey_fail(err, COVEY_NO_MEMORY,
                              "thread %u of the fold does not start: lower the number of threads", i + 1);
        }
        pool->thread_count++;
    }
    *out = pool;
    return COVEY_OK;
}

void covey_fold_pool_run(struct covey_fold_pool *pool, size_t task_count,
                         void (*task)(void *user, size_t index), void *user)
{
    /* One task, or one thread: waking nobody is faster. */
    if (task_count <= 1 || pool->thread_count == 1) {
        for (size_t i = 0; i < task_count; i++)
            task(user, i);
        return;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    pool->task = task;
    pool->user = user;
    pool->task_count = task_count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->thread_count - 1;
    pool->job++;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->mutex);
    work_through(pool);
    (void)pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0)
        (void)pthread_cond_wait(&pool->idle, &pool->mutex);
    (void)pthread_mutex_unlock(&pool->mutex);
}

uint32_t covey_fold_pool_threads(const struct covey_fold_pool *pool)
{
    return pool->thread_count;
}

void covey_fold_pool_destroy(struct covey_fold_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 1; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->idle);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
