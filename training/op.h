/* The kernel interface: what a plan knows of one operation, and the table of functions that run it.
 *
 * A table (struct covey_kernels) has one row (struct covey_op_kernels) for each kind of operation. The plain
 * rows stand in ops/, written once for `real` and compiled twice, as f32 and as the f64 reference; the fast
 * f32 rows stand in kernels/, and the fast table takes the plain row where there is no fast one. This header
 * knows no precision; op_call.h has what a kernel is called with.
 *
 * Layout: row-major, channels last. Images (batch, height, width, channels); dense weights (out, in); conv2d
 * weights (out, kernel height, kernel width, in / groups). Nothing but the workspace is aligned: a weight
 * starts anywhere in the flat vector. */
#ifndef COVEY_OP_H
#define COVEY_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/model_description.h"
#include "covey/status.h"

#define COVEY_OP_PARAMETERS 5

/* Of one example: the batch is never in it. */
struct covey_shape {
    uint32_t rank;
    uint32_t size[COVEY_TENSOR_RANK];
    size_t count; /* product of size[0..rank-1]; at most COVEY_TENSOR_VALUES */
};

/* A sliding window, padding already resolved: output o covers inputs o * stride - pad ... + kernel - 1. */
struct covey_window {
    uint32_t kernel[2], stride[2]; /* height, width; never 0 */
    uint32_t pad[4];               /* top, bottom, left, right; less than the kernel */
    uint32_t height, width;        /* of the output */
};

/* A parameter tensor of an operation, where it lies in the model's flat vector. */
struct covey_op_parameter {
    const char *suffix; /* "weight": the tensor is NAME.weight */
    uint32_t rank;
    uint32_t size[COVEY_TENSOR_RANK];
    size_t count;
    enum covey_role role;
    size_t offset; /* first value in the flat vector; set by the plan */
};

/* One operation, resolved: every field that its kind uses is set and checked, so that kernels check nothing.
 *
 * Parameters, in this order (those left out by no_bias have count 0):
 *   dense       weight (units, features), bias (units)
 *   conv2d      weight (units, kh, kw, channels / groups), bias (units)
 *   group_norm  weight (features), bias (features)
 *   batch_norm  weight, bias, running_mean, running_variance: (features) each; the last two are buffers
 *   embedding   weight (vocabulary, units)
 *   gru         weight_input (3 units, features), weight_state (3 units, units), bias_input (3 units),
 *               bias_state (3 units); gates in the order reset, update, new, as PyTorch has them */
struct covey_op {
    enum covey_op_kind kind;
    uint32_t index; /* in the description: part of the key of dropout's random numbers */
    uint32_t input_count;
    struct covey_shape in[COVEY_OP_INPUTS];
    struct covey_shape out; /* after whatever is fused */

    /* dense: x (batch * rows, features) -> y (batch * rows, units); rows = product of all but the last
     * dimension. norms: x (batch * rows, features). embedding: rows ids -> (rows, units). gru: rows = time
     * steps. */
    uint32_t rows, features, units;
    uint32_t vocabulary;

    /* conv2d and pools: image (height, width, channels); a signal (length, channels) is (length, 1, channels)
     */
    uint32_t height, width, channels;
    struct covey_window window; /* of the operation itself, before a fused pooling */
    uint32_t groups;

    float rate, epsilon, momentum;
    bool last_only;

    /* fused in behind it by the plan, only where the row of the table takes it (struct
     * covey_op_kernels.fuses): first relu, then max pooling over the image (window.height, window.width,
     * units). relu(max) = max(relu), so a kernel may do them in either order. */
    bool relu;
    bool pool;
    struct covey_window pool_window;

    uint32_t parameter_count;
    struct covey_op_parameter parameters[COVEY_OP_PARAMETERS];
    uint64_t forward_flops; /* of one example, 2 a multiply-add; backward is taken as twice that */
};

/* Checks the description of one operation against the shapes of its inputs and fills in everything but index
 * and the offsets. Every size is checked before it is multiplied. INVALID or LIMIT, with the reason in err.
 */
COVEY_MUST_CHECK enum covey_status covey_op_resolve(const struct covey_op_description *description,
                                                    uint32_t input_count, const struct covey_shape *inputs,
                                                    struct covey_op *out, struct covey_error *err);

/* Fuses a following relu or max pooling into op. False when the following one cannot be fused in at all. */
bool covey_op_fuse(struct covey_op *op, const struct covey_op *next);

enum covey_fusion {
    COVEY_FUSES_RELU = 1,
    COVEY_FUSES_MAX_POOL = 2 /* with any window that does not overlap itself and has no padding */
};

enum covey_need {
    COVEY_NEEDS_INPUT = 1, /* backward reads call->in */
    COVEY_NEEDS_OUTPUT = 2 /* backward reads call->out */
};

enum covey_ability {
    /* forward may run with out == in[0], and backward with dx[0] == dy */
    COVEY_IN_PLACE = 1,
    /* backward can write weights at once (dw == w, alpha = -rate, beta = 1): no gradient buffer */
    COVEY_UPDATES_WEIGHTS = 2
};

struct covey_op_call;

/* One row. Functions do not fail and do not allocate; they are reentrant. */
struct covey_op_kernels {
    const char *name;   /* for reports: "plain", "gemm", "direct 5x2 avx2" */
    unsigned fuses;     /* enum covey_fusion */
    unsigned needs;     /* enum covey_need */
    unsigned abilities; /* enum covey_ability */
    /* Bytes for up to `batch` examples; NULL: none. saved: written by a training forward, read by its
     * backward. scratch: for the time of one call, forward or backward, with what it holds undefined. Both
     * are aligned to COVEY_ARENA_ALIGN. */
    size_t (*saved_bytes)(const struct covey_op *op, size_t batch);
    size_t (*scratch_bytes)(const struct covey_op *op, size_t batch);
    void (*forward)(const struct covey_op *op, const struct covey_op_call *call);
    void (*backward)(const struct covey_op *op, const struct covey_op_call *call);
};

/* No row is NULL. */
struct covey_kernels {
    const char *name; /* "plain", "reference", "fast" */
    size_t real_bytes;
    const struct covey_op_kernels *rows[COVEY_OP_KINDS];
};

/* ops/plain_table.c, compiled twice; kernels/fast_table.c. */
extern const struct covey_kernels covey_kernels_plain_f32;
extern const struct covey_kernels covey_kernels_plain_f64;
extern const struct covey_kernels covey_kernels_fast;

#endif
