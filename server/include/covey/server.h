/* The server: several federations over one transport, one ledger, one folder.
 *
 *   covey_server_create(&options, &server, err)        opens the ledger and the models, goes on where it
 * stopped host = coap or in-process, with covey_server_service(server) covey_server_attach(server, &host,
 * ...) covey_server_run(server, err)                      until covey_server_stop, or until all federations
 * have ended host.ops->destroy(host); covey_server_destroy(server)
 *
 * Who does what:
 *   shard threads   the transport's: serve, admit_body, on_peer. They take short locks, copy, and never wait
 * for a disk intake threads  decode, verify and admit updates ledger thread   makes them durable, many by one
 * fsync, and acknowledges fold thread     adds them to the sum (with fold_threads threads inside the
 * aggregation) work thread     closes rounds: mean, server optimiser, store, sign, publish; keeps the
 * registry and the status file judge thread    evaluates. A stop rule that needs the value holds the next
 * round back until it is there; otherwise the next round trains meanwhile loop            the caller of
 * covey_server_run: steps each federation's round machine
 *
 * The library does not know training: a federation brings its description as bytes, its layout, its initial
 * values and, if there is something to evaluate on, a function. */
#ifndef COVEY_SERVER_H
#define COVEY_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/env.h"
#include "covey/keys.h"
#include "covey/messages.h"
#include "covey/params.h"
#include "covey/server_optimiser.h"
#include "covey/server_round.h"
#include "covey/sign.h"
#include "covey/status.h"
#include "covey/transport.h"
#include "covey/weighting.h"

#define COVEY_INTAKE_THREADS 16
#define COVEY_INTAKE_JOBS 1024 /* updates and metrics waiting for an intake thread; more: 5.03 */
#define COVEY_INTAKE_MEMORY_BYTES                                                                            \
    (256ull << 20) /* of updates between arrival and sum; one may always come in */
#define COVEY_HEARTBEAT_MS 25000u
#define COVEY_RETRY_MS 5000u
#define COVEY_MODELS_KEPT 10u
#define COVEY_STATUS_INTERVAL_MS 2000u

/* ------------------------------------------------------------------ evaluation */

enum covey_part {
    COVEY_PART_VALIDATION, /* after each round, for the stop rules */
    COVEY_PART_TEST        /* once, at the end */
};

struct covey_judgement {
    uint64_t count; /* examples */
    double loss;
    double metric; /* accuracy, or what the model is judged by */
};

/* shared: (layout->shared_count) values of the published model. On the judge thread. */
typedef enum covey_status covey_judge_fn(void *user, enum covey_part part, const float *shared,
                                         struct covey_judgement *out, struct covey_error *err);

/* An update of the server's own, of data that it trusts, for strategies that compare with one: plain local
 * training by the devices' recipe. shared: (layout->shared_count) values of the published model; delta:
 * (layout->update_count), overwritten. The same arguments, the same bits. On the work thread. */
typedef enum covey_status covey_root_update_fn(void *user, const float *shared,
                                               const struct covey_recipe *recipe, uint32_t round,
                                               float *delta, struct covey_error *err);

/* ------------------------------------------------------------------ options */

/* A gateway below this server: a participant that answers for several devices with one partial sum. */
struct covey_gateway {
    char name[COVEY_NAME_BYTES]; /* that its certificate carries */
    uint32_t devices;            /* updates in its sum at the most */
};
#define COVEY_GATEWAYS 1024 /* of a federation */

/* The server above, for a federation that is a gateway: it opens rounds when the parent asks for them, under
 * the parent's terms, passes the parent's models on and reports the sum (docs/server.md). Everything borrowed
 * while the server lives. */
struct covey_parent {
    const char *address;             /* "HOST:PORT" */
    const struct covey_trust *trust; /* whose manifests to believe */
    /* A link with this gateway's own identity; once, from covey_server_create. */
    enum covey_status (*open_link)(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err);
    void *link_user;
    uint32_t reconnect_ms; /* 0 = COVEY_PARENT_RECONNECT_MS; doubled after each failure, up to 64 times */
};
#define COVEY_PARENT_RECONNECT_MS 1000u

enum covey_watched { COVEY_WATCH_METRIC, COVEY_WATCH_LOSS };

