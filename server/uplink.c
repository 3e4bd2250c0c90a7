/* A gateway's link to its parent, on a thread of its own: observes the plan, fetches what it names, hands
 * both to errand.c, and sends what errand.c reports. To the parent it is a participant like any other.
 *
 * What is to be sent lies in a file until the parent has taken or refused it, so a crash of either side only
 * delays it. */
#include "federation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/device_metrics.h"
#include "covey/hash.h"
#include "covey/log.h"

#include "sealed_file.h"

#define OUTBOX_FILE "outbox"
#define STEP_MS 100
#define BACKOFF_STEPS 6
#define SILENCE_FACTOR 2 /* heartbeats without a plan: then it is observed anew */
#define RETRY_MS 2000    /* of a fetch that failed; of a report, when the parent says nothing of its own */
#define RETRY_LIMIT_MS 60000

struct covey_uplink {
    struct covey_federation *federation;
    struct covey_link_handle link;
    pthread_t thread;
    bool started;
    char folder[COVEY_FILE_PATH_BYTES];

    pthread_mutex_t mutex; /* of what others set, to the next line */
    bool stopping, again, again_by_full;
    uint32_t failed_round; /* 0: nothing to tell */
    uint8_t *next;         /* a report that takes the place of the one in hand; NULL: none */
    size_t next_bytes;
    struct covey_assignment_id next_id;

    /* ---- the thread's alone */
    enum covey_link_state state;
    uint64_t connect_at_ms;
    uint32_t failures;
    bool observing;
    uint32_t observe_id;
    uint64_t heard_ms;
    bool has_plan;
    struct covey_plan plan;
    uint64_t plan_at_ms;
    bool knows; /* `known` is in hand */
    struct covey_assignment_id known;
    bool ended;                /* the end was handed over */
    struct covey_offer *offer; /* being fetched */
    bool by_full;              /* of the next offer */
    bool asking;               /* a fetch is under way */
    uint64_t fetch_at_ms;
    uint8_t *report; /* NULL: nothing to send */
    size_t report_bytes;
    struct covey_assignment_id report_id;
    bool sending, sent_before;
    uint32_t send_id;
    uint64_t send_at_ms;
    bool telling; /* `told` is on its way */
    uint8_t told[COVEY_METRICS_BYTES];
};

static uint64_t now_of(const struct covey_uplink *uplink)
{
    return covey_server_now_ms(uplink->federation->server);
}

static void say(const struct covey_uplink *uplink, enum covey_log_level level, const char *event,
                const char *text)
{
    covey_log_event(uplink->federation->server->options.env.log, level, event, "federation=%s parent=%s %s",
                    uplink->federation->options.name, uplink->federation->options.parent->address, text);
}

/* ------------------------------------------------------------------ the link */

static void drop_offer(struct covey_uplink *uplink)
{
    covey_offer_free(uplink->offer);
    uplink->offer = NULL;
}

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    struct covey_uplink *uplink = user;
    const bool was_up = uplink->state == COVEY_LINK_UP;
    uplink->state = state;
    if (state == COVEY_LINK_UP) {
        uplink->failures = 0;
        say(uplink, COVEY_LOG_INFO, "parent-connected", "");
    } else if (state == COVEY_LINK_DOWN) {
        const uint32_t first_ms = uplink->federation->options.parent->reconnect_ms;
        uplink->connect_at_ms =
            now_of(uplink) + ((first_ms == 0 ? COVEY_PARENT_RECONNECT_MS : first_ms) << uplink->failures);
        if (uplink->failures < BACKOFF_STEPS)
            uplink->failures++;
        uplink->observing = false;
        say(uplink, COVEY_LOG_WARNING, was_up ? "parent-lost" : "parent-not-reached",
            reason == NULL ? "" : reason->text);
    }
}

static void on_plan(void *user, const struct covey_reply *reply)
{
    struct covey_uplink *uplink = user;
    struct covey_error err = {0};
    struct covey_plan plan;
    uplink->heard_ms = now_of(uplink);
    if (reply->status != COVEY_OK) {
        uplink->observing = false;
        return;
    }
    if (reply->code != COVEY_CODE_CONTENT) {
        say(uplink, COVEY_LOG_WARNING, "parent-refuses", "the plan was refused");
        return; /* asked again after the silence */
    }
    if (covey_plan_decode(reply->body, &plan, &err) != COVEY_OK) {
        say(uplink, COVEY_LOG_ERROR, "plan-refused", err.text);
        return;
    }
    if (plan.kind == COVEY_PLAN_TRAIN && plan.share == 0)
        say(uplink, COVEY_LOG_ERROR, "no-gateway-there",
            "the parent takes this for a device: its `gateways` must name it");
    uplink->plan = plan;
    uplink->plan_at_ms = uplink->heard_ms;
    uplink->has_plan = true;
}

