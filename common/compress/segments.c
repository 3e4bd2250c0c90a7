#include "segments.h"

#include <string.h>

#include "stage.h"

/* ---- reading ---- */

/* Returns the bytes read, 0 when they make no sense. */
static size_t read_lengths(const uint8_t *at, const uint8_t *end, bool has_escape, struct covey_segment *out)
{
    *out = (struct covey_segment){0};
    const size_t used = covey_length_read(at, end, &out->bytes);
    if (used == 0 || !has_escape)
        return used;
    const size_t more = covey_length_read(at + used, end, &out->escape_bytes);
    return more == 0 ? 0 : used + more;
}

enum covey_status covey_segments_open(struct covey_segment_table *table, const struct covey_decoder *decoder,
                                      size_t used, const struct covey_segment_layout *layout,
                                      struct covey_error *err)
{
    const uint8_t *begin = decoder->stream.data + decoder->body,
                  *end = decoder->stream.data + decoder->stream.size, *at = begin + used;
    uint64_t total = 0;
    table->lengths = at;
    table->has_escape = layout->has_escape;
    for (size_t i = 0; i < layout->count; i++) {
        const size_t tail = layout->tail_bytes != NULL ? layout->tail_bytes(decoder, i) : 0;
        struct covey_segment segment;
        const size_t read = read_lengths(at, end, layout->has_escape, &segment);
        if (read == 0 || (uint64_t)segment.escape_bytes + tail > segment.bytes)
            return covey_fail(err, COVEY_CORRUPT, "codec stream: the length of a segment makes no sense");
        at += read;
        total += segment.bytes;
    }
    if (at >= end || covey_header_check(begin, (size_t)(at - begin)) != *at)
        return covey_fail(err, COVEY_CORRUPT, "codec stream: the parameters' check does not match");
    table->segments = at + 1;
    if ((uint64_t)(end - table->segments) != total)
        return covey_fail(err, COVEY_CORRUPT,
                          "codec stream has %zu bytes behind its parameters, they say %llu",
                          (size_t)(end - table->segments), (unsigned long long)total);
    return COVEY_OK;
}

const uint8_t *covey_segments_find(const struct covey_segment_table *table, size_t index,
                                   struct covey_segment *out)
{
    const uint8_t *at = table->lengths, *begin = table->segments;
    *out = (struct covey_segment){0};
    for (size_t i = 0; i <= index; i++) {
        begin += out->bytes;
        at += read_lengths(at, table->segments, table->has_escape, out);
    }
    return begin;
}

/* ---- writing ---- */

static size_t write_lengths(const struct covey_segment *segment, bool has_escape, uint8_t *out)
{
    const size_t used = covey_length_write(segment->bytes, out);
    return has_escape ? used + covey_length_write(segment->escape_bytes, out + used) : used;
}

size_t covey_segments_write(struct covey_bytes head, const struct covey_segment *segments, size_t count,
                            bool has_escape, struct covey_bytes payload, uint8_t *out, size_t limit)
{
    uint8_t lengths[COVEY_SEGMENT_LENGTH_BYTES];
    size_t used = head.size, bytes = head.size + 1 + payload.size;
    for (size_t i = 0; i < count; i++)
        bytes += write_lengths(&segments[i], has_escape, lengths);
    if (bytes > limit)
        return 0;
    memcpy(out, head.data, head.size);
    for (size_t i = 0; i < count; i++)
        used += write_lengths(&segments[i], has_escape, out + used);
    out[used] = covey_header_check(out, used);
    if (payload.size > 0)
        memcpy(out + used + 1, payload.data, payload.size);
    return bytes;
}
