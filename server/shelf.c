#include "shelf.h"

#include <string.h>

void covey_shelf_init(struct covey_shelf *shelf)
{
    *shelf = (struct covey_shelf){0};
    pthread_mutex_init(&shelf->mutex, NULL);
}

void covey_shelf_deinit(struct covey_shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->count; i++)
        covey_blob_release(shelf->places[i].blob);
    shelf->count = 0;
    pthread_mutex_destroy(&shelf->mutex);
}

static struct covey_shelf_place *place_of(struct covey_shelf *shelf, const struct covey_hash *hash)
{
    for (uint32_t i = 0; i < shelf->count; i++)
        if (memcmp(covey_blob_hash(shelf->places[i].blob), hash, sizeof *hash) == 0)
            return &shelf->places[i];
    return NULL;
}

static void take_away(struct covey_shelf *shelf, uint32_t index)
{
    covey_blob_release(shelf->places[index].blob);
    shelf->places[index] = shelf->places[--shelf->count];
}

static uint32_t first_to_go(const struct covey_shelf *shelf)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < shelf->count; i++)
        if (shelf->places[i].until_sequence < shelf->places[first].until_sequence)
            first = i;
    return first;
}

void covey_shelf_put(struct covey_shelf *shelf, struct covey_blob *blob, uint64_t until_sequence)
{
    pthread_mutex_lock(&shelf->mutex);
    struct covey_shelf_place *place = place_of(shelf, covey_blob_hash(blob));
    if (place != NULL) {
        if (place->until_sequence < until_sequence)
            place->until_sequence = until_sequence;
        covey_blob_release(blob);
    } else {
        if (shelf->count == COVEY_SHELF_BLOBS)
            take_away(shelf, first_to_go(shelf));
        shelf->places[shelf->count++] = (struct covey_shelf_place){blob, until_sequence};
    }
    pthread_mutex_unlock(&shelf->mutex);
}

struct covey_blob *covey_shelf_find(struct covey_shelf *shelf, const struct covey_hash *hash)
{
    pthread_mutex_lock(&shelf->mutex);
    const struct covey_shelf_place *place = place_of(shelf, hash);
    struct covey_blob *blob = place == NULL ? NULL : covey_blob_retain(place->blob);
    pthread_mutex_unlock(&shelf->mutex);
    return blob;
}

void covey_shelf_expire(struct covey_shelf *shelf, uint64_t newest_sequence)
{
    pthread_mutex_lock(&shelf->mutex);
    for (uint32_t i = shelf->count; i-- > 0;)
        if (shelf->places[i].until_sequence < newest_sequence)
            take_away(shelf, i);
    pthread_mutex_unlock(&shelf->mutex);
}
