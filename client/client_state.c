#include "client_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state_file.h"

enum { KIND_SEQUENCE = 1, KIND_MODEL, KIND_UPDATE, KIND_RESIDUAL = 5 }; /* 4: a residual without memory */

#define SEQUENCE_HEAD_BYTES (8 + COVEY_HASH_BYTES + 8)
#define MODEL_HEAD_BYTES (2 * COVEY_HASH_BYTES + 8 + 4 + 4 + 8 + 8)
#define UPDATE_HEAD_BYTES (COVEY_ASSIGNMENT_BYTES + COVEY_HASH_BYTES + 4 * 4 + 2 * 8 + 2 * 8)
#define RESIDUAL_HEAD_BYTES (COVEY_HASH_BYTES + COVEY_CODEC_NAME_BYTES + 2 * 8 + 4 + 8)

struct covey_client_state {
    char folder[COVEY_STATE_PATH_BYTES];
    const struct covey_disk *disk;
    const struct covey_log *log;
    int lock;
    bool has_sequence, has_model, has_update, has_residual;
    uint64_t sequence;
    struct covey_hash manifest;
    uint16_t shard_port;
    struct covey_state_model model;
    struct covey_state_update update;
    struct covey_state_residual residual;
    struct covey_state_residual pending; /* what store_update wrote in this run */
    bool has_pending;
};

/* ------------------------------------------------------------------ heads as bytes, little-endian */

/* One walk serves both ways, so that reading and writing cannot differ. */
struct walk {
    uint8_t *at;
    bool writing;
};

static void walk_bytes(struct walk *walk, void *value, size_t count)
{
    if (walk->writing)
        memcpy(walk->at, value, count);
    else
        memcpy(value, walk->at, count);
    walk->at += count;
}

static void walk_u64(struct walk *walk, uint64_t *value)
{
    uint64_t read = 0;
    for (size_t i = 0; i < 8; i++) {
        if (walk->writing)
            walk->at[i] = (uint8_t)(*value >> (8 * i));
        read |= (uint64_t)walk->at[i] << (8 * i);
    }
    *value = read;
    walk->at += 8;
}

static void walk_u32(struct walk *walk, uint32_t *value)
{
    uint32_t read = 0;
    for (size_t i = 0; i < 4; i++) {
        if (walk->writing)
            walk->at[i] = (uint8_t)(*value >> (8 * i));
        read |= (uint32_t)walk->at[i] << (8 * i);
    }
    *value = read;
    walk->at += 4;
}

static void walk_f64(struct walk *walk, double *value)
{
    uint64_t bits;
    memcpy(&bits, value, sizeof bits);
    walk_u64(walk, &bits);
    memcpy(value, &bits, sizeof bits);
}

static void walk_sequence(struct walk *walk, struct covey_client_state *state)
{
    uint32_t port = state->shard_port, has = state->has_sequence;
    walk_u64(walk, &state->sequence);
    walk_bytes(walk, state->manifest.bytes, sizeof state->manifest.bytes);
    walk_u32(walk, &port);
    walk_u32(walk, &has);
    state->shard_port = (uint16_t)port;
    state->has_sequence = has != 0;
}

static void walk_model(struct walk *walk, struct covey_state_model *model)
{
    uint32_t reserved = 0;
    walk_bytes(walk, model->model.bytes, sizeof model->model.bytes);
    walk_bytes(walk, model->description.bytes, sizeof model->description.bytes);
    walk_u64(walk, &model->sequence);
    walk_u32(walk, &model->round);
    walk_u32(walk, &reserved);
    walk_u64(walk, &model->count);
    walk_u64(walk, &model->description_bytes);
}

static void walk_update(struct walk *walk, struct covey_state_update *update)
{
    walk_bytes(walk, update->assignment.bytes, sizeof update->assignment.bytes);
    walk_bytes(walk, update->model.bytes, sizeof update->model.bytes);
    walk_u32(walk, &update->round);
    walk_u32(walk, &update->examples);
    walk_u32(walk, &update->steps);
    walk_u32(walk, &update->training_ms);
    walk_f64(walk, &update->loss_before);
    walk_f64(walk, &update->loss_after);
    walk_u64(walk, &update->stream_bytes);
    walk_u64(walk, &update->message_bytes);
}

static void walk_residual(struct walk *walk, struct covey_state_residual *residual)
{
    walk_bytes(walk, residual->description.bytes, sizeof residual->description.bytes);
    walk_bytes(walk, residual->codec, sizeof residual->codec);
    walk_u64(walk, &residual->sequence);
    walk_u64(walk, &residual->count);
    walk_u32(walk, &residual->algorithm);
    walk_u64(walk, &residual->memory_count);
    residual->codec[sizeof residual->codec - 1] = 0;
}

