/* The device's side: covey_link_ops over a CoAP engine. One thread runs it; every callback comes from inside
 * run, never from inside libcoap, so a callback may start requests, connect or disconnect as it likes. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "coap_address.h"
#include "coap_call.h"
#include "coap_engine.h"
#include "covey/coap.h"

#define DATAGRAMS_A_TURN 64 /* received before anything else is done */
#define STATES 8            /* changes of state that wait for the owner */
#define START_RTO_LEAST_US 100000u
/* "Nobody listens" may be forged: it only shortens the wait, to some timeouts of this network. */
#define ICMP_TIMEOUTS 4
#define ICMP_PATIENCE_LEAST_US 500000u
#define ICMP_PATIENCE_MOST_US 2000000u
/* Silence on a network that is known to be quick says more than on a slow one. */
#define SILENT_TIMEOUTS 16
#define SILENCE_LEAST_US 3000000u
#define SILENCE_LOOKS 12  /* pings in the latter three quarters of a silence: at every second look */
#define GUESSED_ROOM 1100 /* before there is a session */

struct state_change {
    enum covey_link_state state;
    bool has_reason;
    struct covey_error reason;
};

struct covey_link {
    struct covey_coap_link_config config;
    struct covey_coap_engine *engine;
    int wake_fd;
    enum covey_link_state state;
    /* connecting */
    struct covey_coap_address addresses[COVEY_COAP_ADDRESSES];
    size_t address_count, address_at;
    uint64_t connect_us;
    /* what the owner has not heard yet */
    struct state_change changes[STATES];
    uint32_t change_first, change_count;
    /* requests, in order of their start */
    struct covey_coap_call *calls;
    uint32_t next_id;
    struct covey_block_path path;
    /* the last upload that broke off, to be resumed */
    char interrupted_path[COVEY_PATH_BYTES];
    struct covey_coap_tag interrupted_tag;
    struct covey_coap_partial partial; /* and the last download */
    /* silence */
    uint64_t heard_datagrams, heard_us, unheard_since_us, ping_us, icmp_us;
    uint64_t upload_bytes, blocks_sent, blocks_repeated;
};

static uint64_t clock_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---------------------------------------------------------------- state */

static void change_state(struct covey_link *link, enum covey_link_state state,
                         const struct covey_error *reason)
{
    link->state = state;
    if (link->change_count == STATES) { /* the owner has slept: the oldest change is history */
        link->change_first = (link->change_first + 1) % STATES;
        link->change_count--;
    }
    struct state_change *change = &link->changes[(link->change_first + link->change_count++) % STATES];
    change->state = state;
    change->has_reason = reason != NULL;
    if (reason != NULL)
        change->reason = *reason;
}

static void remember_interrupted(struct covey_link *link, struct covey_coap_call *call)
{
    if (call->upload_blocks <= 1) {
        covey_coap_call_keep(call, &link->partial);
        return;
    }
    memcpy(link->interrupted_path, call->path, sizeof link->interrupted_path);
    link->interrupted_tag = call->tag;
}

static void end_calls(struct covey_link *link, enum covey_status status)
{
    for (struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        if (call->phase == COVEY_COAP_PHASE_DONE)
            continue;
        remember_interrupted(link, call);
        covey_coap_call_end(call, status);
    }
}

static void go_down(struct covey_link *link, const struct covey_error *reason)
{
    covey_coap_engine_disconnect(link->engine);
    end_calls(link, COVEY_CLOSED);
    if (link->state == COVEY_LINK_DOWN)
        return;
    covey_log_event(link->config.env.log, COVEY_LOG_INFO, "link-down", "reason=\"%s\"", reason->text);
    change_state(link, COVEY_LINK_DOWN, reason);
}

static void lose(struct covey_link *link, enum covey_status status, const char *text)
{
    struct covey_error reason = {0};
    (void)covey_fail(&reason, status, "%s", text);
    go_down(link, &reason);
}

/* ---------------------------------------------------------------- connecting */

