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

const struct covey_manifest_delta *covey_download_choose(const struct covey_manifest *manifest,
                                                         const struct covey_local_model *model)
{
    const struct covey_manifest_delta *best = NULL;
    uint64_t least = manifest->full_bytes;
    for (uint32_t i = 0; i < manifest->delta_count && model->installed; i++) {
        const struct covey_manifest_delta *delta = &manifest->deltas[i];
        if (covey_hash_equal(&delta->from_model, &model->facts.model) && delta->stream_bytes < least) {
            best = delta;
            least = delta->stream_bytes;
        }
    }
    return best;
}

enum covey_status covey_download_install(const struct covey_manifest *manifest,
                                         const struct covey_manifest_delta *delta, struct covey_bytes stream,
                                         struct covey_local_model *model, struct covey_error *err)
{
    size_t n = model->layout.shared_count;
    struct covey_hash hash;
    if (delta != NULL) {
        memcpy(model->local, model->params, n * sizeof *model->local);
        COVEY_TRY(covey_codec_apply(stream, n, model->local, err));
    } else {
        COVEY_TRY(covey_codec_decode(stream, n, model->local, err));
    }
    COVEY_TRY(covey_hash_floats(model->local, n, &hash));
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

static enum covey_status ask(struct covey_download *download, const struct covey_hash *hash, uint64_t bytes,
                             uint64_t limit_bytes, covey_reply_fn *reply, struct covey_error *err)
{
    char path[COVEY_PATH_BYTES], name[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, name);
    snprintf(path, sizeof path, "f/%s/d/%s", download->federation, name);
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

static void fetch_full(struct covey_download *download)
{
    download->full_only = true;
    fetch_values(download);
}

static void on_values(void *user, const struct covey_reply *reply)
{
    struct covey_download *download = user;
    struct covey_error err = {0};
    const struct covey_manifest_delta *delta = download->delta;
    bool useless = reply->status == COVEY_OK ? !covey_code_is_success(reply->code)
                                             : reply->status == COVEY_CORRUPT || reply->status == COVEY_LIMIT;
    stop_clock(download);
    if (delta != NULL && useless) { /* gone, or not what the manifest says */
        fetch_full(download);
        return;
    }
    if (!good_reply(download, reply, delta != NULL ? "delta" : "model"))
        return;
    enum covey_status status =
        covey_download_install(&download->manifest, delta, reply->body, download->model, &err);
    if (status == COVEY_OK) {
        keep(download);
    } else if (delta != NULL) {
        covey_log_event(download->log, COVEY_LOG_WARNING, "delta-useless", "reason=\"%s\"", err.text);
        fetch_full(download);
    } else {
        refuse(download, status, &err);
    }
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
    download->delta = download->full_only ? NULL : covey_download_choose(manifest, download->model);
    const struct covey_hash *hash = download->delta != NULL ? &download->delta->stream : &manifest->full;
    uint64_t bytes = download->delta != NULL ? download->delta->stream_bytes : manifest->full_bytes;
    if (ask(download, hash, bytes, bytes, on_values, &err) != COVEY_OK)
        finish(download, err.status, COVEY_FAILURE_LATER, 0, &err);
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
    download->delta = NULL;
    download->full_only = false;
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