/* ------------------------------------------------------------------ opening */

/* Reads a head; what is damaged is said once, and counts as absent. */
static bool probe(const struct covey_client_state *state, const char *name, uint32_t kind, uint8_t *head,
                  size_t head_bytes, uint64_t *rest)
{
    struct covey_error err = {0};
    enum covey_status status =
        covey_state_file_probe(state->folder, name, kind, head, head_bytes, rest, &err);
    if (status != COVEY_OK && status != COVEY_NOT_FOUND)
        covey_log_event(state->log, COVEY_LOG_WARNING, "state-lost", "file=%s reason=\"%s\"", name, err.text);
    return status == COVEY_OK;
}

static void look_at_sequence(struct covey_client_state *state)
{
    uint8_t head[SEQUENCE_HEAD_BYTES];
    uint64_t rest;
    if (probe(state, "sequence", KIND_SEQUENCE, head, sizeof head, &rest) && rest == 0)
        walk_sequence(&(struct walk){.at = head}, state);
}

static void look_at_model(struct covey_client_state *state)
{
    uint8_t head[MODEL_HEAD_BYTES];
    uint64_t rest;
    if (!probe(state, "model", KIND_MODEL, head, sizeof head, &rest))
        return;
    walk_model(&(struct walk){.at = head}, &state->model);
    state->has_model = state->model.count <= COVEY_MODEL_PARAMETERS &&
                       state->model.description_bytes <= COVEY_DESCRIPTION_BYTES &&
                       rest == state->model.description_bytes + 4 * state->model.count;
}

static void look_at_update(struct covey_client_state *state)
{
    uint8_t head[UPDATE_HEAD_BYTES];
    uint64_t rest;
    if (!probe(state, "update", KIND_UPDATE, head, sizeof head, &rest))
        return;
    walk_update(&(struct walk){.at = head}, &state->update);
    state->has_update = rest == state->update.message_bytes && rest <= COVEY_BODY_BYTES;
}

static void look_at_residual(struct covey_client_state *state)
{
    uint8_t head[RESIDUAL_HEAD_BYTES];
    uint64_t rest;
    state->has_residual = false;
    if (!probe(state, "residual", KIND_RESIDUAL, head, sizeof head, &rest))
        return;
    walk_residual(&(struct walk){.at = head}, &state->residual);
    state->has_residual = state->residual.count <= COVEY_MODEL_PARAMETERS &&
                          state->residual.memory_count <= COVEY_MODEL_PARAMETERS &&
                          rest == 4 * (state->residual.count + state->residual.memory_count);
}

static enum covey_status make_folder(const char *path, struct covey_error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return COVEY_OK;
    return covey_fail(err, COVEY_IO, "%s: cannot make the folder: %s", path, strerror(errno));
}

static enum covey_status take_lock(struct covey_client_state *state, struct covey_error *err)
{
    char path[COVEY_STATE_PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/lock", state->folder);
    state->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state->lock < 0)
        return covey_fail(err, COVEY_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(state->lock, LOCK_EX | LOCK_NB) != 0)
        return covey_fail(err, COVEY_BUSY, "%s: another client runs with this state; stop it first",
                          state->folder);
    return COVEY_OK;
}

static enum covey_status create(const char *folder, const char *federation, const struct covey_disk *disk,
                                const struct covey_log *log, struct covey_client_state **out,
                                struct covey_error *err)
{
    struct covey_client_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the state");
    state->disk = disk != NULL ? disk : &covey_disk_system;
    state->log = log;
    state->lock = -1;
    /* names of files inside are short: room for them is kept */
    if (snprintf(state->folder, sizeof state->folder, "%s/%s", folder, federation) >=
        COVEY_STATE_PATH_BYTES - 32) {
        free(state);
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    }
    *out = state;
    return COVEY_OK;
}

static void look_at_all(struct covey_client_state *state)
{
    look_at_sequence(state);
    look_at_model(state);
    look_at_update(state);
    look_at_residual(state);
}

enum covey_status covey_client_state_open(const char *folder, const char *federation,
                                          const struct covey_disk *disk, const struct covey_log *log,
                                          struct covey_client_state **out, struct covey_error *err)
{
    struct covey_client_state *state = NULL;
    COVEY_TRY(make_folder(folder, err));
    COVEY_TRY(create(folder, federation, disk, log, &state, err));
    enum covey_status status = make_folder(state->folder, err);
    if (status == COVEY_OK)
        status = take_lock(state, err);
    if (status != COVEY_OK) {
        covey_client_state_close(state);
        return status;
    }
    look_at_all(state);
    *out = state;
    return COVEY_OK;
}