static void try_address(struct covey_link *link)
{
    struct covey_error reason = {0};
    while (link->address_at < link->address_count) {
        const struct covey_coap_address *address = &link->addresses[link->address_at];
        link->connect_us = clock_us();
        if (covey_coap_engine_connect(link->engine, (const struct sockaddr *)&address->bytes, address->size,
                                      &reason) == COVEY_OK)
            return;
        link->address_at++;
    }
    go_down(link, &reason);
}

/* This address did not answer at all: there may be another. A server that refused us is not asked again
 * elsewhere. */
static void next_address(struct covey_link *link, const struct covey_error *reason)
{
    char text[80];
    covey_coap_address_text(&link->addresses[link->address_at], text, sizeof text);
    covey_log_event(link->config.env.log, COVEY_LOG_DEBUG, "no-handshake", "address=%s reason=\"%s\"", text,
                    reason->text);
    if (link->address_at + 1 >= link->address_count) {
        go_down(link, reason);
        return;
    }
    link->address_at++;
    try_address(link);
}

static void forget_session(struct covey_link *link)
{
    if (link->state == COVEY_LINK_DOWN)
        return;
    lose(link, COVEY_CLOSED, "disconnected");
}

static enum covey_status link_connect(struct covey_link *link, const char *address, struct covey_error *err)
{
    char host[COVEY_COAP_HOST_BYTES], port[8];
    struct covey_error reason = {0};
    COVEY_TRY(covey_coap_address_split(address, host, port, err));
    forget_session(link);
    change_state(link, COVEY_LINK_CONNECTING, NULL);
    link->address_at = 0;
    link->address_count = 0;
    if (covey_coap_address_resolve(host, port, false, link->addresses, COVEY_COAP_ADDRESSES,
                                   &link->address_count, &reason) != COVEY_OK)
        go_down(link, &reason);
    else
        try_address(link);
    return COVEY_OK;
}

static void link_disconnect(struct covey_link *link)
{
    forget_session(link);
}

static void come_up(struct covey_link *link, uint64_t now_us)
{
    uint64_t took_us = now_us - link->connect_us; /* two round trips or more */
    uint32_t start = took_us < START_RTO_LEAST_US   ? START_RTO_LEAST_US
                     : took_us > COVEY_RTO_START_US ? COVEY_RTO_START_US
                                                    : (uint32_t)took_us;
    covey_block_path_init(&link->path, start);
    link->heard_us = now_us;
    link->unheard_since_us = 0;
    link->icmp_us = 0;
    covey_log_event(link->config.env.log, COVEY_LOG_DEBUG, "link-up", "handshake_ms=%u",
                    (unsigned)(took_us / 1000));
    change_state(link, COVEY_LINK_UP, NULL);
}

static uint32_t handshake_ms(const struct covey_link *link)
{
    return link->config.handshake_ms > 0 ? link->config.handshake_ms : COVEY_COAP_HANDSHAKE_MS;
}

/* How long a server may say nothing at all to what it was asked. */
static uint64_t silence_us(const struct covey_link *link)
{
    const uint64_t limit =
        1000ull * (link->config.silence_ms > 0 ? link->config.silence_ms : COVEY_COAP_SILENCE_MS);
    const uint64_t here = SILENT_TIMEOUTS * (uint64_t)covey_block_path_rto_us(&link->path);
    const uint64_t least = here > SILENCE_LEAST_US ? here : SILENCE_LEAST_US;
    return least < limit ? least : limit;
}

static uint64_t icmp_patience_us(const struct covey_link *link)
{
    const uint64_t here = ICMP_TIMEOUTS * (uint64_t)covey_block_path_rto_us(&link->path);
    return here < ICMP_PATIENCE_LEAST_US  ? ICMP_PATIENCE_LEAST_US
           : here > ICMP_PATIENCE_MOST_US ? ICMP_PATIENCE_MOST_US
                                          : here;
}

