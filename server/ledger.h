/* The ledger: what the server promised and what it was given, on disk before it is acknowledged (ARCHITECTURE
 * 5, 6). One SQLite file for all federations of a server, in WAL mode with synchronous=FULL.
 * ledger_database.c is the only file that knows SQLite; ledger_writer.c groups the commits; ledger_rounds.c,
 * ledger_updates.c and ledger_notes.c write and read the tables.
 *
 *   round         a line a round: open, closed or abandoned, with its grid and, later, what became of it
 *   assignment    who may send what: id -> (federation, round, slot, device); survives a restart
 *   contribution  an update: unique by (device, assignment); its bytes stay until the round's model is stored
 *   device        known devices in the order of their coming, which decides their shard
 *   metric        the latest value of each name that a device posted
 *   standing      what choosing a cohort wants to know of a device, a line a federation and device
 *
 * Thread-safe throughout. Writing calls wait for the disk, except covey_ledger_record. Times are wall clock.
 */
#ifndef COVEY_LEDGER_H
#define COVEY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/limits.h"
#include "covey/messages.h"
#include "covey/selection.h"
#include "covey/status.h"

#include "ledger_writer.h"

#define COVEY_LEDGER_VERSION 1
#define COVEY_LEDGER_BODY_BYTES (900u << 20) /* of one update; SQLite's own bound is 10^9 */
#define COVEY_LEDGER_KEEP_ROUNDS 16          /* closed rounds whose assignments still answer repeats */
#define COVEY_LEDGER_GRID_BYTES (64u << 10)
#define COVEY_LEDGER_METRIC_NAMES 64 /* a device and federation */

struct covey_ledger;

/* Makes the file when it is not there. UNSUPPORTED: a later version wrote it. CORRUPT: it is no ledger. One
 * process writes at a time: the server locks its state directory before. */
COVEY_MUST_CHECK enum covey_status covey_ledger_open(const char *path, struct covey_ledger **out,
                                                     struct covey_error *err);
/* For looking, beside a server that runs: the writing calls fail with STATE. NOT_FOUND when there is none. */
COVEY_MUST_CHECK enum covey_status covey_ledger_open_to_read(const char *path, struct covey_ledger **out,
                                                             struct covey_error *err);
/* Writes what is queued, checkpoints, closes. NULL is legal. */
void covey_ledger_close(struct covey_ledger *ledger);

void covey_ledger_figures(struct covey_ledger *ledger, struct covey_ledger_writer_figures *out);

/* ------------------------------------------------------------------ rounds */

enum covey_ledger_round_state { COVEY_LEDGER_OPEN, COVEY_LEDGER_CLOSED, COVEY_LEDGER_ABANDONED };

struct covey_ledger_round {
    char federation[COVEY_NAME_BYTES];
    uint32_t round;
    enum covey_ledger_round_state state;
    uint64_t base_sequence; /* P that it trains from */
    struct covey_hash base_model;
    int64_t opened_ms, deadline_ms, closed_ms; /* since 1970 UTC */
    uint32_t slots, goal;
    /* closed or abandoned: */
    uint64_t sequence; /* P that it made; 0: none */
    struct covey_hash model;
    uint32_t updates, dropped; /* of the cohort */
    uint64_t examples;
    uint64_t update_bytes;         /* encoded updates alone */
    uint64_t bytes_up, bytes_down; /* every datagram while it was open */
    double train_loss;             /* mean of the devices' last epoch, by examples; NaN: none */
    uint32_t keep_rounds;          /* written: assignments so old may still be delivered */
    bool judged;
    double loss, metric; /* on held-out data */
};

/* The slot is the place in the array. */
struct covey_ledger_assignment {
    struct covey_assignment_id id;
    char device[COVEY_NAME_BYTES];
};

/* A round opens: itself, its grid (opaque here) and its cohort, at once. EXISTS: that round is there already.
 */
COVEY_MUST_CHECK enum covey_status covey_ledger_open_round(struct covey_ledger *ledger,
                                                           const struct covey_ledger_round *round,
                                                           struct covey_bytes grid,
                                                           const struct covey_ledger_assignment *cohort,
                                                           struct covey_error *err);
/* state CLOSED or ABANDONED and its figures; the updates' bytes go, their keys stay for
 * COVEY_LEDGER_KEEP_ROUNDS rounds. Again with the same state is OK. NOT_FOUND. */