static void observe(struct covey_uplink *uplink)
{
    char path[COVEY_PATH_BYTES];
    struct covey_error err = {0};
    (void)snprintf(path, sizeof path, "f/%s/plan", uplink->federation->options.name);
    const struct covey_request request = {
        .method = COVEY_GET, .path = path, .content_format = -1, .reply_limit_bytes = COVEY_PLAN_BYTES};
    if (uplink->observing)
        uplink->link.ops->cancel(uplink->link.link, uplink->observe_id);
    uplink->observing = uplink->link.ops->observe(uplink->link.link, &request, on_plan, uplink,
                                                  &uplink->observe_id, &err) == COVEY_OK;
    uplink->heard_ms = now_of(uplink);
}

static void keep_link(struct covey_uplink *uplink, uint64_t now_ms)
{
    struct covey_error err = {0};
    if (uplink->state == COVEY_LINK_DOWN && now_ms >= uplink->connect_at_ms) {
        uplink->state = COVEY_LINK_CONNECTING;
        if (uplink->link.ops->connect(uplink->link.link, uplink->federation->options.parent->address, &err) !=
            COVEY_OK)
            on_state(uplink, COVEY_LINK_DOWN, &err);
    }
    if (uplink->state != COVEY_LINK_UP)
        return;
    const uint64_t beat_ms =
        uplink->has_plan && uplink->plan.heartbeat_ms > 0 ? uplink->plan.heartbeat_ms : COVEY_HEARTBEAT_MS;
    if (!uplink->observing || now_ms - uplink->heard_ms > SILENCE_FACTOR * beat_ms)
        observe(uplink);
}

/* ------------------------------------------------------------------ fetching what a plan names */

static void on_fetched(void *user, const struct covey_reply *reply);

static void ask_next(struct covey_uplink *uplink, const struct covey_wanted *wanted)
{
    char path[COVEY_PATH_BYTES], hex[COVEY_HASH_TEXT_BYTES];
    struct covey_error err = {0};
    uint32_t id;
    covey_hex_write(wanted->hash->bytes, sizeof wanted->hash->bytes, hex);
    (void)snprintf(path, sizeof path, "f/%s/d/%s", uplink->federation->options.name, hex);
    const struct covey_request request = {.method = COVEY_GET,
                                          .path = path,
                                          .content_format = -1,
                                          .expect = wanted->hash,
                                          .expect_bytes = (size_t)wanted->bytes,
                                          .reply_limit_bytes = (size_t)wanted->limit_bytes,
                                          .window_blocks = uplink->offer->plan.window_blocks};
    uplink->asking =
        uplink->link.ops->request(uplink->link.link, &request, on_fetched, uplink, &id, &err) == COVEY_OK;
}

static void hand_over(struct covey_uplink *uplink)
{
    struct covey_offer *offer = uplink->offer;
    if (offer->plan.kind == COVEY_PLAN_DONE) {
        uplink->ended = true;
    } else {
        uplink->knows = true;
        uplink->known = offer->plan.assignment;
    }
    uplink->offer = NULL;
    covey_errand_post(offer);
}

static void on_fetched(void *user, const struct covey_reply *reply)
{
    struct covey_uplink *uplink = user;
    struct covey_error err = {0};
    uplink->asking = false;
    enum covey_status status = reply->status;
    if (status == COVEY_OK && reply->code != COVEY_CODE_CONTENT)
        status = COVEY_NOT_FOUND;
    if (status == COVEY_OK)
        status = covey_offer_take(uplink->offer, reply->body, &err);
    if (status == COVEY_OK)
        return; /* the next piece, or all is there: heed_plan */
    uplink->by_full = uplink->offer->piece == COVEY_PIECE_STEPS && status != COVEY_CLOSED &&
                      status != COVEY_TIMEOUT; /* a step that is gone */
    drop_offer(uplink); /* the plan may have changed meanwhile: it is looked at again */
    uplink->fetch_at_ms = now_of(uplink) + RETRY_MS;
    say(uplink, COVEY_LOG_WARNING, "fetch-failed", err.text[0] != 0 ? err.text : covey_status_text(status));
}

