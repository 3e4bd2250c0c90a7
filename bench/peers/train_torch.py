#!/usr/bin/env python3
"""PyTorch's side of `bench/run train`: the same model, batch and optimiser (plain SGD) on one thread.

Prints one JSON object. PyTorch is given its best: of the memory layouts and of the implementations of SGD that it
offers, each is tried first, and the fastest is measured. Inputs lie ready as f32 tensors; shuffling is not counted.
The examples are those of covey-bench: the same images where it has some.
"""
import argparse
import gzip
import json
import math
import os
import resource
import statistics
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(1)


class Flat(nn.Module):
    """(batch, channels, ...) -> (batch, channels), the mean over the rest."""

    def forward(self, x):
        return x.mean(dim=-1)


def mlp(*widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def mcmahan_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10))


def har_cnn():
    return nn.Sequential(
        nn.Conv1d(6, 32, 7, padding=3), nn.GroupNorm(4, 32), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(32, 64, 5, padding=2), nn.GroupNorm(8, 64), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(64, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU(), Flat(), nn.Linear(64, 6))


# name: constructor, shape of an input, classes, parameters (as `covey-client plan` counts them; None: not checked)
MODELS = {
    "logreg": (lambda: mlp(784, 10), (784,), 10, 7850),
    "2nn": (lambda: mlp(784, 200, 200, 10), (784,), 10, 199210),
    "mcmahan-cnn": (mcmahan_cnn, (1, 28, 28), 10, 1663370),
    "har": (lambda: mlp(114, 64, 6), (114,), 6, 7750),
    "har-cnn": (har_cnn, (6, 128), 6, 24742),
}


def idx(path):
    """The values behind the header of an IDX file of bytes."""
    with gzip.open(path) as file:
        data = bytearray(file.read())
    return torch.frombuffer(data, dtype=torch.uint8)[4 + 4 * data[3]:]


def images(shape, count):
    """The first images of the set that covey-bench takes, or None."""
    roots = [root for root in (os.environ.get("COVEY_DATA"), "/usr/share/datasets") if root]
    for folder in (os.path.join(root, name) for root in roots for name in ("mnist", "fashion-mnist")):
        files = [os.path.join(folder, f"t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
        if all(map(os.path.exists, files)):
            x, y = map(idx, files)
            if len(y) < count:
                return None
            return x[:count * 784].reshape(count, *shape).float() / 255, y[:count].long(), os.path.basename(folder)
    return None


def clusters(shape, classes, count):
    """A random centre for each class, and noise around it: what covey-bench makes where it has no images."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = torch.rand(classes, *shape, generator=generator) * 2 - 1
    return centres[labels] + torch.rand(count, *shape, generator=generator) * 2 - 1, labels, "random clusters"


class Training:
    def __init__(self, args, options):
        make, shape, classes, parameters = MODELS[args.model]
        torch.manual_seed(1)
        self.net = make()
        found = images(shape, args.examples) if math.prod(shape) == 784 else None
        self.x, self.y, self.data = found or clusters(shape, classes, args.examples)
        self.parameters = sum(p.numel() for p in self.net.parameters())
        assert parameters in (None, self.parameters), self.parameters
        if options["channels_last"]:
            self.net = self.net.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.05, fused=options["fused"])
        self.batch = args.batch

    def epoch(self):
        for first in range(0, len(self.x), self.batch):
            self.optimiser.zero_grad()
            loss = F.cross_entropy(self.net(self.x[first:first + self.batch]), self.y[first:first + self.batch])
            loss.backward()
            self.optimiser.step()

    def rate(self, seconds):
        """Examples a second over whole epochs that take at least so long."""
        start, epochs = time.perf_counter(), 0
        while epochs == 0 or time.perf_counter() - start < seconds:
            self.epoch()
            epochs += 1
        return epochs * len(self.x) / (time.perf_counter() - start)


def candidates(shape):
    layouts = (False, True) if len(shape) == 3 else (False,)
    return [{"channels_last": layout, "fused": fused} for layout in layouts for fused in (False, True)]


def choose(args):
    shape = MODELS[args.model][1]
    if args.options:
        return json.loads(args.options)
    rates = []
    for options in candidates(shape):
        training = Training(args, options)
        training.epoch()
        rates.append(statistics.median(training.rate(0.25) for _ in range(3)))
    return candidates(shape)[rates.index(max(rates))]


def measure(args):
    options = choose(args)
    training = Training(args, options)
    training.epoch()
    peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = 1536
    a, b = torch.rand(size, size), torch.rand(size, size)
    rates, products, end = [], [], time.perf_counter() + args.seconds
    while len(rates) < 4 or time.perf_counter() < end:
        rates.append(training.rate(0.1))
        start = time.perf_counter()
        torch.mm(a, b)
        products.append(2 * size**3 / (time.perf_counter() - start) / 1e9)
    return {
        "model": args.model, "batch": args.batch, "examples_per_s": round(statistics.median(rates), 1),
        "peak_rss_bytes": peak_rss_bytes, "sgemm_gflops": round(statistics.median(products), 2),
        "parameters": training.parameters, "data": training.data, "options": options, "engine": "PyTorch " + torch.__version__,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "blas": ("MKL" if torch.backends.mkl.is_available() else "no MKL") +
                (", oneDNN" if torch.backends.mkldnn.is_available() else ""),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(MODELS), default="2nn")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--options", help="JSON as in the output, instead of trying them all")
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(measure(arguments())))
