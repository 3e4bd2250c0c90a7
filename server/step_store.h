/* The steps of a line on the disk, beside its models: one file a step, so that what many rounds add up to can
 * be had when the models themselves are gone.
 *
 *   FOLDER/00000012.step   leads from model 11 to model 12
 *
 *   offset 0    "COVEYSTP", version (u32), grid (u32), bytes of the stream (u64)
 *   offset 24   SHA-256 of the model it starts from, of the one it ends at, of the stream, and of all before
 *   offset 152  the stream
 *
 * All numbers little-endian. Not thread-safe. */
#ifndef COVEY_STEP_STORE_H
#define COVEY_STEP_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "covey/hash.h"
#include "covey/status.h"

#include "durable_file.h"

struct covey_stored_step {
    uint64_t bytes;
    uint8_t grid;
    struct covey_hash from, to, stream;
};

/* folder: the model store's. Durable when it returns OK. calls: NULL = the system's. stream: step->bytes of
 * them. */
COVEY_MUST_CHECK enum covey_status covey_step_store_save(const char *folder,
                                                         const struct covey_file_calls *calls,
                                                         uint64_t sequence,
                                                         const struct covey_stored_step *step,
                                                         const uint8_t *stream, struct covey_error *err);
/* What leads to that model; NOT_FOUND, CORRUPT. stream: if not NULL, malloc'ed, its hash checked. */
COVEY_MUST_CHECK enum covey_status covey_step_store_load(const char *folder, uint64_t sequence,
                                                         struct covey_stored_step *step, uint8_t **stream,
                                                         struct covey_error *err);
void covey_step_store_remove(const char *folder, uint64_t sequence);
/* Removes what leads to models up to that one. */
void covey_step_store_prune(const char *folder, uint64_t up_to);

#endif
