#include "download.h"

#include <stdio.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"

/* ------------------------------------------------------------------ checks */

enum covey_status covey_download_check_manifest(const struct covey_trust *trust, const char *federation,
                                                const struct covey_client_state *state,
                                                struct covey_bytes message, const struct covey_hash *hash,
                                                struct covey_manifest *out, struct covey_error *err)
{
    struct covey_bytes payload;
    struct covey_manifest manifest;
    struct covey_hash last_hash;
    uint64_t last = 0;
    COVEY_TRY(covey_verify_message(trust, message, &payload, err));
    COVEY_TRY(covey_manifest_decode(payload, &manifest, err));
    if (strcmp(manifest.federation, federation) != 0)
        return covey_fail(err, COVEY_DENIED, "a manifest of the federation '%s', not of '%s'",
                          manifest.federation, federation);
    bool known = covey_client_state_sequence(state, &last, &last_hash);
    COVEY_TRY(covey_sequence_check(last, known ? &last_hash : NULL, manifest.sequence, hash, err));
    if (manifest.shared_count == 0 || manifest.shared_count > COVEY_MODEL_PARAMETERS ||
        manifest.full_bytes > COVEY_BODY_BYTES || manifest.description_bytes > COVEY_DESCRIPTION_BYTES)
        return covey_fail(err, COVEY_LIMIT, "a manifest of %llu values in %llu bytes",
                          (unsigned long long)manifest.shared_count, (unsigned long long)manifest.full_bytes);
    *out = manifest;
    return COVEY_OK;
}

/* The one delta that starts from the installed model, where it is shorter than `way`. */
static void consider_deltas(const struct covey_manifest *manifest, const struct covey_local_model *model,
                            struct covey_download_way *way)
{
    for (uint32_t i = 0; i < manifest->delta_count; i++) {
        const struct covey_manifest_delta *delta = &manifest->deltas[i];
        if (covey_hash_equal(&delta->from_model, &model->facts.model) && delta->stream_bytes < way->bytes)
            *way = (struct covey_download_way){COVEY_DOWNLOAD_DELTA, delta->stream_bytes, delta, 0};
    }
}

static void consider_steps(const struct covey_manifest *manifest, uint64_t behind,
                           struct covey_download_way *way)
{
    uint64_t bytes = 0;
    if (behind > manifest->step_count)
        return;
    for (uint64_t i = 0; i < behind; i++)
        bytes += manifest->steps[i].stream_bytes;
    if (bytes < way->bytes)
        *way = (struct covey_download_way){COVEY_DOWNLOAD_STEPS, bytes, NULL, (uint32_t)behind};
}

struct covey_download_way covey_download_choose(const struct covey_manifest *manifest,
                                                const struct covey_local_model *model, bool without_sum,
                                                bool full_only)
{
    struct covey_download_way way = {.kind = COVEY_DOWNLOAD_FULL, .bytes = manifest->full_bytes};
    const uint64_t have = model->facts.sequence;
    if (!model->installed || full_only)
        return way;
    consider_deltas(manifest, model, &way);
    if (have >= manifest->sequence)
        return way;
    consider_steps(manifest, manifest->sequence - have, &way);
    const bool has_sum =
        manifest->sums_from > 0 && have >= manifest->sums_from && manifest->sequence - have > 1;
    if (has_sum && !without_sum && way.bytes > 1)
        way = (struct covey_download_way){.kind = COVEY_DOWNLOAD_SUM, .bytes = way.bytes};
    return way;
}

static enum covey_status apply(const struct covey_manifest *manifest, struct covey_download_way *way,
                               struct covey_bytes stream, struct covey_local_model *model,
                               struct covey_error *err)
{
    const size_t shared = model->layout.shared_count, updated = model->layout.update_count;
    const bool goes_on =
        way->kind == COVEY_DOWNLOAD_STEPS && way->steps < manifest->sequence - model->facts.sequence;
    if (way->kind != COVEY_DOWNLOAD_FULL && !goes_on)
        memcpy(model->local, model->params, shared * sizeof *model->local);
    switch (way->kind) {
    case COVEY_DOWNLOAD_DELTA:
        return covey_codec_apply(stream, shared, model->local, err);
    case COVEY_DOWNLOAD_SUM:
        return covey_codec_apply(stream, updated, model->local, err);
    case COVEY_DOWNLOAD_STEPS:
        way->steps--;
        return covey_codec_apply_rounded(stream, updated, manifest->steps[way->steps].grid - COVEY_GRID_ZERO,
                                         model->local, err);
    case COVEY_DOWNLOAD_FULL:
        break;
    }
    return covey_codec_decode(stream, shared, model->local, err);
}

