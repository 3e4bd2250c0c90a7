/* The server's side of a simulation: its round machine, the open round's terms and sum, and the line of
 * published models, made of the same parts as the running server (server/). What that adds, ledger, sessions
 * and files, is left out: nothing here can crash or be lost. Not thread-safe but for the sum. */
#ifndef COVEY_VIRTUAL_SERVER_H
#define COVEY_VIRTUAL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/root_update.h"
#include "covey/server_optimiser.h"
#include "covey/server_round.h"
#include "covey/strategy.h"
#include "round_terms.h"
#include "virtual_fleet.h"

struct covey_virtual_server {
    const struct covey_virtual_fleet *fleet; /* borrowed */
    struct covey_recipe recipe;
    struct covey_codec codec, downlink;
    struct covey_server_rule server_rule;
    double weight_cap;
    struct covey_root_update *root; /* NULL: the server has no data of its own */
    size_t ends[COVEY_MODEL_TENSORS];
    size_t tensor_count;
    struct covey_round_rules rules;
    struct covey_server_round *machine;

    /* the current model */
    uint64_t sequence;
    float *published;        /* P: (layout.count), the personal part initial */
    float *weights;          /* W: (shared_count) */
    struct covey_hash model; /* stands for its hash in messages: as long, and another for each model */
    bool has_exponents;
    int16_t exponents[COVEY_MODEL_TENSORS];
    struct covey_round_state state;                   /* kept with the current model */
    uint64_t manifest_bytes, full_bytes, delta_bytes; /* of what a device fetches; delta 0: not offered */

    /* the open round */
    uint32_t round;
    struct covey_round_terms terms;
    struct covey_aggregation *aggregation;
};

COVEY_MUST_CHECK enum covey_status covey_virtual_server_init(struct covey_virtual_server *server,
                                                             const struct covey_virtual_fleet *fleet,
                                                             struct covey_error *err);
void covey_virtual_server_deinit(struct covey_virtual_server *server); /* an all-zero one is legal */

/* The plan of one assignment, as bytes: at most COVEY_PLAN_BYTES. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_plan(const struct covey_virtual_server *server,
                                                             const struct covey_assignment_id *assignment,
                                                             uint32_t deadline_ms, uint8_t *out,
                                                             size_t *out_bytes, struct covey_error *err);
/* The id of a slot of a round: from the seed, where a real server draws it. */
void covey_virtual_server_assignment(const struct covey_virtual_server *server, uint32_t round,
                                     uint32_t device, struct covey_assignment_id *out);

/* An empty sum under the open round's terms. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_begin(const struct covey_virtual_server *server,
                                                              struct covey_aggregation **out,
                                                              struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_virtual_server_open(struct covey_virtual_server *server,
                                                             uint32_t round, uint32_t slots,
                                                             struct covey_error *err);
/* Mean, server optimiser, next model. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_close(struct covey_virtual_server *server,
                                                              struct covey_error *err);
void covey_virtual_server_abandon(struct covey_virtual_server *server);

/* SHA-256 of the published values, as a manifest signs it: one core's milliseconds for each megabyte. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_hash(const struct covey_virtual_server *server,
                                                             struct covey_hash *out);

/* After published was put in place by other means (a checkpoint): its name and sizes. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_show(struct covey_virtual_server *server,
                                                             uint64_t delta_bytes, struct covey_error *err);

#endif
