/* Segments of a stream whose parts differ in length, each decodable alone:
 *
 *   for each segment its bytes, and those of its escapes if there are any; LEB128 | CRC-8 | segments
 *
 * The check is over everything behind the stream's header: the quantiser's parameters, then these lengths. */
#ifndef COVEY_SEGMENTS_H
#define COVEY_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/codec.h"
#include "covey/status.h"

#define COVEY_SEGMENT_LENGTH_BYTES 10 /* of one segment's two lengths at the most */

struct covey_segment {
    uint32_t bytes;        /* of all of it */
    uint32_t escape_bytes; /* of it */
};

/* Where they lie in a stream; borrowed from it. */
struct covey_segment_table {
    const uint8_t *lengths, *segments;
    bool has_escape;
};

/* What a decoder expects. */
struct covey_segment_layout {
    size_t count;
    bool has_escape;
    /* Bytes that a segment has besides symbols and escapes; NULL: none. */
    size_t (*tail_bytes)(const struct covey_decoder *decoder, size_t index);
};

/* used: bytes from the end of the stream's header to where the lengths begin. CORRUPT. */
COVEY_MUST_CHECK enum covey_status covey_segments_open(struct covey_segment_table *table,
                                                       const struct covey_decoder *decoder, size_t used,
                                                       const struct covey_segment_layout *layout,
                                                       struct covey_error *err);
/* The segment of that number, which the table has. Returns where it begins. */
const uint8_t *covey_segments_find(const struct covey_segment_table *table, size_t index,
                                   struct covey_segment *out);

/* The stream behind its header: head (the parameters), lengths, check and payload (the segments one behind
 * the other). Returns its bytes; 0, with nothing written, where those pass limit. */
size_t covey_segments_write(struct covey_bytes head, const struct covey_segment *segments, size_t count,
                            bool has_escape, struct covey_bytes payload, uint8_t *out, size_t limit);

#endif
