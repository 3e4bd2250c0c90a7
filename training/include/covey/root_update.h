/* An update that the server makes itself, from a little data that it trusts (FLTrust's root data set): plain
 * local training by the devices' recipe, on the published model. Programs hand covey_root_update_make to the
 * server's library, which does not know training. One at a time. */
#ifndef COVEY_ROOT_UPDATE_H
#define COVEY_ROOT_UPDATE_H

#include <stdint.h>

#include "covey/dataset.h"
#include "covey/messages.h"
#include "covey/model_description.h"
#include "covey/params.h"
#include "covey/status.h"

struct covey_root_update;

/* All borrowed while it lives but recipe, which tells what memory is needed. initial: (layout->count), of
 * which the personal part is trained from in every round. UNSUPPORTED for models with control variates: the
 * server has none of its own. */
COVEY_MUST_CHECK enum covey_status covey_root_update_create(
    const struct covey_model_description *model, const struct covey_layout *layout, const float *initial,
    const struct covey_dataset *dataset, const struct covey_recipe *recipe, struct covey_root_update **out,
    struct covey_error *err);

/* shared: (layout->shared_count) the published model; delta: (layout->update_count), overwritten. A function
 * of its arguments and the data alone. As covey_trainer_run. user: a struct covey_root_update. */
COVEY_MUST_CHECK enum covey_status covey_root_update_make(void *user, const float *shared,
                                                          const struct covey_recipe *recipe, uint32_t round,
                                                          float *delta, struct covey_error *err);

void covey_root_update_destroy(struct covey_root_update *root); /* NULL is legal */

#endif
