/* Model descriptions as people write them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/yaml.h"

#define DEFAULT_EPSILON 1e-5
#define DEFAULT_MOMENTUM 0.1

/* The file's form: numbers as YAML has them, lists by pointer. All zero is the default. */
struct op_entry {
    int64_t kind;
    char *name;
    char **inputs;
    uint32_t input_count;
    int64_t units, vocabulary, groups, padding;
    int64_t *kernel, *stride, *pad;
    uint32_t kernel_count, stride_count, pad_count;
    bool no_bias, last_only;
    double rate, epsilon, momentum;
    int64_t weights, scope;
};

struct model_entry {
    char *name;
    struct {
        int64_t *shape;
        uint32_t shape_count;
        bool tokens;
        double scale, shift;
    } input;
    int64_t loss;
    struct op_entry *ops;
    uint32_t op_count;
};

/* In the order of enum covey_op_kind, and so on. */
#define KIND_NAME(kind, name) #name,
static const char *const kinds[] = {COVEY_OPERATIONS(KIND_NAME) NULL};
#undef KIND_NAME
static const char *const paddings[] = {"valid", "same", "explicit", NULL};
static const char *const losses[] = {"softmax_cross_entropy", "mean_squared_error", NULL};
static const char *const weight_roles[] = {"trainable", "frozen", NULL};
static const char *const scopes[] = {"shared", "personal", NULL};

#define SIZE_MAXIMUM 268435456.0 /* COVEY_TENSOR_VALUES */

#define INT_FIELD(type, key_text, member, least, most)                                                       \
    {                                                                                                        \
        .key = key_text, .kind = COVEY_FIELD_INT, .offset = offsetof(type, member), .minimum = least,        \
        .maximum = most                                                                                      \
    }
#define REAL_FIELD(type, key_text, member, least, most)                                                      \
    {                                                                                                        \
        .key = key_text, .kind = COVEY_FIELD_REAL, .offset = offsetof(type, member), .minimum = least,       \
        .maximum = most                                                                                      \
    }
#define BOOL_FIELD(type, key_text, member)                                                                   \
    {                                                                                                        \
        .key = key_text, .kind = COVEY_FIELD_BOOL, .offset = offsetof(type, member)                          \
    }
#define CHOICE_FIELD(type, key_text, member, words, must)                                                    \
    {                                                                                                        \
        .key = key_text, .kind = COVEY_FIELD_CHOICE, .offset = offsetof(type, member), .choices = words,     \
        .required = must                                                                                     \
    }
#define SIZES_FIELD(type, key_text, member, most, least, must, text)                                         \
    {                                                                                                        \
        .key = key_text, .kind = COVEY_FIELD_LIST, .offset = offsetof(type, member), .required = must,       \
        .minimum = least, .maximum = SIZE_MAXIMUM, .item_bytes = sizeof(int64_t),                            \
        .item_kind = COVEY_FIELD_INT, .count_offset = offsetof(type, member##_count), .item_limit = most,    \
        .hint = text                                                                                         \
    }

static const struct covey_field op_fields[] = {
    CHOICE_FIELD(struct op_entry, "op", kind, kinds, true),
    {.key = "name", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct op_entry, name)},
    {.key = "inputs",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct op_entry, inputs),
     .item_bytes = sizeof(char *),
     .item_kind = COVEY_FIELD_TEXT,
     .count_offset = offsetof(struct op_entry, input_count),
     .item_limit = COVEY_OP_INPUTS,
     .hint = "names of earlier operations, or input: [fc1, fc2]"},
    INT_FIELD(struct op_entry, "units", units, 1, SIZE_MAXIMUM),
    INT_FIELD(struct op_entry, "vocabulary", vocabulary, 1, 16777216),
    INT_FIELD(struct op_entry, "groups", groups, 1, SIZE_MAXIMUM),
    SIZES_FIELD(struct op_entry, "kernel", kernel, 2, 1, false, "[height, width], or [length]"),
    SIZES_FIELD(struct op_entry, "stride", stride, 2, 1, false, "[height, width], or [length]"),
    CHOICE_FIELD(struct op_entry, "padding", padding, paddings, false),
    SIZES_FIELD(struct op_entry, "pad", pad, 4, 0, false, "[top, bottom, left, right], or [before, after]"),
    BOOL_FIELD(struct op_entry, "no_bias", no_bias),
    BOOL_FIELD(struct op_entry, "last_only", last_only),
    REAL_FIELD(struct op_entry, "rate", rate, 0, 1),
    REAL_FIELD(struct op_entry, "epsilon", epsilon, 0, 1),
    REAL_FIELD(struct op_entry, "momentum", momentum, 0, 1),
    CHOICE_FIELD(struct op_entry, "weights", weights, weight_roles, false),
    CHOICE_FIELD(struct op_entry, "scope", scope, scopes, false),
    {0},
};

