/* Raw coordinates or rotated ones, by what the quantiser's error would be at the rate.
 *
 * A rotation makes any vector nearly normal. That is the worst that an entropy coder can meet of all that
 * have heavier tails, but better at low rates than values that are all of about one size. Some tiles are
 * looked at both ways. */
#include <string.h>

#include "rate_search.h"
#include "stage.h"

#define TILES 16    /* looked at */
#define MARGIN 0.99 /* rotated streams are slower to fold, so they must be better by that */
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
static double expected_error(const struct covey_encode_run *run, const float *x, size_t count, double bits)
{
    struct covey_spread spread;
    struct covey_uniform_choice choice;
    const float largest = largest_of(run, x, count);
    if (!(largest > 0x1p-70f))
        return 1;
    covey_spread_measure(&spread, x, count, largest, 1);
    return covey_rate_search(&spread, SYMBOLS * bits, &choice);
}

/* The values of a tile of the vector that lie in the piece. */
static struct covey_piece tile_of(const struct covey_piece *piece, size_t tile)
{
    const size_t first = tile * COVEY_DECODE_VALUES, last = first + COVEY_DECODE_VALUES;
    return (struct covey_piece){.first = first > piece->first ? first : piece->first,
                                .last = last < piece->last ? last : piece->last};
}

void covey_transform_forward(const struct covey_encode_run *run, const struct covey_piece *piece, float *x)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    for (size_t at = piece->first; at < piece->last;) {
        const struct covey_piece tile = tile_of(piece, at / COVEY_DECODE_VALUES);
        transform->forward(run->parameters, at, x + at, tile.last - at);
        at = tile.last;
    }
}

bool covey_transform_pays(const struct covey_encode_run *run, const float *x, const struct covey_piece *piece,
                          double bits, float *sample)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    const size_t begin = piece->first / COVEY_DECODE_VALUES;
    const size_t tiles = (piece->last + COVEY_DECODE_VALUES - 1) / COVEY_DECODE_VALUES - begin;
    const size_t every = tiles > TILES ? tiles / TILES : 1;
    double errors[2] = {0};
    if (piece->first == piece->last ||
        largest_of(run, x + piece->first, piece->last - piece->first) > LARGEST)
        return false;
    for (int pass = 0; pass < 2; pass++) { /* raw, rotated */
        size_t taken = 0;
        for (size_t i = 0; i < tiles && i / every < TILES; i += every) {
            const struct covey_piece tile = tile_of(piece, begin + i);
            const size_t values = tile.last - tile.first;
            if (pass == 0)
                memcpy(sample + taken, x + tile.first, values * sizeof *x);
            else
                transform->forward(run->parameters, tile.first, sample + taken, values);
            taken += values;
        }
        errors[pass] = expected_error(run, sample, taken, bits);
    }
    return errors[1] < MARGIN * errors[0];
}
