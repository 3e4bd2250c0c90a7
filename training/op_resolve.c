/* From the description of one operation to its resolved form: shapes, parameters, cost. Descriptions also
 * come from the network, so this is the wall: whatever passes here, kernels may trust. */
#include "op.h"

#include <math.h>
#include <string.h>

#include "covey/limits.h"

struct resolving {
    const struct covey_op_description *description;
    struct covey_op *op;
    struct covey_error *err;
};

typedef enum covey_status resolver(struct resolving *at);

static enum covey_status refuse(const struct resolving *at, enum covey_status status, const char *why)
{
    return covey_fail(at->err, status, "%s", why);
}

/* a * b, or LIMIT when it is over the limit or does not fit 64 bits. */
static bool times(uint64_t a, uint64_t b, uint64_t limit, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && *out <= limit;
}

static enum covey_status set_shape(struct resolving *at, struct covey_shape *shape, uint32_t rank,
                                   const uint32_t *size)
{
    uint64_t count = 1;
    if (rank < 1 || rank > COVEY_TENSOR_RANK)
        return refuse(at, COVEY_INVALID, "a shape has 1 to 4 dimensions");
    memset(shape, 0, sizeof *shape);
    shape->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        if (size[i] == 0)
            return refuse(at, COVEY_INVALID, "a dimension is 0");
        if (!times(count, size[i], COVEY_TENSOR_VALUES, &count))
            return refuse(at, COVEY_LIMIT, "more than 2^28 values in one tensor");
        shape->size[i] = size[i];
    }
    shape->count = (size_t)count;
    return COVEY_OK;
}

static enum covey_status set_out(struct resolving *at, uint32_t rank, const uint32_t *size)
{
    return set_shape(at, &at->op->out, rank, size);
}

/* flops = a * b * c * d */
static enum covey_status set_flops(struct resolving *at, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t flops = 0;
    if (!times(a, b, COVEY_EXAMPLE_FLOPS, &flops) || !times(flops, c, COVEY_EXAMPLE_FLOPS, &flops) ||
        !times(flops, d, COVEY_EXAMPLE_FLOPS, &flops))
        return refuse(at, COVEY_LIMIT, "more than 2^40 operations for one example");
    at->op->forward_flops = flops;
    return COVEY_OK;
}

static enum covey_status add_parameter(struct resolving *at, const char *suffix, enum covey_role role,
                                       uint32_t rank, const uint32_t *size)
{
    struct covey_shape shape;
    COVEY_TRY(set_shape(at, &shape, rank, size));
    struct covey_op_parameter *parameter = &at->op->parameters[at->op->parameter_count++];
    *parameter =
        (struct covey_op_parameter){.suffix = suffix, .rank = rank, .count = shape.count, .role = role};
    memcpy(parameter->size, shape.size, sizeof parameter->size);
    return COVEY_OK;
}

static enum covey_status add_vector(struct resolving *at, const char *suffix, enum covey_role role,
                                    uint32_t size)
{
    return add_parameter(at, suffix, role, 1, &size);
}

static enum covey_status add_bias(struct resolving *at, const char *suffix, uint32_t size)
{
    if (at->description->no_bias) {
        at->op->parameters[at->op->parameter_count++].suffix = suffix;
        return COVEY_OK;
    }
    return add_vector(at, suffix, at->description->role, size);
}

static enum covey_status need_units(struct resolving *at)
{
    at->op->units = at->description->units;
    return at->op->units > 0 ? COVEY_OK : refuse(at, COVEY_INVALID, "needs `units`, 1 or more");
}

/* The last dimension is features, what is before it is rows. */
static void split_rows(struct covey_op *op)
{
    op->features = op->in[0].size[op->in[0].rank - 1];
    op->rows = (uint32_t)(op->in[0].count / op->features);
}

