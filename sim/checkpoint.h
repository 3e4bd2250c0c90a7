/* RUN/checkpoint: a run's whole state between two rounds, as pieces of memory behind each other: a head with
 * version, byte order and the scenario's hash, each piece with its length, at the end the SHA-256 of all. It
 * is read on the machine that wrote it, by the same version; anything else is refused. */
#ifndef COVEY_CHECKPOINT_H
#define COVEY_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/hash.h"
#include "covey/status.h"

#define COVEY_CHECKPOINT_VERSION 3
#define COVEY_CHECKPOINT_PIECES 32

struct covey_checkpoint_piece {
    void *data;
    size_t bytes;
};

/* Whole or not at all; one that is there is replaced. */
COVEY_MUST_CHECK enum covey_status covey_checkpoint_write(const char *folder,
                                                          const struct covey_hash *scenario,
                                                          const struct covey_checkpoint_piece *pieces,
                                                          size_t count, struct covey_error *err);

struct covey_checkpoint;
/* NOT_FOUND: there is none; MISMATCH: of another scenario; CORRUPT, UNSUPPORTED. */
COVEY_MUST_CHECK enum covey_status covey_checkpoint_open(const char *folder,
                                                         const struct covey_hash *scenario,
                                                         struct covey_checkpoint **out,
                                                         struct covey_error *err);
/* The next piece, of exactly so many bytes, into data. CORRUPT otherwise. */
COVEY_MUST_CHECK enum covey_status covey_checkpoint_take(struct covey_checkpoint *checkpoint, void *data,
                                                         size_t bytes, struct covey_error *err);
void covey_checkpoint_close(struct covey_checkpoint *checkpoint); /* NULL is legal */

/* None there is fine. */
void covey_checkpoint_remove(const char *folder);

#endif
