/* A data set in memory: what the trainer reads its examples from.
 *
 * Three tables lie side by side, a row an example: inputs (always), labels (classification) and targets
 * (regression), each in the element type in which it was stored, so that 600 images of MNIST cost 470 KB of
 * mapped file and nothing else. Conversion to f32, scaling and standardisation happen as examples are read:
 *
 *   x = ((float)stored * scale + shift - mean[feature]) * inverse_deviation[feature]
 *
 * A data set is plain: zero one, fill in pointers to memory of your own, and it can be read (tests,
 * simulations). What covey/dataset_load.h makes owns its memory through `storage`. Once made it is only read:
 * threads may share it. */
#ifndef COVEY_DATASET_H
#define COVEY_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/limits.h"
#include "covey/status.h"

enum covey_element {
    COVEY_ELEMENT_U8,
    COVEY_ELEMENT_I8,
    COVEY_ELEMENT_I16,
    COVEY_ELEMENT_I32,
    COVEY_ELEMENT_F32,
    COVEY_ELEMENT_F64
};

/* (rows, width) row-major, borrowed. width 0: there is no such table. */
struct covey_table {
    const void *values; /* need not be aligned */
    enum covey_element type;
    bool swapped; /* stored in the byte order that this machine does not have (IDX is big-endian) */
    uint32_t width;
};

struct covey_dataset_storage;

struct covey_dataset {
    uint32_t count;            /* examples */
    const uint32_t *index;     /* (count) rows, in the order of the examples; NULL: rows 0 .. count-1 */
    uint32_t rows;             /* of the tables; every index is below it */
    struct covey_table inputs; /* width = values of an example */
    struct covey_table labels; /* integers; width > 1: several labels an example (one a time step) */
    struct covey_table targets;
    uint32_t rank; /* of an example as its file has it; 0: unknown, take it as flat */
    uint32_t shape[COVEY_TENSOR_RANK];
    float scale, shift;                    /* scale 0 reads as 1, so that an all-zero data set is plain */
    const float *mean, *inverse_deviation; /* (inputs.width) each, or both NULL */
    struct covey_dataset_storage *storage; /* what deinit frees; NULL: the memory is the caller's */
};

/* Examples rows[0 .. n-1], each below dataset->count: x: (n, inputs.width); labels: (n, labels.width) or
 * NULL; targets: (n, targets.width) or NULL; all overwritten. rows NULL: examples first .. first+n-1 (else
 * first is not read). Labels of a table of real numbers are cut toward zero. RANGE for an example that is not
 * there (nothing is written then). */
COVEY_MUST_CHECK enum covey_status covey_dataset_read(const struct covey_dataset *dataset,
                                                      const uint32_t *rows, uint32_t first, size_t n,
                                                      float *x, int32_t *labels, float *targets);

/* Of `count` examples so many are held out for `share`: at least one, never all; 0: share is 0, or there are
 * fewer than two. */
uint32_t covey_held_out_count(double share, uint32_t count);
/* Is the example at `place` one of `held` of `count`, spread evenly? Asked from place 0 on; *taken: those
 * that were, 0 at first. */
bool covey_held_out_next(uint32_t place, uint32_t held, uint32_t count, uint32_t *taken);

/* Two views of the same tables: of every 1 / share examples one is held out, spread evenly. Both keep at
 * least one: INVALID when there are fewer than two. *rows: malloc'ed, what both stand on; all must outlive
 * them. */
COVEY_MUST_CHECK enum covey_status covey_dataset_hold_out(const struct covey_dataset *all, double share,
                                                          struct covey_dataset *rest,
                                                          struct covey_dataset *held, uint32_t **rows,
                                                          struct covey_error *err);

/* The first label of an example; 0 when there are none. */
int32_t covey_dataset_label(const struct covey_dataset *dataset, uint32_t example);

/* Largest label plus one over all examples; 0 when there are none. INVALID for a negative label, naming the
 * example. */
COVEY_MUST_CHECK enum covey_status covey_dataset_classes(const struct covey_dataset *dataset, uint32_t *out,
                                                         struct covey_error *err);

/* The examples picked[0 .. count-1] of `whole` as a data set of its own, over the same tables: *out owns a
 * copy of the list (and nothing else), and must not outlive `whole`. RANGE for an example that is not there.
 */
COVEY_MUST_CHECK enum covey_status covey_dataset_view(const struct covey_dataset *whole,
                                                      const uint32_t *picked, uint32_t count,
                                                      struct covey_dataset *out, struct covey_error *err);

/* Bytes of mapped files and of heap that this data set owns. */
void covey_dataset_memory(const struct covey_dataset *dataset, uint64_t *mapped_bytes, uint64_t *heap_bytes);

/* Frees what it owns and zeroes it. An all-zero one is legal. */
void covey_dataset_deinit(struct covey_dataset *dataset);

size_t covey_element_bytes(enum covey_element type);
const char *covey_element_name(enum covey_element type);

#endif