static void start_offer(struct covey_uplink *uplink)
{
    if (covey_offer_create(uplink->federation, &uplink->plan, uplink->plan_at_ms + uplink->plan.deadline_ms,
                           uplink->by_full, &uplink->offer) == COVEY_OK)
        uplink->by_full = false;
}

static bool is_wanted(struct covey_uplink *uplink)
{
    const struct covey_plan *plan = &uplink->plan;
    struct covey_federation *federation = uplink->federation;
    if (plan->kind == COVEY_PLAN_TRAIN &&
        (plan->share == 0 ||
         (uplink->knows && memcmp(&uplink->known, &plan->assignment, sizeof uplink->known) == 0)))
        return false;
    if (plan->kind == COVEY_PLAN_DONE && uplink->ended)
        return false;
    /* anything else than the assignment in hand: nobody waits for what is open here */
    covey_errand_call_off(federation);
    return plan->kind != COVEY_PLAN_WAIT && covey_errand_idle(federation);
}

static void heed_plan(struct covey_uplink *uplink, uint64_t now_ms)
{
    if (uplink->offer == NULL && uplink->has_plan && now_ms >= uplink->fetch_at_ms && is_wanted(uplink))
        start_offer(uplink);
    struct covey_wanted wanted;
    if (uplink->offer == NULL || uplink->asking)
        return;
    if (!covey_offer_wants(uplink->offer, &wanted))
        hand_over(uplink);
    else if (uplink->state == COVEY_LINK_UP)
        ask_next(uplink, &wanted);
}

/* ------------------------------------------------------------------ reporting */

static void clear_report(struct covey_uplink *uplink, bool remove)
{
    free(uplink->report);
    uplink->report = NULL;
    uplink->report_bytes = 0;
    uplink->sent_before = false;
    if (!remove)
        return;
    pthread_mutex_lock(&uplink->mutex);
    if (uplink->next == NULL) /* otherwise the file is the next one's already */
        covey_sealed_remove(uplink->folder, OUTBOX_FILE);
    pthread_mutex_unlock(&uplink->mutex);
}

static void on_sent(void *user, const struct covey_reply *reply)
{
    struct covey_uplink *uplink = user;
    char text[COVEY_ERROR_TEXT_BYTES];
    uplink->sending = false;
    const bool later = reply->status != COVEY_OK || reply->code == COVEY_CODE_UNAVAILABLE ||
                       reply->code == COVEY_CODE_INTERNAL || reply->code == COVEY_CODE_INCOMPLETE;
    if (later) {
        uint64_t delay_ms = reply->status == COVEY_OK ? reply->max_age_s * 1000ull : RETRY_MS;
        delay_ms = delay_ms < STEP_MS ? STEP_MS : delay_ms > RETRY_LIMIT_MS ? RETRY_LIMIT_MS : delay_ms;
        uplink->send_at_ms = now_of(uplink) + delay_ms;
        return;
    }
    (void)snprintf(
        text, sizeof text, "code=%u.%02u bytes=%zu reason=\"%.*s\"", reply->code >> 5, reply->code & 31,
        uplink->report_bytes,
        covey_code_is_success(reply->code) ? 0 : (int)(reply->body.size < 128 ? reply->body.size : 128),
        reply->body.size == 0 ? "" : (const char *)reply->body.data);
    if (covey_code_is_success(reply->code))
        say(uplink, COVEY_LOG_INFO, "sum-taken", text);
    else
        say(uplink, COVEY_LOG_ERROR, "sum-refused", text);
    clear_report(uplink, true);
}

/* The next report takes the place of the one in hand, which is of an earlier round. */
static void take_next(struct covey_uplink *uplink)
{
    pthread_mutex_lock(&uplink->mutex);
    const bool is_there = uplink->next != NULL;
    pthread_mutex_unlock(&uplink->mutex);
    if (!is_there)
        return;
    if (uplink->sending) {
        uplink->link.ops->cancel(uplink->link.link, uplink->send_id);
        uplink->sending = false;
    }
    clear_report(uplink, false);
    pthread_mutex_lock(&uplink->mutex);
    uplink->report = uplink->next;
    uplink->report_bytes = uplink->next_bytes;
    uplink->report_id = uplink->next_id;
    uplink->next = NULL;
    pthread_mutex_unlock(&uplink->mutex);
    uplink->send_at_ms = 0;
}

