/* What a data set owns: blocks of heap and mapped files, freed together. */
#ifndef COVEY_DATASET_STORAGE_H
#define COVEY_DATASET_STORAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "covey/status.h"

#define COVEY_STORAGE_BLOCKS 12

struct covey_dataset_storage {
    size_t count;
    struct covey_dataset_block {
        void *base;
        size_t bytes;
        bool mapped;
    } blocks[COVEY_STORAGE_BLOCKS];
};

COVEY_MUST_CHECK enum covey_status covey_storage_create(struct covey_dataset_storage **out);
void covey_storage_destroy(struct covey_dataset_storage *storage); /* NULL is legal */

/* count * size bytes of heap, not cleared; NULL when there is no memory (or the product overflows). */
void *covey_storage_take(struct covey_dataset_storage *storage, size_t count, size_t size);

/* Frees the newest block again if it is that one. */
void covey_storage_give_back(struct covey_dataset_storage *storage, void *base);

/* From here the mapping is the storage's; when there is no place (COVEY_STORAGE_BLOCKS) it is unmapped. */
COVEY_MUST_CHECK enum covey_status covey_storage_adopt_map(struct covey_dataset_storage *storage, void *base,
                                                           size_t bytes);

#endif
