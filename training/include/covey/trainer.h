/* The trainer: local training of one device, and evaluation.
 *
 *   covey_trainer_create(model, &options, &trainer, err);
 *   covey_trainer_run(trainer, params, &dataset, &recipe, &run, &result, err);
 *   covey_trainer_evaluate(trainer, params, &dataset, &score, err);
 *
 * params is the flat f32 vector of covey_model_layout. The result is a function of (model, params, data,
 * recipe, seed, device, round) alone: order of examples and dropout come from counter-based generators,
 * momentum and Adam start from zero in every run. One trainer serves one thread at a time; several may run
 * side by side. */
#ifndef COVEY_TRAINER_H
#define COVEY_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/dataset.h"
#include "covey/messages.h"
#include "covey/model_description.h"
#include "covey/params.h"
#include "covey/status.h"
#include "covey/training_plan.h"

struct covey_trainer;

/* Refuses what cannot be trained by: NaN, negative rates, momentum >= 1, Adam without epsilon, neither epochs
 * nor steps, ... INVALID or LIMIT. */
COVEY_MUST_CHECK enum covey_status covey_recipe_check(const struct covey_recipe *recipe,
                                                      struct covey_error *err);

/* The learning rate of a round by the recipe's schedule. */
double covey_recipe_rate(const struct covey_recipe *recipe, uint32_t round);

/* How far `steps` gradients of 1 lead, in units of the rate: the norm |a|_1 of FedNova (Wang et al. 2020,
 * section 4), for sgd, momentum, and FedProx with either. sgd alone, and adam: steps. */
double covey_recipe_effective_steps(const struct covey_recipe *recipe, uint32_t round, uint32_t steps);

/* Bytes of the workspace, before anything is taken. */
COVEY_MUST_CHECK enum covey_status covey_trainer_workspace_bytes(const struct covey_model_description *model,
                                                                 const struct covey_training_options *options,
                                                                 uint64_t *out, struct covey_error *err);

/* Takes the workspace in one piece; nothing is allocated after this. NO_MEMORY, or as
 * covey_training_plan_create. */
COVEY_MUST_CHECK enum covey_status covey_trainer_create(const struct covey_model_description *model,
                                                        const struct covey_training_options *options,
                                                        struct covey_trainer **out, struct covey_error *err);
void covey_trainer_destroy(struct covey_trainer *trainer);

/* Borrowed. */
const struct covey_training_plan *covey_trainer_plan(const struct covey_trainer *trainer);
const struct covey_layout *covey_trainer_layout(const struct covey_trainer *trainer);

/* Whether recipe on so many examples fits the workspace as made; if not, create another. */
bool covey_trainer_fits(const struct covey_trainer *trainer, const struct covey_recipe *recipe,
                        uint32_t examples);

struct covey_training_run {
    uint64_t device; /* covey_random_id of its name */
    uint32_t round;
    uint64_t seed; /* with device and round, of order and dropout; usually the recipe's */
    /* Asked before every step; true: CANCELLED, with params as they are then. NULL: never. */
    bool (*stop)(void *user);
    /* Called after every step, for a display; step counts from 1. NULL: nobody. */
    void (*progress)(void *user, uint32_t step, uint32_t steps, double loss);
    void *user;
    /* Added to the gradient in every step, in the trainable tensors' places of the flat vector (SCAFFOLD,
     * FedDyn); NULL: nothing. Borrowed. */
    const float *correction;
    size_t correction_count; /* tensors behind so many values get none */
    /* What proximal_mu pulls to, as a flat vector (Ditto); NULL: where the run starts. Borrowed. */
    const float *anchor;
    uint64_t (*now_ms)(void *user_clock); /* for result.ms; NULL: 0 */
    void *user_clock;
};

struct covey_training_result {
    uint32_t examples; /* different ones trained on: the weight of the update */
    uint32_t steps;
    double effective_steps;         /* covey_recipe_effective_steps */
    double loss_before, loss_after; /* mean loss over the first and the last epoch, as it was met */
    uint32_t ms;
};

/* Trains in place. NOT_FINITE when the loss is NaN or infinite, RANGE for a label or token that the model
 * does not have, MISMATCH for a data set of another shape, STATE when recipe or data do not fit the workspace
 * (see fits), CANCELLED. After any failure params hold an unfinished training: train on a copy of what must
 * not be lost. */
COVEY_MUST_CHECK enum covey_status covey_trainer_run(struct covey_trainer *trainer, float *params,
                                                     const struct covey_dataset *dataset,
                                                     const struct covey_recipe *recipe,
                                                     const struct covey_training_run *run,
                                                     struct covey_training_result *out,
                                                     struct covey_error *err);

struct covey_score {
    uint32_t examples;
    double loss;     /* mean */
    double accuracy; /* softmax cross-entropy: share of right labels, 0..1; else 0 */
    double rmse;     /* mean squared error: root of the mean; else 0 */
    double mae;      /* mean squared error: mean absolute error; else 0 */
};

/* Inference over the whole data set: no dropout, running statistics. params is only read. */
COVEY_MUST_CHECK enum covey_status covey_trainer_evaluate(struct covey_trainer *trainer, const float *params,
                                                          const struct covey_dataset *dataset,
                                                          struct covey_score *out, struct covey_error *err);

/* Outputs (logits for softmax cross-entropy) of count examples. x: (count, input), as a data set gives them;
 * out: (count, output). RANGE for a token that the model does not have. */
COVEY_MUST_CHECK enum covey_status covey_trainer_predict(struct covey_trainer *trainer, const float *params,
                                                         const float *x, size_t count, float *out,
                                                         struct covey_error *err);

/* Makes an evaluator, evaluates and destroys it. */
COVEY_MUST_CHECK enum covey_status covey_evaluate(const struct covey_model_description *model,
                                                  const float *params, const struct covey_dataset *dataset,
                                                  struct covey_score *out, struct covey_error *err);

#endif