static enum covey_status resolve_dense(struct resolving *at)
{
    struct covey_op *op = at->op;
    COVEY_TRY(need_units(at));
    split_rows(op);
    uint32_t size[COVEY_TENSOR_RANK];
    memcpy(size, op->in[0].size, sizeof size);
    size[op->in[0].rank - 1] = op->units;
    COVEY_TRY(set_out(at, op->in[0].rank, size));
    COVEY_TRY(add_parameter(at, "weight", at->description->role, 2, (uint32_t[]){op->units, op->features}));
    COVEY_TRY(add_bias(at, "bias", op->units));
    return set_flops(at, 2, op->rows, op->units, op->features);
}

/* Padding of one axis, and how many outputs it gives. */
static enum covey_status resolve_axis(struct resolving *at, int axis, uint32_t length, uint32_t *outputs)
{
    struct covey_window *window = &at->op->window;
    const uint64_t kernel = window->kernel[axis], stride = window->stride[axis];
    uint64_t before = 0, after = 0;
    if (at->description->padding == COVEY_PADDING_SAME) {
        const uint64_t count = (length + stride - 1) / stride;
        const uint64_t reach = (count - 1) * stride + kernel;
        before = reach > length ? (reach - length) / 2 : 0;
        after = reach > length ? reach - length - before : 0;
    } else if (at->description->padding == COVEY_PADDING_EXPLICIT) {
        before = at->description->pad[2 * axis];
        after = at->description->pad[2 * axis + 1];
    }
    if (before >= kernel || after >= kernel)
        return refuse(at, COVEY_INVALID, "padding as wide as the kernel or wider");
    if (kernel > length + before + after)
        return refuse(at, COVEY_INVALID, "the kernel is larger than the padded input");
    window->pad[2 * axis] = (uint32_t)before;
    window->pad[2 * axis + 1] = (uint32_t)after;
    *outputs = (uint32_t)((length + before + after - kernel) / stride + 1);
    return COVEY_OK;
}

/* Image geometry and window. A stride of 0 reads as default_stride, where 0 stands for the kernel's size. */
static enum covey_status resolve_window(struct resolving *at, uint32_t default_stride)
{
    struct covey_op *op = at->op;
    const struct covey_shape *in = &op->in[0];
    struct covey_window *window = &op->window;
    if (in->rank != 2 && in->rank != 3)
        return refuse(at, COVEY_INVALID,
                      "needs an image (height, width, channels) or a signal (length, channels)");
    op->height = in->size[0];
    op->width = in->rank == 3 ? in->size[1] : 1;
    op->channels = in->size[in->rank - 1];
    for (int axis = 0; axis < 2; axis++) {
        const uint32_t kernel = at->description->kernel[axis], stride = at->description->stride[axis];
        window->kernel[axis] = kernel > 0 ? kernel : 1;
        window->stride[axis] = stride > 0           ? stride
                               : default_stride > 0 ? default_stride
                                                    : window->kernel[axis];
        if (window->kernel[axis] > COVEY_TENSOR_VALUES || window->stride[axis] > COVEY_TENSOR_VALUES)
            return refuse(at, COVEY_LIMIT, "a kernel or stride over 2^28");
    }
    if (in->rank == 2 && (window->kernel[1] != 1 || window->stride[1] != 1))
        return refuse(at, COVEY_INVALID,
                      "a signal (length, channels) wants a kernel and a stride of one number");
    COVEY_TRY(resolve_axis(at, 0, op->height, &window->height));
    COVEY_TRY(resolve_axis(at, 1, op->width, &window->width));
    if (in->rank == 2 && window->width != 1)
        return refuse(at, COVEY_INVALID, "a signal is padded at its ends only");
    return COVEY_OK;
}

static enum covey_status set_window_out(struct resolving *at, uint32_t channels)
{
    const struct covey_window *window = &at->op->window;
    if (at->op->in[0].rank == 2)
        return set_out(at, 2, (uint32_t[]){window->height, channels});
    return set_out(at, 3, (uint32_t[]){window->height, window->width, channels});
}

