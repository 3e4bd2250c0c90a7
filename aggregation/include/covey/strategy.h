/* How updates become one mean delta. A server calls, once a round:
 *
 *   struct covey_chain chain;
 *   covey_chain_parse("fedavg", &chain, err);         (at start; refuses what makes no sense)
 *   struct covey_aggregation_plan plan = {.ends = ends, .tensor_count = n, .exponents = NULL or last round's
 * next ones, .updates_max = goal with over-selection, .weight_max = ..., .threads = 2, .kept = what the
 * strategy kept with the model};
 *   covey_aggregation_begin(&chain, &plan, &aggregation, err);
 *   for each update (or several in one call, which is faster):
 *       covey_aggregation_add(aggregation, &(struct covey_contribution){stream, examples, slot}, 1, &verdict,
 * err);
 *   covey_aggregation_refer(aggregation, delta, err); (where strategy->needs_reference)
 *   covey_aggregation_finish(aggregation, &mean, &report, next_exponents, err);
 *   covey_aggregation_keep(aggregation, &next_state, err);
 *   covey_server_optimiser_step(...mean...);          (covey/server_optimiser.h)
 *   covey_aggregation_destroy(aggregation);
 *
 * `ends` come from covey_layout_update_ends. The result is the same, bit for bit, for any order of the
 * updates, any number of threads, and any split into partial sums that are merged. What is refused leaves no
 * trace in the sum.
 *
 * A strategy says what it needs and what it looks at, so that combinations that cannot hold (a secure sum,
 * which shows no single update, under a rule that compares updates) are refused at start. */
#ifndef COVEY_STRATEGY_H
#define COVEY_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/chain.h"
#include "covey/round_state.h"
#include "covey/status.h"

enum covey_strategy_needs {
    COVEY_NEEDS_SUM,       /* streams: an update is folded in and forgotten; memory O(model) */
    COVEY_NEEDS_INDIVIDUAL /* looks at all updates together: spools them */
};

enum covey_strategy_inspects { COVEY_INSPECTS_NOTHING, COVEY_INSPECTS_NORM, COVEY_INSPECTS_EVERYTHING };

struct covey_aggregation_plan {
    const size_t *ends; /* (tensor_count) first coordinate after each tensor; borrowed for the call */
    size_t tensor_count;
    const int16_t *exponents; /* (tensor_count) or NULL: wide (the first round); borrowed for the call */
    uint64_t updates_max;     /* no more updates than this, 1..COVEY_DEVICES; more: LIMIT */
    double weight_max;       /* the largest weight that one update may have; what is above counts as this. The
                                smaller updates_max * weight_max, the finer the grid: keep it to what is possible */
    uint32_t threads;        /* 1..COVEY_FOLD_THREADS */
    bool refuse_range;       /* an update out of range: refused; otherwise scaled down whole */
    double norm_limit;       /* an update longer than this is refused; 0: no limit */
    struct covey_bytes kept; /* COVEY_STATE_STRATEGY of the model that the round starts from; empty: none yet;
                                borrowed for the call */
    uint64_t seed;           /* of what a chain draws (buckets), with `round` */
    uint32_t round;
    const char *spool_folder; /* where strategies that need individual updates put them, in a file without a
                                 name; NULL: /tmp; borrowed for the call */
};

/* One update: a codec stream (covey/codec.h) over all coordinates, borrowed for the call. */
struct covey_contribution {
    struct covey_bytes stream;
    double weight;  /* examples, perhaps times staleness or loss^q; finite and > 0 */
    uint64_t place; /* its own in the round, from the device's id: rules that compare updates look at them in
                       this order, whenever and by whatever way they came */
};

/* What became of one update. status OK: it is in the sum. Otherwise it is not, and error says why. */
struct covey_verdict {
    enum covey_status status;
    double scale;  /* 1, or the factor by which it was scaled down to fit the range */
    double weight; /* as it counted, after the cap and the rounding to an integer */
    double norm;   /* -1 where nobody asked for it */
    struct covey_error error;
};

struct covey_aggregation_report {
    uint64_t updates;     /* in the mean */
    uint64_t refused;     /* by add; here, not in merged partial sums; the same for the two below */
    uint64_t scaled_down; /* of `updates` */
    uint64_t capped;      /* of `updates`: weight above weight_max */
    double weight_sum;    /* of `updates`, as they counted */
    uint8_t coordinate_bits;
};

struct covey_aggregation;

