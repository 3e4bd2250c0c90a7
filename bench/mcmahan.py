#!/usr/bin/env python3
"""bench/run mcmahan: rounds to the target accuracy on the full MNIST, beside those that McMahan et al. 2017 published
(table 2; C = .1, B = 10). Of each cell of the table, first a sweep over the learning rate, judged on 5,000 examples
of the training part (data.validation): to the target where a run is short (2nn, IID), pilots elsewhere. Then the
chosen rate on all 60,000, judged on the test part, which nothing was chosen by. Everything is kept under --out: the
same command goes on where it was stopped, and repeats nothing."""

import argparse
import json
import os
import signal
import statistics
import sys

from sweeps import Sweep, read_rounds, read_summary

VALIDATION = 5000
TOLERANCE = 1.35  # of the published rounds

# rates: of the sweep. pilot: rounds of each; None: until the target, or the scenario's own end.
CELLS = {
    "mcmahan-2nn-iid": dict(published=87, seeds=(1, 2, 3), rates=(".05", ".1", ".2", ".3"), pilot=None),
    "mcmahan-2nn-shards": dict(published=664, seeds=(1, 2, 3), rates=(".03", ".05", ".1", ".2"), pilot=30),
    "mcmahan-cnn-iid": dict(published=20, seeds=(1,), rates=(".05", ".1", ".2"), pilot=8),
    "mcmahan-cnn-shards": dict(published=229, seeds=(1,), rates=(".05", ".1", ".2"), pilot=10),
}


def parse():
    parser = argparse.ArgumentParser(prog="bench/run mcmahan", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/mcmahan", help="folder of all runs (default build/mcmahan)")
    parser.add_argument("--only", action="append", choices=list(CELLS), metavar="CELL",
                        help="of " + ", ".join(CELLS) + "; may be repeated")
    parser.add_argument("--threads", type=int, help="of each run (default: all processors)")
    parser.add_argument("--table", action="store_true", help="run nothing: the table of what is there")
    parser.add_argument("--json", action="store_true", help="an object a cell in place of the table")
    return parser.parse_args()


# ---- runs ----

def pilots(args, name):
    cell = CELLS[name]
    settings = {"data.validation": VALIDATION}
    if cell["pilot"] is not None:
        settings["stop.rounds"] = cell["pilot"]
    return Sweep(args, name, os.path.join(args.out, name, "pilots"), {"train.learning_rate": cell["rates"]}, settings)


def finals(args, name, rate):
    return Sweep(args, name, os.path.join(args.out, name, "final"), {"seed": CELLS[name]["seeds"]},
                 {"train.learning_rate": rate})


# ---- what came out ----

def judge(name, folder):
    """What a rate is chosen by: the greatest is the best. Without a pilot: fewest rounds to the target; where none
    reached it, and for pilots, accuracy: of pilots the mean of the last third, because single rounds swing."""
    summary, metrics = read_summary(folder), [r["metric"] for r in read_rounds(folder)]
    tail = metrics[-max(1, len(metrics) // 3):]
    if CELLS[name]["pilot"] is not None:
        return {"score": statistics.mean(tail), "says": f"{100 * statistics.mean(tail):.2f} %"}
    reached = summary["rounds_to_target"]
    if reached is None:
        return {"score": -1e6 + max(metrics), "says": f"not reached ({100 * max(metrics):.2f} %)"}
    return {"score": -reached, "says": f"{reached:.1f} rounds"}


def choose(args, name):
    """The rate and what each had; None while a rate of the sweep is missing."""
    found = {label["train.learning_rate"]: folder for label, folder in pilots(args, name).cells()}
    judged = {rate: judge(name, found[rate]) for rate in CELLS[name]["rates"] if rate in found}
    if len(judged) < len(CELLS[name]["rates"]):
        return None, judged
    return max(judged, key=lambda rate: judged[rate]["score"]), judged


def collect(args, name):
    cell = CELLS[name]
    rate, judged = choose(args, name)
    row = {"cell": name, "published": cell["published"], "at_most": int(cell["published"] * TOLERANCE),
           "validation": {r: j["says"] for r, j in judged.items()}, "pilot_rounds": cell["pilot"], "rate": rate,
           "seeds": list(cell["seeds"]), "rounds": {}, "wall_s": {}, "model_sha256": {}}
    if rate is None:
        return row
    for label, folder in finals(args, name, rate).cells():
        seed, summary = label["seed"], read_summary(folder)
        row["target"] = summary["target"]
        row["rounds"][seed] = summary["rounds_to_target"]
        row["wall_s"][seed] = summary["wall_s"]
        row["model_sha256"][seed] = summary["model_sha256"]
        row["machine"] = f"{summary['cpu']}, {summary['blas']}"
    if len(row["rounds"]) == len(cell["seeds"]):
        missed = float("inf")
        median = statistics.median(missed if r is None else r for r in row["rounds"].values())
        row["median"] = None if median == missed else median
        row["reached"] = median <= row["at_most"]
    return row


def write_table(rows, file):
    print("| | target | published | at most | ours | each seed | rate | by validation |", file=file)
    print("|---|---|---|---|---|---|---|---|", file=file)
    for row in rows:
        each = ", ".join("not reached" if r is None else f"{r:.1f}" for r in row["rounds"].values())
        median = row.get("median")
        ours = f"{median:.1f}" if median is not None else "not reached" if "median" in row else "not run yet"
        how = "to the target" if row["pilot_rounds"] is None else f"{row['pilot_rounds']} rounds"
        validation = "; ".join(f"{rate}: {says}" for rate, says in row["validation"].items())
        target = f"{100 * row['target']:g} %" if "target" in row else ""
        print(f"| {row['cell']} | {target} | {row['published']} | {row['at_most']} | {ours} | {each} | "
              f"{row['rate'] or ''} | {how}: {validation} |", file=file)


def main():
    args = parse()
    args.out = os.path.abspath(args.out)
    names = args.only or list(CELLS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped = False
    try:
        for name in [] if args.table else names:
            print(f"{name}: rates", file=sys.stderr)
            pilots(args, name).run()
            rate, _ = choose(args, name)
            print(f"{name}: rate {rate}", file=sys.stderr)
            finals(args, name, rate).run()
    except KeyboardInterrupt:
        stopped = True
        print("bench/run mcmahan: stopped; the same command goes on", file=sys.stderr)
    rows = [collect(args, name) for name in names]
    os.makedirs(args.out, exist_ok=True)
    if args.only is None:
        with open(os.path.join(args.out, "table.md"), "w") as file:
            write_table(rows, file)
    if args.json:
        for row in rows:
            print(json.dumps(row))
    else:
        write_table(rows, sys.stdout)
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
