/* Memory handed out by moving a pointer, from one block that the caller gave. Never freed piece by piece. */
#ifndef COVEY_ARENA_H
#define COVEY_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define COVEY_ARENA_ALIGN 64 /* a cache line, and the widest vector */

struct covey_arena {
    uint8_t *base; /* NULL: only counts, so that a first pass tells the size to hand in */
    size_t size;
    size_t used;
    size_t peak;
    int failed; /* a request did not fit; stays set */
};

/* base must be aligned to COVEY_ARENA_ALIGN, or NULL with any size for a counting pass. */
void covey_arena_init(struct covey_arena *arena, void *base, size_t size);

/* count * size bytes, aligned, not cleared. NULL when it does not fit, on overflow, and in a counting pass
 * (where `failed` tells the difference). */
void *covey_arena_take(struct covey_arena *arena, size_t count, size_t size);

/* Everything taken after mark is given back. mark = an earlier value of used. */
void covey_arena_release(struct covey_arena *arena, size_t mark);

#endif
