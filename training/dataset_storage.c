#include "dataset_storage.h"

#include <stdlib.h>
#include <sys/mman.h>

enum covey_status covey_storage_create(struct covey_dataset_storage **out)
{
    struct covey_dataset_storage *storage = calloc(1, sizeof *storage);
    if (storage == NULL)
        return COVEY_NO_MEMORY;
    *out = storage;
    return COVEY_OK;
}

static void free_block(const struct covey_dataset_block *block)
{
    if (block->mapped)
        munmap(block->base, block->bytes);
    else
        free(block->base);
}

void covey_storage_destroy(struct covey_dataset_storage *storage)
{
    if (storage == NULL)
        return;
    for (size_t i = 0; i < storage->count; i++)
        free_block(&storage->blocks[i]);
    free(storage);
}

void *covey_storage_take(struct covey_dataset_storage *storage, size_t count, size_t size)
{
    size_t bytes;
    if (storage->count == COVEY_STORAGE_BLOCKS || __builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *base = malloc(bytes != 0 ? bytes : 1);
    if (base != NULL)
        storage->blocks[storage->count++] = (struct covey_dataset_block){.base = base, .bytes = bytes};
    return base;
}

void covey_storage_give_back(struct covey_dataset_storage *storage, void *base)
{
    if (storage->count != 0 && storage->blocks[storage->count - 1].base == base)
        free_block(&storage->blocks[--storage->count]);
}

enum covey_status covey_storage_adopt_map(struct covey_dataset_storage *storage, void *base, size_t bytes)
{
    struct covey_dataset_block block = {.base = base, .bytes = bytes, .mapped = true};
    if (storage->count == COVEY_STORAGE_BLOCKS) {
        free_block(&block);
        return COVEY_LIMIT;
    }
    storage->blocks[storage->count++] = block;
    return COVEY_OK;
}
