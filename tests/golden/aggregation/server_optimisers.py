#!/usr/bin/env python3
"""Steps of the server optimisers (Reddi et al. 2021, Algorithm 2; FedAvgM: Hsu et al. 2019; FedDyn: Acar et al.
2021, Algorithm 1), computed in decimals of 60 digits, apart from Covey's code. Prints server_optimisers.h.

Three coordinates, six rounds, from a recurrence of whole numbers; the weights are kept as f32 between rounds, as
the server keeps them."""
import struct
from decimal import Decimal as D, getcontext

getcontext().prec = 60
ROUNDS, COUNT = 6, 3


def f32(x):
    return D(struct.unpack("<f", struct.pack("<f", float(x)))[0])


def mean(r, i):
    """Small dyadic fractions: exact in f64."""
    return D((r * 37 + i * 101 + 11) % 64 - 32) / 256


def run(kind, rate, beta1, beta2, tau, share):
    rate, beta1, beta2, tau, share = map(lambda x: D(float(x)), (rate, beta1, beta2, tau, share))
    w, m, v = [D(1), D(-2), D("0.5")], [D(0)] * COUNT, [tau * tau] * COUNT
    rounds = []
    for r in range(ROUNDS):
        for i in range(COUNT):
            d = mean(r, i)
            if kind == "SGD":
                w[i] += rate * d
            elif kind == "MOMENTUM":
                m[i] = beta1 * m[i] + d
                w[i] += rate * m[i]
            elif kind == "FEDDYN":
                # the paper's own form: h -= alpha share d, w = mean of the devices' - h / alpha
                alpha = D("0.25")
                m[i] -= alpha * share * d
                w[i] = (w[i] + d) - m[i] / alpha
            else:
                m[i] = beta1 * m[i] + (1 - beta1) * d
                if kind == "ADAGRAD":
                    v[i] += d * d
                elif kind == "ADAM":
                    v[i] = beta2 * v[i] + (1 - beta2) * d * d
                else:
                    sign = (v[i] > d * d) - (v[i] < d * d)
                    v[i] -= (1 - beta2) * d * d * sign
                w[i] += rate * m[i] / (v[i].sqrt() + tau)
            w[i] = f32(w[i])
        rounds.append(list(w))
    return rounds


CASES = [("SGD", 0.5, 0, 0, 0, 1), ("MOMENTUM", 0.25, 0.875, 0, 0, 1), ("ADAGRAD", 0.125, 0, 0, 0.0625, 1),
         ("ADAGRAD", 0.125, 0.5, 0, 0.0625, 1), ("ADAM", 0.0625, 0.875, 0.984375, 0.015625, 1),
         ("YOGI", 0.0625, 0.875, 0.984375, 0.015625, 1), ("FEDDYN", 1, 0, 0, 0, 0.25)]

print("/* Made by server_optimisers.py: weights after each of the rounds. */")
print("static const struct golden golden[] = {")
for case in CASES:
    kind, rate, beta1, beta2, tau, share = case
    print(f"    {{{{COVEY_SERVER_{kind}, {rate}, {beta1}, {beta2}, {tau}}},\n     {share},\n     {{")
    for w in run(*case):
        print("         {" + ", ".join(f"{float(x):.9g}" for x in w) + "},")
    print("     }},")
print("};")
