/* Views of bytes and of hashes: pointer and length, nothing owned. */
#ifndef COVEY_BYTES_H
#define COVEY_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "covey/limits.h"

/* Borrowed bytes. {NULL, 0} is the empty view. */
struct covey_bytes {
    const uint8_t *data;
    size_t size;
};

/* A SHA-256 (FIPS 180-4). */
struct covey_hash {
    uint8_t bytes[COVEY_HASH_BYTES];
};

#define COVEY_HASH_TEXT_BYTES (2 * COVEY_HASH_BYTES + 1)

/* out: count * 2 + 1 chars, lower case, ended by zero. */
void covey_hex_write(const void *bytes, size_t count, char *out);

/* Reads exactly count * 2 hexadecimal digits of text, which must end there. Returns 0, or -1. */
int covey_hex_read(const char *text, void *bytes, size_t count);

#endif
