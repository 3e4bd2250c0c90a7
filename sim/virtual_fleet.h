/* Who takes part, and with what: the scenario's model, data and shares, loaded once and only read afterwards.
 * A device that is idle costs nothing here but its part of the shares and an 8-byte id. */
#ifndef COVEY_VIRTUAL_FLEET_H
#define COVEY_VIRTUAL_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/model.h"
#include "covey/params.h"
#include "attack.h"
#include "covey/status.h"
#include "partition.h"
#include "scenario.h"
#include "sim_data.h"

#define COVEY_FLEET_NAME_BYTES 20 /* "device-000000" */

struct covey_virtual_fleet {
    const struct covey_scenario *scenario; /* borrowed */
    struct covey_model_description *model;
    struct covey_model_summary summary;
    struct covey_layout layout;
    uint32_t description_bytes; /* of its CBOR */
    float *initial;             /* (layout.count) */
    struct covey_sim_data data;
    struct covey_dataset poisoned; /* train, as hostile devices see it; count 0: as everybody else */
    struct covey_partition *partition;
    bool *hostile; /* (devices); NULL: nobody is */
    uint32_t devices;
    uint64_t *ids; /* (devices) covey_random_id of the names */
    bool metric_is_error;
};

COVEY_MUST_CHECK enum covey_status covey_virtual_fleet_init(struct covey_virtual_fleet *fleet,
                                                            const struct covey_scenario *scenario,
                                                            struct covey_error *err);
void covey_virtual_fleet_deinit(struct covey_virtual_fleet *fleet); /* an all-zero one is legal */

/* "device-000012" */
void covey_virtual_fleet_name(uint32_t device, char out[COVEY_FLEET_NAME_BYTES]);

/* The device's examples as a data set over the common tables, or over the poisoned ones. scratch:
 * (covey_partition_most) places, kept while *out is used. Nothing to free. */
void covey_virtual_fleet_share(const struct covey_virtual_fleet *fleet, uint32_t device, bool hostile,
                               uint32_t *scratch, struct covey_dataset *out);
/* Examples in it. */
uint32_t covey_virtual_fleet_count(const struct covey_virtual_fleet *fleet, uint32_t device);
/* Those that the device judges models by: held out, or all that it trains on. Likewise. */
void covey_virtual_fleet_judged(const struct covey_virtual_fleet *fleet, uint32_t device, uint32_t *scratch,
                                struct covey_dataset *out);

#endif
