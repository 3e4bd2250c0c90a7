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
#include "covey/server.h"
#include "covey/server_optimiser.h"
#include "covey/server_round.h"
#include "covey/staleness.h"
#include "covey/strategy.h"
#include "published_line.h"
#include "round_terms.h"
#include "virtual_fleet.h"

/* The last steps, oldest first, and what of them was worked out for the current model. */
struct covey_virtual_steps {
    struct covey_line_step kept[COVEY_STEPS_KEPT];
    uint32_t count;
    uint64_t bytes;                           /* of all streams */
    uint64_t sum_bytes[COVEY_STEPS_KEPT + 1]; /* of the last so many steps in one; 0: not asked for yet */
};

/* What a device fetches besides the manifest: so many streams of so many bytes. */
struct covey_virtual_fetch {
    uint32_t count;
    uint64_t bytes[COVEY_STEPS_LISTED];
};

struct covey_virtual_server {
    const struct covey_virtual_fleet *fleet; /* borrowed */
    struct covey_recipe recipe;
    struct covey_codec codec;
    struct covey_line line;
    /* as covey_combination_settle has it: strategy, weighting, server_rule, population and what goes with
     * them */
    struct covey_federation_options combination;
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
    struct covey_virtual_steps *steps;                /* of a line on a lattice */

    /* the open round */
    uint32_t round;
    struct covey_round_terms terms;
    struct covey_aggregation *aggregation;
    struct covey_staleness_tally staleness; /* of what is in it */
    struct covey_weighting_tally weighting; /* the same */
};

COVEY_MUST_CHECK enum covey_status covey_virtual_server_init(struct covey_virtual_server *server,
                                                             const struct covey_virtual_fleet *fleet,
                                                             struct covey_error *err);
void covey_virtual_server_deinit(struct covey_virtual_server *server); /* an all-zero one is legal */

/* The plan of one assignment, as bytes: at most COVEY_PLAN_BYTES. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_plan(const struct covey_virtual_server *server,
                                                             const struct covey_assignment_id *assignment,
                                                             uint32_t device, uint32_t deadline_ms,
                                                             uint8_t *out, size_t *out_bytes,
                                                             struct covey_error *err);
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

/* ---- virtual_line.c ---- */

/* SHA-256 of the published values, as a manifest signs it: one core's milliseconds for each megabyte. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_hash(const struct covey_virtual_server *server,
                                                             struct covey_hash *out);

/* After published was put in place by other means (a checkpoint): its name and sizes. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_show(struct covey_virtual_server *server,
                                                             uint64_t delta_bytes, struct covey_error *err);
/* A step that led to the model: taken over. Without a stream the line began anew. */
COVEY_MUST_CHECK enum covey_status covey_virtual_server_keep_step(struct covey_virtual_server *server,
                                                                  struct covey_line_step *step,
                                                                  struct covey_error *err);
void covey_virtual_server_drop_steps(struct covey_virtual_server *server);
/* What a device with model `have` fetches, 0: none. Other than the last model: client/download.h has the same
 * choice. */
void covey_virtual_server_fetch(const struct covey_virtual_server *server, uint64_t have,
                                struct covey_virtual_fetch *out);
/* Steps as bytes, for a checkpoint. */
size_t covey_virtual_server_steps_bytes(const struct covey_virtual_server *server);
void covey_virtual_server_steps_save(const struct covey_virtual_server *server, uint8_t *out);
COVEY_MUST_CHECK enum covey_status covey_virtual_server_steps_load(struct covey_virtual_server *server,
                                                                   struct covey_bytes bytes,
                                                                   struct covey_error *err);

#endif
