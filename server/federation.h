/* One federation as it runs, and the server around it: what the server's files share. Private to this folder.
 *
 * Locks. A federation has one mutex, held for moments. Never held: while calling the transport (push,
 * respond), the ledger's writing calls, or a worker's post. The registry's, shelf's and workers' mutexes may
 * be taken inside it. */
#ifndef COVEY_FEDERATION_H
#define COVEY_FEDERATION_H

#include <pthread.h>
#include <stdatomic.h>

#include "covey/hours.h"
#include "covey/server.h"
#include "covey/staleness.h"
#include "covey/strategy.h"

#include "contributors.h"
#include "ledger.h"
#include "catch_up.h"
#include "model_store.h"
#include "published_line.h"
#include "registry.h"
#include "round_terms.h"
#include "shelf.h"
#include "workers.h"

#define COVEY_NO_SLOT UINT32_MAX
#define COVEY_FOLD_BATCH 64
#define COVEY_WORK_QUEUE 1024
#define COVEY_JUDGE_QUEUE 1024
#define COVEY_JUDGE_BACKLOG                                                                                  \
    4 /* evaluations waiting; with more, a round that no stop rule needs is not evaluated */
#define COVEY_FULL_KEPT 2       /* sequences that a full model stays fetchable after the next one */
#define COVEY_FULL_KEPT_LATE 16 /* likewise, where assignments outlive their round; the shelf has room */
#define COVEY_BASES (COVEY_STALENESS_MAX + 1)

/* ------------------------------------------------------------------ the cohort of a round */

enum covey_slot_state {
    COVEY_SLOT_WAITING,
    COVEY_SLOT_PARKED,   /* its upload is here and waits for a round to open */
    COVEY_SLOT_TAKEN,    /* an upload is between arrival and ledger */
    COVEY_SLOT_RECORDED, /* durable */
    COVEY_SLOT_WITHDRAWN
};

struct covey_slot {
    struct covey_assignment_id id;
    uint32_t device; /* place in the registry */
    uint32_t share;  /* of a gateway: updates in its sum at the most; 0: a device */
    uint32_t round;  /* that it was given out in: covey_slot_base */
    enum covey_slot_state state;
    bool refused;                /* an upload was refused; a better one may come */
    bool told_done, told_lost;   /* the machine knows */
    struct covey_hash body_hash; /* RECORDED */
};

/* The open round as devices see it, or the one before. */
struct covey_cohort {
    uint32_t round;
    uint32_t count;
    uint32_t told;            /* of these the machine knows: not of what is late in synchronous rounds */
    struct covey_slot *slots; /* owned; new ones first */
};

/* What the assignments of one round have in common. */
struct covey_base {
    uint64_t sequence;
    struct covey_hash model, manifest; /* manifest: zero when it is not known any more */
    uint64_t deadline_ms;              /* of the devices */
    int64_t opened_ms;                 /* wall clock */
};

/* An upload that waits for a round to open. */
struct covey_parked {
    struct covey_parked *next;
    void (*go_on)(struct covey_parked *parked); /* without the mutex */
};

struct covey_member {
    bool joined; /* has asked for a plan of this federation */
    bool observing;
    uint32_t slot, past_slot;  /* in `cohort` and `past`; COVEY_NO_SLOT */
    uint64_t expected_back_ms; /* of one that polls: it counts as available until then */
    uint64_t last_push_ms;
    struct covey_hours hours; /* its own, as it told them */
    uint64_t day_offset_ms;   /* from the server's clock to its day's */
    struct covey_device_record record;
};

/* What a round adds up to besides the sum itself. */
struct covey_round_tally {
    uint32_t recorded, folded;
    uint64_t examples, update_bytes;
    double loss_sum; /* of loss_after by examples */
    uint32_t refused;
    struct covey_staleness_tally staleness; /* of `folded` */
    struct covey_weighting_tally weighting; /* the same */
};

/* ------------------------------------------------------------------ a gateway's errand (errand.c) */

enum covey_errand_state {
    COVEY_ERRAND_NONE,
    COVEY_ERRAND_READY, /* the next round is for it */
    COVEY_ERRAND_OPEN   /* the open round is */
};