struct covey_federation_options {
    char name[COVEY_NAME_BYTES];
    struct covey_bytes description;    /* CBOR; borrowed while the server lives */
    const struct covey_layout *layout; /* the same */
    const float *initial;              /* (layout->shared_count), of P0; borrowed for create */
    struct covey_recipe recipe;
    char codec[COVEY_CODEC_NAME_BYTES];       /* of updates */
    char downlink[COVEY_CODEC_NAME_BYTES];    /* Q of the published line */
    char strategy[COVEY_STRATEGY_TEXT_BYTES]; /* covey/chain.h */
    struct covey_server_rule server_rule;     /* the server's own step; all zero = plain averaging */
    struct covey_weighting weighting;         /* what an update counts for; all zero = its examples */
    uint32_t population;                      /* devices in all, for scaffold and feddyn; 0 = not known */
    double weight_cap; /* examples that one update may count for; 0 = COVEY_UPDATE_EXAMPLES */
    double norm_limit; /* longer updates are refused; 0 = none */
    bool refuse_range; /* out of the grid's range: refused, instead of scaled down */
    struct covey_round_rules rules;
    enum covey_watched watch;        /* by the stop rules */
    bool metric_is_error;            /* the smaller the better, as a loss is */
    uint32_t heartbeat_ms, retry_ms; /* 0 = default */
    uint16_t window_blocks;          /* that devices may have in flight; 0 = COVEY_WINDOW_BLOCKS */
    uint32_t models_kept;            /* files on disk; 0 = default */
    uint32_t deltas_kept;            /* of a line on a lattice, for devices that are behind; 0 = default */
    uint64_t deltas_kept_bytes;      /* of their streams on disk; 0 = default */
    covey_judge_fn *judge;           /* NULL: nothing to evaluate on */
    void *judge_user;
    bool has_validation, has_test;
    uint32_t devices_every; /* in every so many rounds chosen devices judge the model themselves; 0: never */
    double devices_share;   /* of the chosen, [0, 1] */
    const struct covey_gateway *gateways; /* (gateway_count), borrowed while the server lives */
    uint32_t gateway_count;
    /* NULL: this federation makes its own models. Otherwise recipe, codec, downlink, strategy, initial
     * values, caps, stop rules and evaluation are the parent's; name and description must be the same as
     * there. */
    const struct covey_parent *parent;
    covey_root_update_fn *root_update; /* NULL: no data of the server's own */
    void *root_user;
};

/* The published model as devices judged it on examples of their own. */
struct covey_device_summary {
    uint32_t round;   /* whose devices they were: the model that it began with */
    uint32_t devices; /* 0: none has said anything yet */
    uint64_t examples;
    double mean, weighted;           /* over devices; by examples */
    double worst_decile;             /* mean of the worst tenth, at least one */
    double tenth, median, ninetieth; /* quantiles from the worst on */
};

struct covey_round_report;
struct covey_federation_report;

struct covey_server_options {
    const char *folder; /* ledger and models; made when it is not there; locked against a second server */
    struct covey_env env;
    const struct covey_key *signer;                     /* of manifests; borrowed while the server lives */
    const struct covey_federation_options *federations; /* (federation_count), copied */
    uint32_t federation_count;
    uint32_t fold_threads;        /* 0 = one a processor, up to 8 */
    uint32_t intake_threads;      /* 0 = the same */
    uint64_t intake_memory_bytes; /* 0 = COVEY_INTAKE_MEMORY_BYTES */
    uint32_t shard_count;         /* what GET /where shares the devices out over; 0 = 1 */
    uint32_t shard_devices;       /* 0 = COVEY_SHARD_DEVICES */
    bool end_when_done;           /* run returns once every federation has ended and its devices were told */

    /* Called on threads of the server's own; must be quick, and not call back. NULL: nobody. */
    void *events_user;
    void (*on_round)(void *user, const struct covey_round_report *report);
    void (*on_end)(void *user, const struct covey_federation_report *report);
};

/* One round that is over. Once each, in order; after its evaluation, if it has one. */
struct covey_round_report {
    char federation[COVEY_NAME_BYTES];
    uint32_t round;
    bool abandoned;          /* missed its minimum: the model stays as it was */
    uint64_t sequence;       /* of the model after it */
    struct covey_hash model; /* of that model's values */
    uint32_t chosen; /* devices that had work in it: of earlier rounds too, where that outlives them */
    uint32_t goal, updates, dropped;
    uint64_t examples;
    double train_loss;   /* NaN: not known; so below */
    double loss, metric; /* on the validation part */
    uint64_t bytes_up,
        bytes_down;           /* every datagram on the server's ports while it was open: all federations */
    uint64_t update_bytes_up; /* encoded updates alone */
    uint64_t bytes_up_fp32;   /* what they would have taken as plain f32 */
    uint32_t refused;         /* uploads refused, of any reason */
    double seconds;
    struct covey_device_summary devices; /* as of now: devices report after their update was taken */
};

