#!/usr/bin/env python3
"""bench/run strategies: which algorithm learns best where devices are unlike. Four studies: dissimilar devices (two
labels each), unequal local epochs (1 to 9, a device's own), stragglers (a fifth ten times slower; virtual time to 85 %),
and people (activity recognition, each judged by examples of the own that nobody trained on). Every method gets the same
tuning budget, six runs, judged on a held-out part of the training data; then three seeds with what was best, judged on
the test part. Every run is a folder under --out: the same command goes on where it was stopped and repeats nothing."""

import argparse
import json
import math
import os
import statistics
import sys

from documents import replace_part
from sweeps import REPO, Sweep, read_rounds, read_summary

COMMAND = "bench/run strategies"
HERE = os.path.join(REPO, "bench", "strategies")
SEEDS = (1, 2, 3)
BUDGET = 6  # runs of the tuning, of each method
LAST = 5  # rounds whose mean counts
RATE = "train.learning_rate"
RATES = (".001", ".003", ".01", ".03", ".1", ".3")
FEW = (".01", ".03", ".1")


def method(settings=None, grid=None):
    grid = grid or {RATE: RATES}
    assert math.prod(len(values) for values in grid.values()) == BUDGET
    return settings or {}, grid


FEDAVG = method()
FEDPROX = method(grid={RATE: FEW, "train.proximal_mu": (".1", "1")})
SCAFFOLD = method({"train.algorithm": "scaffold"})
FEDDYN = method({"train.algorithm": "feddyn"}, {RATE: FEW, "train.strength": (".01", ".1")})
FEDNOVA = method({"weighting.kind": "steps"})
Q_FEDAVG = method({"weighting.kind": "loss"}, {RATE: FEW, "weighting.power": (".1", "1")})
MOMENTUM = method({"server_optimiser.kind": "momentum"}, {RATE: FEW, "server_optimiser.rate": (".3", "1")})
SLOW = "[{class: pi-4, share: 4, examples_per_s: 1000}, {class: pi-4, share: 1, examples_per_s: 100}]"
RACE = {"devices": SLOW, "stop.target": ".85", "stop.rounds": 80}


def last_accuracy(folder):
    values = [row["metric"] for row in read_rounds(folder) if row.get("metric") is not None]
    return statistics.mean(values[-LAST:]) if values else 0.0


def time_to_target(folder):
    value = read_summary(folder)["virtual_s_to_target"]
    return math.inf if value is None else value


def person_error(folder):
    row = read_rounds(folder)[-1]
    return 1 - row["devices_metric"]


def worst_error(folder):
    return 1 - read_rounds(folder)[-1]["worst_decile"]


def har(name):
    return {"model": os.path.join(HERE, name + ".yaml")}


# measure: of a run's folder; better: the smallest or the largest; judged: how the tuning keeps from the test part
STUDIES = {
    "dissimilar": dict(
        title="Dissimilar devices: accuracy after 40 rounds, %", scenario="mnist", settings={},
        tune={"data.validation": 5000}, measure=last_accuracy, better=max, percent=True,
        methods={"FedAvg": FEDAVG, "FedProx": FEDPROX, "server momentum": MOMENTUM, "SCAFFOLD": SCAFFOLD,
                 "FedDyn": FEDDYN, "q-FedAvg": Q_FEDAVG}),
    "epochs": dict(
        title="Unequal local epochs, 1 to 9: accuracy after 40 rounds, %", scenario="mnist",
        settings={"train.epochs": 9, "epochs_from": 1},
        tune={"data.validation": 5000}, measure=last_accuracy, better=max, percent=True,
        methods={"FedAvg": FEDAVG, "FedProx": FEDPROX, "FedNova": FEDNOVA, "SCAFFOLD": SCAFFOLD, "FedDyn": FEDDYN}),
    "stragglers": dict(
        title="Stragglers: virtual seconds to 85 %", scenario="mnist", settings=RACE,
        tune={"data.validation": 5000}, measure=time_to_target, better=min, percent=False,
        methods={"waiting for all": method(),
                 "30 % more chosen": method({"selection.over_selection": ".3"}),
                 "late ones used": method({"round.deadline_s": 6, "round.late": "use", "round.minimum_updates": 1,
                                           "round.staleness_max": 10}),
                 "FedBuff": method({"round.mode": "asynchronous", "round.buffer": 5, "round.concurrency": 10,
                                    "selection.count": 0, "stop.rounds": 160}),
                 "SCAFFOLD, waiting": method({"train.algorithm": "scaffold"})}),
    "people": dict(
        title="People: error of the activity that the own phone makes, %", scenario="har", settings={},
        tune={"devices_validation": ".25"}, measure=person_error, also=worst_error, better=min, percent=True,
        methods={"FedAvg": FEDAVG, "FedAvg, batch norm": method(har("har-norm")),
                 "FedPer": method(har("har-fedper")), "FedBN": method(har("har-fedbn")),
                 "Ditto": method({"train.algorithm": "ditto"}, {RATE: FEW, "train.strength": (".1", "1")})}),
}