static void watch_handshake(struct covey_link *link, enum covey_coap_engine_state state,
                            const struct covey_error *failure, uint64_t now_us)
{
    struct covey_error reason = {0};
    char text[80];
    covey_coap_address_text(&link->addresses[link->address_at], text, sizeof text);
    if (state == COVEY_COAP_ENGINE_UP) {
        come_up(link, now_us);
    } else if (state == COVEY_COAP_ENGINE_FAILED) {
        go_down(link, failure);
    } else if (covey_coap_engine_unreachable(link->engine)) {
        (void)covey_fail(&reason, COVEY_NOT_FOUND, "no server listens at %s", text);
        next_address(link, &reason);
    } else if (now_us - link->connect_us > 1000ull * handshake_ms(link)) {
        (void)covey_fail(&reason, COVEY_TIMEOUT, "no handshake with %s within %u s", text,
                         handshake_ms(link) / 1000);
        next_address(link, &reason);
    }
}

/* ---------------------------------------------------------------- silence */

static bool awaits_answer(const struct covey_link *link)
{
    for (const struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        if (covey_coap_call_in_flight(call) > 0 ||
            (call->phase <= COVEY_COAP_PHASE_MOVE && call->sender.backoff > 0))
            return true;
    }
    return false;
}

static void watch_silence(struct covey_link *link, uint64_t now_us)
{
    uint64_t received = covey_coap_engine_counts(link->engine).received_datagrams;
    if (received != link->heard_datagrams) {
        link->heard_datagrams = received;
        link->heard_us = now_us;
        link->unheard_since_us = 0;
        link->icmp_us = 0;
    }
    if (covey_coap_engine_unreachable(link->engine) && link->icmp_us == 0) {
        link->icmp_us = link->ping_us = now_us;
        covey_coap_engine_ping(link->engine); /* a server that is there says so */
    }
    if (!awaits_answer(link)) {
        link->unheard_since_us = 0;
    } else if (link->unheard_since_us == 0) {
        link->unheard_since_us = now_us;
    }
    if (link->icmp_us > 0 && now_us - link->icmp_us > icmp_patience_us(link)) {
        lose(link, COVEY_CLOSED, "the server is gone: nobody listens there any more");
        return;
    }
    uint64_t silent = link->unheard_since_us > 0 ? now_us - link->unheard_since_us : 0;
    const uint64_t limit = silence_us(link);
    if (silent > limit) {
        lose(link, COVEY_TIMEOUT, "the server is silent");
    } else if (silent > limit / 4 && now_us - link->ping_us > 2 * limit / SILENCE_LOOKS) {
        link->ping_us = now_us; /* a server that is busy with our request still answers this */
        covey_coap_engine_ping(link->engine);
    }
}

static void watch_engine(struct covey_link *link, uint64_t now_us)
{
    struct covey_error failure = {0};
    enum covey_coap_engine_state state = covey_coap_engine_state(link->engine, &failure);
    if (link->state == COVEY_LINK_CONNECTING)
        watch_handshake(link, state, &failure, now_us);
    else if (link->state == COVEY_LINK_UP && state != COVEY_COAP_ENGINE_UP)
        go_down(link, &failure);
    else if (link->state == COVEY_LINK_UP)
        watch_silence(link, now_us);
}

/* ---------------------------------------------------------------- sending and receiving */

static void transmit(struct covey_link *link, struct covey_coap_call *call,
                     const struct covey_coap_move *move)
{
    uint64_t before = covey_coap_engine_counts(link->engine).sent_bytes;
    enum covey_status status = covey_coap_engine_send(link->engine, &move->message);
    if (status == COVEY_LIMIT)
        covey_coap_call_end(call, COVEY_LIMIT); /* everything else acts as loss */
    if (!move->carries_body)
        return;
    link->upload_bytes += covey_coap_engine_counts(link->engine).sent_bytes - before;
    link->blocks_sent++;
    link->blocks_repeated += move->repeated ? 1 : 0;
}

/* Blocks in flight are shared by the calls that move some. */
static uint16_t share_of_window(const struct covey_link *link)
{
    uint16_t moving = 0;
    for (const struct covey_coap_call *call = link->calls; call != NULL; call = call->next)
        moving = (uint16_t)(moving +
                            (call->phase <= COVEY_COAP_PHASE_MOVE && call->sender.config.block_count > 1));
    uint16_t share = (uint16_t)(moving > 1 ? COVEY_WINDOW_BLOCKS / moving : COVEY_WINDOW_BLOCKS);
    return share > 0 ? share : 1;
}