static void send_report(struct covey_uplink *uplink, uint64_t now_ms)
{
    char path[COVEY_PATH_BYTES], hex[2 * COVEY_ASSIGNMENT_BYTES + 1];
    struct covey_error err = {0};
    take_next(uplink);
    if (uplink->report == NULL || uplink->sending || uplink->state != COVEY_LINK_UP ||
        now_ms < uplink->send_at_ms)
        return;
    covey_hex_write(uplink->report_id.bytes, sizeof uplink->report_id.bytes, hex);
    (void)snprintf(path, sizeof path, "f/%s/a/%s", uplink->federation->options.name, hex);
    const struct covey_request request = {.method = COVEY_PUT,
                                          .path = path,
                                          .content_format = COVEY_FORMAT_CBOR,
                                          .body = {uplink->report, uplink->report_bytes},
                                          .reply_limit_bytes = COVEY_BLOCK_BYTES,
                                          .window_blocks = uplink->has_plan ? uplink->plan.window_blocks : 1,
                                          .resume = uplink->sent_before};
    uplink->sending = uplink->link.ops->request(uplink->link.link, &request, on_sent, uplink,
                                                &uplink->send_id, &err) == COVEY_OK;
    uplink->sent_before = true;
    if (!uplink->sending)
        uplink->send_at_ms = now_ms + RETRY_MS;
}

static void on_told(void *user, const struct covey_reply *reply)
{
    struct covey_uplink *uplink = user;
    (void)reply; /* at worst the parent waits for its deadline */
    uplink->telling = false;
}

static void tell_failure(struct covey_uplink *uplink)
{
    char path[COVEY_PATH_BYTES];
    size_t size = 0;
    uint32_t id;
    struct covey_error err = {0};
    if (uplink->state != COVEY_LINK_UP || uplink->telling)
        return;
    pthread_mutex_lock(&uplink->mutex);
    const uint32_t round = uplink->failed_round;
    uplink->failed_round = 0;
    pthread_mutex_unlock(&uplink->mutex);
    if (round == 0)
        return;
    struct covey_metrics metrics = {.count = 0};
    covey_metrics_add(&metrics, COVEY_METRIC_ROUND, "", round);
    covey_metrics_add(&metrics, COVEY_METRIC_FAILED, "", COVEY_ROUND_OTHER);
    if (covey_metrics_encode(&metrics, uplink->told, sizeof uplink->told, &size, &err) != COVEY_OK)
        return;
    (void)snprintf(path, sizeof path, "f/%s/metrics", uplink->federation->options.name);
    const struct covey_request request = {.method = COVEY_POST,
                                          .path = path,
                                          .content_format = COVEY_FORMAT_SENML_CBOR,
                                          .body = {uplink->told, size},
                                          .reply_limit_bytes = COVEY_BLOCK_BYTES};
    uplink->telling =
        uplink->link.ops->request(uplink->link.link, &request, on_told, uplink, &id, &err) == COVEY_OK;
    if (!uplink->telling)
        say(uplink, COVEY_LOG_WARNING, "parent-not-told", err.text);
}

/* ------------------------------------------------------------------ the thread */

/* What others want; true: to stop. */
static bool heed_orders(struct covey_uplink *uplink)
{
    pthread_mutex_lock(&uplink->mutex);
    const bool stopping = uplink->stopping;
    if (uplink->again) {
        uplink->knows = uplink->ended = false;
        uplink->fetch_at_ms = now_of(uplink) + RETRY_MS / 4;
    }
    uplink->by_full = uplink->by_full || uplink->again_by_full;
    uplink->again = uplink->again_by_full = false;
    pthread_mutex_unlock(&uplink->mutex);
    return stopping;
}

static void *run(void *user)
{
    struct covey_uplink *uplink = user;
    while (!heed_orders(uplink)) {
        const uint64_t now_ms = now_of(uplink);
        keep_link(uplink, now_ms);
        heed_plan(uplink, now_ms);
        send_report(uplink, now_ms);
        tell_failure(uplink);
        uplink->link.ops->run(uplink->link.link, STEP_MS);
    }
    return NULL;
}

/* ------------------------------------------------------------------ life */

/* What a process before this one had still to send. */
static enum covey_status load_report(struct covey_uplink *uplink, struct covey_error *err)
{
    struct covey_partial_sum partial;
    enum covey_status status = covey_sealed_read(uplink->folder, OUTBOX_FILE, COVEY_BODY_BYTES,
                                                 &uplink->report, &uplink->report_bytes, err);
    if (status == COVEY_NOT_FOUND)
        return COVEY_OK;
    if (status == COVEY_OK)
        status = covey_partial_sum_decode((struct covey_bytes){uplink->report, uplink->report_bytes},
                                          &partial, err);
    if (status == COVEY_NO_MEMORY || status == COVEY_IO)
        return status;
    if (status != COVEY_OK) {
        say(uplink, COVEY_LOG_ERROR, "sum-lost", err == NULL ? "" : err->text);
        clear_report(uplink, true);
        return COVEY_OK;
    }
    uplink->report_id = uplink->known = partial.assignment;
    uplink->knows = uplink->sent_before = true;
    return COVEY_OK;
}

