#include "clock.h"

#include <stdlib.h>

static bool before(const struct covey_clock_event *a, const struct covey_clock_event *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms;
    if (a->device != b->device)
        return a->device < b->device;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    return a->sequence < b->sequence;
}

static enum covey_status make_room(struct covey_clock *clock)
{
    if (clock->count < clock->capacity)
        return COVEY_OK;
    const size_t capacity = clock->capacity == 0 ? 64 : 2 * clock->capacity;
    struct covey_clock_event *heap = reallocarray(clock->heap, capacity, sizeof *heap);
    if (heap == NULL)
        return COVEY_NO_MEMORY;
    clock->heap = heap;
    clock->capacity = capacity;
    return COVEY_OK;
}

/* With room for it. */
static void insert(struct covey_clock *clock, struct covey_clock_event item)
{
    size_t at = clock->count++;
    for (; at > 0 && before(&item, &clock->heap[(at - 1) / 2]); at = (at - 1) / 2)
        clock->heap[at] = clock->heap[(at - 1) / 2];
    clock->heap[at] = item;
}

enum covey_status covey_clock_post(struct covey_clock *clock, const struct covey_clock_event *event)
{
    COVEY_TRY(make_room(clock));
    struct covey_clock_event item = *event;
    item.sequence = clock->sequence++;
    if (item.at_ms < clock->now_ms)
        item.at_ms = clock->now_ms;
    insert(clock, item);
    return COVEY_OK;
}

enum covey_status covey_clock_restore(struct covey_clock *clock, const struct covey_clock_event *event)
{
    COVEY_TRY(make_room(clock));
    insert(clock, *event);
    return COVEY_OK;
}

const struct covey_clock_event *covey_clock_first(const struct covey_clock *clock)
{
    return clock->count == 0 ? NULL : clock->heap;
}

void covey_clock_sift(struct covey_clock *clock, bool (*keep)(void *user, struct covey_clock_event *event),
                      void *user)
{
    const size_t count = clock->count;
    clock->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct covey_clock_event event = clock->heap[i];
        if (keep(user, &event))
            insert(clock, event); /* never past i */
    }
}

bool covey_clock_next(struct covey_clock *clock, struct covey_clock_event *out)
{
    if (clock->count == 0)
        return false;
    *out = clock->heap[0];
    clock->now_ms = out->at_ms;
    const struct covey_clock_event last = clock->heap[--clock->count];
    size_t at = 0;
    for (size_t child = 1; child < clock->count; child = 2 * at + 1) {
        if (child + 1 < clock->count && before(&clock->heap[child + 1], &clock->heap[child]))
            child++;
        if (!before(&clock->heap[child], &last))
            break;
        clock->heap[at] = clock->heap[child];
        at = child;
    }
    clock->heap[at] = last;
    return true;
}

void covey_clock_clear(struct covey_clock *clock)
{
    clock->count = 0;
}

void covey_clock_deinit(struct covey_clock *clock)
{
    free(clock->heap);
    *clock = (struct covey_clock){0};
}