/* What the parent wants of its gateway. */
struct covey_errand {
    enum covey_errand_state state;
    struct covey_plan plan;         /* as the parent gave it; also after its end */
    uint64_t deadline_ms;           /* the parent's */
    struct covey_round_terms terms; /* READY */
};

/* ------------------------------------------------------------------ federation */

struct covey_federation {
    struct covey_server *server;
    uint32_t index;
    struct covey_federation_options options; /* initial: NULL after create */

    /* fixed */
    size_t ends[COVEY_MODEL_TENSORS];
    size_t tensor_count, update_count, shared_count;
    struct covey_line line;
    struct covey_hash description_hash;
    struct covey_model_store *store; /* work thread, once that runs */
    struct covey_shelf shelf;
    char plan_path[COVEY_PATH_BYTES];

    pthread_mutex_t mutex; /* everything from here to the next line */
    pthread_cond_t drained;
    struct covey_member *members; /* (member_capacity), by place */
    uint32_t member_capacity, member_count;
    bool open;          /* takes updates */
    uint32_t in_flight; /* uploads between arrival and sum */
    uint64_t deadline_ms;
    uint64_t opened_at_ms;
    uint64_t round_ms_mean; /* of the last rounds; 0: none */
    struct covey_cohort cohort, past;
    struct covey_base bases[COVEY_BASES]; /* by round, of the last ones */
    struct covey_parked *parked;
    struct covey_round_terms terms;         /* of the open round */
    size_t update_limit_bytes;              /* of one message */
    size_t sum_bytes;                       /* of a partial sum by itself */
    struct covey_hash terms_hash;           /* that gateways fetch them by */
    struct covey_contributors contributors; /* who is in the sum; kept only where there are gateways */
    struct covey_aggregation *aggregation;
    bool must_refold; /* the sum in memory is not what the ledger has */
    struct covey_round_tally tally;
    struct covey_ledger_round opened; /* the ledger's line of the open round */
    struct covey_traffic at_opening;
    uint64_t sequence;
    struct covey_hash model, manifest;
    struct covey_blob *full;                                /* codec stream of P: mapped */
    struct covey_manifest_step steps[COVEY_MANIFEST_STEPS]; /* of the current manifest, like the next two */
    uint32_t step_count;
    uint64_t sums_from;
    struct covey_sums sums;
    bool has_exponents;
    int16_t exponents[COVEY_MODEL_TENSORS]; /* for the next round */
    struct covey_round_state state;  /* kept with the current model; changed on the work thread alone */
    double train_loss, loss, metric; /* of the last round that has them; NaN */
    uint64_t update_bytes_up, bytes_up_fp32;
    struct covey_errand errand; /* of a gateway */
    bool ended;
    bool end_reported;
    struct covey_round_view view; /* of the machine, for others than the loop */
    /* answers to the machine, and orders from outside */
    bool opened_answer, closed_answer, judged_answer, rules_order;
    uint32_t answer_slots;
    uint32_t answer_round;
    bool answer_stored;
    uint32_t judged_round;
    double judged_value;
    struct covey_round_rules new_rules;
    uint32_t judging; /* evaluations waiting or running */

    /* ---- the loop's alone */
    struct covey_server_round *machine;
    struct covey_uplink *uplink;        /* of a gateway; fixed */
    struct covey_device_scores *scores; /* has a mutex of its own */
};

struct covey_server {
    struct covey_server_options options; /* folder: points at the next */
    char folder[COVEY_FILE_PATH_BYTES - 128];
    struct covey_federation *federations; /* (options.federation_count) */
    struct covey_ledger *ledger;
    struct covey_registry *registry;
    int lock_file;
    uint32_t fold_threads;

    struct covey_workers *intake, *work, *judge;
    struct covey_fold *fold;
    atomic_uint_fast64_t intake_bytes;
    atomic_uint_fast64_t refused;
    atomic_bool accepting; /* false: everything is answered 5.03 */

    struct covey_host_handle host;
    uint16_t port;
    uint64_t started_ms;
    bool came_back; /* its folder had a model before it started */

