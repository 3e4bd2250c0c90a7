/* The inside of a device, shared by the files that drive its round machine:
 *
 *   client.c          the loop, the queue of events, beginning and end
 *   client_answers.c  what the link says becomes events
 *   client_actions.c  what the machine wants is done
 *   client_report.c   what a round came to */
#ifndef COVEY_CLIENT_CORE_H
#define COVEY_CLIENT_CORE_H

#include <stdatomic.h>

#include "client_state.h"
#include "covey/client.h"
#include "covey/device_metrics.h"
#include "download.h"
#include "local_model.h"
#include "training_job.h"

#define COVEY_CLIENT_EVENTS 16 /* waiting ones; each step empties the queue */

/* An event with room for what it points to. */
struct covey_client_queued {
    struct covey_client_event event;
    struct covey_plan plan;
};

/* What the next report to the server says: the last acknowledged round, or why there is none. */
struct covey_client_note {
    enum covey_round_failure failure;
    struct covey_client_report round; /* .round alone when it failed */
    uint8_t bytes[COVEY_BLOCK_BYTES]; /* the message under way */
    struct covey_score judged;        /* of the model that the round began with; examples 0: nobody asked */
};

struct covey_client {
    struct covey_client_options options;
    struct covey_env env;
    uint64_t device;
    struct covey_client_round machine;
    struct covey_client_state *state;
    struct covey_local_model model;
    struct covey_download download;
    struct covey_training_job job;
    struct covey_link_handle link;
    bool heeds_link; /* states since the last connect are told; earlier ones are history */
    bool observing, asking, sending, inquiring, reporting;
    uint32_t observe_id, ask_id, send_id, inquiry_id, report_id;
    uint32_t ticket; /* of the work action under way */
    uint32_t account_ticket, report_ticket;
    uint16_t connected_port;
    bool ended;     /* the last plan said so */
    bool held_back; /* the policy forbade; said once */
    struct covey_client_queued queue[COVEY_CLIENT_EVENTS];
    uint32_t first, count;
    atomic_bool stop;
    bool stopped;
    struct covey_traffic counted; /* at the last report */
    uint64_t waited_counted_ms;   /* download.waited_ms at the last report */
    uint64_t send_at_ms, sent_ms; /* the upload under way began; all tries since the last report */
    struct covey_client_report total;
    struct covey_client_note note;
    char trouble[COVEY_ERROR_TEXT_BYTES];
};

/* ---- client.c ---- */

/* Queues an event with the present ticket; the caller fills in the rest. */
struct covey_client_event *covey_client_post(struct covey_client *client, enum covey_client_event_kind kind);
void covey_client_post_failure(struct covey_client *client, enum covey_client_event_kind kind,
                               enum covey_client_failure failure, uint32_t wait_ms);
/* A newer plan takes the place of one that was not looked at yet: however many are pushed, one waits. */
void covey_client_post_plan(struct covey_client *client, const struct covey_plan *plan);
/* The last failure in words, for the log and for a display. */
void covey_client_note_trouble(struct covey_client *client, const char *event, const char *text);
enum covey_client_failure covey_client_failure_of(enum covey_status status);

/* ---- client_answers.c: callbacks of the transport and of the download, user = the client ---- */

void covey_client_on_state(void *user, enum covey_link_state state, const struct covey_error *reason);
void covey_client_on_observed(void *user, const struct covey_reply *reply);
void covey_client_on_asked(void *user, const struct covey_reply *reply);
void covey_client_on_where(void *user, const struct covey_reply *reply);
void covey_client_on_model(void *user, enum covey_status status, enum covey_client_failure failure,
                           uint32_t wait_ms, const struct covey_error *err);
void covey_client_on_sent(void *user, const struct covey_reply *reply);
void covey_client_on_upload_told(void *user, const struct covey_reply *reply);

/* ---- client_actions.c ---- */

void covey_client_perform(struct covey_client *client, const struct covey_client_action *action);
/* Ends a request if there is one. */
void covey_client_cancel(struct covey_client *client, bool *flag, uint32_t id);
/* The upload's answer is here, or none will come any more. */
void covey_client_stop_sending_clock(struct covey_client *client);
/* What moves on the link ends with it; tell: the machine hears of it at once. */
void covey_client_cancel_transfers(struct covey_client *client, bool tell);

/* ---- client_report.c ---- */

/* An update was acknowledged: counts, logs, tells the owner. */
void covey_client_report_round(struct covey_client *client);
/* The present assignment will not, or not soon, be delivered. */
void covey_client_note_failure(struct covey_client *client, enum covey_round_failure failure);
enum covey_round_failure covey_client_failure_to_train(enum covey_status status);
/* POST metrics -> REPORTED. */
void covey_client_send_report(struct covey_client *client, uint32_t ticket);

#endif
