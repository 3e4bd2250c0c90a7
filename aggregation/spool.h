/* The updates of a round as they came, compressed, in a file without a name: what strategies that compare
 * updates look at again when all are there. The file goes with the process. Not thread-safe. */
#ifndef COVEY_SPOOL_H
#define COVEY_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

struct covey_spool {
    int file; /* -1: none */
    uint64_t bytes;
    void *map; /* NULL: not mapped yet */
};

/* folder: NULL = /tmp. IO when no file can be made there. */
COVEY_MUST_CHECK enum covey_status covey_spool_init(struct covey_spool *spool, const char *folder,
                                                    struct covey_error *err);
void covey_spool_deinit(struct covey_spool *spool);

/* *at: where it lies. IO: no room left, the spool is as before. */
COVEY_MUST_CHECK enum covey_status covey_spool_append(struct covey_spool *spool, struct covey_bytes stream,
                                                      uint64_t *at, struct covey_error *err);
/* After the last append: the whole as memory, page by page as it is read. */
COVEY_MUST_CHECK enum covey_status covey_spool_map(struct covey_spool *spool, struct covey_error *err);
struct covey_bytes covey_spool_view(const struct covey_spool *spool, uint64_t at, size_t bytes);
/* What was read need not stay in memory; it is read again when it is looked at again. */
void covey_spool_release(const struct covey_spool *spool);

#endif
