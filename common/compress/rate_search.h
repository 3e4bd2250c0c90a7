/* How a vector's values are distributed, and the uniform quantiser that is best for it at a rate.
 *
 * One pass counts magnitudes over the bits of the float: 32 bins an octave, COVEY_SPREAD_OCTAVES octaves
 * below the largest. Everything else is done on the counts. No libm: the same steps on every machine. */
#ifndef COVEY_RATE_SEARCH_H
#define COVEY_RATE_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#define COVEY_SPREAD_OCTAVES 26
#define COVEY_SPREAD_BINS (32 * COVEY_SPREAD_OCTAVES)
#define COVEY_UNIFORM_ROWS 64 /* magnitudes with a symbol of their own, at the most */
#define COVEY_UNIFORM_SHIFT_MAX 8

struct covey_spread {
    uint32_t base; /* bits of a float >> 18 in the lowest bin */
    float largest;
    double count, sum, squares; /* of the magnitudes */
    /* Values, and their magnitudes' sum, below each bin's lower end. */
    double below[COVEY_SPREAD_BINS + 1], sum_below[COVEY_SPREAD_BINS + 1];
};

/* x: (count) finite, at least one, the largest of them `largest` > 0 in magnitude. every: looks at 4096
 * values out of every `every` times 4096. */
void covey_spread_measure(struct covey_spread *spread, const float *x, size_t count, float largest,
                          size_t every);

/* A quantiser: code = sign(x) * floor(|x| / step + rounding); shift bits of it are stored as they are. */
struct covey_uniform_choice {
    float step; /* nine significant bits */
    float rounding;
    uint32_t shift;
};

/* Bits a value that symbols take, and mean squared error, at that step and rounding. */
double covey_rate_outcome(const struct covey_spread *spread, double step, double rounding, double *bits);

/* The choice with the least error whose symbols take `bits` a value, of all values. Returns the error, for
 * the values' squares. */
double covey_rate_search(const struct covey_spread *spread, double bits, struct covey_uniform_choice *out);

/* The mean of the magnitudes from low to high, in the middle where there are none. */
double covey_spread_mean(const struct covey_spread *spread, double low, double high);

/* How far, in cells, a value above low lies into its cell on average, of cells that wide from low on. */
double covey_spread_rest(const struct covey_spread *spread, double low, double width);

/* Base 2 logarithm of x > 0, normal; to about 1e-9. */
double covey_log2(double x);

#endif