static const struct covey_field input_fields[] = {
    SIZES_FIELD(struct model_entry, "shape", input.shape, COVEY_TENSOR_RANK, 1, true,
                "[height, width, channels]"),
    BOOL_FIELD(struct model_entry, "tokens", input.tokens),
    REAL_FIELD(struct model_entry, "scale", input.scale, 0, 0),
    REAL_FIELD(struct model_entry, "shift", input.shift, 0, 0),
    {0},
};

static const struct covey_field model_fields[] = {
    {.key = "name", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct model_entry, name), .required = true},
    {.key = "input", .kind = COVEY_FIELD_MAPPING, .required = true, .fields = input_fields},
    CHOICE_FIELD(struct model_entry, "loss", loss, losses, true),
    {.key = "ops",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct model_entry, ops),
     .required = true,
     .fields = op_fields,
     .item_bytes = sizeof(struct op_entry),
     .item_kind = COVEY_FIELD_MAPPING,
     .count_offset = offsetof(struct model_entry, op_count),
     .item_limit = COVEY_MODEL_OPS},
    {0},
};

static enum covey_status copy_name(const char *from, char *to, struct covey_error *err)
{
    if (strlen(from) >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_LIMIT, "'%.80s' is too long a name: at most %d characters", from,
                          COVEY_NAME_BYTES - 1);
    (void)snprintf(to, COVEY_NAME_BYTES, "%s", from);
    return COVEY_OK;
}

/* [h, w] as it is; [n] is a square on images and (n, 1) on signals. */
static void copy_pair(const int64_t *from, uint32_t count, bool square, uint32_t to[2])
{
    if (count == 0)
        return;
    to[0] = (uint32_t)from[0];
    to[1] = count > 1 ? (uint32_t)from[1] : square ? to[0] : 1;
}

static enum covey_status copy_window(const struct op_entry *entry, bool image,
                                     struct covey_op_description *op, struct covey_error *err)
{
    copy_pair(entry->kernel, entry->kernel_count, image, op->kernel);
    copy_pair(entry->stride, entry->stride_count, image, op->stride);
    op->padding = (enum covey_padding)entry->padding;
    for (uint32_t i = 0; i < entry->pad_count; i++)
        op->pad[i] = (uint32_t)entry->pad[i];
    if (entry->pad_count > 0 && op->padding != COVEY_PADDING_EXPLICIT)
        return covey_fail(err, COVEY_INVALID, "`pad` goes with `padding: explicit`");
    if (entry->pad_count % 2 != 0)
        return covey_fail(err, COVEY_INVALID, "`pad` is [top, bottom, left, right], or [before, after]");
    return COVEY_OK;
}

static enum covey_status copy_inputs(const struct op_entry *entry, uint32_t index,
                                     const struct covey_model_description *model,
                                     struct covey_op_description *op, struct covey_error *err)
{
    op->input_count = entry->input_count > 0 ? entry->input_count : 1;
    for (uint32_t i = 0; i < entry->input_count; i++)
        COVEY_TRY(copy_name(entry->inputs[i], op->inputs[i], err));
    if (entry->input_count == 0)
        (void)snprintf(op->inputs[0], sizeof op->inputs[0], "%s",
                       index > 0 ? model->ops[index - 1].name : "input");
    return COVEY_OK;
}

