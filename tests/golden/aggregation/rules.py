#!/usr/bin/env python3
"""What each rule makes of seven updates of four values, two of them hostile, from the papers' definitions on the
vectors themselves, apart from Covey's code. Prints rules.h (through clang-format-14)."""
import math
import struct


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


X = [[f32(v) for v in row] for row in (
    [1.0, 2.0, -0.5, 0.25], [1.5, 1.75, -0.25, 0.5], [0.75, 2.5, -1.0, 0.0], [1.25, 1.5, -0.75, 0.375],
    [0.5, 2.25, -0.375, 0.125], [-6.0, 9.0, 4.0, -8.0], [20.0, -3.0, -11.0, 5.0])]
WEIGHTS = [1 + 37 * i % 600 for i in range(len(X))]
ROOT = [f32(v) for v in (0.875, 1.5, -0.25, 0.5)]


def add(a, b, factor=1.0):
    return [x + factor * y for x, y in zip(a, b)]


def norm(a):
    return math.sqrt(math.fsum(x * x for x in a))


def mean(rows, weights=None):
    weights = weights or [1] * len(rows)
    return [math.fsum(w * row[k] for w, row in zip(weights, rows)) / math.fsum(weights) for k in range(len(rows[0]))]


def shortened(row, bound):
    return [v * min(1.0, bound / norm(row)) for v in row]


def median_of(values):
    s = sorted(values)
    return (s[(len(s) - 1) // 2] + s[len(s) // 2]) / 2


def median(rows):
    return [median_of(column) for column in zip(*rows)]


def trimmed(rows, f):
    return [math.fsum(sorted(column)[f:len(column) - f]) / (len(column) - 2 * f) for column in zip(*rows)]


def krum_order(rows, f, neighbours):
    def score(i):
        return math.fsum(sorted(norm(add(rows[i], b, -1)) ** 2 for j, b in enumerate(rows) if j != i)[:neighbours])
    return sorted(range(len(rows)), key=lambda i: (score(i), i))


def multi_krum(rows, f, keep):
    return mean([rows[i] for i in krum_order(rows, f, len(rows) - f - 2)[:keep]])


def bulyan(rows, f):
    left, chosen = list(rows), []
    while len(chosen) < len(rows) - 2 * f:
        best = krum_order(left, f, max(len(left) - f - 2, 0))[0]
        chosen.append(left.pop(best))
    kept = len(chosen) - 2 * f
    result = []
    for column in zip(*chosen):
        middle = median_of(column)
        result.append(math.fsum(sorted(column, key=lambda v: abs(v - middle))[:kept]) / kept)
    return result


def geometric_median(rows, nu, steps):
    z = [0.0] * len(rows[0])
    for _ in range(steps):
        z = mean(rows, [1 / max(nu, norm(add(row, z, -1))) for row in rows])
    return z


def centred_clipping(rows, radius, steps, centre):
    v = centre
    for _ in range(steps):
        away = [add(row, v, -1) for row in rows]
        bound = radius if radius > 0 else median_of([norm(a) for a in away])
        v = add(v, mean([shortened(a, bound) for a in away]))
    return v


def nearest(rows, f):
    return [mean(sorted(rows, key=lambda b: norm(add(a, b, -1)))[:len(rows) - f]) for a in rows]


def fltrust(rows, root):
    cosine = [math.fsum(a * b for a, b in zip(row, root)) / norm(row) / norm(root) for row in rows]
    trust = [max(0.0, c) for c in cosine]
    return mean([[v * norm(root) / norm(row) for v in row] for row in rows], trust)


ZERO = [0.0] * 4
CASES = [
    ("fedavg", mean(X, WEIGHTS)),
    ("fedavg clip=fixed clip_norm=2", mean([shortened(row, 2) for row in X], WEIGHTS)),
    ("norm-bound clip_norm=3", mean([shortened(row, 3) for row in X], WEIGHTS)),
    ("median hostile=2", median(X)),
    ("trimmed-mean hostile=2", trimmed(X, 2)),
    ("trimmed-mean hostile=1", trimmed(X, 1)),
    ("krum hostile=2", multi_krum(X, 2, 1)),
    ("multi-krum hostile=2", multi_krum(X, 2, 5)),
    ("multi-krum hostile=2 keep=3", multi_krum(X, 2, 3)),
    ("bulyan hostile=1", bulyan(X, 1)),
    ("geometric-median hostile=2 smoothing=.1 iterations=3", geometric_median(X, .1, 3)),
    ("geometric-median hostile=2 iterations=50", geometric_median(X, 1e-6, 50)),
    ("geometric-median hostile=2 mix=nearest smoothing=.1", geometric_median(nearest(X, 2), .1, 10)),
    ("centred-clipping hostile=2 radius=2 iterations=3", centred_clipping(X, 2, 3, ZERO)),
    ("centred-clipping hostile=2", centred_clipping(X, 0, 10, ZERO)),
    ("centred-clipping hostile=2 radius=1 clip=fixed clip_norm=2",
     centred_clipping([shortened(row, 2) for row in X], 1, 10, ZERO)),
    ("median hostile=2 mix=nearest", median(nearest(X, 2))),
    ("fltrust", fltrust(X, ROOT)),
]


def floats(row):
    return "{" + ", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.0f" for v in row) + "}"


print("/* Made by rules.py. */")
print("static const float updates[][WIDTH] = {\n    " + ",\n    ".join(floats(row) for row in X) + "};")
print("static const float root[WIDTH] = " + floats(ROOT) + ";")
print("static const struct golden golden[] = {")
for line, expected in CASES:
    print(f'    {{"{line}",\n     {{' + ", ".join(f"{v:.12g}" for v in expected) + "}},")
print("};")
