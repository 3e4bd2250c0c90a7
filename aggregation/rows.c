#include "rows.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "covey/arena.h"

struct wave {
    const struct covey_rows *rows;
    const struct covey_rows_reader *reader;
    size_t first_chunk, chunk_values;
    atomic_bool no_memory;
};

size_t covey_rows_slots(const struct covey_rows *rows)
{
    return covey_fold_pool_threads(rows->pool);
}

/* The next tile of one row, scaled, in f32: what a stream gives at once may be less, where a section ends. */
static void read_row(struct covey_decoder *decoder, double scale, size_t count, float *out)
{
    for (size_t at = 0, some = 0; at < count; at += some) {
        const enum covey_status status = covey_decoder_next(decoder, out + at, &some);
        assert(status == COVEY_OK && some > 0 && at + some <= count); /* it was read to its end before */
        (void)status;
    }
    if (scale < 1.0)
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((double)out[i] * scale);
}

static void read_chunk(void *user, size_t slot)
{
    struct wave *wave = user;
    const struct covey_rows *rows = wave->rows;
    const size_t first = (wave->first_chunk + slot) * wave->chunk_values;
    const size_t left = rows->columns - first;
    const size_t count = left < wave->chunk_values ? left : wave->chunk_values;
    struct covey_decoder *decoders = malloc(rows->rows * sizeof *decoders);
    float *x = aligned_alloc(COVEY_ARENA_ALIGN, rows->rows * COVEY_TILE_STRIDE * sizeof *x);
    if (decoders == NULL || x == NULL)
        atomic_store(&wave->no_memory, true);
    for (size_t i = 0; decoders != NULL && x != NULL && i < rows->rows; i++) {
        enum covey_status status = covey_decoder_init(&decoders[i], rows->streams[i], rows->columns, NULL);
        if (status == COVEY_OK)
            status = covey_decoder_seek(&decoders[i], first);
        assert(status == COVEY_OK);
        (void)status;
    }
    for (size_t at = 0; decoders != NULL && x != NULL && at < count;) {
        const size_t some = count - at < COVEY_TILE_COLUMNS ? count - at : COVEY_TILE_COLUMNS;
        for (size_t i = 0; i < rows->rows; i++)
            read_row(&decoders[i], rows->scales[i], some, x + i * COVEY_TILE_STRIDE);
        wave->reader->tile(wave->reader->user, slot, first + at, some, x);
        at += some;
    }
    free(decoders);
    free(x);
}

/* Where every stream can begin to be read: powers of two, so the largest is a multiple of all. */
static size_t common_chunk(const struct covey_rows *rows, struct covey_error *err)
{
    size_t chunk = COVEY_CHUNK_VALUES;
    struct covey_decoder *decoder = malloc(sizeof *decoder);
    if (decoder == NULL)
        return 0;
    for (size_t i = 0; i < rows->rows; i++) {
        if (covey_decoder_init(decoder, rows->streams[i], rows->columns, err) == COVEY_OK &&
            decoder->chunk_values > chunk)
            chunk = decoder->chunk_values;
    }
    free(decoder);
    return chunk;
}

enum covey_status covey_rows_read(const struct covey_rows *rows, const struct covey_rows_reader *reader,
                                  struct covey_error *err)
{
    struct wave wave = {.rows = rows, .reader = reader, .chunk_values = common_chunk(rows, err)};
    const size_t slots = covey_rows_slots(rows);
    if (wave.chunk_values == 0)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to look at %zu updates", rows->rows);
    const size_t chunks = (rows->columns + wave.chunk_values - 1) / wave.chunk_values;
    for (wave.first_chunk = 0; wave.first_chunk < chunks; wave.first_chunk += slots) {
        const size_t some = chunks - wave.first_chunk < slots ? chunks - wave.first_chunk : slots;
        covey_fold_pool_run(rows->pool, some, read_chunk, &wave);
        if (atomic_load(&wave.no_memory))
            return covey_fail(err, COVEY_NO_MEMORY, "no memory to look at %zu updates at once", rows->rows);
        for (size_t slot = 0; reader->settle != NULL && slot < some; slot++)
            reader->settle(reader->user, slot);
        covey_spool_release(rows->spool);
    }
    return COVEY_OK;
}