enum covey_status covey_download_take(const struct covey_manifest *manifest, struct covey_download_way *way,
                                      bool *whole, struct covey_bytes stream, struct covey_local_model *model,
                                      struct covey_error *err)
{
    struct covey_hash hash;
    COVEY_TRY(apply(manifest, way, stream, model, err));
    *whole = way->kind != COVEY_DOWNLOAD_STEPS || way->steps == 0;
    if (!*whole)
        return COVEY_OK;
    COVEY_TRY(covey_hash_floats(model->local, model->layout.shared_count, &hash));
    if (!covey_hash_equal(&hash, &manifest->model))
        return covey_fail(err, COVEY_MISMATCH,
                          "the model of round %u does not have the hash that its manifest signs",
                          manifest->round);
    covey_local_model_install(model, &hash, manifest->sequence, manifest->round);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ one request after the other */

static void finish(struct covey_download *download, enum covey_status status,
                   enum covey_client_failure failure, uint32_t wait_ms, const struct covey_error *err)
{
    download->busy = false;
    download->done(download->user, status, failure, wait_ms, err);
}

/* What we found wrong ourselves: no second try would find it right. */
static void refuse(struct covey_download *download, enum covey_status status, const struct covey_error *err)
{
    bool later = status == COVEY_IO || status == COVEY_NO_MEMORY;
    finish(download, status, later ? COVEY_FAILURE_LATER : COVEY_FAILURE_FINAL, 0, err);
}

static uint64_t now_ms(const struct covey_download *download)
{
    return download->env != NULL ? download->env->now_ms(download->env->user) : 0;
}

/* The answer is here, or none will come any more. */
static void stop_clock(struct covey_download *download)
{
    download->waited_ms += now_ms(download) - download->asked_ms;
}

/* hash: NULL where the answer has no hash yet. */
static enum covey_status ask_path(struct covey_download *download, const char *path,
                                  const struct covey_hash *hash, uint64_t bytes, uint64_t limit_bytes,
                                  covey_reply_fn *reply, struct covey_error *err)
{
    const struct covey_request request = {.method = COVEY_GET,
                                          .path = path,
                                          .content_format = -1,
                                          .expect = hash,
                                          .expect_bytes = (size_t)bytes,
                                          .reply_limit_bytes = (size_t)limit_bytes,
                                          .window_blocks = download->window_blocks};
    download->asked_ms = now_ms(download);
    return download->link.ops->request(download->link.link, &request, reply, download, &download->request,
                                       err);
}

static enum covey_status ask(struct covey_download *download, const struct covey_hash *hash, uint64_t bytes,
                             uint64_t limit_bytes, covey_reply_fn *reply, struct covey_error *err)
{
    char path[COVEY_PATH_BYTES], name[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, name);
    snprintf(path, sizeof path, "f/%s/d/%s", download->federation, name);
    return ask_path(download, path, hash, bytes, limit_bytes, reply, err);
}

/* False, and the download ended, when there is no good answer. */
static bool good_reply(struct covey_download *download, const struct covey_reply *reply, const char *what)
{
    struct covey_error err = {0};
    if (reply->status == COVEY_OK && covey_code_is_success(reply->code)) {
        download->fetched_bytes += reply->body.size;
        return true;
    }
    if (reply->status != COVEY_OK) {
        (void)covey_fail(&err, reply->status, "the %s did not come: %s", what,
                         covey_status_text(reply->status));
        finish(download, reply->status,
               reply->status == COVEY_LIMIT ? COVEY_FAILURE_FINAL : COVEY_FAILURE_LATER, 0, &err);
        return false;
    }
    bool later = reply->code >= COVEY_CODE_INTERNAL || reply->code == COVEY_CODE_TOO_MANY;
    (void)covey_fail(&err, later ? COVEY_BUSY : COVEY_NOT_FOUND,
                     "the server answered %u.%02u when asked for the %s: %.*s", reply->code >> 5,
                     reply->code & 31, what, (int)(reply->body.size < 200 ? reply->body.size : 200),
                     (const char *)reply->body.data);
    finish(download, err.status, later ? COVEY_FAILURE_LATER : COVEY_FAILURE_FINAL,
           later ? reply->max_age_s * 1000 : 0, &err);
    return false;
}

static void fetch_values(struct covey_download *download);

/* The model came together: durable as far as the disk lets us. What is lost can be fetched again. */
static void keep(struct covey_download *download)
{
    struct covey_error err = {0};
    const struct covey_local_model *model = download->model;
    if (covey_client_state_store_model(download->state, &model->facts, model->description, model->params,
                                       &err) != COVEY_OK)
        covey_log_event(download->log, COVEY_LOG_WARNING, "model-not-stored", "reason=\"%s\"", err.text);
    finish(download, COVEY_OK, COVEY_FAILURE_LATER, 0, NULL);
}

static const char *name_of(enum covey_download_kind kind)
{
    static const char *const names[] = {[COVEY_DOWNLOAD_FULL] = "model",
                                        [COVEY_DOWNLOAD_DELTA] = "delta",
                                        [COVEY_DOWNLOAD_STEPS] = "step",
                                        [COVEY_DOWNLOAD_SUM] = "sum of steps"};
    return names[kind];
}

static void ask_values(struct covey_download *download);

/* This way leads nowhere: the next best. */
static void give_up_way(struct covey_download *download)
{
    if (download->way.kind == COVEY_DOWNLOAD_SUM)
        download->no_sum = true;
    else
        download->full_only = true;
    fetch_values(download);
}

static void on_values(void *user, const struct covey_reply *reply)
{
    struct covey_download *download = user;
    struct covey_error err = {0};
    const bool is_full = download->way.kind == COVEY_DOWNLOAD_FULL;
    const bool is_busy =
        reply->status == COVEY_OK && reply->code >= COVEY_CODE_INTERNAL; /* it may come later */
    bool useless = reply->status == COVEY_OK ? !covey_code_is_success(reply->code)
                                             : reply->status == COVEY_CORRUPT || reply->status == COVEY_LIMIT;
    bool whole = false;
    stop_clock(download);
    if (!is_full && useless && !(is_busy && download->way.kind == COVEY_DOWNLOAD_SUM)) {
        give_up_way(download); /* gone, or not what the manifest says, or too long */
        return;
    }
    if (!good_reply(download, reply, name_of(download->way.kind)))
        return;
    enum covey_status status =
        covey_download_take(&download->manifest, &download->way, &whole, reply->body, download->model, &err);
    download->values_bytes += reply->body.size;
    if (status == COVEY_OK && whole) {
        download->values_bytes_fp32 += 4 * download->manifest.shared_count;
        keep(download);
    } else if (status == COVEY_OK) {
        ask_values(download);
    } else if (!is_full) {
        covey_log_event(download->log, COVEY_LOG_WARNING, "delta-useless", "way=\"%s\" reason=\"%s\"",
                        name_of(download->way.kind), err.text);
        give_up_way(download);
    } else {
        refuse(download, status, &err);
    }
}

/* The next stream of the way. */
static void ask_values(struct covey_download *download)
{
    struct covey_error err = {0};
    const struct covey_manifest *manifest = &download->manifest;
    const struct covey_download_way *way = &download->way;
    const struct covey_hash *hash = &manifest->full;
    uint64_t bytes = manifest->full_bytes;
    enum covey_status status;
    if (way->kind == COVEY_DOWNLOAD_DELTA) {
        hash = &way->delta->stream;
        bytes = way->delta->stream_bytes;
    } else if (way->kind == COVEY_DOWNLOAD_STEPS) {
        hash = &manifest->steps[way->steps - 1].stream;
        bytes = manifest->steps[way->steps - 1].stream_bytes;
    }
    if (way->kind == COVEY_DOWNLOAD_SUM) {
        char path[COVEY_PATH_BYTES];
        snprintf(path, sizeof path, "f/%s/s/%llu-%llu", download->federation,
                 (unsigned long long)download->model->facts.sequence, (unsigned long long)manifest->sequence);
        status = ask_path(download, path, NULL, 0, way->bytes - 1, on_values, &err);
    } else {
        status = ask(download, hash, bytes, bytes, on_values, &err);
    }
    if (status != COVEY_OK)
        finish(download, err.status, COVEY_FAILURE_LATER, 0, &err);
}

static void fetch_values(struct covey_download *download)
{
    struct covey_error err = {0};
    const struct covey_manifest *manifest = &download->manifest;
    if (download->model->layout.shared_count != manifest->shared_count) {
        refuse(download,
               covey_fail(&err, COVEY_MISMATCH, "the manifest has %llu values, its description %zu",
                          (unsigned long long)manifest->shared_count, download->model->layout.shared_count),
               &err);
        return;
    }
    if (download->model->installed && covey_hash_equal(&download->model->facts.model, &manifest->model)) {
        download->model->facts.sequence = manifest->sequence; /* the same values under a new number */
        download->model->facts.round = manifest->round;
        keep(download);
        return;
    }
    download->way = covey_download_choose(manifest, download->model, download->no_sum, download->full_only);
    ask_values(download);
}

static void on_description(void *user, const struct covey_reply *reply)
{
    struct covey_download *download = user;
    struct covey_error err = {0};
    stop_clock(download);
    if (!good_reply(download, reply, "model description"))
        return;
    enum covey_status status =
        covey_local_model_describe(download->model, reply->body, &download->manifest.description, &err);
    if (status == COVEY_OK)
        fetch_values(download);
    else
        refuse(download, status, &err);
}

static void on_manifest(void *user, const struct covey_reply *reply)
{
    struct covey_download *download = user;
    struct covey_error err = {0};
    const struct covey_local_model *model = download->model;
    stop_clock(download);
    if (!good_reply(download, reply, "manifest"))
        return;
    enum covey_status status =
        covey_download_check_manifest(download->trust, download->federation, download->state, reply->body,
                                      &download->wanted, &download->manifest, &err);
    if (status ==
        COVEY_OK) /* known from here on, whatever happens: an older one will never be believed again */
        status = covey_client_state_set_sequence(download->state, download->manifest.sequence,
                                                 &download->wanted, &err);
    if (status != COVEY_OK) {
        refuse(download, status, &err);
        return;
    }
    const struct covey_manifest *manifest = &download->manifest;
    if (model->description != NULL && covey_hash_equal(&model->facts.description, &manifest->description)) {
        fetch_values(download);
        return;
    }
    if (ask(download, &manifest->description, manifest->description_bytes, manifest->description_bytes,
            on_description, &err) != COVEY_OK)
        finish(download, err.status, COVEY_FAILURE_LATER, 0, &err);
}

enum covey_status covey_download_start(struct covey_download *download, const struct covey_hash *manifest,
                                       uint16_t window_blocks, bool *there, struct covey_error *err)
{
    uint64_t sequence;
    struct covey_hash accepted;
    bool known = covey_client_state_sequence(download->state, &sequence, &accepted);
    *there = known && download->model->installed && covey_hash_equal(&accepted, manifest) &&
             download->model->facts.sequence == sequence;
    if (*there)
        return COVEY_OK;
    download->wanted = *manifest;
    download->window_blocks = window_blocks;
    download->way = (struct covey_download_way){0};
    download->no_sum = download->full_only = false;
    COVEY_TRY(ask(download, manifest, 0, COVEY_MANIFEST_BYTES, on_manifest, err));
    download->busy = true;
    return COVEY_OK;
}

void covey_download_cancel(struct covey_download *download)
{
    if (!download->busy)
        return;
    download->link.ops->cancel(download->link.link, download->request);
    stop_clock(download);
    download->busy = false;
}
