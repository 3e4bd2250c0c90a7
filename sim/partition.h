/* Who holds which examples: indices into the training part for each device.
 *
 * Dealt out (IID, shards, Dirichlet, natural, files): 4 bytes an example and 4 a device. Drawn: nothing is
 * kept; a device's examples follow from its number and the seed. Only read once made: any number of
 * threads. */
#ifndef COVEY_PARTITION_H
#define COVEY_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/dataset.h"
#include "covey/status.h"
#include "scenario.h"

struct covey_partition;

/* owners: (train->count) 0 .. owner_count - 1, of natural and files, else NULL and 0. train and owners are
 * needed during the call only. INVALID or LIMIT for what cannot be dealt out. Shards, Dirichlet and IID are
 * covey_data_split's. */
COVEY_MUST_CHECK enum covey_status covey_partition_create(const struct covey_dataset *train,
                                                          const uint32_t *owners, uint32_t owner_count,
                                                          const struct covey_partition_config *config,
                                                          uint64_t seed, struct covey_partition **out,
                                                          struct covey_error *err);
void covey_partition_destroy(struct covey_partition *partition); /* NULL is legal */

/* Sets devices in among those there are: is_new[i] of (devices) says which of the new numbering. Each has a
 * random sample of all examples, without repeats, as large as the mean share. Of what was dealt out by iid,
 * shards or Dirichlet; is_new leaves as many as there are. */
COVEY_MUST_CHECK enum covey_status covey_partition_add_samples(struct covey_partition *partition,
                                                               const bool *is_new, uint32_t devices,
                                                               struct covey_error *err);

uint32_t covey_partition_devices(const struct covey_partition *partition);
/* Examples of one device (at least 1), and of the richest. */
uint32_t covey_partition_count(const struct covey_partition *partition, uint32_t device);
uint32_t covey_partition_most(const struct covey_partition *partition);

/* The indices of the device's examples, (*count): borrowed from the partition, or written into scratch, which
 * has room for covey_partition_most. */
const uint32_t *covey_partition_share(const struct covey_partition *partition, uint32_t device,
                                      uint32_t *scratch, uint32_t *count);

/* Heap that it holds. */
uint64_t covey_partition_bytes(const struct covey_partition *partition);

#endif