/* Sends what may go now; returns when to look again. */
static uint64_t pump(struct covey_link *link, uint64_t now_us)
{
    uint64_t wake = UINT64_MAX;
    uint16_t share = share_of_window(link);
    for (struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        struct covey_coap_move move;
        do {
            covey_coap_call_next(call, now_us, share, &move);
            if (move.step == COVEY_COAP_STEP_SEND)
                transmit(link, call, &move);
        } while (move.step == COVEY_COAP_STEP_SEND);
        if (move.step == COVEY_COAP_STEP_WAIT && move.wake_us < wake)
            wake = move.wake_us;
    }
    return wake;
}

static bool on_response(void *user, const struct covey_coap_message *response)
{
    struct covey_link *link = user;
    uint16_t token = (uint16_t)(response->token.bytes[0] << 8 | response->token.bytes[1]);
    for (struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        if (response->token.size == 4 && call->token == token && !call->cancelled) {
            covey_coap_call_answer(call, response, clock_us());
            return true;
        }
    }
    /* A notification that nobody wants ends its observation by RST (RFC 7641 section 3.6); strays of finished
     * transfers are none of the peer's fault. */
    return !response->observed;
}

/* ---------------------------------------------------------------- requests */

static uint32_t count_calls(const struct covey_link *link)
{
    uint32_t count = 0;
    for (const struct covey_coap_call *call = link->calls; call != NULL; call = call->next)
        count++;
    return count;
}

static void append_call(struct covey_link *link, struct covey_coap_call *call)
{
    struct covey_coap_call **at = &link->calls;
    while (*at != NULL)
        at = &(*at)->next;
    *at = call;
}

static enum covey_status start_call(struct covey_link *link, const struct covey_request *request,
                                    bool observe, covey_reply_fn *reply, void *user, uint32_t *out_id,
                                    struct covey_error *err)
{
    if (link->state != COVEY_LINK_UP)
        return covey_fail(err, COVEY_CLOSED, "%s: not connected", request->path);
    if (count_calls(link) >= COVEY_COAP_REQUESTS)
        return covey_fail(err, COVEY_BUSY, "%s: %d requests are outstanding already", request->path,
                          COVEY_COAP_REQUESTS);
    struct covey_coap_call *call;
    size_t room = covey_coap_engine_room(link->engine);
    uint64_t now_us = clock_us();
    COVEY_TRY(covey_coap_call_create(request, observe, room > 0 ? room : GUESSED_ROOM, &link->path, now_us,
                                     &call, err));
    call->sender.config.rule = link->config.congestion;
    call->id = ++link->next_id;
    call->token = (uint16_t)call->id;
    call->reply = reply;
    call->user = user;
    bool interrupted = strcmp(call->path, link->interrupted_path) == 0 &&
                       covey_coap_tag_equal(&call->tag, &link->interrupted_tag);
    if (call->upload_blocks > 1 && (interrupted || request->resume)) {
        link->interrupted_path[0] = '\0';
        covey_coap_call_resume(call, now_us);
    }
    covey_coap_call_go_on(call, &link->partial, now_us);
    if (call->reply_limit_bytes > COVEY_BLOCK_BYTES)
        covey_coap_partial_deinit(
            &link->partial); /* another large body is wanted now: the old one is history */
    append_call(link, call);
    if (out_id != NULL)
        *out_id = call->id;
    return COVEY_OK;
}

static enum covey_status link_request(struct covey_link *link, const struct covey_request *request,
                                      covey_reply_fn *reply, void *user, uint32_t *out_id,
                                      struct covey_error *err)
{
    return start_call(link, request, false, reply, user, out_id, err);
}

