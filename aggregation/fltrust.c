#include <math.h>
#include <string.h>

#include "span.h"

void covey_fltrust(const double *gram, size_t n, double *weights)
{
    const size_t m = n + 1;
    const double own = sqrt(gram[n * m + n]); /* |g0| */
    double trust_sum = 0;
    memset(weights, 0, m * sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        const double length = sqrt(gram[i * m + i]), product = gram[n * m + i];
        if (!(product > 0.0)) /* the cosine's ReLU; also where one of the two has no length */
            continue;
        const double trust = product / (length * own);
        trust_sum += trust;
        weights[i] = trust * own / length;
    }
    for (size_t i = 0; i < n && trust_sum > 0.0; i++)
        weights[i] /= trust_sum;
}
