/* What an update must be before it is folded in: a sound stream of the right length, finite, in range, not
 * too long. Nothing of a refused update reaches the sum. */
#ifndef COVEY_ADMIT_H
#define COVEY_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

struct covey_admit_rule {
    const size_t *ends; /* (tensor_count), as of the grid */
    size_t tensor_count;
    const int16_t *exponents; /* (tensor_count): |x| <= 2^e is in range */
    bool refuse_range;        /* out of range: true: RANGE; false: scaled down whole, by a power of two */
    double norm_limit; /* Euclidean norm of the whole update; 0: not looked at. Above: refused (RANGE) */
    bool wants_norm;   /* compute it even without a limit */
};

struct covey_admission {
    double scale; /* 1, or the power of two below it that brings the update into range */
    double norm;  /* before scaling; -1 where it was not computed */
};

/* Reads the whole stream once, without memory of its own; of streams whose scales bound the values the
 * scales, and only where that bound is out of range the values. peaks: (tensor_count), the largest |x| of
 * each tensor or a bound of it that depends on the stream and the rule alone; overwritten. CORRUPT,
 * UNSUPPORTED, MISMATCH (length), NOT_FINITE, RANGE. Thread-safe. */
COVEY_MUST_CHECK enum covey_status covey_admit(struct covey_bytes stream, const struct covey_admit_rule *rule,
                                               struct covey_admission *out, float *peaks,
                                               struct covey_error *err);

#endif
