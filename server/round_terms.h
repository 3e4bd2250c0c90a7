/* What a round's sum depends on, fixed when it opens and written into the ledger: so that the same updates
 * give the same sum after a restart, whatever the configuration says by then. */
#ifndef COVEY_ROUND_TERMS_H
#define COVEY_ROUND_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/codec.h"
#include "covey/limits.h"
#include "covey/messages.h"
#include "covey/status.h"
#include "covey/strategy.h"
#include "covey/weighting.h"

#define COVEY_ROUND_TERMS_VERSION 3 /* 1: the strategy was a name; 2: examples were the only weights */

struct covey_round_terms {
    char strategy[COVEY_STRATEGY_TEXT_BYTES]; /* covey/chain.h */
    char codec[COVEY_CODEC_NAME_BYTES];
    uint64_t seed; /* of what the strategy draws */
    uint32_t round;
    uint64_t updates_max;
    double weight_max, norm_limit;
    double examples_max; /* that one update may count for */
    struct covey_weighting weighting;
    bool refuse_range;
    uint32_t tensor_count;
    bool has_exponents;
    int16_t exponents[COVEY_MODEL_TENSORS]; /* (tensor_count) when has_exponents */
};

#define COVEY_ROUND_TERMS_BYTES (512 + 2 * COVEY_MODEL_TENSORS)

/* Little-endian; out: COVEY_ROUND_TERMS_BYTES. Returns the bytes. */
size_t covey_round_terms_encode(const struct covey_round_terms *terms, uint8_t *out);
COVEY_MUST_CHECK enum covey_status covey_round_terms_decode(struct covey_bytes bytes,
                                                            struct covey_round_terms *out,
                                                            struct covey_error *err);

/* What an update counts for under these terms: *out, and its weight in the sum but for its staleness. norm:
 * as covey_examine_update gave it. */
double covey_round_terms_weigh(const struct covey_round_terms *terms, const struct covey_update *update,
                               double norm, struct covey_weighed *out);

/* Where a round's sum is made, and from what. All borrowed for the call. */
struct covey_round_site {
    const size_t *ends; /* (tensor_count) */
    size_t tensor_count;
    uint32_t threads;
    struct covey_bytes kept; /* COVEY_STATE_STRATEGY of the model that the round starts from */
    const char *spool_folder;
};

/* The sum of a round under these terms. MISMATCH when the layout has another number of tensors. */
COVEY_MUST_CHECK enum covey_status covey_round_terms_begin(const struct covey_round_terms *terms,
                                                           const struct covey_round_site *site,
                                                           struct covey_aggregation **out,
                                                           struct covey_error *err);

#endif
