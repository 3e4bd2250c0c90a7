/* Raw coordinates or rotated ones, by what the quantiser's error would be at the rate.
 *
 * A rotation makes any vector nearly normal. That is the worst that an entropy coder can meet of all that
 * have heavier tails, but better at low rates than values that are all of about one size. Some tiles are
 * looked at both ways. */
#include <string.h>

#include "rate_search.h"
#include "stage.h"

#define TILES 16     /* looked at */
#define MARGIN 0.995 /* rotated streams are slower to fold, so they must be better by that */
#define LARGEST 0x1p100f
#define SYMBOLS 0.985 /* of the bits, about, are left for symbols */

static float largest_of(const struct covey_encode_run *run, const float *x, size_t count)
{
    const uint32_t bits = run->kernels->largest(x, count);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    return largest;
}

/* The error that the best quantiser makes, for the squares of the values. */
static double expected_error(const struct covey_encode_run *run, const float *x, size_t count)
{
    struct covey_spread spread;
    struct covey_uniform_choice choice;
    const float largest = largest_of(run, x, count);
    if (!(largest > 0x1p-70f))
        return 1;
    covey_spread_measure(&spread, x, count, largest, 1);
    return covey_rate_search(&spread, SYMBOLS * (double)run->codec->rate, &choice);
}

bool covey_transform_pays(const struct covey_encode_run *run, const float *x, size_t count, float *sample)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    const size_t tiles = (count + COVEY_DECODE_VALUES - 1) / COVEY_DECODE_VALUES;
    const size_t every = tiles > TILES ? tiles / TILES : 1;
    size_t taken = 0;
    if (count == 0 || largest_of(run, x, count) > LARGEST)
        return false;
    for (size_t tile = 0; tile < tiles && taken < TILES * COVEY_DECODE_VALUES; tile += every) {
        const size_t first = tile * COVEY_DECODE_VALUES, left = count - first;
        const size_t values = left < COVEY_DECODE_VALUES ? left : COVEY_DECODE_VALUES;
        memcpy(sample + taken, x + first, values * sizeof *x);
        taken += values;
    }
    const double raw = expected_error(run, sample, taken);
    for (size_t at = 0, tile = 0; at < taken; at += COVEY_DECODE_VALUES, tile += every)
        transform->forward(run->parameters, tile * COVEY_DECODE_VALUES, sample + at,
                           taken - at < COVEY_DECODE_VALUES ? taken - at : COVEY_DECODE_VALUES);
    return expected_error(run, sample, taken) < MARGIN * raw;
}