COVEY_MUST_CHECK enum covey_status covey_ledger_close_round(struct covey_ledger *ledger,
                                                            const struct covey_ledger_round *round,
                                                            struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_ledger_judge_round(struct covey_ledger *ledger,
                                                            const char *federation, uint32_t round,
                                                            double loss, double metric,
                                                            struct covey_error *err);

/* Every round of a federation from `first` on, in order. `each` may return false to stop, and must not call
 * the ledger. */
COVEY_MUST_CHECK enum covey_status covey_ledger_each_round(
    struct covey_ledger *ledger, const char *federation, uint32_t first,
    bool (*each)(void *user, const struct covey_ledger_round *round), void *user, struct covey_error *err);
/* The grid of a round: *size in: capacity, out: bytes. */
COVEY_MUST_CHECK enum covey_status covey_ledger_read_grid(struct covey_ledger *ledger, const char *federation,
                                                          uint32_t round, uint8_t *out, size_t *size,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_ledger_each_assignment(
    struct covey_ledger *ledger, const char *federation, uint32_t round,
    bool (*each)(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment), void *user,
    struct covey_error *err);

/* The assignments of `round` for which nothing was recorded before round `before`. */
COVEY_MUST_CHECK enum covey_status covey_ledger_each_pending(
    struct covey_ledger *ledger, const char *federation, uint32_t round, uint32_t before,
    bool (*each)(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment), void *user,
    struct covey_error *err);

/* ------------------------------------------------------------------ updates */

/* What rounds and updates left behind of each device of a federation; `each` may return false to stop. */
COVEY_MUST_CHECK enum covey_status covey_ledger_each_standing(
    struct covey_ledger *ledger, const char *federation,
    bool (*each)(void *user, const char *device, const struct covey_device_record *record), void *user,
    struct covey_error *err);

struct covey_ledger_update {
    char federation[COVEY_NAME_BYTES];
    char device[COVEY_NAME_BYTES];
    struct covey_assignment_id assignment;
    uint32_t round, slot;
    struct covey_hash body_hash;
    uint32_t examples, training_ms;
    uint64_t stream_bytes;
    double loss_before, loss_after;
    int64_t received_ms;
    uint32_t assigned_round; /* that it was given out in, `round` or earlier; written, 0 = `round` */
    struct covey_bytes body; /* the whole message; borrowed until done */
};

enum covey_ledger_outcome {
    COVEY_LEDGER_RECORDED,   /* now, and it is on the disk */
    COVEY_LEDGER_REPEATED,   /* the same bytes are there already */
    COVEY_LEDGER_CONFLICTING /* other bytes are there already, and stay */
};

/* One update to be recorded. The caller owns it and keeps it, and what it points at, until done. */
struct covey_ledger_record {
    struct covey_ledger_job job; /* the ledger's own */
    struct covey_ledger_update update;
    enum covey_ledger_outcome outcome;
    void (*done)(struct covey_ledger_record *record, enum covey_status status, const struct covey_error *err);
    void *user;
};
/* Returns at once; record->done is called on the ledger's thread, and must be quick. BUSY: the queue is full;
 * LIMIT: the body is too large; done is not called then. */
COVEY_MUST_CHECK enum covey_status covey_ledger_record(struct covey_ledger *ledger,
                                                       struct covey_ledger_record *record);

/* Is there an update under this key? NOT_FOUND, or OK and the hash of its bytes. */
COVEY_MUST_CHECK enum covey_status covey_ledger_find_update(struct covey_ledger *ledger, const char *device,
                                                            const struct covey_assignment_id *assignment,
                                                            struct covey_hash *body_hash,
                                                            struct covey_error *err);
/* Whose is it, and of which round? NOT_FOUND: never heard of, or too old. */
COVEY_MUST_CHECK enum covey_status covey_ledger_find_assignment(struct covey_ledger *ledger,
                                                                const struct covey_assignment_id *assignment,
                                                                char federation[COVEY_NAME_BYTES],
                                                                char device[COVEY_NAME_BYTES],
                                                                uint32_t *round, struct covey_error *err);
/* Every update of an open round, one at a time in memory, to be folded again. CORRUPT at the end when a body
 * did not have its hash; it was passed over, the others were not. `each` returning other than OK stops, and
 * is returned. */
COVEY_MUST_CHECK enum covey_status covey_ledger_each_update(
    struct covey_ledger *ledger, const char *federation, uint32_t round,
    enum covey_status (*each)(void *user, const struct covey_ledger_update *update, struct covey_error *err),
    void *user, struct covey_error *err);

/* ------------------------------------------------------------------ devices and their metrics */

struct covey_ledger_device {
    char name[COVEY_NAME_BYTES];
    uint32_t place; /* from 0, by first coming */
    int64_t first_seen_s, last_seen_s;
};
/* Notes that they were there at last_seen_s; new ones are added with the given place. */
COVEY_MUST_CHECK enum covey_status covey_ledger_note_devices(struct covey_ledger *ledger,
                                                             const struct covey_ledger_device *devices,
                                                             size_t count, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_ledger_each_device(
    struct covey_ledger *ledger, bool (*each)(void *user, const struct covey_ledger_device *device),
    void *user, struct covey_error *err);

/* The latest values replace older ones of the same name; names past COVEY_LEDGER_METRIC_NAMES are dropped. */
COVEY_MUST_CHECK enum covey_status covey_ledger_note_metrics(struct covey_ledger *ledger,
                                                             const char *federation, const char *device,
                                                             int64_t now_s,
                                                             const struct covey_metrics *metrics,
                                                             struct covey_error *err);
struct covey_ledger_metric {
    char name[32], unit[8];
    uint32_t devices;
    double mean, minimum, maximum;
};
COVEY_MUST_CHECK enum covey_status covey_ledger_each_metric(
    struct covey_ledger *ledger, const char *federation,
    bool (*each)(void *user, const struct covey_ledger_metric *metric), void *user, struct covey_error *err);

/* ------------------------------------------------------------------ notes: small facts by name */

/* "test" of a federation -> what its test part gave, and the like. */
COVEY_MUST_CHECK enum covey_status covey_ledger_set_note(struct covey_ledger *ledger, const char *federation,
                                                         const char *name, const char *value,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_ledger_get_note(struct covey_ledger *ledger, const char *federation,
                                                         const char *name, char *out, size_t out_bytes,
                                                         struct covey_error *err);

#endif
