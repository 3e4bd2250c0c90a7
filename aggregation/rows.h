/* The updates of a round side by side: a matrix of a row an update, in the order of their places, that is
 * read by tiles of coordinates. Memory is O(tile x rows) a thread, whatever the model's size. */
#ifndef COVEY_ROWS_H
#define COVEY_ROWS_H

#include "covey/codec.h"
#include "covey/fold_pool.h"
#include "spool.h"

#define COVEY_TILE_COLUMNS COVEY_DECODE_VALUES
#define COVEY_TILE_STRIDE                                                                                    \
    (COVEY_TILE_COLUMNS + 16) /* one cache line more: a column's rows lie in many sets */

struct covey_rows {
    const struct covey_spool *spool; /* mapped */
    const struct covey_bytes *streams;
    const double *scales; /* (rows) of each update */
    size_t rows, columns; /* columns: coordinates of the model */
    struct covey_fold_pool *pool;
};

/* Calls of tile in one chunk come in order of `first`, from one thread; chunks run side by side. x: (rows,
 * count), a row every COVEY_TILE_STRIDE values; it may be written over. slot: of the chunk, below
 * covey_rows_slots: what a slot gathers is handed to `settle` chunk by chunk in order, by the caller's
 * thread, before it is used for another. settle may be NULL. NO_MEMORY. */
struct covey_rows_reader {
    void *user;
    void (*tile)(void *user, size_t slot, size_t first, size_t count, float *x);
    void (*settle)(void *user, size_t slot);
};
COVEY_MUST_CHECK enum covey_status covey_rows_read(const struct covey_rows *rows,
                                                   const struct covey_rows_reader *reader,
                                                   struct covey_error *err);
size_t covey_rows_slots(const struct covey_rows *rows);

#endif
