/* The plan of a training: the graph checked, every shape inferred, operations fused, and all memory known
 * before any is taken. Tensors whose life has ended share memory; the training loop allocates nothing.
 *
 * A plan holds no weights and is only read once made: threads may share it. */
#ifndef COVEY_TRAINING_PLAN_H
#define COVEY_TRAINING_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/messages.h"
#include "covey/model_description.h"
#include "covey/status.h"

/* A precision with its kernels. The choice between them is by name, so that a program links only what it
 * uses. */
struct covey_engine;
extern const struct covey_engine covey_engine_plain;     /* f32, no dependency */
extern const struct covey_engine covey_engine_fast;      /* f32, OpenBLAS and kernels of its own */
extern const struct covey_engine covey_engine_reference; /* f64, plain: what the others are judged by */
/* fast where the build has it, else plain. */
const struct covey_engine *covey_engine_default(void);
const char *covey_engine_name(const struct covey_engine *engine);

/* What to make room for. */
struct covey_training_options {
    const struct covey_engine *engine; /* NULL: the default */
    const struct covey_recipe
        *recipe;       /* optimiser, batch, weight decay, proximal_mu; NULL: evaluation only */
    uint32_t examples; /* the largest data set it will train on; 0 only for evaluation */
    /* Examples computed at once; a larger batch is done in pieces whose gradients add up, which costs a
     * gradient buffer of the model's size. 0: the whole batch up to 64, or whatever the batch is when the
     * model has batch norm (there pieces would change the statistics). Evaluation: 0 reads as 64. */
    uint32_t chunk;
    uint64_t memory_limit_bytes; /* LIMIT when the workspace is larger; 0: COVEY_WORKSPACE_BYTES */
};

/* Bytes by kind. total is what covey_trainer_create takes for its workspace, in one piece. */
struct covey_training_memory {
    uint64_t parameters;  /* of the model; in the caller's memory for f32 (not in total), in the workspace for
                             f64 */
    uint64_t gradients;   /* 0 when the weights are updated in the backward pass */
    uint64_t optimiser;   /* momentum, Adam's moments, FedProx's anchor */
    uint64_t activations; /* values and their gradients, what kernels save from forward to backward; shared by
                             life */
    uint64_t activations_unshared; /* what the same would be if none shared; not in total */
    uint64_t kernel;               /* scratch of the one kernel that wants most */
    uint64_t batch;                /* targets, order of examples, staging */
    uint64_t total;
};

struct covey_training_plan;

/* INVALID or LIMIT as covey_model_check, LIMIT for the memory limit. The description and recipe are copied.
 */
COVEY_MUST_CHECK enum covey_status covey_training_plan_create(const struct covey_model_description *model,
                                                              const struct covey_training_options *options,
                                                              struct covey_training_plan **out,
                                                              struct covey_error *err);
void covey_training_plan_destroy(struct covey_training_plan *plan);

void covey_training_plan_memory(const struct covey_training_plan *plan, struct covey_training_memory *out);

/* Of one training step over a whole batch (forward, backward, update) and of the forward pass alone. */
struct covey_training_cost {
    uint32_t batch, chunk;
    uint64_t forward_flops;
    uint64_t step_flops;
    uint64_t
        step_bytes; /* weights, optimiser state and activations read or written once each: a lower bound */
};
void covey_training_plan_cost(const struct covey_training_plan *plan, struct covey_training_cost *out);

/* One line of `covey-client plan`: an operation as it will be run. */
struct covey_training_step {
    const char *name, *kind, *kernel; /* borrowed from the plan; kind "conv2d+relu+max_pool" when fused */
    uint32_t output_rank;
    uint32_t output_shape[COVEY_TENSOR_RANK];
    uint64_t parameters, forward_flops;                /* of one example */
    uint64_t output_bytes, saved_bytes, scratch_bytes; /* of one chunk */
};
uint32_t covey_training_plan_step_count(const struct covey_training_plan *plan);
void covey_training_plan_step(const struct covey_training_plan *plan, uint32_t index,
                              struct covey_training_step *out);

#endif
