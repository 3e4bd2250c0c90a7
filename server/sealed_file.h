/* A small file of the server's own that must be whole or counts as lost: the bytes, and their SHA-256 behind
 * them. */
#ifndef COVEY_SEALED_FILE_H
#define COVEY_SEALED_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

/* Durable when it returns OK; replaces a file of that name. */
COVEY_MUST_CHECK enum covey_status covey_sealed_write(const char *folder, const char *name,
                                                      struct covey_bytes bytes, struct covey_error *err);
/* *out: malloc'ed. NOT_FOUND; CORRUPT: not what was written; LIMIT: more than `most` bytes. */
COVEY_MUST_CHECK enum covey_status covey_sealed_read(const char *folder, const char *name, size_t most,
                                                     uint8_t **out, size_t *size, struct covey_error *err);
/* It may be there again after a crash of the machine: whoever reads it must bear that. */
void covey_sealed_remove(const char *folder, const char *name);

#endif
