#!/usr/bin/env python3
"""bench/run sim-alone: what a simulation costs beside training, and what a second thread gains.

Own cost: messages, codec, checks, sums and events beside training, in thread time: 2nn, 600 examples a device, E=1,
B=10. Scaling: a scenario's wall clock, loading included, with one thread and with two in turn, and without loading;
so it wants a machine with two cores to spare.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT_S = 1800  # of one run
OWN_COST = """name: own-cost-{codec}
data: {{set: mnist}}
partition: {{kind: iid, devices: 100}}
model: 2nn
train: {{epochs: 1, batch: 10, learning_rate: .1}}
codec: {codec}
downlink: raw32
selection: {{count: 10}}
round: {{deadline_s: 86400}}
stop: {{rounds: {rounds}}}
evaluate_every: {rounds}
links: [{{class: perfect}}]
"""
WANTED = {"raw32": .10, "int8": .20}
WANTED_GAIN = 1.8


def parse():
    parser = argparse.ArgumentParser(prog="bench/run sim-alone", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--own-cost", action="store_true", help="that alone")
    parser.add_argument("--scaling", action="store_true", help="that alone")
    parser.add_argument("--scenario", default=f"{REPO}/examples/scenarios/mcmahan-2nn-iid.yaml", help="of --scaling")
    parser.add_argument("--rounds", type=int, help="default: 60 for the own cost, what the scenario says for scaling")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="an object a line")
    return parser.parse_args()


def simulate(options, scenario, threads, *more):
    command = [f"{options.bin}/covey-sim", "run", scenario, "--json", "--quiet", "--threads", str(threads), *more]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        sys.exit(f"bench/run: {' '.join(command)} did not end within {LIMIT_S} s")
    if done.returncode != 0:
        sys.exit(f"bench/run: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values):
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def measure_own_cost(options):
    runs = {codec: [] for codec in WANTED}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.alternations):
            for codec in runs:
                path = os.path.join(folder, f"{codec}.yaml")
                with open(path, "w") as file:
                    file.write(OWN_COST.format(codec=codec, rounds=options.rounds or 60))
                run = simulate(options, path, 1)
                runs[codec].append(run)
                print(f"own cost {turn + 1}/{options.alternations} {codec}: {run['other_cpu_s']:.3f} s beside "
                      f"{run['training_cpu_s']:.3f} s", file=sys.stderr, flush=True)
    return [{"row": "own-cost", "codec": codec, "updates": own[0]["updates"], "cpu": own[0]["cpu"],
             "blas": own[0]["blas"], "share": spread([run["other_cpu_s"] / run["training_cpu_s"] for run in own]),
             "own_us_an_update": spread([run["other_cpu_s"] / run["updates"] * 1e6 for run in own]),
             "training_us_an_update": spread([run["training_cpu_s"] / run["updates"] * 1e6 for run in own]),
             "wanted": WANTED[codec]} for codec, own in runs.items()]


def rounds_s(run):
    """Wall clock from the first round's opening."""
    return run["updates"] / run["updates_per_s"]


def measure_scaling(options):
    more = ["--set", f"stop.rounds={options.rounds}"] if options.rounds else []
    pairs = []
    for turn in range(options.alternations):
        pair = [simulate(options, options.scenario, threads, *more) for threads in (1, 2)]
        if pair[0]["model_sha256"] != pair[1]["model_sha256"]:
            sys.exit("bench/run: one thread and two have made different models")
        pairs.append(pair)
        print(f"scaling {turn + 1}/{options.alternations}: {pair[0]['wall_s']:.2f} s with one thread, "
              f"{pair[1]['wall_s']:.2f} s with two", file=sys.stderr, flush=True)
    one, two = zip(*pairs)
    return [{"row": "scaling", "scenario": one[0]["scenario"], "rounds": one[0]["rounds"], "cpu": one[0]["cpu"],
             "blas": one[0]["blas"], "one_s": spread([run["wall_s"] for run in one]),
             "two_s": spread([run["wall_s"] for run in two]),
             "gain": spread([a["wall_s"] / b["wall_s"] for a, b in pairs]),
             "gain_of_rounds": spread([rounds_s(a) / rounds_s(b) for a, b in pairs]),
             "training_dearer": spread([b["training_cpu_s"] / a["training_cpu_s"] for a, b in pairs]),
             "wanted": WANTED_GAIN}]


def span(values, scale=1, digits=2):
    low, middle, high = (f"{scale * values[key]:.{digits}f}" for key in ("least", "median", "most"))
    return f"{middle} ({low} to {high})"


def show(row):
    if row["row"] == "own-cost":
        print(f"own cost, 2nn, E=1, B=10, 600 examples, {row['codec']}: {span(row['share'], 100, 1)} % of training, wanted "
              f"<= {100 * row['wanted']:.0f}; an update {span(row['own_us_an_update'], 1, 0)} us beside "
              f"{span(row['training_us_an_update'], 1, 0)} us")
        return
    print(f"two threads against one, {row['scenario']}, {row['rounds']} rounds: {span(row['gain'])} times, wanted >= "
          f"{row['wanted']}; without loading {span(row['gain_of_rounds'])}; {span(row['one_s'])} s and "
          f"{span(row['two_s'])} s; training takes {span(row['training_dearer'])} times its CPU time when both cores work")


def main():
    options = parse()
    both = not options.own_cost and not options.scaling
    rows = measure_own_cost(options) if options.own_cost or both else []
    rows += measure_scaling(options) if options.scaling or both else []
    if not options.json:
        print(f"medians of {options.alternations} runs (least to most); {rows[0]['cpu']}, {rows[0]['blas']}")
    for row in rows:
        print(json.dumps(row)) if options.json else show(row)


if __name__ == "__main__":
    main()
