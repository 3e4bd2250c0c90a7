/* Tables of transfers, so that a million of them cost no more than a few hundred: for each class of links,
 * direction and size some seeded runs, made when first asked for. A transfer draws one of them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "covey/blockwise.h"
#include "covey/limits.h"
#include "world_parts.h"

#define RUNS_LEAST 64u      /* of one size: quantiles of its distribution; small ones, where a loss is rare */
#define RUNS_MOST 1024u     /* and matters most, have more */
#define RUN_BLOCKS 16384u   /* in all runs of one size, about */
#define TABLE_BLOCKS 16384u /* the largest size that is run; above, the same rate */
#define PARTS 8u            /* sizes within one block */
#define SIZES 336           /* up to TABLE_BLOCKS and one beyond */

/* Sorted by time: the k-th entries of two sizes are the same quantile, so that between them there is a line.
 */
struct size_table {
    uint32_t count;
    struct covey_transfer runs[];
};

struct transfer_tables {
    const struct link_class *links; /* (count), borrowed */
    uint32_t count;
    uint16_t window_blocks;
    bool exact;
    uint64_t seed;
    pthread_mutex_t making; /* one table at a time */
    _Atomic(struct size_table *) made[COVEY_SIM_CLASSES][2][SIZES];
};

/* Up to a block by eighths of it, then whole blocks: each up to 64, then 32 an octave. */
static uint64_t size_bytes(uint32_t index)
{
    if (index < PARTS)
        return (index + 1) * (COVEY_BLOCK_BYTES / PARTS);
    index -= PARTS - 1;
    const uint32_t past = index - 63;
    const uint32_t blocks = index < 63 ? index + 1 : (32u + (past & 31u)) << (past / 32 + 1);
    return (uint64_t)blocks * COVEY_BLOCK_BYTES;
}

/* The largest size that is not above; of less than an eighth of a block the first. */
static uint32_t size_index(uint64_t bytes)
{
    if (bytes <= COVEY_BLOCK_BYTES) {
        const uint32_t part = (uint32_t)(bytes / (COVEY_BLOCK_BYTES / PARTS));
        return part == 0 ? 0 : part - 1;
    }
    const uint32_t blocks = (uint32_t)(bytes / COVEY_BLOCK_BYTES);
    if (blocks < 64)
        return PARTS - 1 + blocks - 1;
    const uint32_t octave = 31u - (uint32_t)__builtin_clz(blocks);
    return PARTS - 1 + 63 + 32 * (octave - 6) + ((blocks >> (octave - 5)) & 31u);
}

static int by_time(const void *a, const void *b)
{
    const struct covey_transfer *x = a, *y = b;
    if (x->failed != y->failed)
        return x->failed ? 1 : -1;
    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    return (x->bytes_up > y->bytes_up) - (x->bytes_up < y->bytes_up);
}

static struct size_table *make_table(const struct transfer_tables *tables, uint32_t link, bool up,
                                     uint32_t index)
{
    const uint64_t bytes = size_bytes(index);
    const uint32_t blocks = covey_block_count(bytes, COVEY_BLOCK_BYTES);
    const uint32_t enough = RUN_BLOCKS / blocks > RUNS_LEAST ? RUN_BLOCKS / blocks : RUNS_LEAST;
    const uint32_t many = enough < RUNS_MOST ? enough : RUNS_MOST;
    const uint32_t count = tables->links[link].loss > 0 ? many : 1; /* without loss all runs are alike */
    struct size_table *table = calloc(1, sizeof *table + count * sizeof table->runs[0]);
    uint8_t *body = malloc((size_t)bytes), *bitmaps = malloc(2 * covey_block_bitmap_bytes(blocks));
    if (table != NULL && body != NULL && bitmaps != NULL) {
        table->count = count;
        for (uint32_t k = 0; k < count; k++) {
            struct covey_random random;
            covey_random_init(&random, tables->seed + ((uint64_t)WORLD_RUN << 48),
                              (uint64_t)link << 32 | index << 1 | up, k, COVEY_PURPOSE_NETWORK);
            transfer_run_in(&tables->links[link], tables->window_blocks, up, bytes, body, bitmaps, &random,
                            &table->runs[k]);
        }
        qsort(table->runs, count, sizeof table->runs[0], by_time);
    } else {
        free(table);
        table = NULL;
    }
    free(body);
    free(bitmaps);
    return table;
}

