#include "ledger.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "covey/hash.h"

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

/* Every statement, prepared at first use and kept: a row of this table. */
#define ROUND_COLUMNS                                                                                        \
    "federation, round, state, base_sequence, base_model, opened_ms, deadline_ms, closed_ms, slots, goal,"   \
    " sequence, model, updates, dropped, examples, update_bytes, bytes_up, bytes_down, train_loss, judged, " \
    "loss,"                                                                                                  \
    " metric"
#define UPDATE_COLUMNS                                                                                       \
    "federation, device, assignment, round, slot, body_hash, examples, training_ms, stream_bytes, "          \
    "loss_before,"                                                                                           \
    " loss_after, received_ms, body"
#define STATEMENTS(X)                                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(ADD_ROUND,                                                                                             \
      "INSERT INTO round(federation, round, state, base_sequence, base_model, opened_ms, deadline_ms,"       \
      " slots, goal, grid) VALUES(?,?,0,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING")                              \
    X(ADD_ASSIGNMENT, "INSERT INTO assignment(id, federation, round, slot, device) VALUES(?,?,?,?,?)")       \
    X(CLOSE_ROUND,                                                                                           \
      "UPDATE round SET state=?, closed_ms=?, sequence=?, model=?, updates=?, dropped=?, examples=?,"        \
      " update_bytes=?, bytes_up=?, bytes_down=?, train_loss=? WHERE federation=? AND round=?")              \
    X(DROP_BODIES, "UPDATE contribution SET body=NULL WHERE federation=? AND round=?")                       \
    X(FORGET_UPDATES, "DELETE FROM contribution WHERE federation=? AND round<?")                             \
    X(FORGET_ASSIGNMENTS, "DELETE FROM assignment WHERE federation=? AND round<?")                           \
    X(FORGET_GRIDS, "UPDATE round SET grid=x'' WHERE federation=? AND round=?")                              \
    X(JUDGE_ROUND, "UPDATE round SET judged=1, loss=?, metric=? WHERE federation=? AND round=?")             \
    X(EACH_ROUND, "SELECT " ROUND_COLUMNS " FROM round WHERE federation=? AND round>=? ORDER BY round")      \
    X(READ_GRID, "SELECT grid FROM round WHERE federation=? AND round=?")                                    \
    X(EACH_ASSIGNMENT,                                                                                       \
      "SELECT slot, id, device FROM assignment WHERE federation=? AND round=? ORDER BY slot")                \
    X(ADD_UPDATE, "INSERT INTO contribution(" UPDATE_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)"           \
                  " ON CONFLICT(device, assignment) DO NOTHING")                                             \
    X(FIND_UPDATE, "SELECT body_hash FROM contribution WHERE device=? AND assignment=?")                     \
    X(FIND_ASSIGNMENT, "SELECT federation, device, round FROM assignment WHERE id=?")                        \
    X(EACH_UPDATE, "SELECT " UPDATE_COLUMNS " FROM contribution WHERE federation=? AND round=?"              \
                   " AND body IS NOT NULL ORDER BY slot")                                                    \
    X(NOTE_DEVICE, "INSERT INTO device(name, place, first_seen_s, last_seen_s) VALUES(?1,?2,?3,?4)"          \
                   " ON CONFLICT(name) DO UPDATE SET place=?2, last_seen_s=max(last_seen_s, ?4)")            \
    X(EACH_DEVICE, "SELECT name, place, first_seen_s, last_seen_s FROM device ORDER BY place")               \
    X(NOTE_METRIC,                                                                                           \
      "INSERT INTO metric(federation, device, name, unit, value, noted_s) SELECT ?1,?2,?3,?4,?5,?6"          \
      " WHERE EXISTS(SELECT 1 FROM metric WHERE federation=?1 AND device=?2 AND name=?3)"                    \
      " OR (SELECT count(*) FROM metric WHERE federation=?1 AND device=?2)<?7"                               \
      " ON CONFLICT(federation, device, name) DO UPDATE SET unit=?4, value=?5, noted_s=?6")                  \
    X(EACH_METRIC, "SELECT name, min(unit), count(*), avg(value), min(value), max(value) FROM metric"        \
                   " WHERE federation=? AND value IS NOT NULL GROUP BY name ORDER BY name LIMIT 1000")       \
    X(SET_NOTE, "INSERT INTO note(federation, name, value) VALUES(?1,?2,?3)"                                 \
                " ON CONFLICT(federation, name) DO UPDATE SET value=?3")                                     \
    X(GET_NOTE, "SELECT value FROM note WHERE federation=? AND name=?")

