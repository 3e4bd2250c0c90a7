/* A model as the rest of the house sees it: one flat f32 vector and a table of named tensors.
 *
 * The vector is laid out in three runs, so that no copy is ever needed:
 *
 *   [ shared, trainable or buffer | shared, frozen | personal ]
 *    <------- update_count ------>
 *    <--------------- shared_count -------------->
 *    <------------------------- count --------------------------->
 *
 * An update covers the first run (running statistics are averaged like weights); what is published, hashed
 * and signed covers the first two; personal tensors never leave the device. */
#ifndef COVEY_PARAMS_H
#define COVEY_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

enum covey_role { COVEY_ROLE_TRAINABLE, COVEY_ROLE_BUFFER, COVEY_ROLE_FROZEN };
enum covey_scope { COVEY_SCOPE_SHARED, COVEY_SCOPE_PERSONAL };

struct covey_tensor {
    char name[COVEY_NAME_BYTES]; /* "fc1.weight" */
    uint32_t rank;
    uint32_t shape[COVEY_TENSOR_RANK];
    enum covey_role role;
    enum covey_scope scope;
    size_t offset; /* first value in the flat vector; set by covey_layout_finish */
    size_t count;
};

struct covey_layout {
    struct covey_tensor *tensors; /* in order of addition; owned */
    size_t tensor_count;
    size_t tensor_capacity;
    size_t update_count;
    size_t control_count; /* of update_count, the last ones: SCAFFOLD's control variates; 0 or half of it */
    size_t shared_count;
    size_t count;
};

void covey_layout_init(struct covey_layout *layout);
void covey_layout_deinit(struct covey_layout *layout);

/* Adds a tensor; INVALID for a name twice or a zero dimension, LIMIT past COVEY_MODEL_TENSORS or
 * COVEY_MODEL_PARAMETERS. */
COVEY_MUST_CHECK enum covey_status covey_layout_add(struct covey_layout *layout, const char *name,
                                                    uint32_t rank, const uint32_t *shape,
                                                    enum covey_role role, enum covey_scope scope,
                                                    struct covey_error *err);

/* Adds a control variate beside every tensor of the update part so far: a buffer "control:NAME" of its shape.
 * What add says of them. Before finish, after all other tensors. */
COVEY_MUST_CHECK enum covey_status covey_layout_add_controls(struct covey_layout *layout,
                                                             struct covey_error *err);

/* Gives every tensor its offset, run by run, in order of addition within a run. Adding is over then. */
void covey_layout_finish(struct covey_layout *layout);

/* NULL when there is none of that name. Borrowed from layout. */
const struct covey_tensor *covey_layout_find(const struct covey_layout *layout, const char *name);

/* Calls for every tensor of the update part, in the order of the vector: the boundaries that codecs and grids
 * work by. Returns the number written (at most capacity). ends[i] = first value after tensor i. */
size_t covey_layout_update_ends(const struct covey_layout *layout, size_t *ends, size_t capacity);

#endif
