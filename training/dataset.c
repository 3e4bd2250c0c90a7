#include "covey/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "byte_order.h"
#include "dataset_storage.h"

static const struct {
    const char *name;
    size_t bytes;
} elements[] = {
    [COVEY_ELEMENT_U8] = {"u8", 1},   [COVEY_ELEMENT_I8] = {"i8", 1},   [COVEY_ELEMENT_I16] = {"i16", 2},
    [COVEY_ELEMENT_I32] = {"i32", 4}, [COVEY_ELEMENT_F32] = {"f32", 4}, [COVEY_ELEMENT_F64] = {"f64", 8}};

size_t covey_element_bytes(enum covey_element type)
{
    return elements[type].bytes;
}

const char *covey_element_name(enum covey_element type)
{
    return elements[type].name;
}

void covey_swap_elements(void *values, size_t count, size_t element_bytes)
{
    uint8_t *at = values;
    for (size_t i = 0; i < count; i++, at += element_bytes) {
        if (element_bytes == 2)
            memcpy(at, &(uint16_t){covey_load_u16(at, true)}, 2);
        else if (element_bytes == 4)
            memcpy(at, &(uint32_t){covey_load_u32(at, true)}, 4);
        else
            memcpy(at, &(uint64_t){covey_load_u64(at, true)}, 8);
    }
}

static const uint8_t *table_row(const struct covey_table *table, uint32_t row)
{
    return (const uint8_t *)table->values + (size_t)row * table->width * covey_element_bytes(table->type);
}

/* n bytes to f32, scaled. In runs of sixteen, which the compiler turns into vectors at -O2 too. */
static void bytes_to_real(const uint8_t *restrict in, size_t n, float scale, float shift, float *restrict out)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            out[i + j] = (float)in[i + j] * scale + shift;
    for (; i < n; i++)
        out[i] = (float)in[i] * scale + shift;
}

/* One row of a table as f32. */
static void row_to_real(const struct covey_table *table, uint32_t row, float *out)
{
    const uint8_t *in = table_row(table, row);
    bool swapped = table->swapped;
    size_t n = table->width;
    switch (table->type) {
    case COVEY_ELEMENT_U8:
        bytes_to_real(in, n, 1, 0, out);
        break;
    case COVEY_ELEMENT_I8:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(int8_t)in[i];
        break;
    case COVEY_ELEMENT_I16:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(int16_t)covey_load_u16(in + 2 * i, swapped);
        break;
    case COVEY_ELEMENT_I32:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(int32_t)covey_load_u32(in + 4 * i, swapped);
        break;
    case COVEY_ELEMENT_F32:
        if (!swapped)
            memcpy(out, in, n * sizeof *out);
        else
            for (size_t i = 0; i < n; i++)
                out[i] = covey_load_f32(in + 4 * i, true);
        break;
    case COVEY_ELEMENT_F64:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)covey_load_f64(in + 8 * i, swapped);
        break;
    }
}

/* A real number as a label; what no int32 can be becomes -1, which every model refuses. */
static int32_t real_label(double value)
{
    return value > -2147483649.0 && value < 2147483648.0 ? (int32_t)value : -1;
}

static int32_t label_at(const struct covey_table *table, uint32_t row, uint32_t column)
{
    const uint8_t *at = table_row(table, row) + column * covey_element_bytes(table->type);
    switch (table->type) {
    case COVEY_ELEMENT_U8:
        return *at;
    case COVEY_ELEMENT_I8:
        return (int8_t)*at;
    case COVEY_ELEMENT_I16:
        return (int16_t)covey_load_u16(at, table->swapped);
    case COVEY_ELEMENT_I32:
        return (int32_t)covey_load_u32(at, table->swapped);
    case COVEY_ELEMENT_F32:
        return real_label((double)covey_load_f32(at, table->swapped));
    default:
        return real_label(covey_load_f64(at, table->swapped));
    }
}

/* The inputs of one example: converted, scaled, shifted, standardised. Bytes, as images have, in one pass. */
static void read_inputs(const struct covey_dataset *dataset, uint32_t row, float *restrict x)
{
    const struct covey_table *table = &dataset->inputs;
    const float scale = dataset->scale == 0 ? 1 : dataset->scale, shift = dataset->shift;
    const size_t n = table->width;
    if (table->type == COVEY_ELEMENT_U8)
        bytes_to_real(table_row(table, row), n, scale, shift, x);
    else
        row_to_real(table, row, x);
    if (table->type != COVEY_ELEMENT_U8 && (scale != 1 || shift != 0))
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] * scale + shift;
    if (dataset->mean != NULL)
        for (size_t i = 0; i < n; i++)
            x[i] = (x[i] - dataset->mean[i]) * dataset->inverse_deviation[i];
}

static uint32_t row_of(const struct covey_dataset *dataset, uint32_t example)
{
    return dataset->index != NULL ? dataset->index[example] : example;
}

static enum covey_status check_rows(const struct covey_dataset *dataset, const uint32_t *rows, uint32_t first,
                                    size_t n)
{
    if (rows == NULL)
        return first <= dataset->count && n <= dataset->count - first ? COVEY_OK : COVEY_RANGE;
    for (size_t i = 0; i < n; i++)
        if (rows[i] >= dataset->count)
            return COVEY_RANGE;
    return COVEY_OK;
}

