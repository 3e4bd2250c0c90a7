#!/usr/bin/env python3
"""bench/run sim: covey-sim, a bare PyTorch loop and Flower's simulation in turn, and what comes out side by side.

The same model, data (MNIST), devices, cohort, epochs and batch; IID shares; no evaluation within what is timed.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import sim_work
from compare_train import spread

HERE = os.path.dirname(os.path.abspath(__file__))
# Rounds of each side: some seconds of work.
ROUNDS = {
    "logreg": dict(covey=300, torch=40, flower=8),
    "2nn": dict(covey=20, torch=6, flower=5),
    "mcmahan-cnn": dict(covey=3, torch=2, flower=3),
}
LIMIT_S = 1800  # of one run
SCENARIO = """name: bench-{model}
data: {{set: mnist}}
partition: {{kind: iid, devices: {devices}}}
model: {model}
train: {{epochs: {epochs}, batch: {batch}, learning_rate: {rate}}}
codec: {codec}
downlink: raw32
selection: {{count: {cohort}}}
round: {{deadline_s: 86400}}
stop: {{rounds: {rounds}}}
evaluate_every: {rounds}
links: [{{class: perfect}}]
"""


def last_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        sys.exit(f"bench/run: {' '.join(command)} did not end within {LIMIT_S} s")
    if done.returncode != 0:
        sys.exit(f"bench/run: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_covey(args, model, rounds):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "scenario.yaml")
        with open(path, "w") as file:
            file.write(SCENARIO.format(model=model, rounds=rounds, codec=args.codec, **sim_work.WORK[model]))
        return last_line([os.path.join(args.bin, "covey-sim"), "run", path, "--json", "--quiet"])


def run_peer(args, name, model, rounds):
    return last_line([args.python, os.path.join(HERE, f"sim_{name}.py"), "--model", model, "--rounds", str(rounds),
                      "--data", args.data])


def alternate(args, model):
    """{side: [result, ...]}; the sides take turns, so that a busy machine is busy for all of them."""
    results = {side: [] for side in ["covey"] + args.peer}
    for turn in range(args.alternations):
        for side in results:
            rounds = max(2, round(ROUNDS[model][side] * args.scale))
            result = run_covey(args, model, rounds) if side == "covey" else run_peer(args, side, model, rounds)
            results[side].append(result)
            print(f"{model} {turn + 1}/{args.alternations} {side}: {result['updates_per_s']:.1f} updates/s, "
                  f"{result['peak_rss_bytes'] / 2**20:.0f} MiB, accuracy {result['accuracy']:.4f} after "
                  f"{result['rounds']} rounds", file=sys.stderr, flush=True)
    return results


def summarise(args, model, results):
    ours = results["covey"]
    sides = {}
    for side, runs in results.items():
        sides[side] = {
            "updates_per_s": spread([run["updates_per_s"] for run in runs]),
            "peak_rss_bytes": spread([run["peak_rss_bytes"] for run in runs]),
            "accuracy": statistics.median(run["accuracy"] for run in runs), "rounds": runs[0]["rounds"],
            "engine": runs[0].get("engine", f"covey-sim, {args.codec}"),
        }
        if side != "covey":
            pairs = list(zip(ours, runs))
            sides[side]["speed_ratio"] = spread([a["updates_per_s"] / b["updates_per_s"] for a, b in pairs])
            sides[side]["memory_ratio"] = spread([b["peak_rss_bytes"] / a["peak_rss_bytes"] for a, b in pairs])
    return {"model": model, "alternations": args.alternations, **sim_work.WORK[model], "sides": sides,
            "cpu": ours[0].get("cpu"), "blas": ours[0].get("blas"), "threads": ours[0].get("threads")}


def span(values, digits=1):
    low, middle, high = (f"{value:.{digits}f}" for value in values)
    return f"{middle} ({low} to {high})"


def print_table(results):
    print(f"medians of {results[0]['alternations']} alternations (least to most); MNIST, IID; {results[0]['cpu']}, "
          f"{results[0]['threads']} threads")
    print(f"{'model':13}{'simulator':18}{'updates/s':>28}{'covey is faster by':>26}{'peak MiB':>10}"
          f"{'covey needs 1/':>16}{'accuracy':>10}")
    for result in results:
        for name, side in result["sides"].items():
            ratio = span(side["speed_ratio"]) if "speed_ratio" in side else ""
            memory = f"{side['memory_ratio'][1]:.1f}" if "memory_ratio" in side else ""
            print(f"{result['model']:13}{side['engine'][:17]:18}{span(side['updates_per_s']):>28}{ratio:>26}"
                  f"{side['peak_rss_bytes'][1] / 2**20:>10.0f}{memory:>16}"
                  f"{side['accuracy']:>8.4f} after {side['rounds']} rounds")
    print("memory of Flower: all its processes, shared pages counted once; a model's accuracy is no comparison where "
          "the rounds differ")


def main():
    parser = argparse.ArgumentParser(prog="bench/run sim", description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of covey-sim")
    parser.add_argument("--python", required=True, help="a Python that has torch and flwr")
    parser.add_argument("--model", action="append", choices=sorted(ROUNDS), help="default: all; may be repeated")
    parser.add_argument("--peer", action="append", choices=["torch", "flower"], help="default: both")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="of the number of rounds; under 1 for a quick look")
    parser.add_argument("--codec", default="raw32", help="of covey-sim")
    parser.add_argument("--data", default=os.path.join(os.environ.get("COVEY_DATA", "."), "mnist"),
                        help="folder of MNIST (default: $COVEY_DATA/mnist)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.peer = args.peer or ["torch", "flower"]
    if not os.path.isdir(args.data):
        sys.exit(f"bench/run: there is no MNIST at {args.data}: set COVEY_DATA")
    results = []
    for model in args.model or ["logreg", "2nn", "mcmahan-cnn"]:
        results.append(summarise(args, model, alternate(args, model)))
        if args.json:
            print(json.dumps(results[-1]), flush=True)
    if not args.json:
        print_table(results)


if __name__ == "__main__":
    main()
