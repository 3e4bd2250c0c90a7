/* CBOR (RFC 8949) written into the caller's buffer, deterministically (section 4.2.1): shortest heads, floats
 * in the shortest form that holds the value exactly, definite lengths. The caller puts keys in order. What
 * does not fit sets `overflow` and is left out, so that only the end needs a check. Private to wire/. */
#ifndef COVEY_CBOR_WRITER_H
#define COVEY_CBOR_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

struct covey_cbor_writer {
    uint8_t *out;
    size_t capacity, used;
    bool overflow;
};

void covey_cbor_writer_init(struct covey_cbor_writer *writer, uint8_t *out, size_t capacity);

void covey_cbor_put_unsigned(struct covey_cbor_writer *writer, uint64_t value);
void covey_cbor_put_signed(struct covey_cbor_writer *writer, int64_t value);
void covey_cbor_put_bytes(struct covey_cbor_writer *writer, struct covey_bytes bytes);
/* Only the head: size bytes are to follow, put there by the caller. */
void covey_cbor_put_bytes_head(struct covey_cbor_writer *writer, size_t size);
void covey_cbor_put_text(struct covey_cbor_writer *writer, const char *text, size_t length);
void covey_cbor_put_array(struct covey_cbor_writer *writer, size_t count);
void covey_cbor_put_map(struct covey_cbor_writer *writer, size_t pair_count);
void covey_cbor_put_tag(struct covey_cbor_writer *writer, uint64_t tag);
void covey_cbor_put_float(struct covey_cbor_writer *writer, double value); /* finite */

/* OK and the bytes written; LIMIT when it did not fit. */
COVEY_MUST_CHECK enum covey_status covey_cbor_finish(const struct covey_cbor_writer *writer,
                                                     size_t *out_bytes, struct covey_error *err);

#endif
