#!/usr/bin/env python3
"""bench/run stragglers: virtual time to 97 % on MNIST where a fifth of the devices is ten times slower: synchronous
rounds of 20 devices beside FedBuff with 20 at work (examples/scenarios/stragglers-fedbuff.yaml). Of each, first the
same grid of learning rates, judged on 5,000 examples of the training part (data.validation); then the rate that was
quickest there on all 60,000, judged on the test part. Everything is kept under --out: the same command goes on where it
was stopped, and repeats nothing."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIO = os.path.join(REPO, "examples", "scenarios", "stragglers-fedbuff.yaml")
SYNCHRONOUS = {"round.mode": "synchronous", "round.buffer": 0, "round.concurrency": 0, "round.staleness_max": 0,
               "selection.count": 20, "stop.rounds": 120, "evaluate_every": 1}
METHODS = {"synchronous": SYNCHRONOUS, "fedbuff": {}}
RATES = (".1", ".2", ".3")
WANTED = 3  # times less virtual time


def parse():
    parser = argparse.ArgumentParser(prog="bench/run stragglers", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/stragglers", help="folder of all runs (default build/stragglers)")
    parser.add_argument("--seeds", type=int, default=3, help="of the runs that count (default 3)")
    parser.add_argument("--threads", type=int, help="of each run (default: all processors)")
    parser.add_argument("--json", action="store_true", help="an object a method in place of the table")
    return parser.parse_args()


def play(args, name, settings):
    """The summary of one run, from the disk if it was made before."""
    path = os.path.join(args.out, name + ".json")
    if not os.path.exists(path):
        words = [os.path.join(args.bin, "covey-sim"), "run", SCENARIO, "--json"]
        for key, value in settings.items():
            words += ["--set", f"{key}={value}"]
        words += ["--threads", str(args.threads)] if args.threads else []
        print(name, file=sys.stderr, flush=True)
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench/run stragglers: {' '.join(words)}: exit status {done.returncode}")
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(done.stdout.splitlines()[-1] + "\n")
        os.replace(path + ".part", path)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def seconds(summary):
    value = summary["virtual_s_to_target"]
    return math.inf if value is None else value


def measure(args, method, settings):
    grid = {rate: seconds(play(args, f"{method}-rate{rate}",
                               {**settings, "train.learning_rate": rate, "data.validation": 5000})) for rate in RATES}
    rate = min(grid, key=grid.get)
    runs = [play(args, f"{method}-seed{seed}", {**settings, "train.learning_rate": rate, "seed": seed})
            for seed in range(1, args.seeds + 1)]
    times = [seconds(run) for run in runs]
    return {"method": method, "rate": float(rate), "grid_virtual_s": {r: grid[r] for r in RATES},
            "virtual_s": times, "mean_virtual_s": statistics.mean(times),
            "rounds": [run["rounds_to_target"] for run in runs], "updates": [run["updates"] for run in runs]}


def main():
    args = parse()
    os.makedirs(args.out, exist_ok=True)
    rows = [measure(args, method, settings) for method, settings in METHODS.items()]
    for row in rows:
        row["faster"] = rows[0]["mean_virtual_s"] / row["mean_virtual_s"]
    if args.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(f"{'':12} {'rate':>5} {'virtual s to 97 %':>20} {'updates':>22} {'faster':>7}")
        for row in rows:
            times = " ".join(f"{t:.0f}" for t in row["virtual_s"])
            updates = " ".join(str(u) for u in row["updates"])
            print(f"{row['method']:12} {row['rate']:5} {times:>20} {updates:>22} {row['faster']:7.2f}")
    return 0 if rows[-1]["faster"] >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
