/* A device's part of a round under the plan's algorithm (docs/strategies.md): local training, and around it
 * what the algorithm adds: client momentum, FedDyn, SCAFFOLD, Ditto. FedProx is the trainer's own. The client
 * and the simulator call the same function.
 *
 * `memory` is what the device keeps of it from round to round, in a durable place of the caller's. */
#ifndef COVEY_LOCAL_STEP_H
#define COVEY_LOCAL_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include "covey/dataset.h"
#include "covey/messages.h"
#include "covey/params.h"
#include "covey/trainer.h"

struct covey_local_step {
    struct covey_trainer *trainer; /* made for this recipe */
    const struct covey_layout *layout;
    const struct covey_dataset *dataset;
    const struct covey_recipe *recipe;
    const float *base; /* P: (layout->count) */
    float *local;  /* (layout->count): in, P with the device's personal values; out, as trained: what is to be
                      sent is local - base, over the update part */
    float *memory; /* (covey_local_memory_count): in the old one, out the new one; NULL when that is 0 */
    bool fresh;    /* nothing was kept yet: memory holds no values */
};

/* f32 that the recipe's algorithm keeps on the device. */
size_t covey_local_memory_count(const struct covey_recipe *recipe, const struct covey_layout *layout);

/* As covey_trainer_run; INVALID when the model is not made for the algorithm. Does not allocate. After a
 * failure neither local nor memory is of use. */
COVEY_MUST_CHECK enum covey_status covey_local_step_run(const struct covey_local_step *step,
                                                        const struct covey_training_run *run,
                                                        struct covey_training_result *out,
                                                        struct covey_error *err);

#endif
