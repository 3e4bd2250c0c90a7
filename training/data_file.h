/* A file of data as a stream of bytes, or mapped: plain, or compressed by gzip. The one place that knows
 * zlib. */
#ifndef COVEY_DATA_FILE_H
#define COVEY_DATA_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

struct covey_gzip;

struct covey_data_file {
    const char *path; /* borrowed, for messages */
    int descriptor;
    struct covey_gzip *gzip; /* NULL for a plain file */
    uint64_t size;           /* plain: exactly; gzip: the most that these bytes can inflate to */
    uint64_t position;
};

/* Tells gzip by its magic number, not by the name. */
COVEY_MUST_CHECK enum covey_status covey_data_file_open(const char *path, struct covey_data_file *out,
                                                        struct covey_error *err);
void covey_data_file_close(struct covey_data_file *file); /* an all-zero one is legal */

/* Exactly count bytes; CORRUPT when the file ends before. */
COVEY_MUST_CHECK enum covey_status covey_data_file_read(struct covey_data_file *file, void *out, size_t count,
                                                        struct covey_error *err);
/* CORRUPT when anything is left. */
COVEY_MUST_CHECK enum covey_status covey_data_file_end(struct covey_data_file *file, struct covey_error *err);

/* The whole plain file, read-only; the caller unmaps file->size bytes. */
COVEY_MUST_CHECK enum covey_status covey_data_file_map(const struct covey_data_file *file,
                                                       const uint8_t **out, struct covey_error *err);

/* All that is left, in memory of the caller's to free, ended by a zero that is not counted. LIMIT past limit
 * bytes. */
COVEY_MUST_CHECK enum covey_status covey_data_file_read_all(struct covey_data_file *file, size_t limit,
                                                            char **out, size_t *out_bytes,
                                                            struct covey_error *err);

#endif