    pthread_mutex_t loop_mutex;
    pthread_cond_t loop_wake;
    bool woken, stopping;
    atomic_bool status_pending; /* the housekeeping work is queued */
    uint64_t next_status_ms, next_heartbeat_ms, done_since_ms;
};

/* ------------------------------------------------------------------ federation.c */

COVEY_MUST_CHECK enum covey_status covey_federation_init(struct covey_federation *federation,
                                                         struct covey_server *server, uint32_t index,
                                                         const struct covey_federation_options *options,
                                                         struct covey_error *err);
void covey_federation_deinit(struct covey_federation *federation);

/* NULL: there is none of that name. */
struct covey_federation *covey_federation_find(struct covey_server *server, const char *name,
                                               size_t name_bytes);

/* The member at a place, joined or not; NULL when there is no memory. With the mutex held. */
struct covey_member *covey_federation_member(struct covey_federation *federation, uint32_t place);

/* This device's plan now. With the mutex held. */
void covey_federation_plan(struct covey_federation *federation, uint32_t place, uint64_t now_ms,
                           struct covey_plan *out);
/* GET plan: what a device says with it. */
struct covey_asking {
    bool observe;
    struct covey_hours hours; /* its own, and what minute its day has now */
    uint32_t minute_of_day;
};
/* A device asked for its plan: it joins, and counts as available. */
COVEY_MUST_CHECK enum covey_status covey_federation_ask(struct covey_federation *federation, uint32_t place,
                                                        const struct covey_asking *asking,
                                                        struct covey_plan *out);
/* Pushes its plan to one device, without the mutex. */
void covey_federation_push(struct covey_federation *federation, uint32_t place);
/* The device has no session any more. */
void covey_federation_gone(struct covey_federation *federation, uint32_t place);

/* ------------------------------------------------------------------ presence.c */

/* What it told of its hours. With the mutex held. */
void covey_member_note_hours(struct covey_member *member, const struct covey_asking *asking, uint64_t now_ms);
/* There, without work, and with time for it. With the mutex held. */
bool covey_federation_is_available(const struct covey_federation *federation, uint32_t place,
                                   uint64_t now_ms);
/* Places of those available, malloc'ed; with the mutex held. NULL and 0 when nobody is. */
uint32_t *covey_federation_available(struct covey_federation *federation, uint64_t now_ms, uint32_t *count);

/* Forgets `past`, makes the cohort `past`. With the mutex held. */
void covey_federation_retire_cohort(struct covey_federation *federation);
/* Puts a new cohort in place: slots are taken over. With the mutex held. */
COVEY_MUST_CHECK enum covey_status covey_federation_seat_cohort(struct covey_federation *federation,
                                                                uint32_t round, struct covey_slot *slots,
                                                                uint32_t count, uint32_t told);

/* Bounds for uploads under these terms. */
COVEY_MUST_CHECK enum covey_status covey_federation_set_terms(struct covey_federation *federation,
                                                              const struct covey_round_terms *terms,
                                                              struct covey_error *err);

/* ------------------------------------------------------------------ assignments.c: with the mutex held */

bool covey_federation_lasts(const struct covey_federation *federation);
bool covey_federation_is_asynchronous(const struct covey_federation *federation);
struct covey_base *covey_federation_base(struct covey_federation *federation, uint32_t round);
const struct covey_base *covey_slot_base(const struct covey_federation *federation,
                                         const struct covey_slot *slot);
/* Models between its base and the open round's. */
uint32_t covey_slot_staleness(const struct covey_federation *federation, const struct covey_slot *slot);
/* It is still awaited in that round, later than its own. */
bool covey_slot_lasts(const struct covey_federation *federation, const struct covey_slot *slot,
                      uint32_t round, uint64_t now_ms);
/* Between two rounds: that device, or how many, will be awaited in the next one. */
bool covey_federation_is_busy(const struct covey_federation *federation, uint32_t place, uint64_t now_ms);
uint32_t covey_federation_busy(const struct covey_federation *federation, uint64_t now_ms);
/* Appends copies of all those to *slots, malloc'ed, (*count). */
COVEY_MUST_CHECK enum covey_status covey_federation_carry(const struct covey_federation *federation,
                                                          uint32_t round, uint64_t now_ms,
                                                          struct covey_slot **slots, uint32_t *count);
