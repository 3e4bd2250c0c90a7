/* The thread that writes the ledger: takes what is queued, does all of it in one transaction, commits once,
 * and only then tells each asker. So an fsync is shared by whatever came while the last one ran, and nobody
 * else waits for a disk.
 *
 * It knows no database: begin, commit and rollback are handed in. A group that fails is rolled back and tried
 * again one by one, so that a bad job fails alone. */
#ifndef COVEY_LEDGER_WRITER_H
#define COVEY_LEDGER_WRITER_H

#include <stdint.h>

#include "covey/status.h"

#define COVEY_LEDGER_QUEUE 4096 /* jobs waiting; more are refused */
#define COVEY_LEDGER_GROUP 256  /* jobs of one transaction */

/* One thing to write. The first member of the asker's own struct, which owns it and keeps it until done. */
struct covey_ledger_job {
    struct covey_ledger_job *next;
    /* On the writer's thread, inside a transaction; may run twice when the first one was rolled back. */
    enum covey_status (*execute)(void *database, struct covey_ledger_job *job, struct covey_error *err);
    /* On the writer's thread, once, after the commit (OK: it is on the disk) or the failure. May free the
     * job. */
    void (*done)(struct covey_ledger_job *job, enum covey_status status, const struct covey_error *err);
    enum covey_status status; /* the writer's own, of the group under way */
};

struct covey_ledger_writer_ops {
    enum covey_status (*begin)(void *database, struct covey_error *err);
    enum covey_status (*commit)(void *database, struct covey_error *err);
    void (*rollback)(void *database);
};

struct covey_ledger_writer;

/* ops and database are borrowed. Starts the thread. */
COVEY_MUST_CHECK enum covey_status covey_ledger_writer_create(const struct covey_ledger_writer_ops *ops,
                                                              void *database,
                                                              struct covey_ledger_writer **out,
                                                              struct covey_error *err);
/* Writes what is queued, then ends the thread. NULL is legal. */
void covey_ledger_writer_destroy(struct covey_ledger_writer *writer);

/* Queues. BUSY past COVEY_LEDGER_QUEUE (done is not called then). Any thread. */
COVEY_MUST_CHECK enum covey_status covey_ledger_writer_post(struct covey_ledger_writer *writer,
                                                            struct covey_ledger_job *job);
/* Queues and waits; `done` is set here. Not from the writer's own thread. */
COVEY_MUST_CHECK enum covey_status covey_ledger_writer_call(struct covey_ledger_writer *writer,
                                                            struct covey_ledger_job *job,
                                                            struct covey_error *err);

struct covey_ledger_writer_figures {
    uint64_t jobs, commits, failures;
};
void covey_ledger_writer_figures(struct covey_ledger_writer *writer, struct covey_ledger_writer_figures *out);

#endif
