/* One update, read from top to bottom: what training changed, plus what the codec kept back last time, cut to
 * a norm, coded, and sent. server/intake.c is the mirror image of this page. */
#include "upload.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

size_t covey_upload_room_bytes(const struct covey_codec *codec, size_t update_count)
{
    return COVEY_UPDATE_HEAD_BYTES + covey_codec_bound(codec, update_count);
}

#define PIECE_VALUES 2048 /* that stay in the cache from the first thing done with them to the last */
#define NORM_LANES 8

/* In lanes that do not wait for each other. n: a multiple of NORM_LANES. */
static void add_squares(const float *x, size_t n, double lanes[NORM_LANES])
{
    for (size_t i = 0; i < n; i += NORM_LANES)
        for (size_t lane = 0; lane < NORM_LANES; lane++)
            lanes[lane] += (double)x[i + lane] * (double)x[i + lane];
}

/* delta = local - base, in place, plus the residual (NULL: none): what was not sent before goes along now
 * (Seide et al. 2014, section 3; Karimireddy et al. 2019, algorithm 1). Returns its L2 norm, always summed in
 * the same order. base, residual, local: (n) */
static double take_delta(const float *base, const float *residual, float *local, size_t n)
{
    _Static_assert(PIECE_VALUES % NORM_LANES == 0, "only the end of the last piece is no whole row of lanes");
    double lanes[NORM_LANES] = {0}, sum = 0;
    const size_t whole = n - n % NORM_LANES;
    for (size_t at = 0; at < n; at += PIECE_VALUES) {
        const size_t end = n - at < PIECE_VALUES ? n : at + PIECE_VALUES;
        for (size_t i = at; i < end; i++)
            local[i] = local[i] - base[i];
        for (size_t i = at; residual != NULL && i < end; i++)
            local[i] = local[i] + residual[i];
        add_squares(local + at, (end < whole ? end : whole) - at, lanes);
    }
    for (size_t lane = 0; lane < NORM_LANES; lane++)
        sum += lanes[lane];
    for (size_t i = whole; i < n; i++)
        sum += (double)local[i] * (double)local[i];
    return sqrt(sum);
}

/* Scales delta, whose L2 norm is known, down to limit (0: leaves it). */
static void clip(float *delta, size_t n, double norm, double limit, float *factor)
{
    *factor = 1;
    if (!(limit > 0 && norm > limit))
        return;
    *factor = (float)(limit / norm);
    for (size_t i = 0; i < n; i++)
        delta[i] = delta[i] * *factor;
}

/* Codes delta behind the head's place. residual becomes delta - decoded: what the codec keeps back. */
static enum covey_status encode_stream(const struct covey_upload_job *job, size_t *stream_bytes,
                                       struct covey_error *err)
{
    size_t n = job->layout->update_count, ends[COVEY_MODEL_TENSORS];
    const struct covey_encode_options options = {
        .seed = job->plan->recipe.seed,
        .device = job->device,
        .round = job->plan->round,
        .ends = ends,
        .tensor_count = covey_layout_update_ends(job->layout, ends, COVEY_MODEL_TENSORS),
        .scratch = job->scratch,
        .scratch_bytes = job->scratch_bytes,
        .feedback = job->residual != NULL};
    COVEY_TRY(covey_codec_encode(job->codec, job->local, n, &options, job->room + COVEY_UPDATE_HEAD_BYTES,
                                 job->room_bytes - COVEY_UPDATE_HEAD_BYTES, stream_bytes, job->residual,
                                 err));
    for (size_t i = 0; job->residual != NULL && i < n; i++)
        job->residual[i] = job->local[i] - job->residual[i];
    return COVEY_OK;
}

/* Said only where it is another number than the steps. */
static float effective_steps(const struct covey_training_result *training)
{
    const float steps = (float)training->effective_steps;
    return steps > (float)training->steps || steps < (float)training->steps ? steps : 0;
}

