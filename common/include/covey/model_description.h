/* What a model is: a list of operations with named inputs (a graph, in an order in which it can be run), an
 * input shape and a loss. Plain data, no weights. It is written by people as YAML (training/model_yaml),
 * travels as CBOR (common/wire), is named by the SHA-256 of its CBOR, and becomes a plan of memory and
 * kernels in training/.
 *
 * Shapes are without the batch: images are (height, width, channels), 1-D signals (length, channels) are
 * convolved as (length, 1, channels), sequences (time, features), token ids (time). */
#ifndef COVEY_MODEL_DESCRIPTION_H
#define COVEY_MODEL_DESCRIPTION_H

#include <stdint.h>

#include "covey/limits.h"
#include "covey/params.h"

/* Every operation, in the order of its number on the wire: a new one is a row at the end and a file
 * training/ops/NAME.c (docs/extend.md). */
#define COVEY_OPERATIONS(X)                                                                                  \
    X(DENSE, dense)                                                                                          \
    X(CONV2D, conv2d)                                                                                        \
    X(MAX_POOL, max_pool)                                                                                    \
    X(AVERAGE_POOL, average_pool)                                                                            \
    X(GLOBAL_AVERAGE_POOL, global_average_pool)                                                              \
    X(FLATTEN, flatten)                                                                                      \
    X(ADD, add)                                                                                              \
    X(CONCAT, concat)                                                                                        \
    X(RELU, relu)                                                                                            \
    X(RELU6, relu6)                                                                                          \
    X(TANH, tanh)                                                                                            \
    X(SIGMOID, sigmoid)                                                                                      \
    X(DROPOUT, dropout)                                                                                      \
    X(GROUP_NORM, group_norm)                                                                                \
    X(BATCH_NORM, batch_norm)                                                                                \
    X(EMBEDDING, embedding)                                                                                  \
    X(GRU, gru)                                                                                              \
    X(GELU, gelu)

#define COVEY_OP_NUMBER(kind, name) COVEY_OP_##kind,
enum covey_op_kind { COVEY_OPERATIONS(COVEY_OP_NUMBER) COVEY_OP_KINDS };
#undef COVEY_OP_NUMBER

enum covey_padding { COVEY_PADDING_VALID, COVEY_PADDING_SAME, COVEY_PADDING_EXPLICIT };

/* One operation. Fields that a kind does not use are zero. */
struct covey_op_description {
    enum covey_op_kind kind;
    char name[COVEY_NAME_BYTES]; /* unique; parameters are NAME.weight, NAME.bias, ... */
    uint32_t input_count;
    char inputs[COVEY_OP_INPUTS][COVEY_NAME_BYTES]; /* names of earlier operations, or "input" */

    uint32_t units;                /* dense, gru: outputs; conv2d: output channels; embedding: width */
    uint32_t vocabulary;           /* embedding: number of tokens */
    uint32_t kernel[2], stride[2]; /* conv2d, pools: height, width; 0 reads as 1 (pool stride: as kernel) */
    enum covey_padding padding;
    uint32_t pad[4]; /* explicit: top, bottom, left, right */
    uint32_t groups; /* conv2d: channel groups (= channels: depthwise); group_norm: groups */
    uint8_t no_bias;
    uint8_t last_only;      /* gru: only the last step's state, (units) instead of (time, units) */
    float rate;             /* dropout: probability of zero */
    float epsilon;          /* norms */
    float momentum;         /* batch_norm: share of the new batch in the running statistics */
    enum covey_role role;   /* of its weights: trainable or frozen */
    enum covey_scope scope; /* of its weights */
};

enum covey_loss { COVEY_LOSS_SOFTMAX_CROSS_ENTROPY, COVEY_LOSS_MEAN_SQUARED_ERROR };

/* Large (about 200 KB): keep it on the heap. */
struct covey_model_description {
    char name[COVEY_NAME_BYTES];
    uint32_t input_rank;
    uint32_t input_shape[COVEY_TENSOR_RANK];
    uint8_t input_is_token; /* values are ids for an embedding */
    float input_scale,
        input_shift; /* x = scale * raw + shift, applied as examples are read; 1, 0 by default */
    enum covey_loss loss;
    uint8_t control_variates; /* SCAFFOLD: the vector has one beside every value of the update part */
    uint32_t op_count;
    struct covey_op_description ops[COVEY_MODEL_OPS]; /* the last one is the output */
};

/* Names as in YAML and in messages for people: "conv2d", "softmax_cross_entropy". NULL past the end. */
const char *covey_op_kind_name(enum covey_op_kind kind);

#endif
