#!/usr/bin/env python3
"""The bare PyTorch loop of `bench/run sim`: FedAvg in one process, with all the cores that it wants, no messages.

Prints one JSON object. PyTorch is given its best: the number of threads, the memory layout and the implementation of
SGD that are fastest in a short trial. The data lies ready as tensors; the model is reset in place.
"""
import json
import os
import resource
import time

import numpy as np

from train_torch import MODELS  # one thread, until it is told otherwise
import torch
import torch.nn.functional as F

import sim_work


class Loop:
    def __init__(self, args, data, options):
        make, self.shape, _, _ = MODELS[args.model]
        self.work = sim_work.WORK[args.model]
        torch.set_num_threads(options["threads"])
        torch.manual_seed(args.seed)
        self.net = make()
        self.x, self.y = data
        self.channels_last = options["channels_last"]
        if self.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.shares = sim_work.shares(len(self.y), self.work["devices"], args.seed)
        self.cohorts = np.random.default_rng(args.seed + 1)
        self.order = torch.Generator().manual_seed(args.seed)
        self.weights = list(self.net.parameters())
        self.world = [w.detach().clone() for w in self.weights]
        self.optimiser = torch.optim.SGD(self.weights, lr=self.work["rate"], fused=options["fused"])

    def reset(self, values):
        with torch.no_grad():
            for weight, value in zip(self.weights, values):
                weight.copy_(value)

    def train(self, share):
        x, y = self.x[share].view(-1, *self.shape).float() / 255, self.y[share]
        if self.channels_last:
            x = x.to(memory_format=torch.channels_last)
        for _ in range(self.work["epochs"]):
            order = torch.randperm(len(y), generator=self.order)
            for batch in order.split(self.work["batch"]):
                self.optimiser.zero_grad()
                F.cross_entropy(self.net(x[batch]), y[batch]).backward()
                self.optimiser.step()

    def round(self):
        chosen = self.cohorts.choice(self.work["devices"], self.work["cohort"], replace=False)
        total = sum(len(self.shares[device]) for device in chosen)
        sums = [torch.zeros_like(value) for value in self.world]
        for device in chosen:
            self.reset(self.world)
            self.train(self.shares[device])
            with torch.no_grad():
                torch._foreach_add_(sums, [w.detach() for w in self.weights], alpha=len(self.shares[device]) / total)
        self.world = sums

    def rate(self, rounds):
        start = time.perf_counter()
        for _ in range(rounds):
            self.round()
        return rounds * self.work["cohort"] / (time.perf_counter() - start)

    def accuracy(self, args):
        images, labels = sim_work.load(args.data, "t10k")
        self.reset(self.world)
        with torch.no_grad():
            x = torch.from_numpy(images).view(-1, *self.shape)
            scores = torch.cat([self.net(part.float() / 255) for part in x.split(1000)])
        return (scores.argmax(1) == torch.from_numpy(labels)).float().mean().item()


def best_options(args, data):
    layouts = (False, True) if len(MODELS[args.model][1]) == 3 else (False,)
    tried = []
    for threads in sorted({1, os.cpu_count() or 1}):
        for layout in layouts:
            for fused in (False, True):
                options = {"threads": threads, "channels_last": layout, "fused": fused}
                loop = Loop(args, data, options)
                loop.train(loop.shares[0][:60])
                start = time.perf_counter()
                loop.train(loop.shares[0][:240])
                tried.append((time.perf_counter() - start, options))
    return min(tried, key=lambda pair: pair[0])[1]


def main():
    args = sim_work.arguments(__doc__, 10)
    images, labels = sim_work.load(args.data, "train")
    data = torch.from_numpy(images), torch.from_numpy(labels)
    options = best_options(args, data)
    loop = Loop(args, data, options)
    updates_per_s = loop.rate(args.rounds)
    peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "peer": "torch", "model": args.model, "updates": args.rounds * loop.work["cohort"],
        "updates_per_s": round(updates_per_s, 3), "peak_rss_bytes": peak_rss_bytes,
        "accuracy": round(loop.accuracy(args), 4), "rounds": args.rounds, "options": options,
        "engine": "PyTorch " + torch.__version__, **loop.work}))


if __name__ == "__main__":
    main()