/* What became of those copied ones since; before the cohort is retired. */
void covey_federation_recheck(const struct covey_federation *federation, struct covey_slot *slots,
                              uint32_t first, uint32_t count);
void covey_federation_park(struct covey_federation *federation, struct covey_parked *parked);
/* Without the mutex: what waited goes on, or hears that it is too late. */
void covey_federation_unpark(struct covey_federation *federation);

/* ------------------------------------------------------------------ gateways.c: those below */

/* No unknown names, no more devices than a round takes, a sum that fits the ledger. */
COVEY_MUST_CHECK enum covey_status covey_gateways_check(const struct covey_federation *federation,
                                                        struct covey_error *err);
/* Updates that a participant may answer for at once; 0: it is a device. */
uint32_t covey_gateways_share(const struct covey_federation *federation, uint32_t place);
/* The open round's terms onto the shelf, for gateways; nothing where there are none. With the mutex held. */
COVEY_MUST_CHECK enum covey_status covey_gateways_show_terms(struct covey_federation *federation,
                                                             struct covey_error *err);

/* ------------------------------------------------------------------ errand.c: a gateway's rounds */

struct covey_uplink;

/* What the parent is and the gateway is not: no stop rules, no evaluation. */
void covey_errand_rules(const struct covey_federation *federation, struct covey_round_rules *rules);
/* Is a round to be opened? Then *rules has what is left of the deadline, with time to report. */
bool covey_errand_wanted(struct covey_federation *federation, uint64_t now_ms,
                         struct covey_round_rules *rules);
/* Nothing is open or being opened: another errand may come. */
bool covey_errand_idle(struct covey_federation *federation);
/* The parent does not wait any more: the errand that is ready is dropped, and nobody of the open round's
 * cohort is waited for. */
void covey_errand_call_off(struct covey_federation *federation);
/* For the opening, on the work thread: terms and the most devices. STATE: there is none (any more). */
COVEY_MUST_CHECK enum covey_status covey_errand_terms(struct covey_federation *federation,
                                                      struct covey_round_terms *terms, uint32_t *share,
                                                      struct covey_error *err);
/* The sum of the open round goes to the parent: durable when this returns OK. On the work thread. */
COVEY_MUST_CHECK enum covey_status covey_errand_report(struct covey_federation *federation,
                                                       struct covey_error *err);
/* The errand is over; `failed`: nothing will be reported, the parent need not wait. */
void covey_errand_end(struct covey_federation *federation, bool failed);
/* The errand of the round that was open, from the disk. */
COVEY_MUST_CHECK enum covey_status covey_errand_restore(struct covey_federation *federation,
                                                        struct covey_error *err);

/* Takes the offer over: model, errand, or the end. */
struct covey_offer;
void covey_errand_post(struct covey_offer *offer);

/* ------------------------------------------------------------------ offer.c: what is fetched for a plan */

enum covey_offer_piece {
    COVEY_PIECE_NONE, /* all is there */
    COVEY_PIECE_MANIFEST,
    COVEY_PIECE_STEPS,
    COVEY_PIECE_FULL,
    COVEY_PIECE_DELTAS,
    COVEY_PIECE_TERMS
};

/* Owned by the work once posted. */
struct covey_offer {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_plan plan;
    uint64_t deadline_ms;
    struct covey_blob *manifest, *full, *terms; /* NULL: as before; full also where steps lead there */
    struct covey_blob *deltas[COVEY_MANIFEST_DELTAS];
    struct covey_blob *steps[COVEY_MANIFEST_STEPS]; /* as the manifest lists them: the newest first */
    uint32_t delta_count, step_count;
    bool by_full;       /* no steps: they led nowhere */
    bool steps_useless; /* these did */

    /* while it is fetched */
    enum covey_offer_piece piece;
    struct covey_manifest facts; /* of `manifest`, its signature not checked */
    uint32_t steps_wanted;
};

