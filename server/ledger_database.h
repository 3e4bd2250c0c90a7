/* One connection to the ledger's SQLite file, in words of this house: ledger_database.c is the only file that
 * knows SQLite. Opening makes the tables or checks their version; then queries run by name with values bound
 * in order.
 *
 * Values are told by `kinds`, a letter each: t text, i int64_t, d double (NaN is NULL), b pointer and size_t.
 * They are borrowed for the call. A connection is used by one thread at a time. */
#ifndef COVEY_LEDGER_DATABASE_H
#define COVEY_LEDGER_DATABASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#include "ledger_queries.h"

struct covey_database; /* a connection with its statements */
struct covey_row;      /* what a query found; valid until the visitor returns */

enum covey_database_use {
    COVEY_DATABASE_WRITE,       /* makes file and tables where there are none */
    COVEY_DATABASE_READ_BESIDE, /* in the process that writes */
    COVEY_DATABASE_READ         /* of another process */
};

/* UNSUPPORTED: a later version wrote it. CORRUPT: it is no ledger. */
COVEY_MUST_CHECK enum covey_status covey_database_open(const char *path, enum covey_database_use use,
                                                       struct covey_database **out, struct covey_error *err);
/* NULL is legal. The last connection to close checkpoints. */
void covey_database_close(struct covey_database *database);

/* A query without rows. *changes, if wanted: rows that it changed. `doing` is for the error's text. */
COVEY_MUST_CHECK enum covey_status covey_database_run(struct covey_database *database,
                                                      enum covey_ledger_query query, const char *doing,
                                                      int *changes, struct covey_error *err,
                                                      const char *kinds, ...);
void covey_database_rollback(struct covey_database *database);

/* `visit` sees each row; false stops. *count, if wanted: rows seen. */
typedef bool covey_row_fn(void *user, struct covey_row *row);
COVEY_MUST_CHECK enum covey_status covey_database_read(struct covey_database *database,
                                                       enum covey_ledger_query query, covey_row_fn *visit,
                                                       void *user, uint64_t *count, struct covey_error *err,
                                                       const char *kinds, ...);
COVEY_MUST_CHECK enum covey_status covey_database_read_values(struct covey_database *database,
                                                              enum covey_ledger_query query,
                                                              covey_row_fn *visit, void *user,
                                                              uint64_t *count, struct covey_error *err,
                                                              const char *kinds, va_list values);

/* Cut to fit. */
void covey_row_text(struct covey_row *row, int column, char *out, size_t out_bytes);
/* Exactly size bytes, or zeros. */
void covey_row_bytes(struct covey_row *row, int column, void *out, size_t size);
struct covey_bytes covey_row_blob(struct covey_row *row, int column);
double covey_row_real(struct covey_row *row, int column); /* NULL is NaN */
uint32_t covey_row_u32(struct covey_row *row, int column);
uint64_t covey_row_u64(struct covey_row *row, int column);
int64_t covey_row_i64(struct covey_row *row, int column);

#endif
