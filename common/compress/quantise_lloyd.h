/* The Lloyd-Max quantisers of the normal distribution, 1 to 4 bits: what eden1 to eden4 round to after the
 * rotation.
 *
 * Levels and thresholds of the non-negative half; the other is its mirror. They solve Lloyd's two conditions
 * (S. P. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982, section IV) for
 * N(0, 1): each threshold is half way between its levels, each level the mean of its cell,
 * (phi(a) - phi(b)) / (Phi(b) - Phi(a)). Found by iterating these two to a fixed point in f64
 * (tests/golden/codec/lloyd_max.py prints them); the distortions are .36338 .11748 .034548 .0095010. */
#ifndef COVEY_QUANTISE_LLOYD_H
#define COVEY_QUANTISE_LLOYD_H

#include "eden_kernels.h"

/* By bits - 1. Level k is that of magnitudes above threshold k - 1. */
static const float covey_lloyd_levels[COVEY_LLOYD_BITS_MAX][8] = {
    {0.797884561f},
    {0.452780035f, 1.510417608f},
    {0.245094179f, 0.756005281f, 1.343909279f, 2.151945705f},
    {0.128395030f, 0.388048299f, 0.656759119f, 0.942340456f, 1.256231197f, 1.618046386f, 2.069017227f,
     2.732589571f}};
static const float covey_lloyd_thresholds[COVEY_LLOYD_BITS_MAX][7] = {
    {0},
    {0.981598822f},
    {0.500549730f, 1.049957280f, 1.747927492f},
    {0.258221665f, 0.522403709f, 0.799549788f, 1.099285827f, 1.437138792f, 1.843531806f, 2.400803399f}};

#endif