struct covey_federation_report {
    char federation[COVEY_NAME_BYTES];
    enum covey_round_end end;
    uint32_t rounds, abandoned;
    uint64_t sequence;
    struct covey_hash model;
    double loss, metric;           /* validation, of the last model; NaN: none */
    double test_loss, test_metric; /* NaN: no test part */
    uint64_t update_bytes_up, bytes_up_fp32;
    uint64_t bytes_up, bytes_down; /* since this process began: all federations */
    uint64_t upload_bytes_up;
    uint32_t devices; /* that ever asked for a plan */
    double seconds;   /* since the process began */
};

/* ------------------------------------------------------------------ life */

struct covey_server;

/* Opens or makes the folder, checks every federation's rules and codecs against its strategy, restores the
 * last models and open rounds. On failure err names the federation and what to do. Takes O(model) memory a
 * federation. */
COVEY_MUST_CHECK enum covey_status covey_server_create(const struct covey_server_options *options,
                                                       struct covey_server **out, struct covey_error *err);

/* What the transport asks; valid while the server lives. */
struct covey_service covey_server_service(struct covey_server *server);

/* The transport to push through, and the port of shard 0 for GET /where. Before run. host is borrowed;
 * destroy the host before the server. */
void covey_server_attach(struct covey_server *server, const struct covey_host_handle *host, uint16_t port);

/* The loop. OK: stopped, or every federation ended (end_when_done). What is under way is finished and
 * flushed. */
COVEY_MUST_CHECK enum covey_status covey_server_run(struct covey_server *server, struct covey_error *err);

/* Thread-safe; run returns soon. */
void covey_server_stop(struct covey_server *server);

/* Ends the threads; open rounds stay open in the ledger. NULL is legal. */
void covey_server_destroy(struct covey_server *server);

/* ------------------------------------------------------------------ while it runs: thread-safe */

/* New rules for a federation: selection, deadline and stop rules hold from the next round (stop rules at
 * once). NOT_FOUND, or INVALID as covey_round_rules_check. */
COVEY_MUST_CHECK enum covey_status covey_server_set_rules(struct covey_server *server, const char *federation,
                                                          const struct covey_round_rules *rules,
                                                          struct covey_error *err);

/* That device will not come back: its sessions are closed, open rounds do not wait for it. */
void covey_server_withdraw(struct covey_server *server, const char *device);

struct covey_server_view {
    uint32_t known, present; /* devices of the whole server */
    struct covey_traffic traffic;
    uint64_t ledger_updates, ledger_commits;
    uint64_t refused; /* uploads since start */
    bool done;        /* every federation has ended */
};
struct covey_federation_view {
    char name[COVEY_NAME_BYTES];
    struct covey_round_view round;
    uint64_t now_ms; /* the clock of round.deadline_ms */
    uint32_t members, available;
    uint64_t sequence;
    struct covey_hash model;
    double train_loss, loss, metric;         /* of the last round that has them; NaN */
    uint64_t update_bytes_up, bytes_up_fp32; /* since the process began */
    double round_seconds;                    /* mean of the last rounds; 0: none yet */
    uint32_t rounds_wanted;                  /* stop_rounds */
    struct covey_device_summary devices;     /* the newest */
};
void covey_server_view(struct covey_server *server, struct covey_server_view *out);
uint32_t covey_server_federation_count(const struct covey_server *server);
/* index < federation_count. */
void covey_server_federation_view(struct covey_server *server, uint32_t index,
                                  struct covey_federation_view *out);

/* ------------------------------------------------------------------ models on the disk, also beside a
 * running server */

/* The newest model of a federation under a server's folder: *values is malloc'ed, (*count) f32 of the shared
 * part. NOT_FOUND. */
COVEY_MUST_CHECK enum covey_status covey_server_read_model(const char *folder, const char *federation,
                                                           float **values, size_t *count,
                                                           struct covey_manifest *manifest,
                                                           struct covey_error *err);

#endif
