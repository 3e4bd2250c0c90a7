#include "ledger_database.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "ledger.h"

#define APPLICATION_ID 0x636f7679 /* "covy", in the file's header */
#define BUSY_TIMEOUT_MS 5000      /* a reader meets a checkpoint */

static const char schema[] =
    "CREATE TABLE round(federation TEXT NOT NULL, round INTEGER NOT NULL, state INTEGER NOT NULL,"
    " base_sequence INTEGER NOT NULL, base_model BLOB NOT NULL, opened_ms INTEGER NOT NULL,"
    " deadline_ms INTEGER NOT NULL, slots INTEGER NOT NULL, goal INTEGER NOT NULL, grid BLOB NOT NULL,"
    " closed_ms INTEGER NOT NULL DEFAULT 0, sequence INTEGER NOT NULL DEFAULT 0, model BLOB,"
    " updates INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, examples INTEGER NOT NULL "
    "DEFAULT 0,"
    " update_bytes INTEGER NOT NULL DEFAULT 0, bytes_up INTEGER NOT NULL DEFAULT 0,"
    " bytes_down INTEGER NOT NULL DEFAULT 0, train_loss REAL, judged INTEGER NOT NULL DEFAULT 0, loss REAL,"
    " metric REAL, PRIMARY KEY(federation, round)) WITHOUT ROWID;"
    "CREATE TABLE assignment(id BLOB PRIMARY KEY, federation TEXT NOT NULL, round INTEGER NOT NULL,"
    " slot INTEGER NOT NULL, device TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX assignment_round ON assignment(federation, round, slot);"
    "CREATE TABLE contribution(device TEXT NOT NULL, assignment BLOB NOT NULL, federation TEXT NOT NULL,"
    " round INTEGER NOT NULL, slot INTEGER NOT NULL, body_hash BLOB NOT NULL, examples INTEGER NOT NULL,"
    " training_ms INTEGER NOT NULL, stream_bytes INTEGER NOT NULL, loss_before REAL, loss_after REAL,"
    " received_ms INTEGER NOT NULL, body BLOB);"
    "CREATE UNIQUE INDEX contribution_key ON contribution(device, assignment);"
    "CREATE INDEX contribution_round ON contribution(federation, round, slot);"
    "CREATE TABLE device(name TEXT PRIMARY KEY, place INTEGER NOT NULL, first_seen_s INTEGER NOT NULL,"
    " last_seen_s INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE metric(federation TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT "
    "NULL,"
    " value REAL, noted_s INTEGER NOT NULL, PRIMARY KEY(federation, device, name)) WITHOUT ROWID;"
    "CREATE TABLE note(federation TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY(federation, name)) WITHOUT ROWID;"
    "PRAGMA user_version=1;";

/* Came later, and older programs do not mind: made when it is missing. */
static const char additions[] =
    "CREATE TABLE IF NOT EXISTS standing(federation TEXT NOT NULL, device TEXT NOT NULL, chosen INTEGER NOT "
    "NULL DEFAULT 0, last_round INTEGER NOT NULL DEFAULT 0, examples INTEGER NOT NULL DEFAULT 0,"
    " taken_ms INTEGER NOT NULL DEFAULT 0, loss REAL, PRIMARY KEY(federation, device)) WITHOUT ROWID;";

static const char *const query_texts[COVEY_SQL_COUNT] = {
#define QUERY_TEXT(name, text) text,
    COVEY_LEDGER_QUERIES(QUERY_TEXT)
#undef QUERY_TEXT
};

struct covey_database {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[COVEY_SQL_COUNT];
};

static enum covey_status failed(struct covey_database *database, struct covey_error *err, const char *doing)
{
    const int code = sqlite3_errcode(database->sqlite);
    const char *text = sqlite3_errmsg(database->sqlite);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return covey_fail(err, COVEY_NO_MEMORY, "ledger: %s: %s", doing, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return covey_fail(err, COVEY_CORRUPT, "ledger: %s: %s", doing, text);
    case SQLITE_CONSTRAINT:
        return covey_fail(err, COVEY_EXISTS, "ledger: %s: %s", doing, text);
    case SQLITE_TOOBIG:
        return covey_fail(err, COVEY_LIMIT, "ledger: %s: %s", doing, text);
    default:
        return covey_fail(err, COVEY_IO, "ledger: %s: %s (disk full?)", doing, text);
    }
}

/* ------------------------------------------------------------------ queries */