static enum covey_status resolve_conv2d(struct resolving *at)
{
    struct covey_op *op = at->op;
    COVEY_TRY(need_units(at));
    COVEY_TRY(resolve_window(at, 1));
    op->groups = at->description->groups > 0 ? at->description->groups : 1;
    if (op->channels % op->groups != 0 || op->units % op->groups != 0)
        return refuse(at, COVEY_INVALID, "`groups` must divide the input's channels and `units`");
    const uint32_t depth = op->channels / op->groups;
    const uint32_t size[] = {op->units, op->window.kernel[0], op->window.kernel[1], depth};
    COVEY_TRY(set_window_out(at, op->units));
    COVEY_TRY(add_parameter(at, "weight", at->description->role, 4, size));
    COVEY_TRY(add_bias(at, "bias", op->units));
    return set_flops(at, 2, op->out.count, (uint64_t)size[1] * size[2], depth);
}

static enum covey_status resolve_pool(struct resolving *at)
{
    struct covey_op *op = at->op;
    COVEY_TRY(resolve_window(at, 0));
    op->units = op->channels;
    COVEY_TRY(set_window_out(at, op->channels));
    return set_flops(at, op->out.count, op->window.kernel[0], op->window.kernel[1], 1);
}

static enum covey_status resolve_global_pool(struct resolving *at)
{
    if (at->op->in[0].rank < 2)
        return refuse(at, COVEY_INVALID,
                      "needs an image (height, width, channels) or a signal (length, channels)");
    split_rows(at->op);
    at->op->forward_flops = at->op->in[0].count;
    return set_out(at, 1, &at->op->features);
}

static enum covey_status resolve_flatten(struct resolving *at)
{
    const uint32_t count = (uint32_t)at->op->in[0].count;
    return set_out(at, 1, &count);
}

static enum covey_status resolve_same(struct resolving *at)
{
    at->op->forward_flops = at->op->in[0].count;
    return set_out(at, at->op->in[0].rank, at->op->in[0].size);
}

static enum covey_status resolve_add(struct resolving *at)
{
    const struct covey_op *op = at->op;
    if (op->input_count < 2)
        return refuse(at, COVEY_INVALID, "needs two `inputs` or more");
    for (uint32_t i = 1; i < op->input_count; i++)
        if (op->in[i].rank != op->in[0].rank ||
            memcmp(op->in[i].size, op->in[0].size, sizeof op->in[0].size) != 0)
            return refuse(at, COVEY_INVALID, "its inputs differ in shape");
    return resolve_same(at);
}

static enum covey_status resolve_concat(struct resolving *at)
{
    struct covey_op *op = at->op;
    const uint32_t last = op->in[0].rank - 1;
    uint32_t size[COVEY_TENSOR_RANK];
    uint64_t width = 0;
    if (op->input_count < 2)
        return refuse(at, COVEY_INVALID, "needs two `inputs` or more");
    for (uint32_t i = 0; i < op->input_count; i++) {
        if (op->in[i].rank != op->in[0].rank ||
            memcmp(op->in[i].size, op->in[0].size, last * sizeof size[0]) != 0)
            return refuse(at, COVEY_INVALID, "its inputs differ in more than the last dimension");
        width += op->in[i].size[last];
    }
    if (width > COVEY_TENSOR_VALUES)
        return refuse(at, COVEY_LIMIT, "more than 2^28 values in one tensor");
    split_rows(op);
    memcpy(size, op->in[0].size, sizeof size);
    size[last] = (uint32_t)width;
    return set_out(at, op->in[0].rank, size);
}

static enum covey_status resolve_dropout(struct resolving *at)
{
    const float rate = at->description->rate;
    if (!(rate >= 0 && rate < 1))
        return refuse(at, COVEY_INVALID, "`rate` must be in [0, 1)");
    at->op->rate = rate;
    return resolve_same(at);
}

