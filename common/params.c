#include "covey/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_PREFIX "control:"

void covey_layout_init(struct covey_layout *layout)
{
    *layout = (struct covey_layout){0};
}

void covey_layout_deinit(struct covey_layout *layout)
{
    free(layout->tensors);
    covey_layout_init(layout);
}

const struct covey_tensor *covey_layout_find(const struct covey_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->tensor_count; i++)
        if (strcmp(layout->tensors[i].name, name) == 0)
            return &layout->tensors[i];
    return NULL;
}

/* The number of values of a shape; 0 when it is no legal one. */
static size_t shape_count(uint32_t rank, const uint32_t *shape)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(count, (uint64_t)shape[i], &count) || count > COVEY_MODEL_PARAMETERS)
            return 0;
    }
    return (size_t)count;
}

static enum covey_status check_tensor(const struct covey_layout *layout, const char *name, uint32_t rank,
                                      const uint32_t *shape, struct covey_error *err)
{
    const size_t length = strnlen(name, COVEY_NAME_BYTES);
    if (length == 0 || length >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_INVALID, "tensor '%.80s': a name has 1 to %d bytes", name,
                          COVEY_NAME_BYTES - 1);
    if (rank > COVEY_TENSOR_RANK)
        return covey_fail(err, COVEY_INVALID, "tensor '%s': rank %u, at most %d is possible", name, rank,
                          COVEY_TENSOR_RANK);
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] == 0)
            return covey_fail(err, COVEY_INVALID, "tensor '%s': dimension %u is zero", name, i);
    if (covey_layout_find(layout, name) != NULL)
        return covey_fail(err, COVEY_INVALID, "tensor '%s' is there twice: names must differ", name);
    if (layout->tensor_count >= COVEY_MODEL_TENSORS)
        return covey_fail(err, COVEY_LIMIT, "tensor '%s': a model has at most %d tensors", name,
                          COVEY_MODEL_TENSORS);
    return COVEY_OK;
}

static enum covey_status grow(struct covey_layout *layout)
{
    if (layout->tensor_count < layout->tensor_capacity)
        return COVEY_OK;
    const size_t capacity = layout->tensor_capacity > 0 ? 2 * layout->tensor_capacity : 16;
    struct covey_tensor *tensors = realloc(layout->tensors, capacity * sizeof *tensors);
    if (tensors == NULL)
        return COVEY_NO_MEMORY;
    layout->tensors = tensors;
    layout->tensor_capacity = capacity;
    return COVEY_OK;
}

enum covey_status covey_layout_add(struct covey_layout *layout, const char *name, uint32_t rank,
                                   const uint32_t *shape, enum covey_role role, enum covey_scope scope,
                                   struct covey_error *err)
{
    COVEY_TRY(check_tensor(layout, name, rank, shape, err));
    const size_t count = shape_count(rank, shape);
    if (count == 0 || count > COVEY_MODEL_PARAMETERS - layout->count)
        return covey_fail(err, COVEY_LIMIT, "tensor '%s': the model would pass %llu values", name,
                          (unsigned long long)COVEY_MODEL_PARAMETERS);
    if (grow(layout) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the table of tensors");
    struct covey_tensor *tensor = &layout->tensors[layout->tensor_count++];
    *tensor = (struct covey_tensor){.rank = rank, .role = role, .scope = scope, .count = count};
    memcpy(tensor->name, name, strlen(name) + 1);
    if (rank > 0)
        memcpy(tensor->shape, shape, rank * sizeof *shape);
    layout->count += count;
    return COVEY_OK;
}

/* Which of the three runs of the vector a tensor lies in. */
static int run_of(const struct covey_tensor *tensor)
{
    if (tensor->scope == COVEY_SCOPE_PERSONAL)
        return 2;
    return tensor->role == COVEY_ROLE_FROZEN ? 1 : 0;
}

enum covey_status covey_layout_add_controls(struct covey_layout *layout, struct covey_error *err)
{
    const size_t tensors = layout->tensor_count, count = layout->count;
    for (size_t i = 0; i < tensors; i++) {
        const struct covey_tensor tensor = layout->tensors[i]; /* adding may move the table */
        char name[sizeof CONTROL_PREFIX + COVEY_NAME_BYTES];
        if (run_of(&tensor) != 0)
            continue;
        (void)snprintf(name, sizeof name, CONTROL_PREFIX "%s", tensor.name);
        COVEY_TRY(covey_layout_add(layout, name, tensor.rank, tensor.shape, COVEY_ROLE_BUFFER,
                                   COVEY_SCOPE_SHARED, err));
    }
    layout->control_count = layout->count - count;
    return COVEY_OK;
}

void covey_layout_finish(struct covey_layout *layout)
{
    size_t offset = 0;
    for (int run = 0; run < 3; run++) {
        for (size_t i = 0; i < layout->tensor_count; i++) {
            struct covey_tensor *tensor = &layout->tensors[i];
            if (run_of(tensor) != run)
                continue;
            tensor->offset = offset;
            offset += tensor->count;
        }
        if (run == 0)
            layout->update_count = offset;
        if (run == 1)
            layout->shared_count = offset;
    }
    layout->count = offset;
}

size_t covey_layout_update_ends(const struct covey_layout *layout, size_t *ends, size_t capacity)
{
    size_t written = 0;
    for (size_t i = 0; i < layout->tensor_count && written < capacity; i++)
        if (run_of(&layout->tensors[i]) == 0)
            ends[written++] = layout->tensors[i].offset + layout->tensors[i].count;
    return written;
}
