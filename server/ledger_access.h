/* How the ledger's parts (rounds, updates, notes) reach the file: writing on the writer's thread, reading
 * under the one reading connection's lock. For them alone. */
#ifndef COVEY_LEDGER_ACCESS_H
#define COVEY_LEDGER_ACCESS_H

#include <pthread.h>

#include "ledger.h"
#include "ledger_database.h"

struct covey_ledger {
    struct covey_database *writing; /* the writer's thread alone, once that runs; NULL: open to read */
    struct covey_database *reading;
    pthread_mutex_t read_mutex;
    struct covey_ledger_writer *writer; /* NULL: open to read */
};

/* Runs `body` on the writer's thread inside a transaction, and waits. STATE: open to read. */
typedef enum covey_status covey_ledger_write_fn(struct covey_database *database, const void *what,
                                                struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_ledger_write(struct covey_ledger *ledger,
                                                      covey_ledger_write_fn *body, const void *what,
                                                      struct covey_error *err);

/* As covey_database_read, on the reading connection. */
COVEY_MUST_CHECK enum covey_status covey_ledger_read(struct covey_ledger *ledger,
                                                     enum covey_ledger_query query, covey_row_fn *visit,
                                                     void *user, uint64_t *count, struct covey_error *err,
                                                     const char *kinds, ...);

#endif
