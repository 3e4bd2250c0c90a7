#include "ledger.h"

#include <stdarg.h>
#include <stdlib.h>

#include "ledger_access.h"

/* ------------------------------------------------------------------ opening */

static enum covey_status begin(void *user, struct covey_error *err)
{
    return covey_database_run(((struct covey_ledger *)user)->writing, COVEY_SQL_BEGIN, "beginning", NULL, err,
                              "");
}

static enum covey_status commit(void *user, struct covey_error *err)
{
    return covey_database_run(((struct covey_ledger *)user)->writing, COVEY_SQL_COMMIT, "committing", NULL,
                              err, "");
}

static void rollback(void *user)
{
    covey_database_rollback(((struct covey_ledger *)user)->writing);
}

static const struct covey_ledger_writer_ops writer_ops = {begin, commit, rollback};

static enum covey_status open_ledger(const char *path, bool write, struct covey_ledger **out,
                                     struct covey_error *err)
{
    struct covey_ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the ledger");
    pthread_mutex_init(&ledger->read_mutex, NULL);
    enum covey_status status = COVEY_OK;
    if (write)
        status = covey_database_open(path, COVEY_DATABASE_WRITE, &ledger->writing, err);
    if (status == COVEY_OK)
        status = covey_database_open(path, write ? COVEY_DATABASE_READ_BESIDE : COVEY_DATABASE_READ,
                                     &ledger->reading, err);
    if (status == COVEY_OK && write)
        status = covey_ledger_writer_create(&writer_ops, ledger, &ledger->writer, err);
    if (status != COVEY_OK) {
        covey_ledger_close(ledger);
        return status;
    }
    *out = ledger;
    return COVEY_OK;
}

enum covey_status covey_ledger_open(const char *path, struct covey_ledger **out, struct covey_error *err)
{
    return open_ledger(path, true, out, err);
}

enum covey_status covey_ledger_open_to_read(const char *path, struct covey_ledger **out,
                                            struct covey_error *err)
{
    enum covey_status status = open_ledger(path, false, out, err);
    if (status == COVEY_IO)
        return covey_fail(err, COVEY_NOT_FOUND, "there is no ledger at %s: has the server run once?", path);
    return status;
}

void covey_ledger_close(struct covey_ledger *ledger)
{
    if (ledger == NULL)
        return;
    covey_ledger_writer_destroy(ledger->writer);
    covey_database_close(ledger->reading);
    covey_database_close(ledger->writing); /* the last one: SQLite checkpoints and removes the WAL */
    pthread_mutex_destroy(&ledger->read_mutex);
    free(ledger);
}

void covey_ledger_figures(struct covey_ledger *ledger, struct covey_ledger_writer_figures *out)
{
    *out = (struct covey_ledger_writer_figures){0};
    if (ledger->writer != NULL)
        covey_ledger_writer_figures(ledger->writer, out);
}

/* ------------------------------------------------------------------ writing and reading */

struct write_call {
    struct covey_ledger_job job;
    covey_ledger_write_fn *body;
    const void *what;
};

static enum covey_status run_write_call(void *user, struct covey_ledger_job *job, struct covey_error *err)
{
    struct write_call *call = (struct write_call *)job;
    return call->body(((struct covey_ledger *)user)->writing, call->what, err);
}

enum covey_status covey_ledger_write(struct covey_ledger *ledger, covey_ledger_write_fn *body,
                                     const void *what, struct covey_error *err)
{
    if (ledger->writer == NULL)
        return covey_fail(err, COVEY_STATE, "the ledger is open to read");
    struct write_call call = {{.execute = run_write_call}, body, what};
    return covey_ledger_writer_call(ledger->writer, &call.job, err);
}

enum covey_status covey_ledger_read(struct covey_ledger *ledger, enum covey_ledger_query query,
                                    covey_row_fn *visit, void *user, uint64_t *count, struct covey_error *err,
                                    const char *kinds, ...)
{
    va_list values;
    va_start(values, kinds);
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        covey_database_read_values(ledger->reading, query, visit, user, count, err, kinds, values);
    pthread_mutex_unlock(&ledger->read_mutex);
    va_end(values);
    return status;
}
