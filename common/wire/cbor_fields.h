/* A message as a table: each row says which member of a struct travels under which integer key, of what type
 * and in what range. One table serves both directions, so they cannot disagree, and every check is made once,
 * here. Private to wire/.
 *
 * A record is a CBOR map. Rows stand in ascending order of keys. A row without REQUIRED is left out when its
 * member is all zero, and reads as zero when it is missing. Unknown keys are skipped; a known key twice is
 * refused. */
#ifndef COVEY_CBOR_FIELDS_H
#define COVEY_CBOR_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "wire/cbor_reader.h"
#include "wire/cbor_writer.h"

enum covey_field_type {
    COVEY_FIELD_UNSIGNED, /* member of 1, 2, 4 or 8 bytes: low <= x <= high */
    COVEY_FIELD_CHOICE,  /* an enum: x <= high; what is above is UNSUPPORTED, not CORRUPT: a later version may
                            know it */
    COVEY_FIELD_SIGNED,  /* int64_t: |x| <= high */
    COVEY_FIELD_FLOAT,   /* f32, finite; `range` */
    COVEY_FIELD_REAL,    /* f64, finite, >= 0 */
    COVEY_FIELD_TEXT,    /* char[size], printable ASCII, ended by zero */
    COVEY_FIELD_FIXED,   /* uint8_t[size] */
    COVEY_FIELD_VIEW,    /* struct covey_bytes, low <= size <= high; data NULL when written: only the head */
    COVEY_FIELD_NUMBERS, /* uint32_t[], each low <= x <= high, `per` of them an entry */
    COVEY_FIELD_TEXTS,   /* char[][size] */
    COVEY_FIELD_RECORD,  /* a struct: `record` */
    COVEY_FIELD_RECORDS  /* an array of structs: `record` */
};

enum covey_float_range {
    COVEY_FLOAT_ANY,
    COVEY_FLOAT_NOT_NEGATIVE,
    COVEY_FLOAT_BELOW_ONE, /* 0 <= x < 1 */
    COVEY_FLOAT_UP_TO_ONE  /* 0 <= x <= 1 */
};

#define COVEY_FIELD_OPTIONAL 0
#define COVEY_FIELD_REQUIRED 1
#define COVEY_COUNT_FIXED SIZE_MAX /* count_offset of an array that always has `entries` entries */

struct covey_record;

struct covey_field {
    const char *name;
    uint8_t key; /* 1..63; 0 is the version */
    uint8_t type;
    uint8_t flags;
    uint8_t range;       /* float: enum covey_float_range */
    size_t offset, size; /* of the member; of one entry of an array */
    uint64_t low, high;
    size_t count_offset; /* arrays: where the uint32_t number of entries is */
    uint32_t entries;    /* arrays: at the most */
    uint32_t per;        /* numbers: CBOR items an entry */
    const struct covey_record *record;
};

struct covey_record {
    const struct covey_field *fields;
    size_t field_count;
};

#define COVEY_RECORD(table)                                                                                  \
    {                                                                                                        \
        .fields = (table), .field_count = sizeof(table) / sizeof((table)[0])                                 \
    }
#define COVEY_MEMBER_SIZE(type, member) sizeof(((type *)0)->member)
#define COVEY_ENTRY_SIZE(type, member) sizeof(((type *)0)->member[0])

/* Rows: struct, member, key, flags, ... */
#define COVEY_UNSIGNED(s, m, k, f, lo, hi)                                                                   \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_UNSIGNED, .flags = (f), .offset = offsetof(s, m),        \
        .size = COVEY_MEMBER_SIZE(s, m), .low = (lo), .high = (hi)                                           \
    }
#define COVEY_CHOICE(s, m, k, f, hi)                                                                         \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_CHOICE, .flags = (f), .offset = offsetof(s, m),          \
        .size = COVEY_MEMBER_SIZE(s, m), .high = (hi)                                                        \
    }
#define COVEY_SIGNED(s, m, k, f, hi)                                                                         \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_SIGNED, .flags = (f), .offset = offsetof(s, m),          \
        .size = COVEY_MEMBER_SIZE(s, m), .high = (hi)                                                        \
    }
#define COVEY_FLOAT(s, m, k, f, r)                                                                           \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_FLOAT, .flags = (f), .range = (r),                       \
        .offset = offsetof(s, m), .size = COVEY_MEMBER_SIZE(s, m)                                            \
    }
#define COVEY_REAL(s, m, k, f)                                                                               \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_REAL, .flags = (f), .offset = offsetof(s, m),            \
        .size = COVEY_MEMBER_SIZE(s, m)                                                                      \
    }
#define COVEY_TEXT(s, m, k, f)                                                                               \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_TEXT, .flags = (f), .offset = offsetof(s, m),            \
        .size = COVEY_MEMBER_SIZE(s, m)                                                                      \
    }
#define COVEY_FIXED(s, m, k, f)                                                                              \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_FIXED, .flags = (f), .offset = offsetof(s, m),           \
        .size = COVEY_MEMBER_SIZE(s, m)                                                                      \
    }
#define COVEY_VIEW(s, m, k, f, lo, hi)                                                                       \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_VIEW, .flags = (f), .offset = offsetof(s, m),            \
        .size = COVEY_MEMBER_SIZE(s, m), .low = (lo), .high = (hi)                                           \
    }
#define COVEY_NUMBERS(s, m, k, f, count, n, each, lo, hi)                                                    \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_NUMBERS, .flags = (f), .offset = offsetof(s, m),         \
        .size = (each) * sizeof(uint32_t), .low = (lo), .high = (hi), .count_offset = (count),               \
        .entries = (n), .per = (each)                                                                        \
    }
#define COVEY_TEXTS(s, m, k, f, count, n)                                                                    \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_TEXTS, .flags = (f), .offset = offsetof(s, m),           \
        .size = COVEY_ENTRY_SIZE(s, m), .count_offset = (count), .entries = (n)                              \
    }
#define COVEY_RECORD_FIELD(s, m, k, f, table)                                                                \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_RECORD, .flags = (f), .offset = offsetof(s, m),          \
        .size = COVEY_MEMBER_SIZE(s, m), .record = (table)                                                   \
    }
#define COVEY_RECORDS(s, m, k, f, count, n, table)                                                           \
    {                                                                                                        \
        .name = #m, .key = (k), .type = COVEY_FIELD_RECORDS, .flags = (f), .offset = offsetof(s, m),         \
        .size = COVEY_ENTRY_SIZE(s, m), .count_offset = (count), .entries = (n), .record = (table)           \
    }

/* A whole message: the map with key 0 = COVEY_WIRE_VERSION in front. INVALID when a value is out of its
 * range, LIMIT when it does not fit. `what` stands in front of an error: "plan". */
COVEY_MUST_CHECK enum covey_status covey_message_encode(const struct covey_record *record, const void *source,
                                                        const char *what, uint8_t *out, size_t capacity,
                                                        size_t *out_bytes, struct covey_error *err);
/* target: all zero before; undefined after a failure. CORRUPT, UNSUPPORTED as covey/messages.h says. */
COVEY_MUST_CHECK enum covey_status covey_message_decode(const struct covey_record *record,
                                                        struct covey_bytes message, const char *what,
                                                        void *target, struct covey_error *err);

/* For maps that are not messages of ours: a text of the message into char[size]; CORRUPT when too long or not
 * printable. */
COVEY_MUST_CHECK enum covey_status covey_cbor_copy_text(struct covey_cbor_reader *reader,
                                                        const struct covey_cbor_item *item, char *out,
                                                        size_t size);

#endif
