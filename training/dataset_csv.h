/* CSV files as tables of f32: features, and labels or targets. A missing value becomes NaN. */
#ifndef COVEY_DATASET_CSV_H
#define COVEY_DATASET_CSV_H

#include "covey/dataset_load.h"
#include "dataset_storage.h"

/* paths: (count) files. Fills in inputs, labels, targets, rows and count of *out; memory goes to storage.
 * Errors name file, line and column. */
COVEY_MUST_CHECK enum covey_status covey_csv_load(const struct covey_data_csv *csv, char *const *paths,
                                                  uint32_t count, struct covey_dataset_storage *storage,
                                                  struct covey_dataset *out, struct covey_error *err);

/* ---- the reader underneath: a text cut into rows of fields, in place ---- */

struct covey_csv_reader {
    const char *name; /* of the file */
    char *at, *end;   /* *end is 0 */
    char separator;
    uint32_t line;  /* of the row just read, from 1 */
    uint32_t lines; /* read so far */
    char **fields;  /* (COVEY_CSV_COLUMNS), into the text, each ended by zero */
    uint32_t count; /* fields of the row just read */
};

/* Guesses the separator from the first line when it is 0. */
void covey_csv_begin(struct covey_csv_reader *reader, const char *name, char *text, size_t bytes,
                     char separator);

/* The next row that is not empty: quotes removed (RFC 4180), spaces around fields trimmed. NOT_FOUND at the
 * end. */
COVEY_MUST_CHECK enum covey_status covey_csv_next(struct covey_csv_reader *reader, struct covey_error *err);

/* A finite number -> 1; an empty field, NA, NaN, null or ? -> 0 and NaN; anything else -> -1. */
int covey_csv_number(const char *field, double *out);

#endif
