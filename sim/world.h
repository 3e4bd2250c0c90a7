/* The world that virtual devices live in: how fast they compute, when they can be reached, how long their
 * messages take, what it costs them. Pure functions of (scenario, device, round): nothing is kept for a
 * device, and any number of threads may ask. */
#ifndef COVEY_WORLD_H
#define COVEY_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/status.h"
#include "scenario.h"

struct covey_world;

/* Are the classes, links and traces of the scenario ones that there are? *key: the key that is wrong. */
COVEY_MUST_CHECK enum covey_status covey_world_check(const struct covey_scenario *scenario, const char **key,
                                                     struct covey_error *err);

/* Does every class of devices have so much memory for training? INVALID names the one that has not. */
COVEY_MUST_CHECK enum covey_status covey_world_fits(const struct covey_scenario *scenario, uint64_t bytes,
                                                    struct covey_error *err);

/* flops_per_example: forward and backward of the scenario's model; host_flops_per_s: of one core of this
 * machine, as calibrated (sim/device.c). Runs the real blockwise sender and receiver for its tables where a
 * link class needs one. The scenario is borrowed while the world lives. */
COVEY_MUST_CHECK enum covey_status covey_world_create(const struct covey_scenario *scenario, uint32_t devices,
                                                      double flops_per_example, struct covey_world **out,
                                                      struct covey_error *err);
void covey_world_destroy(struct covey_world *world); /* NULL is legal */

/* What a device is: decided once, by its number and the seed. */
struct covey_virtual_device {
    uint8_t device_class, link_class;
};
void covey_world_device(const struct covey_world *world, uint32_t device, struct covey_virtual_device *out);

/* Can it be reached at now_ms, and until when does that stay so? *until_ms: next change of state. */
bool covey_world_available(const struct covey_world *world, uint32_t device, uint64_t now_ms,
                           uint64_t *until_ms);

/* Virtual time to train so many examples (counted as often as they are met) in that round. */
uint64_t covey_world_training_ms(const struct covey_world *world, uint32_t device, uint32_t round,
                                 uint64_t examples);

/* One transfer of a body from or to the device: by the real blockwise code at that link's rate, round trip
 * and loss. purpose: distinguishes transfers of one round (0 plan, 1 manifest, 2 model, 3 update ...). */
struct covey_transfer {
    uint64_t ms;
    uint64_t bytes_up, bytes_down; /* every datagram with all framing, repeats included */
    bool failed;                   /* gave up */
};
void covey_world_transfer(const struct covey_world *world, uint32_t device, uint32_t round, uint32_t purpose,
                          bool up, uint64_t body_bytes, struct covey_transfer *out);

/* Does the device vanish in this round, and if so at which part (0..1) of its work? Negative: it does not. */
double covey_world_vanishes(const struct covey_world *world, uint32_t device, uint32_t round);

/* Joules of so much training and so many bytes. */
double covey_world_joules(const struct covey_world *world, uint32_t device, uint64_t examples,
                          uint64_t bytes_up, uint64_t bytes_down);

/* The figures of a link; rates 0: no limit. */
struct covey_world_link {
    double up_bits_per_s, down_bits_per_s, round_trip_ms;
    double loss; /* of each datagram, each way */
};
void covey_world_link(const struct covey_world *world, uint32_t index, struct covey_world_link *out);

/* Names, for reports. index below the counts of the scenario (at least one each). */
const char *covey_world_device_class(const struct covey_world *world, uint32_t index);
const char *covey_world_link_class(const struct covey_world *world, uint32_t index);
double covey_world_battery_wh(const struct covey_world *world, uint32_t device_class); /* 0: mains */

#endif