/* NULL when there is no memory. */
static const struct size_table *find_table(struct transfer_tables *tables, uint32_t link, bool up,
                                           uint32_t index)
{
    _Atomic(struct size_table *) *place = &tables->made[link][up][index];
    struct size_table *table = atomic_load_explicit(place, memory_order_acquire);
    if (table != NULL)
        return table;
    (void)pthread_mutex_lock(&tables->making);
    table = atomic_load_explicit(place, memory_order_acquire);
    if (table == NULL) {
        table = make_table(tables, link, up, index);
        atomic_store_explicit(place, table, memory_order_release);
    }
    (void)pthread_mutex_unlock(&tables->making);
    return table;
}

static uint64_t between(uint64_t low, uint64_t high, double part)
{
    const double value = (double)low + ((double)high - (double)low) * part;
    return value > 0 ? (uint64_t)(value + 0.5) : 0;
}

/* The last block is seldom full: its missing bytes neither weigh nor take time. */
static void take_off(const struct link_class *link, bool up, uint64_t missing_bytes,
                     struct covey_transfer *out)
{
    const double rate = up ? link->up_bits_per_s : link->down_bits_per_s;
    uint64_t *bytes = up ? &out->bytes_up : &out->bytes_down;
    const uint64_t ms = rate > 0 ? (uint64_t)((double)missing_bytes * 8000 / rate) : 0;
    out->ms -= ms < out->ms ? ms : out->ms;
    *bytes -= missing_bytes < *bytes ? missing_bytes : *bytes;
}

static void look_up(struct transfer_tables *tables, uint32_t link, bool up, uint64_t body_bytes,
                    struct covey_random *random, struct covey_transfer *out)
{
    const uint64_t blocks = (body_bytes + COVEY_BLOCK_BYTES - 1) / COVEY_BLOCK_BYTES;
    const uint64_t whole = blocks > 1 ? blocks * COVEY_BLOCK_BYTES : body_bytes;
    const uint64_t most = (uint64_t)TABLE_BLOCKS * COVEY_BLOCK_BYTES, size = whole < most ? whole : most;
    const uint32_t index = size_index(size), draw = covey_random_u32(random);
    const uint64_t low = size_bytes(index), high = size_bytes(index + 1);
    const struct size_table *below = find_table(tables, link, up, index);
    const struct size_table *above = size > low ? find_table(tables, link, up, index + 1) : below;
    *out = (struct covey_transfer){.failed = true};
    if (below == NULL || above == NULL)
        return;
    const struct covey_transfer *a = &below->runs[((uint64_t)draw * below->count) >> 32];
    const struct covey_transfer *b = &above->runs[((uint64_t)draw * above->count) >> 32];
    const double part = size > low ? (double)(size - low) / (double)(high - low) : 0;
    const double scale = whole > size ? (double)whole / (double)size : 1;
    out->ms = between(0, between(a->ms, b->ms, part), scale);
    out->bytes_up = between(0, between(a->bytes_up, b->bytes_up, part), scale);
    out->bytes_down = between(0, between(a->bytes_down, b->bytes_down, part), scale);
    out->failed = a->failed || b->failed;
    take_off(&tables->links[link], up, (whole < low ? low : whole) - body_bytes, out);
}

enum covey_status transfer_tables_create(const struct link_class *links, uint32_t count,
                                         uint16_t window_blocks, bool exact, uint64_t seed,
                                         struct transfer_tables **out)
{
    struct transfer_tables *tables = calloc(1, sizeof *tables);
    if (tables == NULL)
        return COVEY_NO_MEMORY;
    tables->links = links;
    tables->count = count;
    tables->window_blocks = window_blocks;
    tables->exact = exact;
    tables->seed = seed;
    (void)pthread_mutex_init(&tables->making, NULL);
    *out = tables;
    return COVEY_OK;
}

void transfer_tables_destroy(struct transfer_tables *tables)
{
    if (tables == NULL)
        return;
    for (uint32_t link = 0; link < COVEY_SIM_CLASSES; link++)
        for (uint32_t up = 0; up < 2; up++)
            for (uint32_t size = 0; size < SIZES; size++)
                free(atomic_load(&tables->made[link][up][size]));
    (void)pthread_mutex_destroy(&tables->making);
    free(tables);
}

void transfer_tables_draw(struct transfer_tables *tables, uint32_t link, bool up, uint64_t body_bytes,
                          struct covey_random *random, struct covey_transfer *out)
{
    if (body_bytes == 0)
        body_bytes = 1;
    if (tables->exact)
        transfer_run(&tables->links[link], tables->window_blocks, up, body_bytes, random, out);
    else
        look_up(tables, link, up, body_bytes, random, out);
}
