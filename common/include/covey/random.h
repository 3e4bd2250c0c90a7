/* Reproducible randomness: Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw:
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3), keyed by (seed, device, round,
 * purpose), so that any client's any round can be replayed alone, in any order.
 *
 * Not for keys, tokens or privacy noise: those come from covey_secret_bytes. Results are integers or exact
 * conversions of them, so equal on every machine, except covey_random_normal, which uses libm. */
#ifndef COVEY_RANDOM_H
#define COVEY_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum covey_purpose {
    COVEY_PURPOSE_INIT = 1,    /* initial weights */
    COVEY_PURPOSE_SHUFFLE = 2, /* order of examples */
    COVEY_PURPOSE_DROPOUT = 3,
    COVEY_PURPOSE_CODEC = 4,   /* stochastic rounding */
    COVEY_PURPOSE_SELECT = 5,  /* the server's cohort */
    COVEY_PURPOSE_SPLIT = 6,   /* partitions of a data set */
    COVEY_PURPOSE_NETWORK = 7, /* jitter, simulated loss */
    COVEY_PURPOSE_TEST = 8,
    COVEY_PURPOSE_ATTACK = 9,
    COVEY_PURPOSE_TRANSFORM = 10,
    COVEY_PURPOSE_MIX = 11, /* buckets of updates */
    COVEY_PURPOSE_MASK = 12 /* which values a codec keeps */
};

struct covey_random {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* words of block already given out; 4 = none left */
};

/* Two generators differ if any of the four differ. A device is its 64-bit id (covey_random_id of its name).
 */
void covey_random_init(struct covey_random *random, uint64_t seed, uint64_t device, uint32_t round,
                       enum covey_purpose purpose);

/* The raw function: ten rounds on a counter under a key. out: 4 words. */
void covey_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A 64-bit id of a name: FNV-1a with a final mix; not for security. */
uint64_t covey_random_id(const char *name);

uint32_t covey_random_u32(struct covey_random *random);
uint64_t covey_random_u64(struct covey_random *random);

/* Uniform in [0, bound), without bias (Lemire 2019). bound > 0. */
uint32_t covey_random_below(struct covey_random *random, uint32_t bound);

/* Uniform in [0, 1): 24 and 53 random bits. */
float covey_random_float(struct covey_random *random);
double covey_random_double(struct covey_random *random);

/* Standard normal (Box-Muller, both values used by two calls of the same parity: one value a call here). */
double covey_random_normal(struct covey_random *random);

/* Fisher-Yates over count indices, in place. */
void covey_random_shuffle(struct covey_random *random, uint32_t *indices, size_t count);

#endif
