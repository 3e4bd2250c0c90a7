#include "ledger_writer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct covey_ledger_writer {
    const struct covey_ledger_writer_ops *ops;
    void *database;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct covey_ledger_job *first, **last;
    uint32_t queued;
    bool stopping;
    struct covey_ledger_writer_figures figures;
};

/* At most COVEY_LEDGER_GROUP jobs off the queue, in order; NULL: the end. Waits for the first. */
static struct covey_ledger_job *take_group(struct covey_ledger_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    while (writer->first == NULL && !writer->stopping)
        pthread_cond_wait(&writer->more, &writer->mutex);
    struct covey_ledger_job *group = writer->first, **end = &group;
    uint32_t count = 0;
    for (; *end != NULL && count < COVEY_LEDGER_GROUP; count++)
        end = &(*end)->next;
    writer->first = *end;
    *end = NULL;
    if (writer->first == NULL)
        writer->last = &writer->first;
    writer->queued -= count;
    pthread_mutex_unlock(&writer->mutex);
    return group;
}

static void count_commit(struct covey_ledger_writer *writer, uint64_t jobs, bool failed)
{
    pthread_mutex_lock(&writer->mutex);
    writer->figures.jobs += jobs;
    writer->figures.commits += !failed;
    writer->figures.failures += failed;
    pthread_mutex_unlock(&writer->mutex);
}

/* Jobs from first up to, without, end: one transaction. */
static enum covey_status run_transaction(struct covey_ledger_writer *writer, struct covey_ledger_job *first,
                                         const struct covey_ledger_job *end, struct covey_error *err)
{
    enum covey_status status = writer->ops->begin(writer->database, err);
    uint64_t jobs = 0;
    if (status == COVEY_OK) {
        for (struct covey_ledger_job *job = first; job != end && status == COVEY_OK; job = job->next, jobs++)
            status = job->execute(writer->database, job, err);
        if (status == COVEY_OK)
            status = writer->ops->commit(writer->database, err);
        if (status != COVEY_OK)
            writer->ops->rollback(writer->database);
    }
    count_commit(writer, jobs, status != COVEY_OK);
    return status;
}

static void run_group(struct covey_ledger_writer *writer, struct covey_ledger_job *group)
{
    struct covey_error err = {0};
    enum covey_status status = run_transaction(writer, group, NULL, &err);
    const bool alone = group->next == NULL;
    while (group != NULL) {
        struct covey_ledger_job *next = group->next;
        if (status != COVEY_OK && !alone) {
            err = (struct covey_error){0};
            group->status = run_transaction(writer, group, next, &err);
        } else {
            group->status = status;
        }
        group->done(group, group->status, &err);
        group = next;
    }
}

static void *run(void *user)
{
    struct covey_ledger_writer *writer = user;
    struct covey_ledger_job *group;
    while ((group = take_group(writer)) != NULL)
        run_group(writer, group);
    return NULL;
}

enum covey_status covey_ledger_writer_create(const struct covey_ledger_writer_ops *ops, void *database,
                                             struct covey_ledger_writer **out, struct covey_error *err)
{
    struct covey_ledger_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the ledger's writer");
    writer->ops = ops;
    writer->database = database;
    writer->last = &writer->first;
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->more, NULL);
    if (pthread_create(&writer->thread, NULL, run, writer) != 0) {
        pthread_cond_destroy(&writer->more);
        pthread_mutex_destroy(&writer->mutex);
        free(writer);
        return covey_fail(err, COVEY_NO_MEMORY, "the ledger's thread could not be started");
    }
    *out = writer;
    return COVEY_OK;
}

void covey_ledger_writer_destroy(struct covey_ledger_writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->stopping = true;
    pthread_cond_signal(&writer->more);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    pthread_cond_destroy(&writer->more);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

enum covey_status covey_ledger_writer_post(struct covey_ledger_writer *writer, struct covey_ledger_job *job)
{
    enum covey_status status = COVEY_BUSY;
    pthread_mutex_lock(&writer->mutex);
    if (writer->queued < COVEY_LEDGER_QUEUE && !writer->stopping) {
        job->next = NULL;
        *writer->last = job;
        writer->last = &job->next;
        writer->queued++;
        pthread_cond_signal(&writer->more);
        status = COVEY_OK;
    }
    pthread_mutex_unlock(&writer->mutex);
    return status;
}

/* ------------------------------------------------------------------ waiting for one */

struct call {
    struct covey_ledger_job *job;
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    bool finished;
    enum covey_status status;
    struct covey_error err;
};

/* The job that stands in for the caller's: executes it, and wakes the caller. */
struct waiter {
    struct covey_ledger_job job;
    struct call *call;
};

static enum covey_status execute_waiter(void *database, struct covey_ledger_job *job, struct covey_error *err)
{
    struct covey_ledger_job *inner = ((struct waiter *)job)->call->job;
    return inner->execute(database, inner, err);
}

static void wake_waiter(struct covey_ledger_job *job, enum covey_status status, const struct covey_error *err)
{
    struct call *call = ((struct waiter *)job)->call;
    pthread_mutex_lock(&call->mutex);
    call->status = status;
    if (status != COVEY_OK)
        call->err = *err;
    call->finished = true;
    pthread_cond_signal(&call->ready);
    pthread_mutex_unlock(&call->mutex);
}

enum covey_status covey_ledger_writer_call(struct covey_ledger_writer *writer, struct covey_ledger_job *job,
                                           struct covey_error *err)
{
    struct call call = {.job = job, .mutex = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};
    struct waiter waiter = {.job = {.execute = execute_waiter, .done = wake_waiter}, .call = &call};
    if (covey_ledger_writer_post(writer, &waiter.job) != COVEY_OK)
        return covey_fail(err, COVEY_BUSY, "the ledger has %d jobs waiting: its disk does not keep up",
                          COVEY_LEDGER_QUEUE);
    pthread_mutex_lock(&call.mutex);
    while (!call.finished)
        pthread_cond_wait(&call.ready, &call.mutex);
    pthread_mutex_unlock(&call.mutex);
    pthread_cond_destroy(&call.ready);
    pthread_mutex_destroy(&call.mutex);
    if (call.status != COVEY_OK && err != NULL)
        *err = call.err;
    return call.status;
}

void covey_ledger_writer_figures(struct covey_ledger_writer *writer, struct covey_ledger_writer_figures *out)
{
    pthread_mutex_lock(&writer->mutex);
    *out = writer->figures;
    pthread_mutex_unlock(&writer->mutex);
}