static enum covey_status resolve_norm(struct resolving *at)
{
    const struct covey_op_description *description = at->description;
    struct covey_op *op = at->op;
    if (!(description->epsilon > 0 && description->epsilon <= 1))
        return refuse(at, COVEY_INVALID, "`epsilon` must be in (0, 1]");
    op->epsilon = description->epsilon;
    split_rows(op);
    COVEY_TRY(resolve_same(at));
    op->forward_flops = 8 * (uint64_t)op->in[0].count;
    COVEY_TRY(add_vector(at, "weight", description->role, op->features));
    COVEY_TRY(add_vector(at, "bias", description->role, op->features));
    if (op->kind == COVEY_OP_BATCH_NORM) {
        if (!(description->momentum >= 0 && description->momentum <= 1))
            return refuse(at, COVEY_INVALID, "`momentum` must be in [0, 1]");
        op->momentum = description->momentum;
        const enum covey_role role =
            description->role == COVEY_ROLE_FROZEN ? COVEY_ROLE_FROZEN : COVEY_ROLE_BUFFER;
        COVEY_TRY(add_vector(at, "running_mean", role, op->features));
        return add_vector(at, "running_variance", role, op->features);
    }
    op->groups = description->groups > 0 ? description->groups : 1;
    if (op->features % op->groups != 0)
        return refuse(at, COVEY_INVALID, "`groups` must divide the channels");
    return COVEY_OK;
}

static enum covey_status resolve_embedding(struct resolving *at)
{
    struct covey_op *op = at->op;
    COVEY_TRY(need_units(at));
    op->vocabulary = at->description->vocabulary;
    /* Ids pass through f32 on their way in, which holds integers up to 2^24. */
    if (op->vocabulary == 0 || op->vocabulary > (1u << 24))
        return refuse(at, COVEY_INVALID, "needs `vocabulary`, 1 to 2^24");
    if (op->in[0].rank >= COVEY_TENSOR_RANK)
        return refuse(at, COVEY_INVALID, "its input has too many dimensions");
    op->rows = (uint32_t)op->in[0].count;
    uint32_t size[COVEY_TENSOR_RANK];
    memcpy(size, op->in[0].size, sizeof size);
    size[op->in[0].rank] = op->units;
    COVEY_TRY(set_out(at, op->in[0].rank + 1, size));
    op->forward_flops = op->out.count;
    return add_parameter(at, "weight", at->description->role, 2, (uint32_t[]){op->vocabulary, op->units});
}

static enum covey_status resolve_gru(struct resolving *at)
{
    struct covey_op *op = at->op;
    const enum covey_role role = at->description->role;
    COVEY_TRY(need_units(at));
    if (op->in[0].rank != 2)
        return refuse(at, COVEY_INVALID, "needs a sequence (time, features)");
    if (op->units > COVEY_TENSOR_VALUES / 3)
        return refuse(at, COVEY_LIMIT, "too many `units`");
    split_rows(op);
    op->last_only = at->description->last_only != 0;
    COVEY_TRY(op->last_only ? set_out(at, 1, &op->units) : set_out(at, 2, (uint32_t[]){op->rows, op->units}));
    const uint32_t gates = 3 * op->units;
    COVEY_TRY(add_parameter(at, "weight_input", role, 2, (uint32_t[]){gates, op->features}));
    COVEY_TRY(add_parameter(at, "weight_state", role, 2, (uint32_t[]){gates, op->units}));
    COVEY_TRY(add_bias(at, "bias_input", gates));
    COVEY_TRY(add_bias(at, "bias_state", gates));
    /* What is saved of one example is several times its states: keep that within bounds too. */
    uint64_t saved = 0;
    if (!times(op->rows, 8ull * op->units, COVEY_TENSOR_VALUES, &saved))
        return refuse(at, COVEY_LIMIT, "more than 2^28 values over all time steps");
    return set_flops(at, 2, op->rows, gates, (uint64_t)op->features + op->units);
}

