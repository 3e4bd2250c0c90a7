"""What the simulators of `bench/run sim` have in common: the models, MNIST, its shares, who is chosen, the options.

The work: IID shares of MNIST, a cohort a round, E epochs of plain SGD in batches on the device's own examples from the
global model, then the mean weighted by examples.
"""
import argparse
import gzip
import os

import numpy as np

# model: devices, a cohort, epochs, batch, rate
WORK = {
    "logreg": dict(devices=1000, cohort=10, epochs=1, batch=10, rate=0.1),
    "2nn": dict(devices=100, cohort=10, epochs=1, batch=10, rate=0.1),
    "mcmahan-cnn": dict(devices=100, cohort=10, epochs=1, batch=10, rate=0.1),
}


def arguments(description, rounds):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=sorted(WORK), default="2nn")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", default=os.path.join(os.environ.get("COVEY_DATA", "."), "mnist"))
    return parser.parse_args()


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def load(folder, part):
    """Images (count, 1, 28, 28) as bytes, which a quarter of the memory holds, and labels."""
    images = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"))
    return images[:, None].copy(), labels.astype(np.int64)


def shares(examples, devices, seed):
    order = np.random.default_rng(seed).permutation(examples)
    return np.array_split(order, devices)
