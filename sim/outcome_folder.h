/* What the writer and the readers of a run folder share. */
#ifndef COVEY_OUTCOME_FOLDER_H
#define COVEY_OUTCOME_FOLDER_H

#include <stdio.h>

#include "outcome.h"

#define COVEY_OUTCOME_PATH_BYTES (COVEY_FILE_PATH_BYTES + 32)

/* FOLDER/NAME; LIMIT when it is too long. */
COVEY_MUST_CHECK enum covey_status covey_outcome_path(const char *folder, const char *name,
                                                      char out[COVEY_OUTCOME_PATH_BYTES],
                                                      struct covey_error *err);

/* Lines of a text file, one at a time, into a buffer that is handed in by size. */
struct covey_outcome_lines {
    FILE *in;
    char path[COVEY_OUTCOME_PATH_BYTES];
    char *line; /* ended by zero, without its newline */
    size_t bytes;
    uint64_t number; /* from 1 */
    bool whole;      /* a newline stood behind it */
};
/* NOT_FOUND when the file is not there. */
COVEY_MUST_CHECK enum covey_status covey_outcome_lines_open(const char *folder, const char *name,
                                                            struct covey_outcome_lines *out,
                                                            struct covey_error *err);
/* *more false at the end. LIMIT for a line over COVEY_OUTCOME_LINE_BYTES. */
COVEY_MUST_CHECK enum covey_status covey_outcome_lines_next(struct covey_outcome_lines *lines, bool *more,
                                                            struct covey_error *err);
void covey_outcome_lines_close(struct covey_outcome_lines *lines); /* an all-zero one is legal */

/* Of devices.csv: sums by (class, link, done). */
struct covey_outcome_groups {
    struct covey_outcome_group *items;
    uint32_t *slots; /* (slot_count), a power of two: index + 1, or 0 */
    uint32_t count, slot_count;
};
COVEY_MUST_CHECK enum covey_status covey_outcome_groups_add(struct covey_outcome_groups *groups,
                                                            const struct covey_outcome_group *group,
                                                            struct covey_error *err);
/* By class, link, done; the slots go. */
void covey_outcome_groups_sort(struct covey_outcome_groups *groups);
void covey_outcome_groups_free(struct covey_outcome_groups *groups);

/* devices.csv of run->folder, if it is there, into the run. */
COVEY_MUST_CHECK enum covey_status covey_outcome_devices_read(struct covey_outcome_run *run,
                                                              struct covey_error *err);
/* The names are indexed by the tallies' classes. */
COVEY_MUST_CHECK enum covey_status covey_outcome_devices_write(
    FILE *out, const struct covey_device_tally *tallies, uint32_t count, const char *const *device_classes,
    const char *const *link_classes, struct covey_error *err);

#endif