def parse():
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/strategies", help="folder of all runs (default build/strategies)")
    parser.add_argument("--only", action="append", choices=list(STUDIES), help="may be repeated")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="run nothing: the tables of what is there")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/strategies.md")
    parser.add_argument("--json", action="store_true", help="an object a method in place of the tables")
    return parser.parse_args()


def play(args, name, study, grid, settings):
    sweep = Sweep(args, os.path.join(HERE, study["scenario"] + ".yaml"), os.path.join(args.out, name), grid, settings)
    diverged = os.path.join(sweep.folder, "diverged")  # some cell did: all were tried
    if not args.table and not os.path.exists(diverged):
        print(f"{COMMAND}: {name}", file=sys.stderr, flush=True)
        if not sweep.run(may_fail=True):
            with open(diverged, "w", encoding="utf-8"):
                pass
    if not os.path.isdir(sweep.folder):
        return [], False
    cells = sweep.cells()
    return cells, os.path.exists(diverged) or len(cells) == math.prod(len(values) for values in grid.values())


def measure(args, key, name):
    """What the tuning chose and what three seeds of it came to; None before all runs are there."""
    study = STUDIES[key]
    settings, grid = study["methods"][name]
    settings = {**study["settings"], **settings}
    slug = name.lower().replace(" ", "-").replace(",", "").replace("%", "percent")
    tried, is_complete = play(args, f"{key}/{slug}/tuning", study, grid, {**settings, **study["tune"]})
    if not is_complete or not tried:
        return None
    scored = [(study["measure"](folder), cell) for cell, folder in tried]
    value, best = study["better"](scored, key=lambda entry: entry[0])
    runs, _ = play(args, f"{key}/{slug}/test", study, {"seed": SEEDS}, {**settings, **best})
    if len(runs) < len(SEEDS):
        return None
    row = {"study": key, "method": name, "chosen": best, "tuning": None if math.isinf(value) else value,
           "diverged": BUDGET - len(tried),
           "values": [study["measure"](folder) for _, folder in runs]}
    if "also" in study:
        row["worst_tenth"] = [study["also"](folder) for _, folder in runs]
    return row


def figure(study, values):
    if any(math.isinf(value) for value in values):
        reached = [f"{value:.0f}" for value in values if not math.isinf(value)]
        return f"{len(reached)} of {len(values)} reach it" + (f" ({', '.join(reached)})" if reached else "")
    scale = 100 if study["percent"] else 1
    digits = 2 if study["percent"] else 0
    return f"{scale * statistics.mean(values):.{digits}f} ± {scale * statistics.stdev(values):.{digits}f}"


def table(key, rows):
    study = STUDIES[key]
    worst = "also" in study
    lines = [f"**{study['title']}**", "",
             "| method | chosen | mean of three seeds |" + (" worst tenth |" if worst else ""),
             "|---|---|---|" + ("---|" if worst else "")]
    for name in study["methods"]:
        row = rows.get((key, name))
        if row is None:
            lines.append(f"| {name} | | not run |" + (" |" if worst else ""))
            continue
        chosen = ", ".join(f"{k.split('.')[-1]} {v}" for k, v in row["chosen"].items())
        lines.append(f"| {name} | {chosen} | {figure(study, row['values'])} |" +
                     (f" {figure(study, row['worst_tenth'])} |" if worst else ""))
    return lines + [""]


def main():
    args = parse()
    studies = args.only or list(STUDIES)
    rows = {}
    for key in studies:
        for name in STUDIES[key]["methods"]:
            row = measure(args, key, name)
            if row is not None:
                rows[key, name] = row
                if args.json:
                    print(json.dumps(row), flush=True)
    lines = [line for key in studies for line in table(key, rows)]
    if not args.json:
        print("\n".join(lines))
    if args.write:
        replace_part(os.path.join(REPO, "docs", "strategies.md"), COMMAND, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