enum covey_status covey_dataset_read(const struct covey_dataset *dataset, const uint32_t *rows,
                                     uint32_t first, size_t n, float *x, int32_t *labels, float *targets)
{
    COVEY_TRY(check_rows(dataset, rows, first, n));
    for (size_t i = 0; i < n; i++) {
        uint32_t row = row_of(dataset, rows != NULL ? rows[i] : first + (uint32_t)i);
        read_inputs(dataset, row, x + i * dataset->inputs.width);
        if (labels != NULL)
            for (uint32_t j = 0; j < dataset->labels.width; j++)
                labels[i * dataset->labels.width + j] = label_at(&dataset->labels, row, j);
        if (targets != NULL && dataset->targets.width != 0)
            row_to_real(&dataset->targets, row, targets + i * dataset->targets.width);
    }
    return COVEY_OK;
}

int32_t covey_dataset_label(const struct covey_dataset *dataset, uint32_t example)
{
    if (dataset->labels.width == 0 || example >= dataset->count)
        return 0;
    return label_at(&dataset->labels, row_of(dataset, example), 0);
}

enum covey_status covey_dataset_classes(const struct covey_dataset *dataset, uint32_t *out,
                                        struct covey_error *err)
{
    uint32_t classes = 0;
    for (uint32_t i = 0; i < dataset->count && dataset->labels.width != 0; i++) {
        uint32_t row = row_of(dataset, i);
        for (uint32_t j = 0; j < dataset->labels.width; j++) {
            int32_t label = label_at(&dataset->labels, row, j);
            if (label < 0)
                return covey_fail(err, COVEY_INVALID, "the label of example %u is %d; labels count from 0", i,
                                  label);
            if ((uint32_t)label >= classes)
                classes = (uint32_t)label + 1;
        }
    }
    *out = classes;
    return COVEY_OK;
}

enum covey_status covey_dataset_view(const struct covey_dataset *whole, const uint32_t *picked,
                                     uint32_t count, struct covey_dataset *out, struct covey_error *err)
{
    struct covey_dataset view = *whole;
    struct covey_dataset_storage *storage = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (picked[i] >= whole->count)
            return covey_fail(err, COVEY_RANGE, "example %u of a set of %u", picked[i], whole->count);
    if (covey_storage_create(&storage) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a list of %u examples", count);
    uint32_t *index = covey_storage_take(storage, count, sizeof *index);
    if (index == NULL) {
        covey_storage_destroy(storage);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a list of %u examples", count);
    }
    for (uint32_t i = 0; i < count; i++)
        index[i] = row_of(whole, picked[i]);
    view.index = index;
    view.count = count;
    view.storage = storage;
    *out = view;
    return COVEY_OK;
}

void covey_dataset_memory(const struct covey_dataset *dataset, uint64_t *mapped_bytes, uint64_t *heap_bytes)
{
    *mapped_bytes = *heap_bytes = 0;
    for (size_t i = 0; dataset->storage != NULL && i < dataset->storage->count; i++)
        *(dataset->storage->blocks[i].mapped ? mapped_bytes : heap_bytes) +=
            dataset->storage->blocks[i].bytes;
}

void covey_dataset_deinit(struct covey_dataset *dataset)
{
    covey_storage_destroy(dataset->storage);
    *dataset = (struct covey_dataset){0};
}

uint32_t covey_held_out_count(double share, uint32_t count)
{
    if (!(share > 0) || count < 2)
        return 0;
    const uint32_t wanted = (uint32_t)(share * count + .5);
    return wanted < 1 ? 1 : wanted >= count ? count - 1 : wanted;
}

bool covey_held_out_next(uint32_t place, uint32_t held, uint32_t count, uint32_t *taken)
{
    const bool is_next = held > 0 && (uint64_t)(place + 1) * held / count > *taken;
    *taken += is_next;
    return is_next;
}

enum covey_status covey_dataset_hold_out(const struct covey_dataset *all, double share,
                                         struct covey_dataset *rest, struct covey_dataset *held,
                                         uint32_t **rows, struct covey_error *err)
{
    if (!(share > 0 && share < 1) || all->count < 2)
        return covey_fail(err, COVEY_INVALID, "%g of %u examples cannot be held out", share, all->count);
    uint32_t *split = malloc(all->count * sizeof *split), kept = 0;
    if (split == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to hold out of %u examples", all->count);
    const uint32_t wanted = covey_held_out_count(share, all->count);
    uint32_t out = all->count - wanted; /* the held out stand behind the rest */
    for (uint32_t i = 0, taken = 0; i < all->count; i++) {
        const uint32_t row = all->index != NULL ? all->index[i] : i;
        split[covey_held_out_next(i, wanted, all->count, &taken) ? out++ : kept++] = row;
    }
    *rest = *held = *all;
    rest->storage = held->storage = NULL;
    rest->index = split;
    rest->count = all->count - wanted;
    held->index = split + rest->count;
    held->count = wanted;
    *rows = split;
    return COVEY_OK;
}