static int bind_values(sqlite3_stmt *statement, const char *kinds, va_list values)
{
    int code = SQLITE_OK;
    for (int i = 1; kinds[i - 1] != '\0' && code == SQLITE_OK; i++) {
        if (kinds[i - 1] == 't') {
            code = sqlite3_bind_text(statement, i, va_arg(values, const char *), -1, SQLITE_STATIC);
        } else if (kinds[i - 1] == 'i') {
            code = sqlite3_bind_int64(statement, i, va_arg(values, int64_t));
        } else if (kinds[i - 1] == 'd') {
            code = sqlite3_bind_double(statement, i, va_arg(values, double));
        } else {
            const void *data = va_arg(values, const void *);
            const size_t size = va_arg(values, size_t);
            code = size == 0 ? sqlite3_bind_zeroblob(statement, i, 0)
                             : sqlite3_bind_blob64(statement, i, data, size, SQLITE_STATIC);
        }
    }
    return code;
}

/* The statement, ready to be stepped. What is bound stays borrowed until it is finished. */
static enum covey_status prepare(struct covey_database *database, enum covey_ledger_query query,
                                 sqlite3_stmt **out, struct covey_error *err, const char *kinds,
                                 va_list values)
{
    sqlite3_stmt **statement = &database->statements[query];
    if (*statement == NULL && sqlite3_prepare_v3(database->sqlite, query_texts[query], -1,
                                                 SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return failed(database, err, "preparing a statement");
    if (bind_values(*statement, kinds, values) != SQLITE_OK) {
        enum covey_status status = failed(database, err, "binding a value");
        (void)sqlite3_clear_bindings(*statement);
        return status;
    }
    *out = *statement;
    return COVEY_OK;
}

static void finish(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

enum covey_status covey_database_run(struct covey_database *database, enum covey_ledger_query query,
                                     const char *doing, int *changes, struct covey_error *err,
                                     const char *kinds, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list values;
    va_start(values, kinds);
    enum covey_status status = prepare(database, query, &statement, err, kinds, values);
    va_end(values);
    if (status != COVEY_OK)
        return status;
    status = sqlite3_step(statement) == SQLITE_DONE ? COVEY_OK : failed(database, err, doing);
    if (status == COVEY_OK && changes != NULL)
        *changes = sqlite3_changes(database->sqlite);
    finish(statement);
    return status;
}

void covey_database_rollback(struct covey_database *database)
{
    if (sqlite3_get_autocommit(database->sqlite)) /* SQLite rolled back by itself */
        return;
    enum covey_status ignored =
        covey_database_run(database, COVEY_SQL_ROLLBACK, "rolling back", NULL, NULL, "");
    (void)ignored; /* the connection's next transaction will say so */
}

enum covey_status covey_database_read_values(struct covey_database *database, enum covey_ledger_query query,
                                             covey_row_fn *visit, void *user, uint64_t *count,
                                             struct covey_error *err, const char *kinds, va_list values)
{
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(database, query, &statement, err, kinds, values));
    int code;
    uint64_t seen = 0;
    bool more = true;
    while (more && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        seen++;
        more = visit(user, (struct covey_row *)statement);
    }
    enum covey_status status = !more || code == SQLITE_DONE ? COVEY_OK : failed(database, err, "reading");
    finish(statement);
    if (count != NULL)
        *count = seen;
    return status;
}

enum covey_status covey_database_read(struct covey_database *database, enum covey_ledger_query query,
                                      covey_row_fn *visit, void *user, uint64_t *count,
                                      struct covey_error *err, const char *kinds, ...)
{
    va_list values;
    va_start(values, kinds);
    enum covey_status status =
        covey_database_read_values(database, query, visit, user, count, err, kinds, values);
    va_end(values);
    return status;
}

/* ------------------------------------------------------------------ a row's columns */

static sqlite3_stmt *statement_of(struct covey_row *row)
{
    return (sqlite3_stmt *)row;
}

void covey_row_text(struct covey_row *row, int column, char *out, size_t out_bytes)
{
    const unsigned char *text = sqlite3_column_text(statement_of(row), column);
    const size_t size = text == NULL ? 0 : strnlen((const char *)text, out_bytes - 1);
    memcpy(out, text == NULL ? (const unsigned char *)"" : text, size);
    out[size] = '\0';
}

struct covey_bytes covey_row_blob(struct covey_row *row, int column)
{
    const void *data = sqlite3_column_blob(statement_of(row), column); /* before its size: it may convert */
    return (struct covey_bytes){data, (size_t)sqlite3_column_bytes(statement_of(row), column)};
}

void covey_row_bytes(struct covey_row *row, int column, void *out, size_t size)
{
    const struct covey_bytes blob = covey_row_blob(row, column);
    if (blob.data != NULL && blob.size == size)
        memcpy(out, blob.data, size);
    else
        memset(out, 0, size);
}

double covey_row_real(struct covey_row *row, int column)
{
    return sqlite3_column_type(statement_of(row), column) == SQLITE_NULL
               ? (double)NAN
               : sqlite3_column_double(statement_of(row), column);
}

uint32_t covey_row_u32(struct covey_row *row, int column)
{
    return (uint32_t)sqlite3_column_int64(statement_of(row), column);
}

uint64_t covey_row_u64(struct covey_row *row, int column)
{
    return (uint64_t)sqlite3_column_int64(statement_of(row), column);
}

int64_t covey_row_i64(struct covey_row *row, int column)
{
    return sqlite3_column_int64(statement_of(row), column);
}

/* ------------------------------------------------------------------ opening */

static enum covey_status pragma(struct covey_database *database, const char *text, struct covey_error *err)
{
    return sqlite3_exec(database->sqlite, text, NULL, NULL, NULL) == SQLITE_OK ? COVEY_OK
                                                                               : failed(database, err, text);
}

static enum covey_status pragma_number(struct covey_database *database, const char *text, int64_t *out,
                                       struct covey_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->sqlite, text, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        enum covey_status status = failed(database, err, text);
        (void)sqlite3_finalize(statement);
        return status;
    }
    *out = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return COVEY_OK;
}

static enum covey_status connect_file(struct covey_database *database, const char *path, int flags,
                                      struct covey_error *err)
{
    if (sqlite3_open_v2(path, &database->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        if (database->sqlite == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "ledger: no memory to open %s", path);
        return covey_fail(err, COVEY_IO, "ledger %s: %s", path, sqlite3_errmsg(database->sqlite));
    }
    (void)sqlite3_busy_timeout(database->sqlite, BUSY_TIMEOUT_MS);
    /* the same in every connection: 8 MiB of pages, and no temporary files beside the ledger */
    return pragma(database, "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;", err);
}

static enum covey_status check_version(struct covey_database *database, const char *path, int64_t *version,
                                       struct covey_error *err)
{
    int64_t application = 0;
    COVEY_TRY(pragma_number(database, "PRAGMA application_id", &application, err));
    COVEY_TRY(pragma_number(database, "PRAGMA user_version", version, err));
    if (*version != 0 && application != APPLICATION_ID)
        return covey_fail(err, COVEY_CORRUPT, "%s is an SQLite file, but no ledger of Covey", path);
    if (*version > COVEY_LEDGER_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "%s has version %lld, this program knows %d: use a newer covey-server", path,
                          (long long)*version, COVEY_LEDGER_VERSION);
    return COVEY_OK;
}

static enum covey_status connect_to_write(struct covey_database *database, const char *path,
                                          struct covey_error *err)
{
    COVEY_TRY(connect_file(database, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    COVEY_TRY(pragma(database,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;"
                     " PRAGMA journal_size_limit=67108864;",
                     err));
    int64_t version = 0;
    COVEY_TRY(check_version(database, path, &version, err));
    if (version != 0)
        return pragma(database, additions, err);
    COVEY_TRY(pragma(database, "BEGIN IMMEDIATE", err));
    enum covey_status status = pragma(database, "PRAGMA application_id=1668249209", err); /* APPLICATION_ID */
    if (status == COVEY_OK)
        status = pragma(database, schema, err);
    if (status == COVEY_OK)
        status = pragma(database, additions, err);
    if (status == COVEY_OK)
        status = pragma(database, "COMMIT", err);
    if (status != COVEY_OK)
        (void)pragma(database, "ROLLBACK", NULL);
    return status;
}

static enum covey_status connect_to_read(struct covey_database *database, const char *path, int flags,
                                         struct covey_error *err)
{
    int64_t version = 0;
    COVEY_TRY(connect_file(database, path, flags, err));
    COVEY_TRY(check_version(database, path, &version, err));
    return version == 0 ? covey_fail(err, COVEY_CORRUPT, "%s holds no ledger", path) : COVEY_OK;
}

enum covey_status covey_database_open(const char *path, enum covey_database_use use,
                                      struct covey_database **out, struct covey_error *err)
{
    struct covey_database *database = calloc(1, sizeof *database);
    if (database == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a connection to the ledger");
    enum covey_status status;
    if (use == COVEY_DATABASE_WRITE)
        status = connect_to_write(database, path, err);
    else
        status = connect_to_read(
            database, path, use == COVEY_DATABASE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, err);
    if (status != COVEY_OK) {
        covey_database_close(database);
        return status;
    }
    *out = database;
    return COVEY_OK;
}

void covey_database_close(struct covey_database *database)
{
    if (database == NULL)
        return;
    for (size_t i = 0; i < COVEY_SQL_COUNT; i++)
        (void)sqlite3_finalize(database->statements[i]);
    (void)sqlite3_close(database->sqlite);
    free(database);
}