/* A row of the table. The functions get the strategy's own state; callers use covey_aggregation_* below. */
struct covey_strategy {
    const char *name;
    const char *summary;  /* one line, for `covey-server strategies` */
    const char *source;   /* who published it */
    bool always_clips;    /* clip=fixed is what it is: it cannot be none */
    bool needs_reference; /* an update of the server's own: covey_aggregation_refer */
    uint32_t takes;       /* COVEY_TAKES_...: parameters of the chain that it looks at */
    enum covey_strategy_needs needs;
    enum covey_strategy_inspects inspects;
    /* (n, f) -> fewest updates that it gives anything for; NULL: 1 */
    uint64_t (*updates_min)(const struct covey_chain *chain);
    enum covey_status (*begin)(const struct covey_chain *chain, const struct covey_aggregation_plan *plan,
                               void **state, struct covey_error *err);
    enum covey_status (*add)(void *state, const struct covey_contribution *updates, size_t count,
                             struct covey_verdict *verdicts, struct covey_error *err);
    /* NULL where no reference is looked at */
    enum covey_status (*refer)(void *state, const float *reference, struct covey_error *err);
    enum covey_status (*finish)(void *state, const double **mean, int16_t *next_exponents,
                                struct covey_error *err);
    void (*report)(void *state, struct covey_aggregation_report *out);
    /* NULL where there are no partial sums */
    enum covey_status (*merge)(void *state, struct covey_bytes saved, struct covey_error *err);
    size_t (*save_bytes)(void *state);
    enum covey_status (*save)(void *state, uint8_t *out, size_t capacity, size_t *out_bytes);
    /* after finish: what the next round is begun with; NULL where nothing is kept */
    enum covey_status (*keep)(void *state, struct covey_round_state *out, struct covey_error *err);
    void (*destroy)(void *state);
};

/* Rows in order; NULL past the end. */
const struct covey_strategy *covey_strategy_at(size_t index);
/* NULL when there is none of that name. */
const struct covey_strategy *covey_strategy_find(const char *name);

/* Takes all memory that the round needs (8 bytes a coordinate for streaming strategies). */
COVEY_MUST_CHECK enum covey_status covey_aggregation_begin(const struct covey_chain *chain,
                                                           const struct covey_aggregation_plan *plan,
                                                           struct covey_aggregation **out,
                                                           struct covey_error *err);

/* Adds count updates; verdicts: (count), overwritten. May be called from several threads at once: updates are
 * checked side by side and folded one call after the other. Returns OK even if all were refused; otherwise
 * STATE after finish. Several updates in one call are folded while their coordinates are in the cache: 8 to
 * 64 pay. */
COVEY_MUST_CHECK enum covey_status covey_aggregation_add(struct covey_aggregation *aggregation,
                                                         const struct covey_contribution *updates,
                                                         size_t count, struct covey_verdict *verdicts,
                                                         struct covey_error *err);

/* The partial sum as bytes (versioned; whoever stores or sends it adds the integrity check), and exactly
 * adding one made elsewhere (same plan: MISMATCH otherwise). UNSUPPORTED for strategies that need individual
 * updates. */
size_t covey_aggregation_save_bytes(const struct covey_aggregation *aggregation);
COVEY_MUST_CHECK enum covey_status covey_aggregation_save(struct covey_aggregation *aggregation, uint8_t *out,
                                                          size_t capacity, size_t *out_bytes);
COVEY_MUST_CHECK enum covey_status covey_aggregation_merge(struct covey_aggregation *aggregation,
                                                           struct covey_bytes saved, struct covey_error *err);

/* The update that the server made itself, from data that it trusts, by the recipe of the round:
 * (coordinates), borrowed until finish. UNSUPPORTED where the strategy looks at none, NOT_FINITE. */
COVEY_MUST_CHECK enum covey_status covey_aggregation_refer(struct covey_aggregation *aggregation,
                                                           const float *reference, struct covey_error *err);

/* What there is so far; may be asked at any time before finish. */
void covey_aggregation_report(struct covey_aggregation *aggregation, struct covey_aggregation_report *out);

/* *mean: (coordinates) f64, the weighted mean delta, borrowed until destroy. next_exponents: (tensor_count)
 * for the next round's plan, or NULL. STATE when no update is in, when a reference is
 * needed and there is none, or when called twice. */
COVEY_MUST_CHECK enum covey_status covey_aggregation_finish(struct covey_aggregation *aggregation,
                                                            const double **mean,
                                                            struct covey_aggregation_report *report,
                                                            int16_t *next_exponents, struct covey_error *err);
/* Sets COVEY_STATE_STRATEGY of *next, the state that goes with the model which this mean leads to; leaves it
 * empty where the strategy keeps nothing. After finish: STATE otherwise. */
COVEY_MUST_CHECK enum covey_status covey_aggregation_keep(struct covey_aggregation *aggregation,
                                                          struct covey_round_state *next,
                                                          struct covey_error *err);
void covey_aggregation_destroy(struct covey_aggregation *aggregation);

#endif