struct covey_wanted {
    const struct covey_hash *hash; /* borrowed from the offer */
    uint64_t bytes, limit_bytes;   /* bytes: 0 = not known */
};

/* NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_offer_create(struct covey_federation *federation,
                                                      const struct covey_plan *plan, uint64_t deadline_ms,
                                                      bool by_full, struct covey_offer **out);
void covey_offer_free(struct covey_offer *offer); /* NULL is legal */
/* What is to be fetched next; false: all is there. */
bool covey_offer_wants(const struct covey_offer *offer, struct covey_wanted *out);
/* body: what was wanted, its hash checked; copied. */
COVEY_MUST_CHECK enum covey_status covey_offer_take(struct covey_offer *offer, struct covey_bytes body,
                                                    struct covey_error *err);

/* ------------------------------------------------------------------ parent_model.c */

/* The offer's model as the current one, unless it is already. kept: what the parent's strategy keeps, of the
 * terms. On failure all is as before. On the work thread. */
COVEY_MUST_CHECK enum covey_status covey_parent_model_adopt(struct covey_federation *federation,
                                                            struct covey_offer *offer,
                                                            struct covey_bytes kept, struct covey_error *err);

/* ------------------------------------------------------------------ uplink.c: the link to the parent */

COVEY_MUST_CHECK enum covey_status covey_uplink_create(struct covey_federation *federation,
                                                       struct covey_uplink **out, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_uplink_start(struct covey_uplink *uplink, struct covey_error *err);
void covey_uplink_destroy(struct covey_uplink *uplink); /* NULL is legal */
/* A partial sum to be sent, in the place of an older one; durable when this returns OK. Thread-safe. */
COVEY_MUST_CHECK enum covey_status covey_uplink_send(struct covey_uplink *uplink, const uint8_t *message,
                                                     size_t bytes, const struct covey_assignment_id *id,
                                                     struct covey_error *err);
/* Nothing will come for that round of the parent. Thread-safe. */
void covey_uplink_fail(struct covey_uplink *uplink, uint32_t round);
/* That assignment is in hand: its plan is nothing new. Before start. */
void covey_uplink_know(struct covey_uplink *uplink, const struct covey_assignment_id *id);
/* An offer could not be taken just now: the plan is looked at again. by_full: its steps led nowhere.
 * Thread-safe. */
void covey_uplink_again(struct covey_uplink *uplink, bool by_full);

/* ------------------------------------------------------------------ server.c */

uint64_t covey_server_now_ms(const struct covey_server *server);
int64_t covey_server_wall_ms(const struct covey_server *server);
void covey_server_wake(struct covey_server *server);

void covey_server_traffic(const struct covey_server *server, struct covey_traffic *out);

/* ------------------------------------------------------------------ service.c */

#define COVEY_BUSY_AGE_S 2 /* when to ask a busy server again */
/* One line of text as the answer. */
void covey_answer(struct covey_exchange *exchange, uint8_t code, uint32_t max_age_s, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ------------------------------------------------------------------ intake.c */

void covey_intake_put(struct covey_federation *federation, uint32_t place,
                      const struct covey_assignment_id *id, const struct covey_incoming *incoming,
                      struct covey_exchange *exchange);
uint8_t covey_intake_admit_body(struct covey_federation *federation, uint32_t place,
                                const struct covey_assignment_id *id, uint64_t body_bytes);

/* ------------------------------------------------------------------ device_reports.c */

/* POST of metrics. */
void covey_reports_take(struct covey_federation *federation, uint32_t place,
                        const struct covey_incoming *incoming, struct covey_exchange *exchange);

/* ------------------------------------------------------------------ fold.c */

/* An update that is durable and waits to be added. First member of the intake's job. */
struct covey_fold_item {
    struct covey_fold_item *next;
    struct covey_federation *federation;
    uint32_t slot, staleness;
    struct covey_weighed weighed; /* examples under the cap; the contribution has staleness as well */
    struct covey_contribution contribution; /* its stream lives until release */
    bool partial;                           /* the stream is a partial sum */
    void (*release)(struct covey_fold_item *item);
};
struct covey_fold;
COVEY_MUST_CHECK enum covey_status covey_fold_create(struct covey_fold **out, struct covey_error *err);
void covey_fold_post(struct covey_fold *fold, struct covey_fold_item *item);
void covey_fold_destroy(struct covey_fold *fold);
/* An empty sum under these terms, from what was kept with the current model. On the work thread. */
COVEY_MUST_CHECK enum covey_status covey_fold_begin(struct covey_federation *federation,
                                                    const struct covey_round_terms *terms,
                                                    struct covey_aggregation **out, struct covey_error *err);
/* After the last update of a round: makes sure that the sum in memory is what the ledger has. */
COVEY_MUST_CHECK enum covey_status covey_fold_settle(struct covey_federation *federation,
                                                     struct covey_error *err);
/* All updates of the open round from the ledger into a fresh sum; their slots are marked as recorded.
 * *damaged: updates whose bytes were not what they were. */
COVEY_MUST_CHECK enum covey_status covey_fold_again(struct covey_federation *federation, bool *damaged,
                                                    struct covey_error *err);

/* ------------------------------------------------------------------ opening.c, closing.c, judge.c: works */

void covey_post_opening(struct covey_federation *federation, const struct covey_round_action *action);
void covey_post_closing(struct covey_federation *federation, const struct covey_round_action *action);
void covey_post_abandoning(struct covey_federation *federation, const struct covey_round_action *action);
/* Evaluates the model as it is now if there is a validation part (-> JUDGED), then reports the round. */
void covey_post_report(struct covey_federation *federation, const struct covey_round_report *report);
/* Only evaluates: after a restart, for a stop rule. */
void covey_post_judging(struct covey_federation *federation, uint32_t round);
void covey_post_end(struct covey_federation *federation, enum covey_round_end end);

/* ------------------------------------------------------------------ publish.c */

/* What the next model is made of. */
struct covey_next_model {
    uint32_t round;
    const float *weights; /* W: (shared_count) */
    bool has_exponents;
    const int16_t *exponents;              /* (tensor_count) of the round after */
    const struct covey_round_state *state; /* NULL: nothing is kept */
};
/* Makes P(sequence + 1), or P(1) where there is none yet, from W; stores it durably; puts it on the shelf and
 * makes it the current one. On failure all is as before. */
COVEY_MUST_CHECK enum covey_status covey_publish_next(struct covey_federation *federation,
                                                      const struct covey_next_model *next,
                                                      struct covey_error *err);
/* The same from the disk, after a restart. */
COVEY_MUST_CHECK enum covey_status covey_publish_stored(struct covey_federation *federation,
                                                        uint64_t sequence, uint32_t *round,
                                                        struct covey_error *err);
/* Lets go of stored models and steps that nobody may want any more. */
void covey_publish_prune(struct covey_federation *federation);
/* The state section of a model: malloc'ed. */
COVEY_MUST_CHECK enum covey_status covey_publish_state(const struct covey_federation *federation,
                                                       const struct covey_next_model *next, uint8_t **out,
                                                       size_t *size, struct covey_error *err);
/* Models before the current one that are still on the disk: fetchable, for devices that begin late. */
void covey_publish_older(struct covey_federation *federation);
/* The manifest's hash of a stored model; zero when there is none of that sequence. */
void covey_publish_manifest_of(const struct covey_federation *federation, uint64_t sequence,
                               struct covey_hash *out);
/* W of the current model: (shared_count), malloc'ed. */
COVEY_MUST_CHECK enum covey_status covey_publish_weights(struct covey_federation *federation, float **out,
                                                         struct covey_error *err);

/* ------------------------------------------------------------------ recovery.c */

/* The past from the ledger and the models from the disk, before anything runs. */
COVEY_MUST_CHECK enum covey_status covey_federation_recover(struct covey_federation *federation,
                                                            struct covey_error *err);

/* ------------------------------------------------------------------ server_metrics.c */

/* Seen devices into the ledger, the status file beside it. On the work thread. */
void covey_server_keep_house(struct covey_server *server);

#endif