static enum covey_status link_observe(struct covey_link *link, const struct covey_request *request,
                                      covey_reply_fn *reply, void *user, uint32_t *out_id,
                                      struct covey_error *err)
{
    return start_call(link, request, true, reply, user, out_id, err);
}

/* Tells the server once that we stop; when that is lost, the next notification is rejected. */
static void stop_observing(struct covey_link *link, const struct covey_coap_call *call)
{
    struct covey_coap_message message;
    covey_coap_message_init(&message, COVEY_COAP_KIND_NON, COVEY_GET);
    message.observed = true;
    message.observe = 1;
    message.token.size = 4;
    message.token.bytes[0] = (uint8_t)(call->token >> 8);
    message.token.bytes[1] = (uint8_t)call->token;
    memcpy(message.path, call->path, sizeof message.path);
    memcpy(message.query, call->query, sizeof message.query);
    if (covey_coap_engine_send(link->engine, &message) != COVEY_OK)
        return;
}

static void link_cancel(struct covey_link *link, uint32_t id)
{
    for (struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        if (call->id != id || call->cancelled)
            continue;
        if (call->observe && link->state == COVEY_LINK_UP && call->phase == COVEY_COAP_PHASE_OBSERVING)
            stop_observing(link, call);
        remember_interrupted(link, call);
        call->cancelled = true; /* freed by run, which may be the one that called back to here */
        covey_coap_call_end(call, COVEY_CANCELLED);
        return;
    }
}

/* ---------------------------------------------------------------- run */

static void unlink_call(struct covey_link *link, const struct covey_coap_call *call)
{
    for (struct covey_coap_call **at = &link->calls; *at != NULL; at = &(*at)->next) {
        if (*at == call) {
            *at = call->next;
            return;
        }
    }
}

/* Hands one reply to its owner. False: there is none. */
static bool deliver_reply(struct covey_link *link)
{
    for (struct covey_coap_call *call = link->calls; call != NULL; call = call->next) {
        struct covey_reply reply;
        bool last = call->phase == COVEY_COAP_PHASE_DONE && call->news_count == 0;
        if (!call->cancelled && !covey_coap_call_take_reply(call, &reply))
            continue;
        if (last || call->cancelled) {
            unlink_call(link, call);
            if (call->result.status == COVEY_TIMEOUT)
                remember_interrupted(link, call);
            if (!call->cancelled)
                call->reply(call->user, &reply);
            covey_coap_call_destroy(call);
        } else {
            call->reply(call->user, &reply);
        }
        return true;
    }
    return false;
}

static bool deliver(struct covey_link *link)
{
    bool done = false;
    for (int turn = 0; turn < 2 * COVEY_COAP_REQUESTS && deliver_reply(link); turn++)
        done = true;
    while (link->change_count > 0) {
        struct state_change change = link->changes[link->change_first];
        link->change_first = (link->change_first + 1) % STATES;
        link->change_count--;
        done = true;
        if (link->config.events.on_state != NULL)
            link->config.events.on_state(link->config.events.user, change.state,
                                         change.has_reason ? &change.reason : NULL);
    }
    return done;
}

/* Waits for a datagram, a timer of libcoap's, wake(), or until_us. Returns true when woken. */
static bool await_event(struct covey_link *link, uint64_t until_us)
{
    struct pollfd fds[2] = {{.fd = covey_coap_engine_fd(link->engine), .events = POLLIN},
                            {.fd = link->wake_fd, .events = POLLIN}};
    uint64_t now_us = clock_us(), wait_us = until_us > now_us ? until_us - now_us : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_nsec = (long)(wait_us % 1000000) * 1000};
    if (ppoll(fds, 2, &wait, NULL) <= 0 || (fds[1].revents & POLLIN) == 0)
        return false;
    uint64_t count;
    return read(link->wake_fd, &count, sizeof count) > 0 || errno == EAGAIN;
}

static void receive(struct covey_link *link)
{
    struct pollfd fd = {.fd = covey_coap_engine_fd(link->engine), .events = POLLIN};
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        covey_coap_engine_run(link->engine);
        if (poll(&fd, 1, 0) <= 0)
            return;
    }
}

