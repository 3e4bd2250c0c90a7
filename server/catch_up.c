#include "catch_up.h"

#include <stdlib.h>
#include <string.h>

#include "federation.h"
#include "step_store.h"

struct catching_up {
    struct covey_work work;
    struct covey_federation *federation;
    uint64_t from, to;
    struct covey_exchange *exchange;
};

/* ------------------------------------------------------------------ what is kept */

void covey_sums_deinit(struct covey_sums *sums)
{
    for (uint32_t i = 0; i < COVEY_SUMS_KEPT; i++)
        covey_blob_release(sums->kept[i].blob);
    *sums = (struct covey_sums){0};
}

/* True: it is known; *blob is a new reference, NULL where there is a shorter way. With the mutex held. */
static bool find_sum(const struct covey_sums *sums, uint64_t from, uint64_t to, struct covey_blob **blob)
{
    for (uint32_t i = 0; i < COVEY_SUMS_KEPT; i++)
        if (sums->kept[i].to == to && sums->kept[i].from == from) {
            *blob = sums->kept[i].blob == NULL ? NULL : covey_blob_retain(sums->kept[i].blob);
            return true;
        }
    return false;
}

static void keep_sum(struct covey_sums *sums, uint64_t from, uint64_t to, struct covey_blob *blob)
{
    struct covey_sum *place = &sums->kept[sums->next++ % COVEY_SUMS_KEPT];
    covey_blob_release(place->blob);
    *place = (struct covey_sum){from, to, blob == NULL ? NULL : covey_blob_retain(blob)};
}

/* ------------------------------------------------------------------ answers */

static void answer(struct covey_exchange *exchange, struct covey_blob *blob)
{
    if (blob == NULL) {
        covey_answer(exchange, COVEY_CODE_NOT_FOUND, 0,
                     "no sum of these steps here: take the steps or the full model");
        return;
    }
    const struct covey_response response = {
        .code = COVEY_CODE_CONTENT, .content_format = COVEY_FORMAT_OCTETS, .blob = blob, .max_age_s = 3600};
    covey_exchange_respond(exchange, &response);
    covey_blob_release(blob);
}

/* Digits, a hyphen, digits. */
static bool read_range(const char *range, uint64_t *from, uint64_t *to)
{
    uint64_t *const numbers[] = {from, to};
    for (int i = 0; i < 2; i++) {
        const size_t digits = strspn(range, "0123456789");
        if (digits == 0 || digits > 18 || range[digits] != (i == 0 ? '-' : '\0'))
            return false;
        *numbers[i] = strtoull(range, NULL, 10);
        range += digits + 1;
    }
    return *from < *to;
}

/* ------------------------------------------------------------------ sums, on the work thread */

static enum covey_status add_steps(const struct catching_up *job, float *sum, uint64_t *steps_bytes,
                                   struct covey_error *err)
{
    const struct covey_federation *federation = job->federation;
    *steps_bytes = 0;
    for (uint64_t sequence = job->from + 1; sequence <= job->to; sequence++) {
        struct covey_stored_step step;
        uint8_t *stream = NULL;
        COVEY_TRY(covey_step_store_load(covey_model_store_folder(federation->store), sequence, &step, &stream,
                                        err));
        const enum covey_status status = covey_line_add(
            &federation->line, (struct covey_bytes){stream, (size_t)step.bytes}, step.grid, sum, err);
        free(stream);
        COVEY_TRY(status);
        *steps_bytes += step.bytes;
    }
    return COVEY_OK;
}

/* *out: NULL where the full model, or the steps that the manifest lists, are shorter. */
static enum covey_status make_sum(const struct catching_up *job, struct covey_blob **out,
                                  struct covey_error *err)
{
    const struct covey_federation *federation = job->federation;
    uint64_t steps_bytes = 0;
    uint8_t *stream = NULL;
    size_t size = 0;
    float *sum = calloc(federation->update_count, sizeof *sum);
    if (sum == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a sum of steps");
    enum covey_status status = add_steps(job, sum, &steps_bytes, err);
    if (status == COVEY_OK)
        status = covey_line_encode_sum(&federation->line, sum, &stream, &size, err);
    free(sum);
    COVEY_TRY(status);
    *out = NULL;
    const bool by_steps = job->to - job->from <= COVEY_STEPS_LISTED && steps_bytes <= size;
    if (!by_steps && size < covey_blob_view(federation->full).size)
        status = covey_blob_create((struct covey_bytes){stream, size}, NULL, free, stream, out);
    if (*out == NULL)
        free(stream);
    return status;
}

static void run_catching_up(struct covey_work *work)
{
    struct catching_up *job = (struct catching_up *)work;
    struct covey_federation *federation = job->federation;
    struct covey_blob *blob = NULL;
    struct covey_error err = {0};
    pthread_mutex_lock(&federation->mutex);
    bool known = find_sum(&federation->sums, job->from, job->to, &blob);
    pthread_mutex_unlock(&federation->mutex);
    if (!known && make_sum(job, &blob, &err) == COVEY_OK) {
        pthread_mutex_lock(&federation->mutex);
        keep_sum(&federation->sums, job->from, job->to, blob);
        pthread_mutex_unlock(&federation->mutex);
        known = true;
    }
    if (!known)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "sum-failed",
                        "federation=%s from=%llu to=%llu reason=\"%s\"", federation->options.name,
                        (unsigned long long)job->from, (unsigned long long)job->to, err.text);
    answer(job->exchange, blob);
    free(job);
}

void covey_catch_up_get(struct covey_federation *federation, const char *range,
                        struct covey_exchange *exchange)
{
    uint64_t from = 0, to = 0;
    struct covey_blob *blob = NULL;
    if (!read_range(range, &from, &to)) {
        covey_answer(exchange, COVEY_CODE_NOT_FOUND, 0, "a sum of steps is s/{from}-{to}");
        return;
    }
    pthread_mutex_lock(&federation->mutex);
    const bool possible = federation->sums_from > 0 && from >= federation->sums_from &&
                          to <= federation->sequence && to + COVEY_FULL_KEPT >= federation->sequence;
    const bool known = !possible || find_sum(&federation->sums, from, to, &blob);
    pthread_mutex_unlock(&federation->mutex);
    if (known) {
        answer(exchange, blob);
        return;
    }
    struct catching_up *job = malloc(sizeof *job);
    if (job != NULL) {
        *job = (struct catching_up){.work = {.run = run_catching_up},
                                    .federation = federation,
                                    .from = from,
                                    .to = to,
                                    .exchange = exchange};
        if (covey_workers_post(federation->server->work, &job->work) == COVEY_OK)
            return;
        free(job);
    }
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "the server is busy: ask again");
}