static enum covey_status copy_op(const struct op_entry *entry, uint32_t index,
                                 struct covey_model_description *model, struct covey_error *err)
{
    struct covey_op_description *op = &model->ops[index];
    op->kind = (enum covey_op_kind)entry->kind;
    if (entry->name != NULL)
        COVEY_TRY(copy_name(entry->name, op->name, err));
    else
        (void)snprintf(op->name, sizeof op->name, "%s-%u", covey_op_kind_name(op->kind), index + 1);
    COVEY_TRY(copy_inputs(entry, index, model, op, err));
    /* No operation makes an image of something else, or the reverse before a window. */
    COVEY_TRY(copy_window(entry, model->input_rank == 3, op, err));
    const bool norm = op->kind == COVEY_OP_GROUP_NORM || op->kind == COVEY_OP_BATCH_NORM;
    op->units = (uint32_t)entry->units;
    op->vocabulary = (uint32_t)entry->vocabulary;
    op->groups = (uint32_t)entry->groups;
    op->no_bias = entry->no_bias;
    op->last_only = entry->last_only;
    op->rate = (float)entry->rate;
    op->epsilon = (float)(norm && entry->epsilon == 0 ? DEFAULT_EPSILON : entry->epsilon);
    op->momentum =
        (float)(op->kind == COVEY_OP_BATCH_NORM && entry->momentum == 0 ? DEFAULT_MOMENTUM : entry->momentum);
    op->role = entry->weights == 0 ? COVEY_ROLE_TRAINABLE : COVEY_ROLE_FROZEN;
    op->scope = (enum covey_scope)entry->scope;
    return COVEY_OK;
}

static enum covey_status copy_model(const struct model_entry *entry, struct covey_model_description *model,
                                    struct covey_error *err)
{
    COVEY_TRY(copy_name(entry->name, model->name, err));
    model->input_rank = entry->input.shape_count;
    for (uint32_t i = 0; i < entry->input.shape_count; i++)
        model->input_shape[i] = (uint32_t)entry->input.shape[i];
    model->input_is_token = entry->input.tokens;
    model->input_scale = (float)entry->input.scale;
    model->input_shift = (float)entry->input.shift;
    model->loss = (enum covey_loss)entry->loss;
    model->op_count = entry->op_count;
    for (uint32_t i = 0; i < entry->op_count; i++) {
        const enum covey_status status = copy_op(&entry->ops[i], i, model, err);
        if (status != COVEY_OK)
            return covey_fail_at(err, status, "operation %u: ", i + 1);
    }
    return covey_model_check(model, err);
}

/* text NULL: from the file of that name. */
static enum covey_status load(const char *name, const char *text, size_t text_bytes,
                              struct covey_model_description *out, struct covey_error *err)
{
    const struct model_entry defaults = {.input = {.scale = 1.0}};
    struct model_entry entry = defaults;
    enum covey_status status =
        text != NULL ? covey_yaml_load_text(name, text, text_bytes, model_fields, &entry, sizeof entry, err)
                     : covey_yaml_load_file(name, model_fields, &entry, sizeof entry, err);
    if (status != COVEY_OK)
        return status;
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "%s: no memory", name);
    if (status == COVEY_OK) {
        status = copy_model(&entry, model, err);
        if (status != COVEY_OK)
            (void)covey_fail_at(err, status, "%s: ", name);
    }
    if (status == COVEY_OK)
        *out = *model;
    free(model);
    covey_yaml_free(model_fields, &entry, &defaults);
    return status;
}

enum covey_status covey_model_load_file(const char *file, struct covey_model_description *out,
                                        struct covey_error *err)
{
    return load(file, NULL, 0, out, err);
}

enum covey_status covey_model_load_text(const char *name, const char *text, size_t text_bytes,
                                        struct covey_model_description *out, struct covey_error *err)
{
    return load(name, text, text_bytes, out, err);
}