enum covey_status covey_client_state_look(const char *folder, const char *federation,
                                          const struct covey_log *log, struct covey_client_state **out,
                                          struct covey_error *err)
{
    struct covey_client_state *state = NULL;
    COVEY_TRY(create(folder, federation, NULL, log, &state, err));
    if (access(state->folder, R_OK | X_OK) != 0) {
        enum covey_status status = covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s",
                                              state->folder, strerror(errno));
        covey_client_state_close(state);
        return status;
    }
    look_at_all(state);
    *out = state;
    return COVEY_OK;
}

enum covey_status covey_client_state_forget(struct covey_client_state *state, struct covey_error *err)
{
    static const char *const names[] = {"update", "pending", "residual", "model", "sequence", "lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        COVEY_TRY(covey_state_file_remove(state->disk, state->folder, names[i], err));
    state->has_update = state->has_residual = state->has_model = state->has_sequence = false;
    if (rmdir(state->folder) != 0 && errno != ENOTEMPTY)
        return covey_fail(err, COVEY_IO, "%s: cannot remove: %s", state->folder, strerror(errno));
    return COVEY_OK;
}

void covey_client_state_close(struct covey_client_state *state)
{
    if (state == NULL)
        return;
    if (state->lock >= 0)
        close(state->lock);
    free(state);
}

const char *covey_client_state_folder(const struct covey_client_state *state)
{
    return state->folder;
}

/* ------------------------------------------------------------------ the sequence */

bool covey_client_state_sequence(const struct covey_client_state *state, uint64_t *sequence,
                                 struct covey_hash *manifest)
{
    if (!state->has_sequence)
        return false;
    *sequence = state->sequence;
    *manifest = state->manifest;
    return true;
}

uint16_t covey_client_state_shard(const struct covey_client_state *state)
{
    return state->shard_port;
}

/* Writes `next`; on success it is the state's. */
static enum covey_status store_sequence(struct covey_client_state *state, struct covey_client_state *next,
                                        struct covey_error *err)
{
    uint8_t head[SEQUENCE_HEAD_BYTES];
    walk_sequence(&(struct walk){.at = head, .writing = true}, next);
    const struct covey_state_part part = {.data = head, .bytes = sizeof head};
    COVEY_TRY(covey_state_file_write(state->disk, state->folder, "sequence", KIND_SEQUENCE, &part, 1, err));
    state->has_sequence = next->has_sequence;
    state->sequence = next->sequence;
    state->manifest = next->manifest;
    state->shard_port = next->shard_port;
    return COVEY_OK;
}

enum covey_status covey_client_state_set_sequence(struct covey_client_state *state, uint64_t sequence,
                                                  const struct covey_hash *manifest, struct covey_error *err)
{
    struct covey_client_state next = *state;
    if (state->has_sequence && state->sequence == sequence && covey_hash_equal(&state->manifest, manifest))
        return COVEY_OK;
    next.has_sequence = true;
    next.sequence = sequence;
    next.manifest = *manifest;
    return store_sequence(state, &next, err);
}

enum covey_status covey_client_state_set_shard(struct covey_client_state *state, uint16_t port,
                                               struct covey_error *err)
{
    struct covey_client_state next = *state;
    if (state->shard_port == port)
        return COVEY_OK;
    next.shard_port = port;
    return store_sequence(state, &next, err);
}

/* ------------------------------------------------------------------ the model */

const struct covey_state_model *covey_client_state_model(const struct covey_client_state *state)
{
    return state->has_model ? &state->model : NULL;
}

enum covey_status covey_client_state_load_model(struct covey_client_state *state, uint8_t *description,
                                                float *values, struct covey_error *err)
{
    uint8_t head[MODEL_HEAD_BYTES];
    if (!state->has_model)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no model is stored", state->folder);
    const struct covey_state_part parts[] = {
        {.into = head, .bytes = sizeof head},
        {.into = description, .bytes = state->model.description_bytes},
        {.into = values, .bytes = 4 * state->model.count, .floats = true}};
    return covey_state_file_read(state->folder, "model", KIND_MODEL, parts, 3, err);
}

enum covey_status covey_client_state_store_model(struct covey_client_state *state,
                                                 const struct covey_state_model *model,
                                                 const uint8_t *description, const float *values,
                                                 struct covey_error *err)
{
    uint8_t head[MODEL_HEAD_BYTES];
    struct covey_state_model copy = *model;
    walk_model(&(struct walk){.at = head, .writing = true}, &copy);
    const struct covey_state_part parts[] = {{.data = head, .bytes = sizeof head},
                                             {.data = description, .bytes = model->description_bytes},
                                             {.data = values, .bytes = 4 * model->count, .floats = true}};
    COVEY_TRY(covey_state_file_write(state->disk, state->folder, "model", KIND_MODEL, parts, 3, err));
    state->model = *model;
    state->has_model = true;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the update and the residual */

const struct covey_state_update *covey_client_state_update(const struct covey_client_state *state)
{
    return state->has_update ? &state->update : NULL;
}

enum covey_status covey_client_state_load_update(struct covey_client_state *state, uint8_t *message,
                                                 struct covey_error *err)
{
    uint8_t head[UPDATE_HEAD_BYTES];
    if (!state->has_update)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no update is stored", state->folder);
    const struct covey_state_part parts[] = {{.into = head, .bytes = sizeof head},
                                             {.into = message, .bytes = state->update.message_bytes}};
    return covey_state_file_read(state->folder, "update", KIND_UPDATE, parts, 2, err);
}

const struct covey_state_residual *covey_client_state_residual(const struct covey_client_state *state)
{
    return state->has_residual ? &state->residual : NULL;
}

enum covey_status covey_client_state_load_residual(struct covey_client_state *state, float *values,
                                                   float *memory, struct covey_error *err)
{
    uint8_t head[RESIDUAL_HEAD_BYTES];
    if (!state->has_residual)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no residual is stored", state->folder);
    const struct covey_state_part parts[] = {
        {.into = head, .bytes = sizeof head},
        {.into = values, .bytes = 4 * state->residual.count, .floats = true},
        {.into = memory, .bytes = 4 * state->residual.memory_count, .floats = true}};
    return covey_state_file_read(state->folder, "residual", KIND_RESIDUAL, parts, 3, err);
}

static enum covey_status store_pending(struct covey_client_state *state,
                                       const struct covey_state_residual *residual, const float *values,
                                       const float *memory, struct covey_error *err)
{
    uint8_t head[RESIDUAL_HEAD_BYTES];
    if (residual == NULL)
        return covey_state_file_remove(state->disk, state->folder, "pending", err);
    struct covey_state_residual copy = *residual;
    walk_residual(&(struct walk){.at = head, .writing = true}, &copy);
    const struct covey_state_part parts[] = {
        {.data = head, .bytes = sizeof head},
        {.data = values, .bytes = 4 * residual->count, .floats = true},
        {.data = memory, .bytes = 4 * residual->memory_count, .floats = true}};
    return covey_state_file_write(state->disk, state->folder, "pending", KIND_RESIDUAL, parts, 3, err);
}

/* The pending residual first: an update must never lie here without the residual that goes with it. */
enum covey_status covey_client_state_store_update(struct covey_client_state *state,
                                                  const struct covey_state_update *update,
                                                  const uint8_t *message,
                                                  const struct covey_state_residual *residual,
                                                  const float *values, const float *memory,
                                                  struct covey_error *err)
{
    uint8_t head[UPDATE_HEAD_BYTES];
    struct covey_state_update copy = *update;
    COVEY_TRY(
        covey_state_file_remove(state->disk, state->folder, "update", err)); /* of an earlier assignment */
    state->has_update = false;
    state->has_pending = false;
    COVEY_TRY(store_pending(state, residual, values, memory, err));
    if (residual != NULL)
        state->pending = *residual;
    state->has_pending = residual != NULL;
    walk_update(&(struct walk){.at = head, .writing = true}, &copy);
    const struct covey_state_part parts[] = {{.data = head, .bytes = sizeof head},
                                             {.data = message, .bytes = update->message_bytes}};
    COVEY_TRY(covey_state_file_write(state->disk, state->folder, "update", KIND_UPDATE, parts, 2, err));
    state->update = *update;
    state->has_update = true;
    return COVEY_OK;
}

/* The residual moves before the update goes: killed in between, the update is sent once more, which costs
 * nothing, for the server knows it. */
enum covey_status covey_client_state_commit_update(struct covey_client_state *state, struct covey_error *err)
{
    COVEY_TRY(covey_state_file_move(state->disk, state->folder, "pending", "residual", err));
    COVEY_TRY(covey_state_file_remove(state->disk, state->folder, "update", err));
    state->has_update = false;
    if (!state->has_pending) {
        look_at_residual(state);
        return COVEY_OK;
    }
    state->residual = state->pending;
    state->has_residual = true;
    state->has_pending = false;
    return COVEY_OK;
}

enum covey_status covey_client_state_drop_update(struct covey_client_state *state, bool sure,
                                                 struct covey_error *err)
{
    if (!sure)
        COVEY_TRY(covey_client_state_drop_residual(state, err));
    COVEY_TRY(covey_state_file_remove(state->disk, state->folder, "update", err));
    state->has_update = false;
    return covey_state_file_remove(state->disk, state->folder, "pending", err);
}

enum covey_status covey_client_state_drop_residual(struct covey_client_state *state, struct covey_error *err)
{
    COVEY_TRY(covey_state_file_remove(state->disk, state->folder, "residual", err));
    state->has_residual = false;
    return COVEY_OK;
}
