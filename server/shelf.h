/* What devices may fetch by its hash: GET d/{hash}. Holds references to blobs, a bounded number, the oldest
 * go first. Thread-safe; finding is quick, for it runs for each block of a download. */
#ifndef COVEY_SHELF_H
#define COVEY_SHELF_H

#include <pthread.h>
#include <stdint.h>

#include "covey/transport.h"

#define COVEY_SHELF_BLOBS 64

struct covey_shelf {
    pthread_mutex_t mutex;
    uint32_t count;
    struct covey_shelf_place {
        struct covey_blob *blob;
        uint64_t until_sequence; /* kept while the newest model's sequence is not above this */
    } places[COVEY_SHELF_BLOBS];
};

void covey_shelf_init(struct covey_shelf *shelf);
void covey_shelf_deinit(struct covey_shelf *shelf);

/* Takes over the caller's reference. A blob already there stays there longer. */
void covey_shelf_put(struct covey_shelf *shelf, struct covey_blob *blob, uint64_t until_sequence);
/* A new reference, or NULL. */
struct covey_blob *covey_shelf_find(struct covey_shelf *shelf, const struct covey_hash *hash);
/* Lets go of what is past its sequence. */
void covey_shelf_expire(struct covey_shelf *shelf, uint64_t newest_sequence);

#endif
