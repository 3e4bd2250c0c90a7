/* Models: the description from YAML, its check, its layout in the flat vector, and initial weights.
 *
 *   name: 2nn
 *   input: {shape: [28, 28, 1]}
 *   loss: softmax_cross_entropy
 *   ops:
 *     - {op: flatten}
 *     - {op: dense, name: hidden1, units: 200}
 *     - {op: relu}
 *     - {op: dense, name: output, units: 10}
 *
 * docs/training.md has every key. An operation without `inputs` takes what the one before it gave; one
 * without a name is called by its kind and place ("relu-3"). Descriptions also come over the network: nothing
 * here trusts them. */
#ifndef COVEY_MODEL_H
#define COVEY_MODEL_H

#include <stdint.h>

#include "covey/model_description.h"
#include "covey/params.h"
#include "covey/status.h"

/* What a model is as a whole. Shapes are of one example. */
struct covey_model_summary {
    uint64_t parameters; /* all values of the flat vector */
    uint64_t trainable;
    uint64_t update_count; /* values in an update */
    uint32_t output_rank;
    uint32_t output_shape[COVEY_TENSOR_RANK];
    uint32_t
        target_count; /* softmax cross-entropy: labels an example; mean squared error: values an example */
    uint32_t classes; /* softmax cross-entropy: labels are below this; else 0 */
    uint64_t forward_flops; /* one example, 2 a multiply-add */
};

/* Reads YAML into *out (caller's storage, large). Checked as covey_model_check does. INVALID with "FILE:LINE:
 * ..." or the operation's name in err. */
COVEY_MUST_CHECK enum covey_status covey_model_load_file(const char *file,
                                                         struct covey_model_description *out,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_model_load_text(const char *name, const char *text,
                                                         size_t text_bytes,
                                                         struct covey_model_description *out,
                                                         struct covey_error *err);

/* The file of a model that the user named: a path when it has a '/' or ends in ".yaml", otherwise NAME.yaml
 * among the shipped models (beside the program: ../share/covey/models; where it was installed; the source
 * tree). out: out_bytes of storage. NOT_FOUND lists where it looked. */
COVEY_MUST_CHECK enum covey_status covey_model_find(const char *name, char *out, size_t out_bytes,
                                                    struct covey_error *err);

/* find, then load. */
COVEY_MUST_CHECK enum covey_status covey_model_load(const char *name, struct covey_model_description *out,
                                                    struct covey_error *err);

/* Graph, shapes and limits, for a description from anywhere. INVALID or LIMIT, naming the operation. */
COVEY_MUST_CHECK enum covey_status covey_model_check(const struct covey_model_description *model,
                                                     struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_model_summarise(const struct covey_model_description *model,
                                                         struct covey_model_summary *out,
                                                         struct covey_error *err);

/* The tensors of the flat vector: NAME.weight, NAME.bias, ... in the order of the operations. *out is
 * initialised here; the caller deinits it. Checks the description first. */
COVEY_MUST_CHECK enum covey_status covey_model_layout(const struct covey_model_description *model,
                                                      struct covey_layout *out, struct covey_error *err);

/* Initial weights, each tensor from the generator keyed by (seed, its name), so that they do not depend on
 * the other tensors: He uniform (bound sqrt(6 / fan in); He et al. 2015, eq. 10) for dense and conv2d that a
 * relu or relu6 follows, Glorot uniform (bound sqrt(6 / (fan in + fan out)); Glorot and Bengio 2010, eq. 16)
 * for the others, uniform within 1 / sqrt(units) for gru weights, uniform within 0.05 for embeddings, 1 for
 * the scale of norms and running variances, 0 for biases, running means and control variates. Only exact
 * arithmetic and sqrt: the same bits on every machine. params: layout->count values, overwritten. */
COVEY_MUST_CHECK enum covey_status covey_model_initialise(const struct covey_model_description *model,
                                                          const struct covey_layout *layout, uint64_t seed,
                                                          float *params, struct covey_error *err);

#endif
