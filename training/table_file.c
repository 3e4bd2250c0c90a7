#include "table_file.h"

#include <stdlib.h>
#include <string.h>

#include "byte_order.h"

#define CONVERT_VALUES 1024

static size_t stored_bytes(const struct covey_table_file *table)
{
    static const size_t bytes[] = {[COVEY_STORED_U16] = 2, [COVEY_STORED_U32] = 4, [COVEY_STORED_I64] = 8};
    return table->stored == COVEY_STORED_PLAIN ? covey_element_bytes(table->type) : bytes[table->stored];
}

/* Sizes multiplied under their limits, and compared with what the file can hold. */
static enum covey_status check_sizes(struct covey_table_file *table, struct covey_error *err)
{
    const char *path = table->file.path;
    uint64_t width = 1;
    if (table->size[0] == 0)
        return covey_fail(err, COVEY_INVALID, "%s: holds no examples", path);
    if (table->size[0] > COVEY_DATASET_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "%s: %u examples; the limit is %u", path, table->size[0],
                          COVEY_DATASET_EXAMPLES);
    for (uint32_t i = 1; i < table->dimensions; i++) {
        if (table->size[i] == 0)
            return covey_fail(err, COVEY_INVALID, "%s: dimension %u is 0", path, i);
        if (width > COVEY_TENSOR_VALUES / table->size[i])
            return covey_fail(err, COVEY_LIMIT, "%s: an example has more than %u values", path,
                              COVEY_TENSOR_VALUES);
        width *= table->size[i];
    }
    table->width = (uint32_t)width;
    table->header_bytes = table->file.position;
    table->data_bytes = (uint64_t)table->size[0] * width * stored_bytes(table); /* < 2^28 * 2^28 * 8 */
    uint64_t expected = table->header_bytes + table->data_bytes;
    if (table->file.gzip == NULL ? expected != table->file.size : expected > table->file.size)
        return covey_fail(err, COVEY_CORRUPT, "%s: its header declares %llu bytes, the file %s %llu", path,
                          (unsigned long long)expected, table->file.gzip == NULL ? "has" : "can hold at most",
                          (unsigned long long)table->file.size);
    return COVEY_OK;
}

enum covey_status covey_table_file_open(const char *path, struct covey_table_file *out,
                                        struct covey_error *err)
{
    struct covey_table_file table = {.file = {.descriptor = -1}};
    uint8_t lead[COVEY_TABLE_LEAD_BYTES];
    COVEY_TRY(covey_data_file_open(path, &table.file, err));
    enum covey_status status = covey_data_file_read(&table.file, lead, sizeof lead, err);
    if (status == COVEY_OK)
        status = memcmp(lead, "\x93NUMPY", 6) == 0 ? covey_npy_read_header(&table.file, lead, &table, err)
                                                   : covey_idx_read_header(&table.file, lead, &table, err);
    if (status == COVEY_OK)
        status = check_sizes(&table, err);
    if (status != COVEY_OK) {
        covey_data_file_close(&table.file);
        return status;
    }
    *out = table;
    return COVEY_OK;
}

void covey_table_file_close(struct covey_table_file *table)
{
    covey_data_file_close(&table->file);
}

bool covey_table_file_can_map(const struct covey_table_file *table)
{
    return table->file.gzip == NULL && table->stored == COVEY_STORED_PLAIN;
}

uint64_t covey_table_file_bytes(const struct covey_table_file *table)
{
    return (uint64_t)table->size[0] * table->width * covey_element_bytes(table->type);
}

/* One stored integer as int64; in the file's byte order. */
static int64_t stored_value(const struct covey_table_file *table, const uint8_t *at)
{
    switch (table->stored) {
    case COVEY_STORED_U16:
        return covey_load_u16(at, table->swapped);
    case COVEY_STORED_U32:
        return covey_load_u32(at, table->swapped);
    default:
        return (int64_t)covey_load_u64(at, table->swapped);
    }
}

static enum covey_status read_narrowed(struct covey_table_file *table, int32_t *out, struct covey_error *err)
{
    uint8_t piece[CONVERT_VALUES * 8];
    size_t bytes = stored_bytes(table);
    uint64_t count = (uint64_t)table->size[0] * table->width;
    for (uint64_t done = 0; done < count;) {
        size_t n = count - done < CONVERT_VALUES ? (size_t)(count - done) : CONVERT_VALUES;
        COVEY_TRY(covey_data_file_read(&table->file, piece, n * bytes, err));
        for (size_t i = 0; i < n; i++) {
            int64_t value = stored_value(table, piece + i * bytes);
            if (value < INT32_MIN || value > INT32_MAX)
                return covey_fail(err, COVEY_RANGE, "%s: value %lld of example %llu does not fit 32 bits",
                                  table->file.path, (long long)value,
                                  (unsigned long long)((done + i) / table->width));
            out[done + i] = (int32_t)value;
        }
        done += n;
    }
    return COVEY_OK;
}

enum covey_status covey_table_file_read(struct covey_table_file *table, void *out, struct covey_error *err)
{
    if (table->stored != COVEY_STORED_PLAIN) {
        COVEY_TRY(read_narrowed(table, out, err));
    } else {
        COVEY_TRY(covey_data_file_read(&table->file, out, (size_t)table->data_bytes, err));
        if (table->swapped)
            covey_swap_elements(out, (size_t)(table->data_bytes / covey_element_bytes(table->type)),
                                covey_element_bytes(table->type));
    }
    return covey_data_file_end(&table->file, err);
}