/* Puts the head right in front of the stream, wherever that lets it begin. */
static enum covey_status put_head(const struct covey_upload_job *job, size_t stream_bytes, float clipped,
                                  struct covey_bytes *message, struct covey_error *err)
{
    uint8_t head[COVEY_UPDATE_HEAD_BYTES];
    size_t head_bytes;
    const struct covey_update update = {.assignment = job->plan->assignment,
                                        .model = *job->model,
                                        .examples = job->training->examples,
                                        .steps = job->training->steps,
                                        .training_ms = job->training->ms,
                                        .loss_before = (float)job->training->loss_before,
                                        .loss_after = (float)job->training->loss_after,
                                        .effective_steps = effective_steps(job->training),
                                        .clipped = clipped};
    COVEY_TRY(covey_update_encode_head(&update, stream_bytes, head, sizeof head, &head_bytes, err));
    uint8_t *start = job->room + COVEY_UPDATE_HEAD_BYTES - head_bytes;
    memcpy(start, head, head_bytes);
    *message = (struct covey_bytes){start, head_bytes + stream_bytes};
    return COVEY_OK;
}

enum covey_status covey_upload_encode(const struct covey_upload_job *job, struct covey_encoded_update *out,
                                      struct covey_error *err)
{
    struct covey_encoded_update encoded = {.clipped = 1};
    size_t n = job->layout->update_count;
    if (job->room_bytes < covey_upload_room_bytes(job->codec, n))
        return covey_fail(err, COVEY_LIMIT, "no room for an update of %zu values", n);
    encoded.norm = take_delta(job->base, job->kept, job->local, n);
    clip(job->local, n, encoded.norm, job->clip_norm, &encoded.clipped);
    if (!isfinite(encoded.norm))
        return covey_fail(err, COVEY_NOT_FINITE,
                          "training diverged: the update is not finite; a smaller learning rate?");
    COVEY_TRY(encode_stream(job, &encoded.stream_bytes, err));
    COVEY_TRY(put_head(job, encoded.stream_bytes, encoded.clipped, &encoded.message, err));
    *out = encoded;
    return COVEY_OK;
}

static void write_path(const char *federation, const struct covey_assignment_id *assignment,
                       char path[COVEY_PATH_BYTES])
{
    char id[2 * COVEY_ASSIGNMENT_BYTES + 1];
    covey_hex_write(assignment->bytes, sizeof assignment->bytes, id);
    snprintf(path, COVEY_PATH_BYTES, "f/%s/a/%s", federation, id);
}

enum covey_status covey_upload_send(struct covey_link_handle link, const char *federation,
                                    const struct covey_assignment_id *assignment, struct covey_bytes message,
                                    uint16_t window_blocks, bool again, covey_reply_fn *reply, void *user,
                                    uint32_t *out_id, struct covey_error *err)
{
    char path[COVEY_PATH_BYTES];
    write_path(federation, assignment, path);
    const struct covey_request request = {.method = COVEY_PUT,
                                          .path = path,
                                          .content_format = COVEY_FORMAT_CBOR,
                                          .body = message,
                                          .reply_limit_bytes = COVEY_BLOCK_BYTES,
                                          .window_blocks = window_blocks,
                                          .resume = again};
    return link.ops->request(link.link, &request, reply, user, out_id, err);
}

enum covey_status covey_upload_ask(struct covey_link_handle link, const char *federation,
                                   const struct covey_assignment_id *assignment, covey_reply_fn *reply,
                                   void *user, uint32_t *out_id, struct covey_error *err)
{
    char path[COVEY_PATH_BYTES];
    write_path(federation, assignment, path);
    const struct covey_request request = {.method = COVEY_GET,
                                          .path = path,
                                          .content_format = -1,
                                          .reply_limit_bytes = COVEY_BLOCK_BYTES,
                                          .timeout_ms = COVEY_CLIENT_ASK_MS};
    return link.ops->request(link.link, &request, reply, user, out_id, err);
}

enum covey_client_fate covey_upload_fate(const struct covey_reply *reply)
{
    struct covey_upload_state state;
    if (reply->status != COVEY_OK || reply->code >= COVEY_CODE_INTERNAL ||
        reply->code == COVEY_CODE_TOO_MANY || reply->code == COVEY_CODE_INCOMPLETE)
        return COVEY_FATE_LATER;
    if (reply->code == COVEY_CODE_FORBIDDEN) /* the round is over without it */
        return COVEY_FATE_NOT_TAKEN;
    if (!covey_code_is_success(reply->code) ||
        covey_upload_state_decode(reply->body, &state, NULL) != COVEY_OK)
        return COVEY_FATE_UNKNOWN;
    return state.complete ? COVEY_FATE_TAKEN : COVEY_FATE_LATER;
}
