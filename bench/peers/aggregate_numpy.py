#!/usr/bin/env python3
"""The rules of `covey-bench aggregate` in NumPy, as Flower has them (flwr.server.strategy.aggregate, krum, bulyan),
and those that Flower does not have in the plain way that papers write them.

Updates lie encoded as ours do: int8 codes, an f32 scale for each block of 64. Decoding is part of the time.
Prints one JSON object.
"""
import argparse
import functools
import json
import resource
import time

import numpy as np

BLOCK = 64


def encoded_updates(clients, dim):
    """32 different updates at the most, handed in again and again, as in covey-bench."""
    generator = np.random.default_rng(1)
    blocks = -(-dim // BLOCK)
    made = []
    for _ in range(min(clients, 32)):
        codes = generator.integers(-127, 128, size=(blocks, BLOCK), dtype=np.int8)
        scales = (generator.random(blocks, dtype=np.float32) * np.float32(1e-4)).astype(np.float32)
        made.append((codes, scales))
    return [made[i % len(made)] for i in range(clients)]


def decode(update, dim):
    codes, scales = update
    return (codes * scales[:, None]).reshape(-1)[:dim]


def fedavg(updates, weights, _):
    total = sum(weights)
    weighted = [update * weight for update, weight in zip(updates, weights)]
    return functools.reduce(np.add, weighted) / total


def median(updates, _weights, _hostile):
    return np.median(np.asarray(updates), axis=0)


def trimmed_mean(updates, _weights, hostile):
    stacked = np.partition(np.asarray(updates), (hostile, len(updates) - hostile - 1), axis=0)
    return np.mean(stacked[hostile:len(updates) - hostile], axis=0)


def distances_of(updates):
    matrix = np.zeros((len(updates), len(updates)))
    for i, a in enumerate(updates):
        for j, b in enumerate(updates):
            matrix[i, j] = np.linalg.norm(a - b) ** 2
    return matrix


def krum_scores(matrix, hostile):
    nearest = np.argsort(matrix, axis=1)[:, 1:len(matrix) - hostile - 1]
    return np.array([np.sum(matrix[i, nearest[i]]) for i in range(len(matrix))])


def krum(updates, _weights, hostile):
    return updates[int(np.argmin(krum_scores(distances_of(updates), hostile)))]


def multi_krum(updates, _weights, hostile):
    order = np.argsort(krum_scores(distances_of(updates), hostile))[:len(updates) - hostile]
    return np.mean(np.asarray([updates[i] for i in order]), axis=0)


def geometric_median(updates, _weights, _hostile):
    x = np.asarray(updates)
    z = np.zeros_like(x[0])
    for _ in range(10):
        beta = 1 / np.maximum(np.linalg.norm(x - z, axis=1), 1e-6)
        z = np.sum(x * beta[:, None].astype(x.dtype), axis=0) / beta.sum()
    return z


def centred_clipping(updates, _weights, _hostile):
    x = np.asarray(updates)
    v = np.zeros_like(x[0])
    for _ in range(10):
        delta = x - v
        norms = np.linalg.norm(delta, axis=1)
        v = v + np.mean(delta * np.minimum(1, np.median(norms) / norms)[:, None].astype(x.dtype), axis=0)
    return v


RULES = {"fedavg": fedavg, "median": median, "trimmed-mean": trimmed_mean, "krum": krum, "multi-krum": multi_krum,
         "geometric-median": geometric_median, "centred-clipping": centred_clipping}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", default="fedavg", choices=sorted(RULES))
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--dim", type=int, default=1663370)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    encoded = encoded_updates(args.clients, args.dim)
    weights = [1 + i * 37 % 600 for i in range(args.clients)]
    seconds, cpu = [], []
    for _ in range(args.runs):
        start, cpu_start = time.perf_counter(), time.process_time()
        RULES[args.rule]([decode(update, args.dim) for update in encoded], weights, args.hostile)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    best = sorted(seconds)[len(seconds) // 2]
    print(json.dumps({
        "rule": args.rule, "clients": args.clients, "dim": args.dim, "seconds": best,
        "cpu_seconds": sorted(cpu)[len(cpu) // 2], "params_per_s": args.clients * args.dim / best,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
