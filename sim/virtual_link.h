/* When a device's transfers end: what the world says of one transfer, stretched over the times at which the
 * device cannot be reached. */
#ifndef COVEY_VIRTUAL_LINK_H
#define COVEY_VIRTUAL_LINK_H

#include "world.h"

/* Transfers of one device in one round, told apart; a later try of one adds COVEY_TRANSFERS each time. */
enum covey_transfer_purpose {
    COVEY_TRANSFER_PLAN,
    COVEY_TRANSFER_MANIFEST,
    COVEY_TRANSFER_MODEL,
    COVEY_TRANSFER_UPDATE,
    COVEY_TRANSFER_DESCRIPTION,
    COVEY_TRANSFERS
};

/* start_ms + work_ms, waiting where the device is away; UINT64_MAX: it does not come back. */
uint64_t covey_virtual_link_until(const struct covey_world *world, uint32_t device, uint64_t start_ms,
                                  uint64_t work_ms);

#endif
