/* CBOR (RFC 8949) read item by item from bytes in memory: bounded, without allocation, without recursion.
 *
 * libcbor's tree builder allocates by declared lengths, so only its stateless streaming decoder is used: an
 * item is a head and, for strings, a view of what follows it. Refused at once: truncated input, a count that
 * the rest of the message cannot hold, indefinite lengths (deterministic encoding has none), nesting past
 * COVEY_CBOR_DEPTH. Private to wire/. */
#ifndef COVEY_CBOR_READER_H
#define COVEY_CBOR_READER_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

enum covey_cbor_type {
    COVEY_CBOR_UNSIGNED,
    COVEY_CBOR_NEGATIVE,
    COVEY_CBOR_BYTES,
    COVEY_CBOR_TEXT,
    COVEY_CBOR_ARRAY,
    COVEY_CBOR_MAP,
    COVEY_CBOR_TAG,
    COVEY_CBOR_FLOAT,
    COVEY_CBOR_BOOL,
    COVEY_CBOR_NULL,      /* undefined too */
    COVEY_CBOR_INDEFINITE /* never given out: refused */
};

struct covey_cbor_item {
    enum covey_cbor_type type;
    uint64_t value; /* unsigned, bool; negative: it means -1 - value; array: items; map: pairs; tag: number */
    double number;  /* float */
    struct covey_bytes bytes; /* bytes, text: borrowed from the message */
};

struct covey_cbor_reader {
    struct covey_bytes message;
    size_t position; /* of the next item */
    unsigned depth;  /* containers open around it; kept by whoever walks into one */
    struct covey_error *err;
};

void covey_cbor_reader_init(struct covey_cbor_reader *reader, struct covey_bytes message,
                            struct covey_error *err);

/* The next item's head (and its string): CORRUPT when there is none or it is malformed. */
COVEY_MUST_CHECK enum covey_status covey_cbor_next(struct covey_cbor_reader *reader,
                                                   struct covey_cbor_item *item);

/* Opens a container that was just read: CORRUPT past COVEY_CBOR_DEPTH. Closing is free. */
COVEY_MUST_CHECK enum covey_status covey_cbor_enter(struct covey_cbor_reader *reader);
void covey_cbor_leave(struct covey_cbor_reader *reader);

/* One whole item, whatever is in it. */
COVEY_MUST_CHECK enum covey_status covey_cbor_skip(struct covey_cbor_reader *reader);
/* The next item, which must be of that type: CORRUPT says what stood there instead. */
COVEY_MUST_CHECK enum covey_status covey_cbor_expect(struct covey_cbor_reader *reader,
                                                     enum covey_cbor_type type, struct covey_cbor_item *item);
/* CORRUPT when bytes are left over. */
COVEY_MUST_CHECK enum covey_status covey_cbor_end(struct covey_cbor_reader *reader);

/* "an array", "a text": for messages. */
const char *covey_cbor_type_name(enum covey_cbor_type type);

#endif