enum statement {
#define STATEMENT_ENUM(name, text) SQL_##name,
    STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
        SQL_COUNT
};
static const char *const statement_texts[SQL_COUNT] = {
#define STATEMENT_TEXT(name, text) text,
    STATEMENTS(STATEMENT_TEXT)
#undef STATEMENT_TEXT
};

/* One SQLite connection with its statements; used by one thread at a time. */
struct connection {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[SQL_COUNT];
};

struct covey_ledger {
    struct connection writing; /* the writer's thread alone, once that runs */
    struct connection reading;
    pthread_mutex_t read_mutex;
    struct covey_ledger_writer *writer; /* NULL: open to read */
};

/* ------------------------------------------------------------------ SQLite, in words of this house */

static enum covey_status failed(struct connection *connection, struct covey_error *err, const char *doing)
{
    const int code = sqlite3_errcode(connection->sqlite);
    const char *text = sqlite3_errmsg(connection->sqlite);
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

/* The statement, ready to be stepped, with `kinds` bound in order: t text, i int64_t, d double (NaN is NULL),
 * b pointer and size_t. What is bound stays borrowed until the statement is reset. */
static enum covey_status prepare(struct connection *connection, enum statement which, sqlite3_stmt **out,
                                 struct covey_error *err, const char *kinds, ...)
{
    sqlite3_stmt **statement = &connection->statements[which];
    if (*statement == NULL && sqlite3_prepare_v3(connection->sqlite, statement_texts[which], -1,
                                                 SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return failed(connection, err, "preparing a statement");
    int code = SQLITE_OK;
    va_list values;
    va_start(values, kinds);
    for (int i = 1; kinds[i - 1] != '\0' && code == SQLITE_OK; i++) {
        if (kinds[i - 1] == 't') {
            code = sqlite3_bind_text(*statement, i, va_arg(values, const char *), -1, SQLITE_STATIC);
        } else if (kinds[i - 1] == 'i') {
            code = sqlite3_bind_int64(*statement, i, va_arg(values, int64_t));
        } else if (kinds[i - 1] == 'd') {
            code = sqlite3_bind_double(*statement, i, va_arg(values, double));
        } else {
            const void *data = va_arg(values, const void *);
            const size_t size = va_arg(values, size_t);
            code = size == 0 ? sqlite3_bind_zeroblob(*statement, i, 0)
                             : sqlite3_bind_blob64(*statement, i, data, size, SQLITE_STATIC);
        }
    }
    va_end(values);
    if (code != SQLITE_OK) {
        enum covey_status status = failed(connection, err, "binding a value");
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

/* A statement without rows. *changes, if wanted: rows that it changed. */
static enum covey_status execute(struct connection *connection, sqlite3_stmt *statement, const char *doing,
                                 int *changes, struct covey_error *err)
{
    const int code = sqlite3_step(statement);
    enum covey_status status = code == SQLITE_DONE ? COVEY_OK : failed(connection, err, doing);
    if (status == COVEY_OK && changes != NULL)
        *changes = sqlite3_changes(connection->sqlite);
    finish(statement);
    return status;
}

/* One row more? NOT_FOUND: no. */
static enum covey_status next_row(struct connection *connection, sqlite3_stmt *statement,
                                  struct covey_error *err)
{
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return COVEY_OK;
    return code == SQLITE_DONE ? COVEY_NOT_FOUND : failed(connection, err, "reading");
}

static void column_text(sqlite3_stmt *statement, int column, char *out, size_t out_bytes)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    const size_t size = text == NULL ? 0 : strnlen((const char *)text, out_bytes - 1);
    memcpy(out, text == NULL ? (const unsigned char *)"" : text, size);
    out[size] = '\0';
}

/* Exactly size bytes, or zeros. */
static void column_bytes(sqlite3_stmt *statement, int column, void *out, size_t size)
{
    const void *data = sqlite3_column_blob(statement, column);
    if (data != NULL && (size_t)sqlite3_column_bytes(statement, column) == size)
        memcpy(out, data, size);
    else
        memset(out, 0, size);
}

static double column_real(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL ? (double)NAN
                                                                 : sqlite3_column_double(statement, column);
}

static uint32_t column_u32(sqlite3_stmt *statement, int column)
{
    return (uint32_t)sqlite3_column_int64(statement, column);
}

static uint64_t column_u64(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

/* ------------------------------------------------------------------ opening */

static enum covey_status pragma(struct connection *connection, const char *text, struct covey_error *err)
{
    return sqlite3_exec(connection->sqlite, text, NULL, NULL, NULL) == SQLITE_OK
               ? COVEY_OK
               : failed(connection, err, text);
}

static enum covey_status pragma_number(struct connection *connection, const char *text, int64_t *out,
                                       struct covey_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->sqlite, text, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        enum covey_status status = failed(connection, err, text);
        (void)sqlite3_finalize(statement);
        return status;
    }
    *out = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return COVEY_OK;
}

static void disconnect(struct connection *connection)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(connection->statements[i]);
    (void)sqlite3_close(connection->sqlite);
    *connection = (struct connection){0};
}

static enum covey_status connect_file(struct connection *connection, const char *path, int flags,
                                      struct covey_error *err)
{
    if (sqlite3_open_v2(path, &connection->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        if (connection->sqlite == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "ledger: no memory to open %s", path);
        return covey_fail(err, COVEY_IO, "ledger %s: %s", path, sqlite3_errmsg(connection->sqlite));
    }
    (void)sqlite3_busy_timeout(connection->sqlite, BUSY_TIMEOUT_MS);
    /* the same in every connection: 8 MiB of pages, and no temporary files beside the ledger */
    return pragma(connection, "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;", err);
}

static enum covey_status check_version(struct connection *connection, const char *path, int64_t *version,
                                       struct covey_error *err)
{
    int64_t application = 0;
    COVEY_TRY(pragma_number(connection, "PRAGMA application_id", &application, err));
    COVEY_TRY(pragma_number(connection, "PRAGMA user_version", version, err));
    if (*version != 0 && application != APPLICATION_ID)
        return covey_fail(err, COVEY_CORRUPT, "%s is an SQLite file, but no ledger of Covey", path);
    if (*version > COVEY_LEDGER_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "%s has version %lld, this program knows %d: use a newer covey-server", path,
                          (long long)*version, COVEY_LEDGER_VERSION);
    return COVEY_OK;
}

static enum covey_status connect_to_write(struct connection *connection, const char *path,
                                          struct covey_error *err)
{
    COVEY_TRY(connect_file(connection, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    COVEY_TRY(pragma(connection,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;"
                     " PRAGMA journal_size_limit=67108864;",
                     err));
    int64_t version = 0;
    COVEY_TRY(check_version(connection, path, &version, err));
    if (version != 0)
        return COVEY_OK;
    COVEY_TRY(pragma(connection, "BEGIN IMMEDIATE", err));
    enum covey_status status =
        pragma(connection, "PRAGMA application_id=1668249209", err); /* APPLICATION_ID */
    if (status == COVEY_OK)
        status = pragma(connection, schema, err);
    if (status == COVEY_OK)
        status = pragma(connection, "COMMIT", err);
    if (status != COVEY_OK)
        (void)pragma(connection, "ROLLBACK", NULL);
    return status;
}

static enum covey_status begin(void *database, struct covey_error *err)
{
    struct connection *connection = &((struct covey_ledger *)database)->writing;
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(connection, SQL_BEGIN, &statement, err, ""));
    return execute(connection, statement, "beginning", NULL, err);
}

static enum covey_status commit(void *database, struct covey_error *err)
{
    struct connection *connection = &((struct covey_ledger *)database)->writing;
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(connection, SQL_COMMIT, &statement, err, ""));
    return execute(connection, statement, "committing", NULL, err);
}

static void rollback(void *database)
{
    struct connection *connection = &((struct covey_ledger *)database)->writing;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_get_autocommit(connection->sqlite)) /* SQLite rolled back by itself */
        return;
    if (prepare(connection, SQL_ROLLBACK, &statement, NULL, "") == COVEY_OK)
        (void)execute(connection, statement, "rolling back", NULL, NULL);
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
        status = connect_to_write(&ledger->writing, path, err);
    if (status == COVEY_OK)
        status =
            connect_file(&ledger->reading, path, write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, err);
    int64_t version = 0;
    if (status == COVEY_OK)
        status = check_version(&ledger->reading, path, &version, err);
    if (status == COVEY_OK && version == 0)
        status = covey_fail(err, COVEY_CORRUPT, "%s holds no ledger", path);
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
    disconnect(&ledger->reading);
    disconnect(&ledger->writing); /* the last one: SQLite checkpoints and removes the WAL */
    pthread_mutex_destroy(&ledger->read_mutex);
    free(ledger);
}

void covey_ledger_figures(struct covey_ledger *ledger, struct covey_ledger_writer_figures *out)
{
    *out = (struct covey_ledger_writer_figures){0};
    if (ledger->writer != NULL)
        covey_ledger_writer_figures(ledger->writer, out);
}

/* A writing call: runs `body` on the writer's thread inside a transaction, and waits. */
struct write_call {
    struct covey_ledger_job job;
    enum covey_status (*body)(struct connection *connection, const void *what, struct covey_error *err);
    const void *what;
};

static enum covey_status run_write_call(void *database, struct covey_ledger_job *job, struct covey_error *err)
{
    struct write_call *call = (struct write_call *)job;
    return call->body(&((struct covey_ledger *)database)->writing, call->what, err);
}

static enum covey_status write_and_wait(struct covey_ledger *ledger,
                                        enum covey_status (*body)(struct connection *, const void *,
                                                                  struct covey_error *),
                                        const void *what, struct covey_error *err)
{
    if (ledger->writer == NULL)
        return covey_fail(err, COVEY_STATE, "the ledger is open to read");
    struct write_call call = {{.execute = run_write_call}, body, what};
    return covey_ledger_writer_call(ledger->writer, &call.job, err);
}

/* ------------------------------------------------------------------ rounds */

struct opening {
    const struct covey_ledger_round *round;
    struct covey_bytes grid;
    const struct covey_ledger_assignment *cohort;
};

static enum covey_status write_opening(struct connection *connection, const void *what,
                                       struct covey_error *err)
{
    const struct opening *opening = what;
    const struct covey_ledger_round *round = opening->round;
    sqlite3_stmt *statement = NULL;
    int changes = 0;
    COVEY_TRY(prepare(connection, SQL_ADD_ROUND, &statement, err, "tiibiiiib", round->federation,
                      (int64_t)round->round, (int64_t)round->base_sequence, round->base_model.bytes,
                      sizeof round->base_model.bytes, round->opened_ms, round->deadline_ms,
                      (int64_t)round->slots, (int64_t)round->goal, opening->grid.data, opening->grid.size));
    COVEY_TRY(execute(connection, statement, "opening a round", &changes, err));
    if (changes == 0)
        return covey_fail(err, COVEY_EXISTS, "ledger: round %u of %s is there already", round->round,
                          round->federation);
    for (uint32_t slot = 0; slot < round->slots; slot++) {
        const struct covey_ledger_assignment *assignment = &opening->cohort[slot];
        COVEY_TRY(prepare(connection, SQL_ADD_ASSIGNMENT, &statement, err, "btiit", assignment->id.bytes,
                          sizeof assignment->id.bytes, round->federation, (int64_t)round->round,
                          (int64_t)slot, assignment->device));
        COVEY_TRY(execute(connection, statement, "recording an assignment", NULL, err));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_open_round(struct covey_ledger *ledger, const struct covey_ledger_round *round,
                                          struct covey_bytes grid,
                                          const struct covey_ledger_assignment *cohort,
                                          struct covey_error *err)
{
    if (grid.size > COVEY_LEDGER_GRID_BYTES)
        return covey_fail(err, COVEY_LIMIT, "a grid of %zu bytes: at most %u", grid.size,
                          COVEY_LEDGER_GRID_BYTES);
    const struct opening opening = {round, grid, cohort};
    return write_and_wait(ledger, write_opening, &opening, err);
}

static enum covey_status forget_old(struct connection *connection, const struct covey_ledger_round *round,
                                    struct covey_error *err)
{
    static const enum statement by_round[] = {SQL_DROP_BODIES, SQL_FORGET_GRIDS};
    static const enum statement by_age[] = {SQL_FORGET_UPDATES, SQL_FORGET_ASSIGNMENTS};
    sqlite3_stmt *statement = NULL;
    for (size_t i = 0; i < 2; i++) {
        COVEY_TRY(prepare(connection, by_round[i], &statement, err, "ti", round->federation,
                          (int64_t)round->round));
        COVEY_TRY(execute(connection, statement, "clearing a round", NULL, err));
    }
    const int64_t oldest = (int64_t)round->round - COVEY_LEDGER_KEEP_ROUNDS;
    for (size_t i = 0; i < 2; i++) {
        COVEY_TRY(prepare(connection, by_age[i], &statement, err, "ti", round->federation, oldest));
        COVEY_TRY(execute(connection, statement, "forgetting old rounds", NULL, err));
    }
    return COVEY_OK;
}

static enum covey_status write_closing(struct connection *connection, const void *what,
                                       struct covey_error *err)
{
    const struct covey_ledger_round *round = what;
    sqlite3_stmt *statement = NULL;
    int changes = 0;
    COVEY_TRY(prepare(connection, SQL_CLOSE_ROUND, &statement, err, "iiibiiiiiidti", (int64_t)round->state,
                      round->closed_ms, (int64_t)round->sequence, round->model.bytes,
                      sizeof round->model.bytes, (int64_t)round->updates, (int64_t)round->dropped,
                      (int64_t)round->examples, (int64_t)round->update_bytes, (int64_t)round->bytes_up,
                      (int64_t)round->bytes_down, round->train_loss, round->federation,
                      (int64_t)round->round));
    COVEY_TRY(execute(connection, statement, "closing a round", &changes, err));
    if (changes == 0)
        return covey_fail(err, COVEY_NOT_FOUND, "ledger: there is no round %u of %s", round->round,
                          round->federation);
    return forget_old(connection, round, err);
}

enum covey_status covey_ledger_close_round(struct covey_ledger *ledger,
                                           const struct covey_ledger_round *round, struct covey_error *err)
{
    return write_and_wait(ledger, write_closing, round, err);
}

static enum covey_status write_judgement(struct connection *connection, const void *what,
                                         struct covey_error *err)
{
    const struct covey_ledger_round *round = what;
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(connection, SQL_JUDGE_ROUND, &statement, err, "ddti", round->loss, round->metric,
                      round->federation, (int64_t)round->round));
    return execute(connection, statement, "recording a judgement", NULL, err);
}

enum covey_status covey_ledger_judge_round(struct covey_ledger *ledger, const char *federation,
                                           uint32_t round, double loss, double metric,
                                           struct covey_error *err)
{
    struct covey_ledger_round what = {.round = round, .loss = loss, .metric = metric};
    (void)strncpy(what.federation, federation, sizeof what.federation - 1);
    return write_and_wait(ledger, write_judgement, &what, err);
}

static void read_round(sqlite3_stmt *row, struct covey_ledger_round *out)
{
    *out = (struct covey_ledger_round){0};
    column_text(row, 0, out->federation, sizeof out->federation);
    out->round = column_u32(row, 1);
    out->state = (enum covey_ledger_round_state)column_u32(row, 2);
    out->base_sequence = column_u64(row, 3);
    column_bytes(row, 4, out->base_model.bytes, sizeof out->base_model.bytes);
    out->opened_ms = sqlite3_column_int64(row, 5);
    out->deadline_ms = sqlite3_column_int64(row, 6);
    out->closed_ms = sqlite3_column_int64(row, 7);
    out->slots = column_u32(row, 8);
    out->goal = column_u32(row, 9);
    out->sequence = column_u64(row, 10);
    column_bytes(row, 11, out->model.bytes, sizeof out->model.bytes);
    out->updates = column_u32(row, 12);
    out->dropped = column_u32(row, 13);
    out->examples = column_u64(row, 14);
    out->update_bytes = column_u64(row, 15);
    out->bytes_up = column_u64(row, 16);
    out->bytes_down = column_u64(row, 17);
    out->train_loss = column_real(row, 18);
    out->judged = column_u32(row, 19) != 0;
    out->loss = column_real(row, 20);
    out->metric = column_real(row, 21);
}

/* Reading: the one reading connection is held while `row` sees each row; false stops. */
typedef bool row_fn(void *user, sqlite3_stmt *row);

static enum covey_status each_row(struct covey_ledger *ledger, sqlite3_stmt *statement, row_fn *row,
                                  void *user, uint64_t *count, struct covey_error *err)
{
    enum covey_status status;
    while ((status = next_row(&ledger->reading, statement, err)) == COVEY_OK) {
        if (count != NULL)
            (*count)++;
        if (!row(user, statement)) {
            status = COVEY_NOT_FOUND;
            break;
        }
    }
    finish(statement);
    return status == COVEY_NOT_FOUND ? COVEY_OK : status;
}

struct round_visit {
    bool (*each)(void *user, const struct covey_ledger_round *round);
    void *user;
};

static bool visit_round(void *user, sqlite3_stmt *row)
{
    struct covey_ledger_round round;
    read_round(row, &round);
    return ((struct round_visit *)user)->each(((struct round_visit *)user)->user, &round);
}

enum covey_status covey_ledger_each_round(struct covey_ledger *ledger, const char *federation, uint32_t first,
                                          bool (*each)(void *user, const struct covey_ledger_round *round),
                                          void *user, struct covey_error *err)
{
    struct round_visit visit = {each, user};
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        prepare(&ledger->reading, SQL_EACH_ROUND, &statement, err, "ti", federation, (int64_t)first);
    if (status == COVEY_OK)
        status = each_row(ledger, statement, visit_round, &visit, NULL, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

struct span {
    uint8_t *out;
    size_t *size;
    bool fits;
};

static bool copy_blob(void *user, sqlite3_stmt *row)
{
    struct span *span = user;
    const void *data = sqlite3_column_blob(row, 0);
    const size_t size = (size_t)sqlite3_column_bytes(row, 0);
    span->fits = size <= *span->size;
    if (span->fits && size > 0)
        memcpy(span->out, data, size);
    *span->size = size;
    return false;
}

enum covey_status covey_ledger_read_grid(struct covey_ledger *ledger, const char *federation, uint32_t round,
                                         uint8_t *out, size_t *size, struct covey_error *err)
{
    struct span span = {out, size, false};
    uint64_t count = 0;
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        prepare(&ledger->reading, SQL_READ_GRID, &statement, err, "ti", federation, (int64_t)round);
    if (status == COVEY_OK)
        status = each_row(ledger, statement, copy_blob, &span, &count, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    if (status != COVEY_OK)
        return status;
    if (count == 0)
        return covey_fail(err, COVEY_NOT_FOUND, "ledger: there is no round %u of %s", round, federation);
    return span.fits ? COVEY_OK
                     : covey_fail(err, COVEY_LIMIT, "ledger: the grid of round %u is too large", round);
}

struct assignment_visit {
    bool (*each)(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment);
    void *user;
};

static bool visit_assignment(void *user, sqlite3_stmt *row)
{
    struct assignment_visit *visit = user;
    struct covey_ledger_assignment assignment = {0};
    column_bytes(row, 1, assignment.id.bytes, sizeof assignment.id.bytes);
    column_text(row, 2, assignment.device, sizeof assignment.device);
    return visit->each(visit->user, column_u32(row, 0), &assignment);
}

enum covey_status covey_ledger_each_assignment(struct covey_ledger *ledger, const char *federation,
                                               uint32_t round,
                                               bool (*each)(void *user, uint32_t slot,
                                                            const struct covey_ledger_assignment *assignment),
                                               void *user, struct covey_error *err)
{
    struct assignment_visit visit = {each, user};
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        prepare(&ledger->reading, SQL_EACH_ASSIGNMENT, &statement, err, "ti", federation, (int64_t)round);
    if (status == COVEY_OK)
        status = each_row(ledger, statement, visit_assignment, &visit, NULL, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

/* ------------------------------------------------------------------ updates */

static enum covey_status find_update(struct connection *connection, const char *device,
                                     const struct covey_assignment_id *assignment, struct covey_hash *out,
                                     struct covey_error *err)
{
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(connection, SQL_FIND_UPDATE, &statement, err, "tb", device, assignment->bytes,
                      sizeof assignment->bytes));
    enum covey_status status = next_row(connection, statement, err);
    if (status == COVEY_OK)
        column_bytes(statement, 0, out->bytes, sizeof out->bytes);
    finish(statement);
    return status;
}

static enum covey_status write_update(void *database, struct covey_ledger_job *job, struct covey_error *err)
{
    struct connection *connection = &((struct covey_ledger *)database)->writing;
    struct covey_ledger_record *record = (struct covey_ledger_record *)job;
    const struct covey_ledger_update *update = &record->update;
    sqlite3_stmt *statement = NULL;
    int changes = 0;
    COVEY_TRY(prepare(connection, SQL_ADD_UPDATE, &statement, err, "ttbiibiiiddib", update->federation,
                      update->device, update->assignment.bytes, sizeof update->assignment.bytes,
                      (int64_t)update->round, (int64_t)update->slot, update->body_hash.bytes,
                      sizeof update->body_hash.bytes, (int64_t)update->examples, (int64_t)update->training_ms,
                      (int64_t)update->stream_bytes, update->loss_before, update->loss_after,
                      update->received_ms, update->body.data, update->body.size));
    COVEY_TRY(execute(connection, statement, "recording an update", &changes, err));
    record->outcome = COVEY_LEDGER_RECORDED;
    if (changes != 0)
        return COVEY_OK;
    struct covey_hash there;
    COVEY_TRY(find_update(connection, update->device, &update->assignment, &there, err));
    record->outcome =
        covey_hash_equal(&there, &update->body_hash) ? COVEY_LEDGER_REPEATED : COVEY_LEDGER_CONFLICTING;
    return COVEY_OK;
}

static void update_written(struct covey_ledger_job *job, enum covey_status status,
                           const struct covey_error *err)
{
    struct covey_ledger_record *record = (struct covey_ledger_record *)job;
    record->done(record, status, err);
}

enum covey_status covey_ledger_record(struct covey_ledger *ledger, struct covey_ledger_record *record)
{
    if (ledger->writer == NULL)
        return COVEY_STATE;
    if (record->update.body.size > COVEY_LEDGER_BODY_BYTES)
        return COVEY_LIMIT;
    record->job.execute = write_update;
    record->job.done = update_written;
    return covey_ledger_writer_post(ledger->writer, &record->job);
}

enum covey_status covey_ledger_find_update(struct covey_ledger *ledger, const char *device,
                                           const struct covey_assignment_id *assignment,
                                           struct covey_hash *body_hash, struct covey_error *err)
{
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status = find_update(&ledger->reading, device, assignment, body_hash, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

enum covey_status covey_ledger_find_assignment(struct covey_ledger *ledger,
                                               const struct covey_assignment_id *assignment,
                                               char federation[COVEY_NAME_BYTES],
                                               char device[COVEY_NAME_BYTES], uint32_t *round,
                                               struct covey_error *err)
{
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status = prepare(&ledger->reading, SQL_FIND_ASSIGNMENT, &statement, err, "b",
                                       assignment->bytes, sizeof assignment->bytes);
    if (status == COVEY_OK) {
        status = next_row(&ledger->reading, statement, err);
        if (status == COVEY_OK) {
            column_text(statement, 0, federation, COVEY_NAME_BYTES);
            column_text(statement, 1, device, COVEY_NAME_BYTES);
            *round = column_u32(statement, 2);
        }
        finish(statement);
    }
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

struct update_visit {
    enum covey_status (*each)(void *user, const struct covey_ledger_update *update, struct covey_error *err);
    void *user;
    enum covey_status status;
    struct covey_error *err;
    char damaged[COVEY_NAME_BYTES]; /* device whose bytes are not what they were; "" = none */
};

static bool visit_update(void *user, sqlite3_stmt *row)
{
    struct update_visit *visit = user;
    struct covey_ledger_update update = {0};
    column_text(row, 0, update.federation, sizeof update.federation);
    column_text(row, 1, update.device, sizeof update.device);
    column_bytes(row, 2, update.assignment.bytes, sizeof update.assignment.bytes);
    update.round = column_u32(row, 3);
    update.slot = column_u32(row, 4);
    column_bytes(row, 5, update.body_hash.bytes, sizeof update.body_hash.bytes);
    update.examples = column_u32(row, 6);
    update.training_ms = column_u32(row, 7);
    update.stream_bytes = column_u64(row, 8);
    update.loss_before = column_real(row, 9);
    update.loss_after = column_real(row, 10);
    update.received_ms = sqlite3_column_int64(row, 11);
    update.body = (struct covey_bytes){sqlite3_column_blob(row, 12), (size_t)sqlite3_column_bytes(row, 12)};
    struct covey_hash hash;
    visit->status = covey_hash_bytes(update.body, &hash);
    if (visit->status != COVEY_OK)
        return false;
    if (!covey_hash_equal(&hash, &update.body_hash)) {
        (void)snprintf(visit->damaged, sizeof visit->damaged, "%s", update.device);
        return true;
    }
    visit->status = visit->each(visit->user, &update, visit->err);
    return visit->status == COVEY_OK;
}

enum covey_status covey_ledger_each_update(
    struct covey_ledger *ledger, const char *federation, uint32_t round,
    enum covey_status (*each)(void *user, const struct covey_ledger_update *update, struct covey_error *err),
    void *user, struct covey_error *err)
{
    struct update_visit visit = {.each = each, .user = user, .err = err};
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        prepare(&ledger->reading, SQL_EACH_UPDATE, &statement, err, "ti", federation, (int64_t)round);
    if (status == COVEY_OK)
        status = each_row(ledger, statement, visit_update, &visit, NULL, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    if (status == COVEY_OK)
        status = visit.status;
    if (status == COVEY_OK && visit.damaged[0] != '\0')
        status = covey_fail(err, COVEY_CORRUPT,
                            "ledger: the update of %s in round %u of %s is damaged on the disk",
                            visit.damaged, round, federation);
    return status;
}

/* ------------------------------------------------------------------ devices, metrics, notes */

struct device_list {
    const struct covey_ledger_device *devices;
    size_t count;
};

static enum covey_status write_devices(struct connection *connection, const void *what,
                                       struct covey_error *err)
{
    const struct device_list *list = what;
    for (size_t i = 0; i < list->count; i++) {
        const struct covey_ledger_device *device = &list->devices[i];
        sqlite3_stmt *statement = NULL;
        COVEY_TRY(prepare(connection, SQL_NOTE_DEVICE, &statement, err, "tiii", device->name,
                          (int64_t)device->place, device->first_seen_s, device->last_seen_s));
        COVEY_TRY(execute(connection, statement, "noting a device", NULL, err));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_note_devices(struct covey_ledger *ledger,
                                            const struct covey_ledger_device *devices, size_t count,
                                            struct covey_error *err)
{
    const struct device_list list = {devices, count};
    return write_and_wait(ledger, write_devices, &list, err);
}

struct device_visit {
    bool (*each)(void *user, const struct covey_ledger_device *device);
    void *user;
};

static bool visit_device(void *user, sqlite3_stmt *row)
{
    struct covey_ledger_device device = {.place = column_u32(row, 1),
                                         .first_seen_s = sqlite3_column_int64(row, 2),
                                         .last_seen_s = sqlite3_column_int64(row, 3)};
    column_text(row, 0, device.name, sizeof device.name);
    return ((struct device_visit *)user)->each(((struct device_visit *)user)->user, &device);
}

enum covey_status covey_ledger_each_device(struct covey_ledger *ledger,
                                           bool (*each)(void *user, const struct covey_ledger_device *device),
                                           void *user, struct covey_error *err)
{
    struct device_visit visit = {each, user};
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status = prepare(&ledger->reading, SQL_EACH_DEVICE, &statement, err, "");
    if (status == COVEY_OK)
        status = each_row(ledger, statement, visit_device, &visit, NULL, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

struct metrics_note {
    const char *federation, *device;
    int64_t now_s;
    const struct covey_metrics *metrics;
};

static enum covey_status write_metrics(struct connection *connection, const void *what,
                                       struct covey_error *err)
{
    const struct metrics_note *note = what;
    for (uint32_t i = 0; i < note->metrics->count; i++) {
        const struct covey_metric *metric = &note->metrics->records[i];
        sqlite3_stmt *statement = NULL;
        COVEY_TRY(prepare(connection, SQL_NOTE_METRIC, &statement, err, "ttttdii", note->federation,
                          note->device, metric->name, metric->unit, metric->value, note->now_s,
                          (int64_t)COVEY_LEDGER_METRIC_NAMES));
        COVEY_TRY(execute(connection, statement, "noting a metric", NULL, err));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_note_metrics(struct covey_ledger *ledger, const char *federation,
                                            const char *device, int64_t now_s,
                                            const struct covey_metrics *metrics, struct covey_error *err)
{
    const struct metrics_note note = {federation, device, now_s, metrics};
    return write_and_wait(ledger, write_metrics, &note, err);
}

struct metric_visit {
    bool (*each)(void *user, const struct covey_ledger_metric *metric);
    void *user;
};

static bool visit_metric(void *user, sqlite3_stmt *row)
{
    struct covey_ledger_metric metric = {.devices = column_u32(row, 2),
                                         .mean = column_real(row, 3),
                                         .minimum = column_real(row, 4),
                                         .maximum = column_real(row, 5)};
    column_text(row, 0, metric.name, sizeof metric.name);
    column_text(row, 1, metric.unit, sizeof metric.unit);
    return ((struct metric_visit *)user)->each(((struct metric_visit *)user)->user, &metric);
}

enum covey_status covey_ledger_each_metric(struct covey_ledger *ledger, const char *federation,
                                           bool (*each)(void *user, const struct covey_ledger_metric *metric),
                                           void *user, struct covey_error *err)
{
    struct metric_visit visit = {each, user};
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status = prepare(&ledger->reading, SQL_EACH_METRIC, &statement, err, "t", federation);
    if (status == COVEY_OK)
        status = each_row(ledger, statement, visit_metric, &visit, NULL, err);
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}

static enum covey_status write_note(struct connection *connection, const void *what, struct covey_error *err)
{
    const char *const *note = what; /* federation, name, value */
    sqlite3_stmt *statement = NULL;
    COVEY_TRY(prepare(connection, SQL_SET_NOTE, &statement, err, "ttt", note[0], note[1], note[2]));
    return execute(connection, statement, "writing a note", NULL, err);
}

enum covey_status covey_ledger_set_note(struct covey_ledger *ledger, const char *federation, const char *name,
                                        const char *value, struct covey_error *err)
{
    const char *const note[] = {federation, name, value};
    return write_and_wait(ledger, write_note, note, err);
}

enum covey_status covey_ledger_get_note(struct covey_ledger *ledger, const char *federation, const char *name,
                                        char *out, size_t out_bytes, struct covey_error *err)
{
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&ledger->read_mutex);
    enum covey_status status =
        prepare(&ledger->reading, SQL_GET_NOTE, &statement, err, "tt", federation, name);
    if (status == COVEY_OK) {
        status = next_row(&ledger->reading, statement, err);
        if (status == COVEY_OK)
            column_text(statement, 0, out, out_bytes);
        finish(statement);
    }
    pthread_mutex_unlock(&ledger->read_mutex);
    return status;
}
