/* The keys of rounds.jsonl, rounds.csv and summary.json, in their order: one table a struct, from which they
 * are written and by which they are read. */
#ifndef COVEY_OUTCOME_FIELDS_H
#define COVEY_OUTCOME_FIELDS_H

#include <stddef.h>
#include <stdio.h>

#include "outcome.h"

enum covey_outcome_kind {
    COVEY_OUTCOME_BOOL,
    COVEY_OUTCOME_U32,
    COVEY_OUTCOME_U64,
    COVEY_OUTCOME_REAL, /* NaN is null */
    COVEY_OUTCOME_HASH, /* hexadecimal */
    COVEY_OUTCOME_TEXT  /* char[bytes] in place */
};

struct covey_outcome_field {
    const char *key;
    enum covey_outcome_kind kind;
    size_t offset, bytes; /* bytes: TEXT */
};

/* Ended by a NULL key. */
extern const struct covey_outcome_field covey_round_fields[], covey_summary_fields[];

/* All zero, and NaN for every REAL. */
void covey_outcome_fields_clear(const struct covey_outcome_field *fields, void *into, size_t into_bytes);

/* One object, without a newline. */
void covey_outcome_fields_write(FILE *out, const struct covey_outcome_field *fields, const void *from);
/* A line of CSV (RFC 4180) with its newline; from NULL: the header. No field is TEXT. */
void covey_outcome_fields_row(FILE *out, const struct covey_outcome_field *fields, const void *from);

/* Fields that are not there stay, keys that are unknown are passed over. CORRUPT for a value of the wrong
 * kind or out of range. */
COVEY_MUST_CHECK enum covey_status covey_outcome_fields_read(const char *text, size_t text_bytes,
                                                             const struct covey_outcome_field *fields,
                                                             void *into, struct covey_error *err);

#endif
