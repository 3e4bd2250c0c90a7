#include "workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct covey_workers {
    pthread_mutex_t mutex;
    pthread_cond_t more, idle;
    struct covey_work *first, **last;
    uint32_t queued, queue_limit, running, thread_count;
    bool stopping;
    pthread_t threads[];
};

static void *work_off(void *user)
{
    struct covey_workers *workers = user;
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        while (workers->first == NULL && !workers->stopping)
            pthread_cond_wait(&workers->more, &workers->mutex);
        struct covey_work *work = workers->first;
        if (work == NULL)
            break;
        workers->first = work->next;
        if (workers->first == NULL)
            workers->last = &workers->first;
        workers->queued--;
        workers->running++;
        pthread_mutex_unlock(&workers->mutex);
        work->run(work);
        pthread_mutex_lock(&workers->mutex);
        workers->running--;
        if (workers->queued == 0 && workers->running == 0)
            pthread_cond_broadcast(&workers->idle);
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

enum covey_status covey_workers_create(uint32_t thread_count, uint32_t queue_limit,
                                       struct covey_workers **out, struct covey_error *err)
{
    struct covey_workers *workers = calloc(1, sizeof *workers + thread_count * sizeof(pthread_t));
    if (workers == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u threads", thread_count);
    workers->queue_limit = queue_limit;
    workers->last = &workers->first;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->more, NULL);
    pthread_cond_init(&workers->idle, NULL);
    for (; workers->thread_count < thread_count; workers->thread_count++) {
        if (pthread_create(&workers->threads[workers->thread_count], NULL, work_off, workers) == 0)
            continue;
        covey_workers_destroy(workers);
        return covey_fail(err, COVEY_NO_MEMORY, "a thread could not be started");
    }
    *out = workers;
    return COVEY_OK;
}

enum covey_status covey_workers_post(struct covey_workers *workers, struct covey_work *work)
{
    enum covey_status status = COVEY_BUSY;
    pthread_mutex_lock(&workers->mutex);
    if (!workers->stopping && workers->queued < workers->queue_limit) {
        work->next = NULL;
        *workers->last = work;
        workers->last = &work->next;
        workers->queued++;
        pthread_cond_signal(&workers->more);
        status = COVEY_OK;
    }
    pthread_mutex_unlock(&workers->mutex);
    return status;
}

void covey_workers_wait(struct covey_workers *workers)
{
    pthread_mutex_lock(&workers->mutex);
    while (workers->queued > 0 || workers->running > 0)
        pthread_cond_wait(&workers->idle, &workers->mutex);
    pthread_mutex_unlock(&workers->mutex);
}

void covey_workers_destroy(struct covey_workers *workers)
{
    if (workers == NULL)
        return;
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->more);
    pthread_mutex_unlock(&workers->mutex);
    for (uint32_t i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->more);
    pthread_cond_destroy(&workers->idle);
    pthread_mutex_destroy(&workers->mutex);
    free(workers);
}
