#include "loss.h"

#include <math.h>

static size_t largest(const real *y, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (y[i] > y[best])
            best = i;
    return best;
}

void REAL(covey_softmax_cross_entropy)(const real *y, const int32_t *labels, size_t rows, size_t classes,
                                       real scale, real *dy, struct covey_tally *tally)
{
    for (size_t r = 0; r < rows; r++) {
        const real *logits = y + r * classes;
        const size_t label = (size_t)labels[r], best = largest(logits, classes);
        const real most = logits[best];
        const real at_label = logits[label];
        real sum = 0;
        for (size_t i = 0; i < classes; i++)
            sum += REAL_MATH(exp)(logits[i] - most);
        tally->loss += (double)(REAL_MATH(log)(sum) - (at_label - most));
        tally->right += best == label;
        if (dy == NULL)
            continue;
        real *gradient = dy + r * classes;
        for (size_t i = 0; i < classes; i++)
            gradient[i] = scale * (REAL_MATH(exp)(logits[i] - most) / sum);
        gradient[label] -= scale;
    }
    tally->count += rows;
}

void REAL(covey_mean_squared_error)(const real *y, const float *targets, size_t count, real scale, real *dy,
                                    struct covey_tally *tally)
{
    for (size_t i = 0; i < count; i++) {
        const real difference = y[i] - (real)targets[i];
        tally->squared += (double)difference * (double)difference;
        tally->absolute += fabs((double)difference);
        if (dy != NULL)
            dy[i] = REAL_C(2.0) * scale * difference;
    }
    tally->count += count;
    tally->loss = tally->squared;
}
