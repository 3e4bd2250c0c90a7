/* A strategy as it is configured: admit -> clip -> mix -> rule, in one line of words, the rule first:
 *
 *   fedavg
 *   fedavg clip=fixed clip_norm=3
 *   centred-clipping hostile=5 mix=bucketing
 *
 * What follows in a round is the server optimiser (covey/server_optimiser.h). A chain that makes no sense is
 * refused with the reason when it is parsed; one that does not fit the cohort, when it is checked. Plain
 * data, copied at will; every function here is pure. */
#ifndef COVEY_CHAIN_H
#define COVEY_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/limits.h"
#include "covey/status.h"

enum covey_clip_kind {
    COVEY_CLIP_NONE,
    COVEY_CLIP_FIXED,   /* an update longer than clip_norm is shortened to it */
    COVEY_CLIP_QUANTILE /* clip_norm is where it begins; then it moves to the norms' quantile (Andrew et al.
                           2021) */
};

enum covey_mix_kind {
    COVEY_MIX_NONE,
    COVEY_MIX_BUCKETING, /* means of `bucket` updates drawn at random (Karimireddy et al. 2022) */
    COVEY_MIX_NEAREST    /* each becomes the mean of the n - hostile nearest (Allouah et al. 2023) */
};

/* Which parameters a rule takes, beyond `clip` and those that go with it. */
#define COVEY_TAKES_HOSTILE 1u
#define COVEY_TAKES_MIX 2u
#define COVEY_TAKES_KEEP 4u
#define COVEY_TAKES_ITERATIONS 8u
#define COVEY_TAKES_SMOOTHING 16u
#define COVEY_TAKES_RADIUS 32u
#define COVEY_TAKES_CLIP 64u

struct covey_strategy;

struct covey_chain {
    const struct covey_strategy *strategy; /* a row of the table, never NULL once parsed */
    uint32_t hostile;                      /* f: so many updates of a round may be anything */
    uint32_t clip;                         /* enum covey_clip_kind */
    double clip_norm, clip_quantile, clip_rate;
    uint32_t mix;        /* enum covey_mix_kind */
    uint32_t bucket;     /* s: updates that become one */
    uint32_t keep;       /* m of multi-krum; 0: n - f */
    uint32_t iterations; /* of geometric-median, centred-clipping */
    double smoothing;    /* nu of geometric-median: no distance counts as smaller */
    double radius;       /* tau of centred-clipping; 0: the median distance to the centre */
};

/* One parameter, for lists and for whoever reads a configuration. */
struct covey_chain_parameter {
    const char *key;
    const char *summary;
    const char *const *choices; /* words, ended by NULL; NULL: a number */
    bool whole;                 /* a number without a fraction */
    double minimum, maximum, initial;
    uint32_t taken; /* COVEY_TAKES_... of the rules that look at it */
    size_t offset;  /* in struct covey_chain: uint32_t where choices or whole, double otherwise */
};
/* Rows in order; NULL past the end. */
const struct covey_chain_parameter *covey_chain_parameter_at(size_t index);

/* INVALID with what was wrong and what would be right. */
COVEY_MUST_CHECK enum covey_status covey_chain_parse(const char *text, struct covey_chain *out,
                                                     struct covey_error *err);
/* The same line in one fixed form, without what has its default. out: COVEY_STRATEGY_TEXT_BYTES. */
void covey_chain_write(const struct covey_chain *chain, char *out);

/* Fewest updates of a round from which the chain makes a mean (n > 2f and the like, after mixing). */
uint64_t covey_chain_updates_min(const struct covey_chain *chain);

/* What a chain meets, for the check at start. */
struct covey_chain_demands {
    uint64_t updates_min; /* fewest updates with which a round is closed; 0: not known */
    uint64_t cohort;      /* updates that a round takes at the most; 0: not known */
    bool sums_only;       /* single updates are not shown: a secure sum */
    bool partial_sums;    /* gateways add up their devices' updates, and show the sum */
    bool has_reference;   /* the server can make an update of its own: there is root data */
    bool stale;           /* updates of one round may have started from different models */
};
/* INVALID or UNSUPPORTED with the reason. */
COVEY_MUST_CHECK enum covey_status covey_chain_check(const struct covey_chain *chain,
                                                     const struct covey_chain_demands *demands,
                                                     struct covey_error *err);

#endif
