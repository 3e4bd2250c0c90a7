/* The keys of a federation that more than one program reads: blocks `train`, `selection`, `round` and `stop`
 * of server.yaml and of a simulation's scenario. One table of fields each for covey_yaml, with the defaults
 * that docs/server.md names, and what they turn into. */
#ifndef COVEY_FEDERATION_KEYS_H
#define COVEY_FEDERATION_KEYS_H

#include <stdint.h>

#include "covey/messages.h"
#include "covey/server_optimiser.h"
#include "covey/server_round.h"
#include "covey/weighting.h"
#include "covey/yaml.h"

/* As in the file; 0 means that the key was left out. */
struct covey_train_keys {
    int64_t epochs, steps;
    int64_t batch; /* -1 = all in one */
    int64_t optimiser;
    double learning_rate, momentum, beta2, epsilon, weight_decay;
    int64_t schedule;
    double schedule_factor;
    int64_t schedule_period;
    double proximal_mu;
    int64_t algorithm; /* enum covey_local_algorithm */
    double strength;
};

struct covey_selection_keys {
    double fraction, over_selection;
    int64_t count, minimum_devices;
    int64_t policy;
    double candidates, exploration, pace_s;
};

struct covey_round_keys {
    int64_t mode, buffer, concurrency, staleness_max, late;
    int64_t goal, minimum_updates;
    double deadline_s, pause_s, heartbeat_s, retry_s;
    int64_t window_blocks;
};

struct covey_stop_keys {
    int64_t rounds, watch, patience;
    double target, gain;
};

struct covey_optimiser_keys {
    int64_t kind; /* enum covey_server_optimiser_kind */
    double rate, beta1, beta2, tau;
};

struct covey_weighting_keys {
    int64_t kind; /* enum covey_weighting_kind */
    double power, smoothness;
};

/* Offsets count from the struct of the block. */
extern const struct covey_field covey_keys_train_fields[];
extern const struct covey_field covey_keys_selection_fields[];
extern const struct covey_field covey_keys_round_fields[];
extern const struct covey_field covey_keys_stop_fields[];
extern const struct covey_field covey_keys_optimiser_fields[]; /* block server_optimiser */
extern const struct covey_field covey_keys_weighting_fields[]; /* block weighting */

/* Defaults filled in. Not checked yet: covey_round_rules_check, covey_recipe_check. */
void covey_keys_rules(const struct covey_selection_keys *selection, const struct covey_round_keys *round,
                      const struct covey_stop_keys *stop, struct covey_round_rules *out);
void covey_keys_recipe(const struct covey_train_keys *train, uint64_t seed, struct covey_recipe *out);

/* What is left out stays 0, until covey_server_create fills it in. */
void covey_keys_weighting(const struct covey_weighting_keys *weighting, struct covey_weighting *out);

/* server_rate (0: left out) is sgd's rate in one word, and goes with no other kind. INVALID as
 * covey_server_rule_complete. */
COVEY_MUST_CHECK enum covey_status covey_keys_server_rule(const struct covey_optimiser_keys *optimiser,
                                                          double server_rate, struct covey_server_rule *out,
                                                          struct covey_error *err);

/* Seconds of a key as milliseconds, rounded; not above 0: otherwise_ms. */
uint32_t covey_keys_ms(double seconds, uint32_t otherwise_ms);

#endif