enum covey_status covey_uplink_create(struct covey_federation *federation, struct covey_uplink **out,
                                      struct covey_error *err)
{
    const struct covey_parent *parent = federation->options.parent;
    if (parent->address == NULL || parent->trust == NULL || parent->open_link == NULL)
        return covey_fail(err, COVEY_INVALID, "a parent needs an address, its signer's key and a link");
    struct covey_uplink *uplink = calloc(1, sizeof *uplink);
    if (uplink == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the link to the parent");
    uplink->federation = federation;
    pthread_mutex_init(&uplink->mutex, NULL);
    enum covey_status status = COVEY_OK;
    if ((size_t)snprintf(uplink->folder, sizeof uplink->folder, "%s/%s", federation->server->folder,
                         federation->options.name) >= sizeof uplink->folder)
        status = covey_fail(err, COVEY_LIMIT, "the path %s is too long", federation->server->folder);
    if (status == COVEY_OK)
        status = load_report(uplink, err);
    const struct covey_link_events events = {uplink, on_state};
    if (status == COVEY_OK)
        status = parent->open_link(parent->link_user, &events, &uplink->link, err);
    if (status != COVEY_OK) {
        covey_uplink_destroy(uplink);
        return status;
    }
    *out = uplink;
    return COVEY_OK;
}

enum covey_status covey_uplink_start(struct covey_uplink *uplink, struct covey_error *err)
{
    if (uplink->started)
        return COVEY_OK;
    if (pthread_create(&uplink->thread, NULL, run, uplink) != 0)
        return covey_fail(err, COVEY_NO_MEMORY, "the thread of the link to the parent could not be started");
    uplink->started = true;
    return COVEY_OK;
}

void covey_uplink_destroy(struct covey_uplink *uplink)
{
    if (uplink == NULL)
        return;
    pthread_mutex_lock(&uplink->mutex);
    uplink->stopping = true;
    pthread_mutex_unlock(&uplink->mutex);
    if (uplink->started) {
        uplink->link.ops->wake(uplink->link.link);
        pthread_join(uplink->thread, NULL);
    }
    if (uplink->link.ops != NULL)
        uplink->link.ops->destroy(uplink->link.link);
    drop_offer(uplink);
    free(uplink->report);
    free(uplink->next);
    pthread_mutex_destroy(&uplink->mutex);
    free(uplink);
}

/* ------------------------------------------------------------------ from other threads */

enum covey_status covey_uplink_send(struct covey_uplink *uplink, const uint8_t *message, size_t bytes,
                                    const struct covey_assignment_id *id, struct covey_error *err)
{
    uint8_t *copy = malloc(bytes);
    if (copy == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the partial sum");
    memcpy(copy, message, bytes);
    pthread_mutex_lock(&uplink->mutex); /* also while it is written: file and `next` are the same */
    const enum covey_status status =
        covey_sealed_write(uplink->folder, OUTBOX_FILE, (struct covey_bytes){copy, bytes}, err);
    if (status == COVEY_OK) {
        free(uplink->next);
        uplink->next = copy;
        uplink->next_bytes = bytes;
        uplink->next_id = *id;
    }
    pthread_mutex_unlock(&uplink->mutex);
    if (status != COVEY_OK)
        free(copy);
    else
        uplink->link.ops->wake(uplink->link.link);
    return status;
}

void covey_uplink_fail(struct covey_uplink *uplink, uint32_t round)
{
    pthread_mutex_lock(&uplink->mutex);
    uplink->failed_round = round;
    pthread_mutex_unlock(&uplink->mutex);
    uplink->link.ops->wake(uplink->link.link);
}

void covey_uplink_know(struct covey_uplink *uplink, const struct covey_assignment_id *id)
{
    uplink->knows = true;
    uplink->known = *id;
}

void covey_uplink_again(struct covey_uplink *uplink, bool by_full)
{
    pthread_mutex_lock(&uplink->mutex);
    uplink->again = true;
    uplink->again_by_full = uplink->again_by_full || by_full;
    pthread_mutex_unlock(&uplink->mutex);
}
