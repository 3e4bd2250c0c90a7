/* What stands behind struct covey_training_plan: the steps in the order in which they run, and where in the
 * workspace everything lies. Offsets are bytes from the start of the workspace, aligned to COVEY_ARENA_ALIGN.
 */
#ifndef COVEY_PLAN_H
#define COVEY_PLAN_H

#include "covey/arena.h"
#include "covey/params.h"
#include "covey/training_plan.h"

#include "graph.h"

#define COVEY_TENSOR_INPUT 0 /* tensor 0 is the batch; tensor s + 1 is the output of step s */
#define COVEY_NOWHERE UINT64_MAX

/* A value that flows between steps, and its gradient. */
struct covey_planned_tensor {
    size_t count;                           /* values of one example */
    uint64_t value;                         /* offset */
    uint64_t gradient;                      /* offset, or COVEY_NOWHERE when nothing upstream is trained */
    uint32_t value_buffer, gradient_buffer; /* while placing: who shares memory with whom */
    int32_t producer;                       /* step, or -1 for the batch */
    uint32_t consumer_count;
    uint32_t last_consumer; /* step; its backward is the first to write the gradient */
    bool overwritable;      /* its one reader may write its own output over it */
};

struct covey_step {
    struct covey_op op;
    const struct covey_op_kernels *kernels;
    uint32_t inputs[COVEY_OP_INPUTS];    /* tensors */
    uint32_t output;                     /* tensor */
    bool backward;                       /* something in it or upstream of it is trained */
    bool trainable;                      /* something in it is trained */
    uint64_t temporary[COVEY_OP_INPUTS]; /* where dx goes when the gradient of inputs[i] already holds
                                            another's share, to be added; else COVEY_NOWHERE */
    uint64_t saved;                      /* or COVEY_NOWHERE */
    size_t saved_bytes, scratch_bytes;
    size_t state[COVEY_OP_PARAMETERS]; /* first value in the optimiser's vectors, in which only trainable
                                          tensors are */
};

/* How weights get from gradient to update. */
enum covey_update_path {
    COVEY_UPDATE_AT_ONCE,  /* SGD without penalties: dw is w itself, where the kernel can; else through
                              `gradients` */
    COVEY_UPDATE_VELOCITY, /* momentum: dw is the velocity */
    COVEY_UPDATE_STEP, /* through `gradients`, which has room for the largest step, one step after the other
                        */
    COVEY_UPDATE_GATHERED /* through `gradients`, which has room for all: several chunks make a batch */
};

struct covey_training_plan {
    const struct covey_engine *engine;
    struct covey_model_description *model; /* copy, owned */
    struct covey_layout layout;            /* owned */
    bool training;
    struct covey_recipe recipe; /* as the workspace was made for */
    uint32_t examples, batch, chunk;
    enum covey_update_path path;
    bool anchored; /* FedProx: the starting point is kept */

    struct covey_shape input;
    uint32_t target_count, classes,
        token_limit; /* token_limit: ids are below this; 0 when the input is no token */
    uint32_t tensor_count;
    struct covey_planned_tensor *tensors; /* owned */
    uint32_t step_count;
    struct covey_step *steps; /* owned */
    size_t trainable_count;   /* values that the optimiser works on */

    /* workspace; COVEY_NOWHERE for what is not needed */
    uint64_t params; /* f64: the model, converted */
    uint64_t gradients;
    uint64_t moment1, moment2; /* velocity or Adam's m; Adam's v */
    uint64_t anchor;
    uint64_t activations;
    uint64_t scratch;
    uint64_t labels, targets; /* int32 classes; f32 values; of one chunk */
    uint64_t staging;         /* f64: the inputs of a chunk as f32 */
    uint64_t order;           /* uint32: all examples, shuffled */
    struct covey_training_memory memory;
};

static inline const struct covey_op_parameter *covey_step_parameter(const struct covey_step *step, uint32_t p)
{
    return &step->op.parameters[p];
}

/* Puts every value, gradient, saved and temporary buffer into one region by their lives. Offsets are relative
 * to the region, whose size it returns in *bytes, and the sum of all in *unshared. */
COVEY_MUST_CHECK enum covey_status covey_plan_place(struct covey_training_plan *plan, uint64_t *bytes,
                                                    uint64_t *unshared, struct covey_error *err);

#endif
