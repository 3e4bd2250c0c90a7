/* A partition as a person wants to see it: a table, a JSON object, a picture. */
#ifndef COVEY_PARTITION_PICTURE_H
#define COVEY_PARTITION_PICTURE_H

#include <stdint.h>
#include <stdio.h>

#include "covey/dataset.h"
#include "covey/status.h"
#include "partition.h"

#define COVEY_PICTURE_LABELS 128 /* told apart; larger ones are not counted */
#define COVEY_PICTURE_BARS 120   /* devices drawn: all, or evenly chosen ones */
#define COVEY_PICTURE_ROWS 20    /* of the table */

struct covey_partition_spread {
    uint32_t least, median, most;
};

struct covey_partition_view {
    const char *name; /* of the scenario */
    const struct covey_dataset *train;
    const struct covey_partition *partition;
    uint64_t examples;                           /* of all shares */
    struct covey_partition_spread share, labels; /* examples, and different labels, a device */
    uint32_t classes;                            /* 0: no labels */
};

/* Walks through all devices. NO_MEMORY. train and partition are borrowed while the view is used. */
COVEY_MUST_CHECK enum covey_status covey_partition_view(const char *name, const struct covey_dataset *train,
                                                        const struct covey_partition *partition,
                                                        struct covey_partition_view *out,
                                                        struct covey_error *err);

/* Labels of one device: counts: (COVEY_PICTURE_LABELS), overwritten; scratch: (covey_partition_most).
 * Returns its examples. */
uint32_t covey_partition_labels(const struct covey_partition_view *view, uint32_t device, uint32_t *scratch,
                                uint32_t counts[COVEY_PICTURE_LABELS]);

COVEY_MUST_CHECK enum covey_status covey_partition_print(FILE *out, const struct covey_partition_view *view,
                                                         struct covey_error *err);
/* One object on one line. */
COVEY_MUST_CHECK enum covey_status covey_partition_print_json(FILE *out,
                                                              const struct covey_partition_view *view,
                                                              struct covey_error *err);
/* A bar a device, stacked by label: an SVG file that stands alone, light and dark. */
COVEY_MUST_CHECK enum covey_status covey_partition_draw(FILE *out, const struct covey_partition_view *view,
                                                        struct covey_error *err);

#endif
