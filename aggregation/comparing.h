/* From the updates of a round to one mean, for rules that compare them: three readings of the rows at most,
 * one for their products, one for the result. Private to this folder. */
#ifndef COVEY_COMPARING_H
#define COVEY_COMPARING_H

#include "covey/chain.h"
#include "rows.h"

enum covey_comparing_rule {
    COVEY_RULE_MEDIAN,
    COVEY_RULE_TRIMMED_MEAN,
    COVEY_RULE_KRUM,
    COVEY_RULE_MULTI_KRUM,
    COVEY_RULE_BULYAN,
    COVEY_RULE_GEOMETRIC_MEDIAN,
    COVEY_RULE_CENTRED_CLIPPING,
    COVEY_RULE_FLTRUST
};

struct covey_comparison {
    struct covey_rows rows;
    const struct covey_chain *chain;
    enum covey_comparing_rule rule;
    uint64_t seed;
    uint32_t round;
    const float *centre; /* (columns), of centred clipping, or the server's own update; NULL otherwise */
};

/* out: (columns) f64, overwritten. STATE: too few updates. NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_compare(const struct covey_comparison *comparison, double *out,
                                                 struct covey_error *err);

#endif
