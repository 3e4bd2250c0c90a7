#include "covey/arena.h"

void covey_arena_init(struct covey_arena *arena, void *base, size_t size)
{
    *arena = (struct covey_arena){.base = base, .size = size};
}

void *covey_arena_take(struct covey_arena *arena, size_t count, size_t size)
{
    size_t bytes, end;
    /* used is always a multiple of the alignment, so only the request is rounded up. */
    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)COVEY_ARENA_ALIGN - 1, &bytes)) {
        arena->failed = 1;
        return NULL;
    }
    bytes &= ~((size_t)COVEY_ARENA_ALIGN - 1);
    if (__builtin_add_overflow(arena->used, bytes, &end) || (arena->base != NULL && end > arena->size)) {
        arena->failed = 1;
        return NULL;
    }
    void *taken = arena->base != NULL ? arena->base + arena->used : NULL;
    arena->used = end;
    if (end > arena->peak)
        arena->peak = end;
    return taken;
}

void covey_arena_release(struct covey_arena *arena, size_t mark)
{
    if (mark < arena->used)
        arena->used = mark;
}
