/* What a device must not lose, in a folder of its own: STATE/FEDERATION/
 *
 *   sequence   the last manifest accepted (its number never falls), and the shard's port
 *   model      P, with the model description that it belongs to
 *   update     the encoded update of an assignment, until the server has it: a resend after a crash sends the
 * same bytes pending    the residual that becomes ours when that update is acknowledged residual   error
 * feedback: what the codec has kept back so far lock       held while a client runs here
 *
 * Every file is written whole beside its place, synced, and renamed, so that a device killed at any moment
 * finds each either as it was or as it should be. Each has a version and ends in its own SHA-256; what does
 * not verify counts as absent, and the federation's copy is fetched again. Not thread-safe. */
#ifndef COVEY_CLIENT_STATE_H
#define COVEY_CLIENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "covey/bytes.h"
#include "covey/log.h"
#include "covey/messages.h"
#include "covey/status.h"

/* The disk; tests hand in one that fails. */
struct covey_disk {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*write)(int descriptor, const void *bytes, size_t count);
    int (*sync)(int descriptor);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
};
extern const struct covey_disk covey_disk_system;

/* The model that lies there. */
struct covey_state_model {
    struct covey_hash model;       /* of the shared values */
    struct covey_hash description; /* of the description's CBOR */
    uint64_t sequence;
    uint32_t round;
    uint64_t count; /* values, personal ones included */
    uint64_t description_bytes;
};

/* The update that lies there. */
struct covey_state_update {
    struct covey_assignment_id assignment;
    struct covey_hash model; /* that it started from */
    uint32_t round, examples, steps, training_ms;
    double loss_before, loss_after;
    uint64_t stream_bytes, message_bytes;
};

/* What a residual belongs to: under another codec or model, or too old, it is of no use. With it lies what
 * the plan's algorithm keeps (client/local_step.h), which is of use for as long as model and algorithm are
 * the same. */
struct covey_state_residual {
    struct covey_hash description;
    char codec[COVEY_CODEC_NAME_BYTES];
    uint64_t sequence;
    uint64_t count; /* 0: no error feedback */
    uint32_t algorithm;
    uint64_t memory_count;
};

struct covey_client_state;

/* Makes the folder where it is not there, takes the lock (BUSY: another client holds it), and looks at what
 * there is. */
COVEY_MUST_CHECK enum covey_status covey_client_state_open(const char *folder, const char *federation,
                                                           const struct covey_disk *disk,
                                                           const struct covey_log *log,
                                                           struct covey_client_state **out,
                                                           struct covey_error *err);
/* To look only, beside a client that runs: takes no lock, makes nothing. NOT_FOUND when there is no such
 * folder. */
COVEY_MUST_CHECK enum covey_status covey_client_state_look(const char *folder, const char *federation,
                                                           const struct covey_log *log,
                                                           struct covey_client_state **out,
                                                           struct covey_error *err);
/* Removes all that lies there, the lock last. */
COVEY_MUST_CHECK enum covey_status covey_client_state_forget(struct covey_client_state *state,
                                                             struct covey_error *err);
void covey_client_state_close(struct covey_client_state *state); /* NULL is legal */
const char *covey_client_state_folder(const struct covey_client_state *state);

/* ---- the sequence ---- */

/* *manifest: of the last accepted one; false: none was accepted yet. */
bool covey_client_state_sequence(const struct covey_client_state *state, uint64_t *sequence,
                                 struct covey_hash *manifest);
uint16_t covey_client_state_shard(const struct covey_client_state *state);
COVEY_MUST_CHECK enum covey_status covey_client_state_set_sequence(struct covey_client_state *state,
                                                                   uint64_t sequence,
                                                                   const struct covey_hash *manifest,
                                                                   struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_client_state_set_shard(struct covey_client_state *state,
                                                                uint16_t port, struct covey_error *err);

/* ---- the model ---- */

/* NULL: there is none. Borrowed. */
const struct covey_state_model *covey_client_state_model(const struct covey_client_state *state);
/* description: (description_bytes); values: (count). CORRUPT when the file changed since. */
COVEY_MUST_CHECK enum covey_status covey_client_state_load_model(struct covey_client_state *state,
                                                                 uint8_t *description, float *values,
                                                                 struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_client_state_store_model(struct covey_client_state *state,
                                                                  const struct covey_state_model *model,
                                                                  const uint8_t *description,
                                                                  const float *values,
                                                                  struct covey_error *err);

/* ---- the update, and the residual ---- */

const struct covey_state_update *covey_client_state_update(const struct covey_client_state *state);
/* message: (message_bytes) */
COVEY_MUST_CHECK enum covey_status covey_client_state_load_update(struct covey_client_state *state,
                                                                  uint8_t *message, struct covey_error *err);
const struct covey_state_residual *covey_client_state_residual(const struct covey_client_state *state);
/* values: (count), memory: (memory_count); NULL: passed over */
COVEY_MUST_CHECK enum covey_status covey_client_state_load_residual(struct covey_client_state *state,
                                                                    float *values, float *memory,
                                                                    struct covey_error *err);

/* residual may be NULL (neither error feedback nor an algorithm that keeps something): values and memory then
 * too. */
COVEY_MUST_CHECK enum covey_status covey_client_state_store_update(
    struct covey_client_state *state, const struct covey_state_update *update, const uint8_t *message,
    const struct covey_state_residual *residual, const float *values, const float *memory,
    struct covey_error *err);
/* The server has it: its residual is the residual now. */
COVEY_MUST_CHECK enum covey_status covey_client_state_commit_update(struct covey_client_state *state,
                                                                    struct covey_error *err);
/* It will not be sent any more. sure: the server certainly did not take it, so the old residual still holds;
 * otherwise nobody knows, and both are dropped. */
COVEY_MUST_CHECK enum covey_status covey_client_state_drop_update(struct covey_client_state *state, bool sure,
                                                                  struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_client_state_drop_residual(struct covey_client_state *state,
                                                                    struct covey_error *err);

#endif
