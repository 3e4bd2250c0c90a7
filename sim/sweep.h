/* A grid of runs: every combination of the values of some keys is a cell, kept in a folder that is named by
 * the hash of its configuration. A cell that is complete is not run again; one that was interrupted goes on.
 * How a scenario is hashed and a run is started is handed in: the program starts processes, tests none. */
#ifndef COVEY_SWEEP_H
#define COVEY_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/limits.h"
#include "covey/status.h"
#include "report.h"

#define COVEY_SWEEP_KEYS 8
#define COVEY_SWEEP_VALUES 128 /* of one key */
#define COVEY_SWEEP_CELLS COVEY_REPORT_RUNS
#define COVEY_SWEEP_JOBS 64
#define COVEY_SWEEP_SETTING_BYTES 256

/* Points into itself: not to be copied. */
struct covey_sweep_key {
    char text[1024]; /* the key, then its values; each ended by zero */
    const char *key, *values[COVEY_SWEEP_VALUES];
    uint32_t count;
};

enum covey_sweep_state {
    COVEY_SWEEP_WAITING,
    COVEY_SWEEP_RUNNING,
    COVEY_SWEEP_CACHED, /* was complete before */
    COVEY_SWEEP_DONE,
    COVEY_SWEEP_FAILED,
    COVEY_SWEEP_STOPPED, /* has a checkpoint */
    COVEY_SWEEP_SAME     /* as a cell before: the values differ in spelling alone */
};

struct covey_sweep_cell {
    char settings[COVEY_SWEEP_KEYS][COVEY_SWEEP_SETTING_BYTES]; /* key=value */
    uint32_t setting_count;
    struct covey_hash hash;
    char folder[COVEY_FILE_PATH_BYTES];
    enum covey_sweep_state state;
};

struct covey_sweep {
    struct covey_sweep_cell *cells;
    uint32_t count, jobs;
    const char *folder; /* borrowed */
};

struct covey_sweep_runner {
    void *user;
    /* The hash of the scenario with these settings; an error is the user's. */
    enum covey_status (*identify)(void *user, const char *const *settings, uint32_t count,
                                  struct covey_hash *out, struct covey_error *err);
    /* Begins a run into the cell's folder. */
    enum covey_status (*start)(void *user, const struct covey_sweep_cell *cell, uint32_t index,
                               struct covey_error *err);
    /* Waits until one that was started has ended. */
    enum covey_status (*wait)(void *user, uint32_t *index, bool *good, struct covey_error *err);
    bool (*stopped)(void *user); /* no more are to be started */
    /* A cell's state has changed; may be NULL. */
    void (*tell)(void *user, const struct covey_sweep *sweep, uint32_t index);
};

/* "key=a,b,c"; commas within brackets belong to a value. INVALID for what is none. */
COVEY_MUST_CHECK enum covey_status covey_sweep_key_read(const char *text, struct covey_sweep_key *out,
                                                        struct covey_error *err);

/* All cells, the last key's values changing fastest; all of them checked and hashed before anything runs.
 * settings: put before those of the grid. */
COVEY_MUST_CHECK enum covey_status covey_sweep_plan(const struct covey_sweep_key *keys, uint32_t key_count,
                                                    const char *const *settings, uint32_t setting_count,
                                                    const char *folder,
                                                    const struct covey_sweep_runner *runner,
                                                    struct covey_sweep *out, struct covey_error *err);
void covey_sweep_free(struct covey_sweep *sweep); /* an all-zero one is legal */

/* Runs what is not complete, sweep->jobs (at least 1) at a time. OK also when cells failed or were stopped:
 * their states tell. */
COVEY_MUST_CHECK enum covey_status covey_sweep_run(struct covey_sweep *sweep,
                                                   const struct covey_sweep_runner *runner,
                                                   struct covey_error *err);

/* Whether the folder holds this configuration's run, from beginning to end. */
bool covey_sweep_complete(const char *folder, const struct covey_hash *hash);

/* "codec=int8, seed=1" */
void covey_sweep_label(const struct covey_sweep_cell *cell, char *out, size_t out_bytes);

#endif
