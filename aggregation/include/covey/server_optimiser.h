/* The server's own step: the mean delta of a round as a direction (FedOpt: Reddi et al. 2021, Algorithm 2).
 * In f64, coordinate by coordinate, with nothing but + - * / and sqrt, so the same bits everywhere.
 *
 *   sgd       w += rate d                                                       rate 1: FedAvg
 *   momentum  m = beta1 m + d;               w += rate m                        (Hsu et al. 2019, FedAvgM)
 *   adagrad   m = beta1 m + (1 - beta1) d;   v += d^2
 *   adam      m as adagrad's;                v = beta2 v + (1 - beta2) d^2
 *   yogi      m as adagrad's;                v -= (1 - beta2) d^2 sign(v - d^2)
 *             and all three                  w += rate m / (sqrt(v) + tau);     v begins at tau^2
 *   feddyn    u += share d;                  w += d + u                         (Acar et al. 2021, Algorithm
 * 1)
 *
 * FedDyn's u is -h / alpha of the paper, so alpha is the devices' alone; share is how many of all devices the
 * mean is of. Its rate is 1. SCAFFOLD's control variates are the last coordinates: they step by w += share d
 * whatever the kind (Karimireddy et al. 2020, equation 5). */
#ifndef COVEY_SERVER_OPTIMISER_H
#define COVEY_SERVER_OPTIMISER_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/round_state.h"
#include "covey/status.h"

enum covey_server_optimiser_kind {
    COVEY_SERVER_SGD,
    COVEY_SERVER_MOMENTUM,
    COVEY_SERVER_ADAGRAD,
    COVEY_SERVER_ADAM,
    COVEY_SERVER_YOGI,
    COVEY_SERVER_FEDDYN,
    COVEY_SERVER_OPTIMISERS
};

/* Plain data. Of what a kind does not use, nothing is looked at. */
struct covey_server_rule {
    enum covey_server_optimiser_kind kind;
    double rate;         /* 0: of the kind, 1 for sgd and momentum, .1, .00316 and .00316 for the others */
    double beta1, beta2; /* [0, 1) */
    double tau;          /* > 0 */
};

struct covey_server_optimiser {
    struct covey_server_rule rule;
    size_t count;   /* coordinates */
    double *first;  /* (count) m or u; NULL where the kind has none */
    double *second; /* (count) v */
};

/* A round's mean as it is stepped by. */
struct covey_server_mean {
    const double *values; /* (count), as from covey_aggregation_finish */
    double scale;    /* of every value but the control variates' (covey/weighting.h); 1 for a plain mean */
    double share;    /* updates in it / devices in all, (0, 1]; read by feddyn and control variates */
    size_t controls; /* of the values, the last ones: control variates */
};

/* NULL past the end. */
const char *covey_server_optimiser_name(enum covey_server_optimiser_kind kind);
/* "sgd"; returns 0, or -1 for another word. */
int covey_server_optimiser_parse(const char *word, enum covey_server_optimiser_kind *out);

/* Fills in what is 0 by the kind's default; INVALID for what cannot be stepped by. */
COVEY_MUST_CHECK enum covey_status covey_server_rule_complete(struct covey_server_rule *rule,
                                                              struct covey_error *err);

/* The state before the first round. rule: copied, completed. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_init(struct covey_server_optimiser *optimiser,
                                                               const struct covey_server_rule *rule,
                                                               size_t count, struct covey_error *err);
void covey_server_optimiser_deinit(struct covey_server_optimiser *optimiser);

/* weights: (count) f32, changed in place, with the state, only when every result is finite: NOT_FINITE
 * otherwise, and nothing is changed. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_step(struct covey_server_optimiser *optimiser,
                                                               const struct covey_server_mean *mean,
                                                               float *weights, struct covey_error *err);

/* The state as bytes, kept with the model: version, kind, count, f64 little-endian. 0 bytes of a kind without
 * one. Who stores it adds the integrity check. */
size_t covey_server_optimiser_save_bytes(const struct covey_server_optimiser *optimiser);
void covey_server_optimiser_save(const struct covey_server_optimiser *optimiser, uint8_t *out);
/* Into an initialised one. MISMATCH: of another kind or model; CORRUPT, UNSUPPORTED. The state stays then. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_load(struct covey_server_optimiser *optimiser,
                                                               struct covey_bytes saved,
                                                               struct covey_error *err);

/* A round's whole step: from the state that is kept with the current model (none yet, or another kind's: the
 * one before the first round) to weights and to COVEY_STATE_OPTIMISER of *next. As init, load and step. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_advance(const struct covey_server_rule *rule,
                                                                  const struct covey_round_state *kept,
                                                                  const struct covey_server_mean *mean,
                                                                  size_t count, float *weights,
                                                                  struct covey_round_state *next,
                                                                  struct covey_error *err);

#endif
