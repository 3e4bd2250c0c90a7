/* What devices must keep from round to round: a codec's residual (error feedback), and personal parameters. A
 * file of fixed places, mapped into memory, one place a device that has ever trained, in two copies: the one
 * that holds, and the one that a round in progress writes; which is which is told in memory and in
 * checkpoints, so a round that was broken off leaves nothing behind. Places are written by several threads,
 * each its own device. */
#ifndef COVEY_PERSONAL_STORE_H
#define COVEY_PERSONAL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "covey/status.h"

struct covey_personal_store;

struct covey_personal_config {
    const char *folder; /* the file is FOLDER/personal; NULL: an unnamed one in the system's place for them */
    uint32_t devices;   /* of the fleet */
    uint32_t seen;      /* devices that may take part, at the most */
    size_t values;      /* f32 of one device */
    uint64_t limit_bytes;
    bool resume; /* go on with the file that is there */
};

/* LIMIT, with the bytes that it would take, when they are more than limit_bytes. */
COVEY_MUST_CHECK enum covey_status covey_personal_store_create(const struct covey_personal_config *config,
                                                               struct covey_personal_store **out,
                                                               struct covey_error *err);
void covey_personal_store_destroy(struct covey_personal_store *store); /* NULL is legal */
/* Nobody will go on with it: its file goes when it is destroyed. */
void covey_personal_store_forget(struct covey_personal_store *store);

/* The loop's alone: gives the device a place, if it has none. LIMIT when there are no more. */
COVEY_MUST_CHECK enum covey_status covey_personal_store_seat(struct covey_personal_store *store,
                                                             uint32_t device, struct covey_error *err);
/* (values) that hold, and the sequence they were made at; NULL: none were ever kept. Any thread. */
const float *covey_personal_store_read(const struct covey_personal_store *store, uint32_t device,
                                       uint64_t *sequence);
/* (values) to write: they hold once kept. Any thread, one a device. */
float *covey_personal_store_draft(struct covey_personal_store *store, uint32_t device);
/* The loop's: the draft holds from now on. */
void covey_personal_store_keep(struct covey_personal_store *store, uint32_t device, uint64_t sequence);

/* Which copies hold, for a checkpoint: load after create with resume. */
size_t covey_personal_store_save_bytes(const struct covey_personal_store *store);
void covey_personal_store_save(const struct covey_personal_store *store, uint8_t *out);
COVEY_MUST_CHECK enum covey_status covey_personal_store_load(struct covey_personal_store *store,
                                                             const uint8_t *bytes, size_t size,
                                                             struct covey_error *err);
/* Everything kept is on the disk when it returns. */
COVEY_MUST_CHECK enum covey_status covey_personal_store_sync(struct covey_personal_store *store,
                                                             struct covey_error *err);

#endif
