/* A model description as CBOR (docs/wire.cddl: description). The graph itself (names once, inputs before
 * their use, shapes that fit) is checked where it becomes a plan of memory, in training/. */
#include "covey/model_description.h"

#include <stdlib.h>

#include "covey/limits.h"
#include "covey/messages.h"
#include "wire/cbor_fields.h"

#define DIMENSION_MAX (1u << 28) /* COVEY_MODEL_PARAMETERS bounds their products; this bounds each */
#define WINDOW_MAX 65536         /* of a kernel, stride or padding */

static const struct covey_field op_fields[] = {
    COVEY_CHOICE(struct covey_op_description, kind, 1, COVEY_FIELD_REQUIRED, COVEY_OP_KINDS - 1),
    COVEY_TEXT(struct covey_op_description, name, 2, COVEY_FIELD_REQUIRED),
    COVEY_TEXTS(struct covey_op_description, inputs, 3, COVEY_FIELD_REQUIRED,
                offsetof(struct covey_op_description, input_count), COVEY_OP_INPUTS),
    COVEY_UNSIGNED(struct covey_op_description, units, 4, COVEY_FIELD_OPTIONAL, 0, DIMENSION_MAX),
    COVEY_UNSIGNED(struct covey_op_description, vocabulary, 5, COVEY_FIELD_OPTIONAL, 0, DIMENSION_MAX),
    COVEY_NUMBERS(struct covey_op_description, kernel, 6, COVEY_FIELD_OPTIONAL, COVEY_COUNT_FIXED, 2, 1, 0,
                  WINDOW_MAX),
    COVEY_NUMBERS(struct covey_op_description, stride, 7, COVEY_FIELD_OPTIONAL, COVEY_COUNT_FIXED, 2, 1, 0,
                  WINDOW_MAX),
    COVEY_CHOICE(struct covey_op_description, padding, 8, COVEY_FIELD_OPTIONAL, COVEY_PADDING_EXPLICIT),
    COVEY_NUMBERS(struct covey_op_description, pad, 9, COVEY_FIELD_OPTIONAL, COVEY_COUNT_FIXED, 4, 1, 0,
                  WINDOW_MAX),
    COVEY_UNSIGNED(struct covey_op_description, groups, 10, COVEY_FIELD_OPTIONAL, 0, DIMENSION_MAX),
    COVEY_UNSIGNED(struct covey_op_description, no_bias, 11, COVEY_FIELD_OPTIONAL, 0, 1),
    COVEY_UNSIGNED(struct covey_op_description, last_only, 12, COVEY_FIELD_OPTIONAL, 0, 1),
    COVEY_FLOAT(struct covey_op_description, rate, 13, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_BELOW_ONE),
    COVEY_FLOAT(struct covey_op_description, epsilon, 14, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_FLOAT(struct covey_op_description, momentum, 15, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_UP_TO_ONE),
    COVEY_CHOICE(struct covey_op_description, role, 16, COVEY_FIELD_OPTIONAL, COVEY_ROLE_FROZEN),
    COVEY_CHOICE(struct covey_op_description, scope, 17, COVEY_FIELD_OPTIONAL, COVEY_SCOPE_PERSONAL),
};
static const struct covey_record op_record = COVEY_RECORD(op_fields);

static const struct covey_field model_fields[] = {
    COVEY_TEXT(struct covey_model_description, name, 1, COVEY_FIELD_REQUIRED),
    COVEY_NUMBERS(struct covey_model_description, input_shape, 2, COVEY_FIELD_REQUIRED,
                  offsetof(struct covey_model_description, input_rank), COVEY_TENSOR_RANK, 1, 1,
                  DIMENSION_MAX),
    COVEY_UNSIGNED(struct covey_model_description, input_is_token, 3, COVEY_FIELD_OPTIONAL, 0, 1),
    COVEY_FLOAT(struct covey_model_description, input_scale, 4, COVEY_FIELD_REQUIRED, COVEY_FLOAT_ANY),
    COVEY_FLOAT(struct covey_model_description, input_shift, 5, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_ANY),
    COVEY_CHOICE(struct covey_model_description, loss, 6, COVEY_FIELD_OPTIONAL,
                 COVEY_LOSS_MEAN_SQUARED_ERROR),
    COVEY_RECORDS(struct covey_model_description, ops, 7, COVEY_FIELD_REQUIRED,
                  offsetof(struct covey_model_description, op_count), COVEY_MODEL_OPS, &op_record),
    COVEY_UNSIGNED(struct covey_model_description, control_variates, 8, COVEY_FIELD_OPTIONAL, 0, 1),
};
static const struct covey_record model_record = COVEY_RECORD(model_fields);

static enum covey_status check_op(const struct covey_op_description *op, uint32_t index,
                                  enum covey_status status, struct covey_error *err)
{
    if (op->name[0] == '\0')
        return covey_fail(err, status, "model description: ops[%u].name: empty", index);
    if (op->input_count == 0)
        return covey_fail(err, status, "model description: ops[%u].inputs: none", index);
    for (uint32_t i = 0; i < op->input_count && i < COVEY_OP_INPUTS; i++)
        if (op->inputs[i][0] == '\0')
            return covey_fail(err, status, "model description: ops[%u].inputs[%u]: empty", index, i);
    return COVEY_OK;
}

static enum covey_status check_description(const struct covey_model_description *model,
                                           enum covey_status status, struct covey_error *err)
{
    if (model->input_rank == 0)
        return covey_fail(err, status, "model description: input_shape: empty");
    if (model->op_count == 0)
        return covey_fail(err, status, "model description: ops: none");
    for (uint32_t i = 0; i < model->op_count && i < COVEY_MODEL_OPS; i++)
        COVEY_TRY(check_op(&model->ops[i], i, status, err));
    return COVEY_OK;
}

enum covey_status covey_description_encode(const struct covey_model_description *model, uint8_t *out,
                                           size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    COVEY_TRY(check_description(model, COVEY_INVALID, err));
    const size_t most = capacity < COVEY_DESCRIPTION_BYTES ? capacity : COVEY_DESCRIPTION_BYTES;
    return covey_message_encode(&model_record, model, "model description", out, most, out_bytes, err);
}

enum covey_status covey_description_decode(struct covey_bytes message, struct covey_model_description *out,
                                           struct covey_error *err)
{
    if (message.size > COVEY_DESCRIPTION_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "model description: %zu bytes, at most %u", message.size,
                          COVEY_DESCRIPTION_BYTES);
    /* Too large for a stack; of one size, whatever the message says. */
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "model description: no memory for %zu bytes", sizeof *model);
    enum covey_status status = covey_message_decode(&model_record, message, "model description", model, err);
    if (status == COVEY_OK)
        status = check_description(model, COVEY_CORRUPT, err);
    if (status == COVEY_OK)
        *out = *model;
    free(model);
    return status;
}
