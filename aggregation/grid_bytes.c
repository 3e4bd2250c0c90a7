/* The accumulator as bytes: 64 bytes of head, then ends (u64), exponents (i16), peaks (f32) and sums (i64),
 * all little-endian. */
#include <string.h>

#include "covey/grid.h"
#include "covey/limits.h"

#define MAGIC 0x52475643u /* "CVGR" */
#define VERSION 1
#define HEAD_BYTES 64
#define TENSOR_BYTES (8 + 2 + 4 * COVEY_GRID_PEAK_BINS)

static uint8_t *put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
    return out + bytes;
}

static uint64_t take(const uint8_t **in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)(*in)[i] << 8 * i;
    *in += bytes;
    return value;
}

size_t covey_grid_save_bytes(const struct covey_grid *grid)
{
    return HEAD_BYTES + grid->tensor_count * TENSOR_BYTES + grid->count * sizeof(int64_t);
}

enum covey_status covey_grid_save(const struct covey_grid *grid, uint8_t *out, size_t capacity,
                                  size_t *out_bytes)
{
    const size_t bytes = covey_grid_save_bytes(grid);
    if (bytes > capacity)
        return COVEY_LIMIT;
    uint8_t *at = out;
    at = put(at, MAGIC, 4);
    at = put(at, VERSION, 2);
    at = put(at, grid->split.coordinate_bits, 2);
    at = put(at, (uint16_t)grid->split.weight_exponent, 2);
    at = put(at, 0, 2);
    at = put(at, grid->tensor_count, 4);
    at = put(at, grid->count, 8);
    at = put(at, grid->split.weight_cap, 8);
    at = put(at, grid->split.weight_sum_cap, 8);
    at = put(at, grid->weight_sum, 8);
    at = put(at, grid->update_count, 8);
    at = put(at, 0, 8);
    for (size_t t = 0; t < grid->tensor_count; t++)
        at = put(at, grid->ends[t], 8);
    for (size_t t = 0; t < grid->tensor_count; t++)
        at = put(at, (uint16_t)grid->exponents[t], 2);
    for (size_t i = 0; i < grid->tensor_count * COVEY_GRID_PEAK_BINS; i++)
        at = put(at, grid->peaks[i], 4);
    for (size_t i = 0; i < grid->count; i++)
        at = put(at, (uint64_t)grid->sums[i], 8);
    *out_bytes = (size_t)(at - out);
    return COVEY_OK;
}

struct head {
    struct covey_grid_split split;
    uint64_t tensor_count, count, weight_sum, update_count;
};

static enum covey_status read_head(struct covey_bytes saved, size_t expected_count, struct head *out,
                                   struct covey_error *err)
{
    const uint8_t *at = saved.data;
    if (saved.size < HEAD_BYTES || take(&at, 4) != MAGIC)
        return covey_fail(err, COVEY_CORRUPT, "not a partial sum");
    const unsigned version = (unsigned)take(&at, 2);
    if (version != VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "partial sum of version %u; this program knows %d", version,
                          VERSION);
    out->split.coordinate_bits = (uint8_t)take(&at, 2);
    out->split.weight_exponent = (int16_t)take(&at, 2);
    (void)take(&at, 2);
    out->tensor_count = take(&at, 4);
    out->count = take(&at, 8);
    out->split.weight_cap = take(&at, 8);
    out->split.weight_sum_cap = take(&at, 8);
    out->weight_sum = take(&at, 8);
    out->update_count = take(&at, 8);
    if (out->count != expected_count)
        return covey_fail(err, COVEY_MISMATCH, "partial sum of %llu coordinates where %zu belong",
                          (unsigned long long)out->count, expected_count);
    if (out->tensor_count < 1 || out->tensor_count > COVEY_MODEL_TENSORS ||
        out->count > COVEY_MODEL_PARAMETERS ||
        saved.size != HEAD_BYTES + out->tensor_count * TENSOR_BYTES + out->count * sizeof(int64_t))
        return covey_fail(err, COVEY_CORRUPT, "partial sum: its length is not what its head says");
    if (out->split.coordinate_bits < COVEY_GRID_COORDINATE_BITS_MIN ||
        out->split.coordinate_bits > COVEY_GRID_COORDINATE_BITS_MAX ||
        out->split.weight_sum_cap != 1ull << (COVEY_GRID_BITS - out->split.coordinate_bits) ||
        out->split.weight_cap < 1 || out->split.weight_cap > out->split.weight_sum_cap ||
        out->weight_sum > out->split.weight_sum_cap || out->update_count > COVEY_DEVICES)
        return covey_fail(err, COVEY_CORRUPT, "partial sum: its weights are out of bounds");
    return COVEY_OK;
}

static enum covey_status read_body(const struct head *head, const uint8_t *at, struct covey_grid *grid,
                                   struct covey_error *err)
{
    /* Every sum is bounded by its weight, or a later addition could overflow. */
    const int64_t bound = (int64_t)(head->weight_sum << head->split.coordinate_bits);
    for (size_t t = 0; t < grid->tensor_count; t++) {
        uint64_t updates = 0;
        for (size_t bin = 0; bin < COVEY_GRID_PEAK_BINS; bin++) {
            grid->peaks[t * COVEY_GRID_PEAK_BINS + bin] = (uint32_t)take(&at, 4);
            updates += grid->peaks[t * COVEY_GRID_PEAK_BINS + bin];
        }
        if (updates != head->update_count)
            return covey_fail(err, COVEY_CORRUPT,
                              "partial sum: the peaks of tensor %zu do not count its updates", t);
    }
    for (size_t i = 0; i < grid->count; i++) {
        grid->sums[i] = (int64_t)take(&at, 8);
        if (grid->sums[i] > bound || grid->sums[i] < -bound)
            return covey_fail(err, COVEY_CORRUPT,
                              "partial sum: coordinate %zu is larger than its weights allow", i);
    }
    grid->weight_sum = head->weight_sum;
    grid->update_count = head->update_count;
    return COVEY_OK;
}

enum covey_status covey_grid_load(struct covey_grid *grid, struct covey_bytes saved, size_t expected_count,
                                  struct covey_error *err)
{
    struct head head = {0};
    size_t ends[COVEY_MODEL_TENSORS];
    int16_t exponents[COVEY_MODEL_TENSORS];
    COVEY_TRY(read_head(saved, expected_count, &head, err));
    const uint8_t *at = saved.data + HEAD_BYTES;
    for (size_t t = 0; t < head.tensor_count; t++)
        ends[t] = (size_t)take(&at, 8);
    for (size_t t = 0; t < head.tensor_count; t++)
        exponents[t] = (int16_t)take(&at, 2);
    if (ends[head.tensor_count - 1] != head.count)
        return covey_fail(err, COVEY_CORRUPT, "partial sum: its tensors do not fill it");
    struct covey_grid made;
    COVEY_TRY(covey_grid_init(&made, ends, (size_t)head.tensor_count, exponents, &head.split, err));
    const enum covey_status status = read_body(&head, at, &made, err);
    if (status != COVEY_OK) {
        covey_grid_deinit(&made);
        return status;
    }
    *grid = made;
    return COVEY_OK;
}
