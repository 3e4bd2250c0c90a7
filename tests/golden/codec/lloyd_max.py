#!/usr/bin/env python3
"""Levels and thresholds of the Lloyd-Max quantisers of N(0, 1), 1 to 4 bits, non-negative half: the tables in
common/compress/quantise_lloyd.h. Lloyd's two conditions, iterated to a fixed point in f64."""
import math


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def above(x):
    return 0.5 * math.erfc(x / math.sqrt(2))


def halves(levels):
    return [0.0] + [(a + b) / 2 for a, b in zip(levels, levels[1:])] + [40.0]


def solve(bits):
    count = 2 ** (bits - 1)
    levels = [3 * (i + 0.5) / count for i in range(count)]
    change = 1.0
    while change > 1e-15:
        ends = halves(levels)
        cells = list(zip(ends, ends[1:]))
        means = [(density(a) - density(b)) / (above(a) - above(b)) for a, b in cells]
        change = max(abs(a - b) for a, b in zip(levels, means))
        levels = means
    masses = [above(a) - above(b) for a, b in zip(halves(levels), halves(levels)[1:])]
    return levels, 1 - 2 * sum(c * c * m for c, m in zip(levels, masses))


for bits in range(1, 5):
    levels, distortion = solve(bits)
    print(bits, "levels", *("%.9f" % c for c in levels))
    print(bits, "thresholds", *("%.9f" % t for t in halves(levels)[1:-1]))
    print(bits, "distortion %.6f, unbiased %.6f" % (distortion, distortion / (1 - distortion)))
