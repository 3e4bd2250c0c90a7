/* Writes a part of a data set as plain IDX, so that a device maps it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "covey/dataset_load.h"

static const uint8_t idx_codes[] = {
    [COVEY_ELEMENT_U8] = 0x08,  [COVEY_ELEMENT_I8] = 0x09,  [COVEY_ELEMENT_I16] = 0x0b,
    [COVEY_ELEMENT_I32] = 0x0c, [COVEY_ELEMENT_F32] = 0x0d, [COVEY_ELEMENT_F64] = 0x0e};

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static bool put_header(FILE *file, enum covey_element type, const uint32_t *sizes, uint32_t rank)
{
    uint8_t header[4 + 4 * (COVEY_TENSOR_RANK + 1)] = {0, 0, idx_codes[type], (uint8_t)rank};
    for (uint32_t i = 0; i < rank; i++)
        put_u32(header + 4 + 4 * i, sizes[i]);
    return fwrite(header, 4 + 4 * rank, 1, file) == 1;
}

/* One row, turned to big-endian as it goes. */
static bool put_row(FILE *file, const struct covey_table *table, uint32_t row)
{
    size_t element = covey_element_bytes(table->type), bytes = table->width * element;
    const uint8_t *at = (const uint8_t *)table->values + (size_t)row * bytes;
    bool big = table->swapped == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    if (big || element == 1)
        return fwrite(at, bytes, 1, file) == 1;
    for (const uint8_t *end = at + bytes; at < end; at += element)
        for (size_t i = element; i-- > 0;)
            if (putc(at[i], file) == EOF)
                return false;
    return true;
}

static enum covey_status write_table(const struct covey_dataset *dataset, const struct covey_table *table,
                                     const uint32_t *sizes, uint32_t rank, const uint32_t *picked,
                                     const char *path, struct covey_error *err)
{
    char temporary[COVEY_FILE_PATH_BYTES];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", path);
    FILE *file = fopen(temporary, "wb");
    if (file == NULL)
        return covey_fail(err, COVEY_IO, "%s: cannot write: %s", temporary, strerror(errno));
    bool good = put_header(file, table->type, sizes, rank);
    for (uint32_t i = 0; i < sizes[0] && good; i++)
        good = put_row(file, table, dataset->index != NULL ? dataset->index[picked[i]] : picked[i]);
    good = fflush(file) == 0 && fsync(fileno(file)) == 0 && good;
    good = fclose(file) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return COVEY_OK;
    enum covey_status status = covey_fail(err, COVEY_IO, "%s: cannot write: %s", path, strerror(errno));
    unlink(temporary);
    return status;
}

enum covey_status covey_data_write_idx(const struct covey_dataset *dataset, const uint32_t *picked,
                                       uint32_t count, const char *inputs_path, const char *labels_path,
                                       struct covey_error *err)
{
    uint32_t sizes[COVEY_TENSOR_RANK + 1] = {count}, rank = 1 + dataset->rank;
    for (uint32_t i = 0; i < count; i++)
        if (picked[i] >= dataset->count)
            return covey_fail(err, COVEY_RANGE, "example %u of a set of %u", picked[i], dataset->count);
    if (inputs_path != NULL) {
        if (dataset->rank == 0) {
            rank = 2;
            sizes[1] = dataset->inputs.width;
        } else {
            memcpy(sizes + 1, dataset->shape, dataset->rank * sizeof *sizes);
        }
        COVEY_TRY(write_table(dataset, &dataset->inputs, sizes, rank, picked, inputs_path, err));
    }
    if (labels_path == NULL)
        return COVEY_OK;
    if (dataset->labels.width == 0)
        return covey_fail(err, COVEY_INVALID, "%s: the data set has no labels", labels_path);
    sizes[1] = dataset->labels.width;
    return write_table(dataset, &dataset->labels, sizes, dataset->labels.width == 1 ? 1 : 2, picked,
                       labels_path, err);
}