/* When the link itself must look again, whatever its calls do. */
static uint64_t own_timer(const struct covey_link *link, uint64_t now_us)
{
    if (link->state == COVEY_LINK_CONNECTING)
        return link->connect_us + 1000ull * handshake_ms(link) + 1;
    if (link->state == COVEY_LINK_UP && (link->unheard_since_us > 0 || link->icmp_us > 0))
        return now_us + (link->icmp_us > 0 ? icmp_patience_us(link) : silence_us(link)) / SILENCE_LOOKS;
    return UINT64_MAX;
}

static void link_run(struct covey_link *link, uint32_t wait_ms)
{
    uint64_t now_us = clock_us(), end_us = now_us + 1000ull * wait_ms;
    for (;;) {
        now_us = clock_us();
        watch_engine(link, now_us);
        uint64_t wake_us = link->state == COVEY_LINK_UP ? pump(link, now_us) : UINT64_MAX;
        if (deliver(link))
            return;
        uint64_t own_us = own_timer(link, now_us);
        if (own_us < wake_us)
            wake_us = own_us;
        bool woken = await_event(link, wake_us < end_us ? wake_us : end_us);
        receive(link);
        now_us = clock_us();
        watch_engine(link, now_us);
        if (link->state == COVEY_LINK_UP)
            (void)pump(link, now_us);
        if (deliver(link) || woken || now_us >= end_us)
            return;
    }
}

static void link_wake(struct covey_link *link)
{
    uint64_t one = 1;
    ssize_t written = write(link->wake_fd, &one, sizeof one); /* fails only when it is awake already */
    (void)written;
}

static void link_traffic(const struct covey_link *link, struct covey_traffic *out)
{
    struct covey_coap_engine_counts counts = covey_coap_engine_counts(link->engine);
    *out = (struct covey_traffic){.bytes_up = counts.sent_bytes,
                                  .bytes_down = counts.received_bytes,
                                  .datagrams_up = counts.sent_datagrams,
                                  .datagrams_down = counts.received_datagrams,
                                  .upload_bytes_up = link->upload_bytes,
                                  .blocks_sent = link->blocks_sent,
                                  .blocks_repeated = link->blocks_repeated};
}

static void link_destroy(struct covey_link *link)
{
    if (link == NULL)
        return;
    covey_coap_engine_destroy(link->engine);
    while (link->calls != NULL) {
        struct covey_coap_call *call = link->calls;
        link->calls = call->next;
        covey_coap_call_end(call, COVEY_CANCELLED);
        if (!call->cancelled)
            call->reply(call->user, &(struct covey_reply){.status = COVEY_CANCELLED});
        covey_coap_call_destroy(call);
    }
    covey_coap_partial_deinit(&link->partial);
    if (link->wake_fd >= 0)
        (void)close(link->wake_fd);
    free(link);
}

static const struct covey_link_ops link_ops = {
    .connect = link_connect,
    .disconnect = link_disconnect,
    .request = link_request,
    .cancel = link_cancel,
    .observe = link_observe,
    .run = link_run,
    .wake = link_wake,
    .traffic = link_traffic,
    .destroy = link_destroy,
};

enum covey_status covey_coap_link_create(const struct covey_coap_link_config *config,
                                         struct covey_link_handle *out, struct covey_error *err)
{
    if (config->credentials->side != COVEY_SIDE_DEVICE)
        return covey_fail(err, COVEY_INVALID, "a link needs a device's credentials");
    struct covey_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a link");
    link->config = *config;
    covey_block_path_init(&link->path, 0);
    link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct covey_coap_engine_config engine = {.credentials = config->credentials,
                                              .events = {.user = link, .response = on_response}};
    enum covey_status status = link->wake_fd >= 0
                                   ? covey_coap_engine_create(&engine, &link->engine, err)
                                   : covey_fail(err, COVEY_IO, "no eventfd: %s", strerror(errno));
    if (status != COVEY_OK) {
        link_destroy(link);
        return status;
    }
    *out = (struct covey_link_handle){&link_ops, link};
    return COVEY_OK;
}
