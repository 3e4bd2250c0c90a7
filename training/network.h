/* A plan with its workspace: the thing that computes. Written once for `real` and compiled twice; a trainer
 * drives it through the table struct covey_engine, which knows no precision. */
#ifndef COVEY_NETWORK_H
#define COVEY_NETWORK_H

#include "plan.h"

struct covey_network {
    const struct covey_training_plan *plan;
    uint8_t *workspace; /* plan->memory.total bytes, aligned to COVEY_ARENA_ALIGN; borrowed */
    void *params;       /* real: the flat vector; in the workspace for f64, else the caller's */
    /* of the current run */
    uint64_t seed, device;
    uint32_t round;
    uint32_t passes;  /* forward passes so far: keys dropout */
    uint32_t updates; /* Adam's t */
    double rate;
    struct covey_recipe recipe;
    const float *correction, *anchor; /* flat vectors, or NULL */
    size_t correction_count;
};

/* What one chunk adds to a score: sums, not means. */
struct covey_tally {
    double loss;
    double absolute, squared; /* mean squared error: of the differences */
    uint64_t right, count;    /* targets */
};

/* What a precision can do with a network. */
struct covey_network_functions {
    /* Takes the weights: by reference for f32, converted for f64. */
    void (*load)(struct covey_network *network, const float *params);
    /* Gives the weights back, rounded for f64; nothing to do for f32. */
    void (*store)(const struct covey_network *network, float *params);
    /* Optimiser state to zero, anchor to the weights. */
    void (*begin)(struct covey_network *network);
    /* Where the next chunk's inputs go, as f32. */
    float *(*staging)(const struct covey_network *network);
    /* From staging to the batch tensor: x = scale * raw + shift. RANGE for an id out of the vocabulary. */
    enum covey_status (*feed)(const struct covey_network *network, size_t count, struct covey_error *err);
    void (*forward)(struct covey_network *network, size_t count, bool training);
    /* Adds to tally; where gradient is set also writes the output's gradient, of the mean over batch
     * examples. */
    void (*loss)(const struct covey_network *network, size_t count, size_t batch, bool gradient,
                 struct covey_tally *tally);
    /* first and last: of the chunks of one batch; the last one's backward ends with updated weights. */
    void (*backward)(struct covey_network *network, size_t count, bool first, bool last);
    /* The outputs of the chunk, as f32. */
    void (*output)(const struct covey_network *network, size_t count, float *out);
};

/* network.c, compiled twice. */
extern const struct covey_network_functions covey_network_f32, covey_network_f64;

struct covey_engine {
    const char *name;
    const struct covey_kernels *kernels;
    const struct covey_network_functions *network; /* of the same precision */
};

static inline int32_t *covey_network_labels(const struct covey_network *network)
{
    return (int32_t *)(void *)(network->workspace + network->plan->labels);
}

static inline float *covey_network_targets(const struct covey_network *network)
{
    return (float *)(void *)(network->workspace + network->plan->targets);
}

#endif