/* Of one that is not here: one input, which the output looks like; no keys, no weights. */
static const struct resolving_row {
    resolver *resolve;
    uint32_t input_limit;
} resolvers[COVEY_OP_KINDS] = {
    [COVEY_OP_DENSE] = {resolve_dense, 1},
    [COVEY_OP_CONV2D] = {resolve_conv2d, 1},
    [COVEY_OP_MAX_POOL] = {resolve_pool, 1},
    [COVEY_OP_AVERAGE_POOL] = {resolve_pool, 1},
    [COVEY_OP_GLOBAL_AVERAGE_POOL] = {resolve_global_pool, 1},
    [COVEY_OP_FLATTEN] = {resolve_flatten, 1},
    [COVEY_OP_ADD] = {resolve_add, COVEY_OP_INPUTS},
    [COVEY_OP_CONCAT] = {resolve_concat, COVEY_OP_INPUTS},
    [COVEY_OP_DROPOUT] = {resolve_dropout, 1},
    [COVEY_OP_GROUP_NORM] = {resolve_norm, 1},
    [COVEY_OP_BATCH_NORM] = {resolve_norm, 1},
    [COVEY_OP_EMBEDDING] = {resolve_embedding, 1},
    [COVEY_OP_GRU] = {resolve_gru, 1},
};

static struct resolving_row row_of(enum covey_op_kind kind)
{
    return resolvers[kind].resolve != NULL ? resolvers[kind] : (struct resolving_row){resolve_same, 1};
}

static enum covey_status check_common(struct resolving *at, uint32_t input_count)
{
    const struct covey_op_description *description = at->description;
    if ((unsigned)description->kind >= COVEY_OP_KINDS)
        return refuse(at, COVEY_INVALID, "an operation of unknown kind");
    const uint32_t most = row_of(description->kind).input_limit;
    if (input_count < 1 || input_count > most)
        return covey_fail(at->err, COVEY_INVALID, "takes at most %u input(s), has %u", most, input_count);
    if ((unsigned)description->padding > COVEY_PADDING_EXPLICIT)
        return refuse(at, COVEY_INVALID, "padding is valid, same or explicit");
    if (description->role != COVEY_ROLE_TRAINABLE && description->role != COVEY_ROLE_FROZEN)
        return refuse(at, COVEY_INVALID, "weights are trainable or frozen");
    if ((unsigned)description->scope > COVEY_SCOPE_PERSONAL)
        return refuse(at, COVEY_INVALID, "weights are shared or personal");
    return COVEY_OK;
}

enum covey_status covey_op_resolve(const struct covey_op_description *description, uint32_t input_count,
                                   const struct covey_shape *inputs, struct covey_op *out,
                                   struct covey_error *err)
{
    struct covey_op op = {.kind = description->kind, .input_count = input_count};
    struct resolving at = {description, &op, err};
    COVEY_TRY(check_common(&at, input_count));
    for (uint32_t i = 0; i < input_count; i++)
        COVEY_TRY(set_shape(&at, &op.in[i], inputs[i].rank, inputs[i].size));
    COVEY_TRY(row_of(op.kind).resolve(&at));
    *out = op;
    return COVEY_OK;
}

bool covey_op_fuse(struct covey_op *op, const struct covey_op *next)
{
    const struct covey_window *window = &next->window;
    if (next->kind == COVEY_OP_RELU && (op->kind == COVEY_OP_DENSE || op->kind == COVEY_OP_CONV2D) &&
        !op->relu) {
        op->relu = true;
        return true;
    }
    if (next->kind != COVEY_OP_MAX_POOL || op->kind != COVEY_OP_CONV2D || op->pool)
        return false;
    if (window->stride[0] != window->kernel[0] || window->stride[1] != window->kernel[1] ||
        (window->pad[0] | window->pad[1] | window->pad[2] | window->pad[3]) != 0)
        return false;
    op->pool = true;
    op->pool_window = *window;
    op->out = next->out;
    return true;
}
