#!/usr/bin/env python3
"""bench/run robustness: MNIST on 25 devices, no two with the same digits, 5 of them hostile; every rule under every
attack, the accuracy as the mean of the last twelfth of the rounds: 100 of 1,200 (examples/scenarios/robustness.yaml; after
Karimireddy, He, Jaggi 2022). First a sweep over learning rate and radius for each rule, judged on 5,000 examples of the training part
under the attacks named in TUNE; then each rule with what was best, on all 60,000, judged on the test part, which nothing
was chosen by. Every run is a folder under --out: the same command goes on where it was stopped and repeats nothing."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys

from documents import replace_part

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIO = os.path.join(REPO, "examples", "scenarios", "robustness.yaml")
COMMAND = "bench/run robustness"
VALIDATION = 5000
LAST = 12  # the last twelfth of the rounds is what counts
HOSTILE = .2

# ALIE's z for 25 devices of which 5 are hostile: s = 25/2 + 1 - 5 = 8 honest ones must be won, z = quantile of
# (20 - 8) / 20 (Baruch et al. 2019, algorithm 3), as in the code of Karimireddy et al.
ATTACKS = {
    "none": {},
    "bit-flip": dict(kind="bit-flip", strength=1),
    "label-flip": dict(kind="label-flip", strength=1),
    "mimic": dict(kind="mimic", strength=1),
    "ipm": dict(kind="ipm", strength=.1),
    "alie": dict(kind="alie", strength=.2533),
}
TITLES = {"none": "none", "bit-flip": "bit flip", "label-flip": "label flip", "mimic": "mimic", "ipm": "IPM (.1)",
          "alie": "ALIE"}
# strategy; at_least: what it is to keep under every attack; radii: of centred clipping, times the rate; 0: the median distance
RULES = {
    "mean": dict(title="mean", strategy="fedavg", at_least=None, radii=[None]),
    "clipping": dict(title="centred clipping, bucketing 2",
                     strategy="centred-clipping hostile=5 mix=bucketing", at_least=.965, radii=["0", "10"]),
    "median": dict(title="geometric median, nearest-neighbour mixing",
                   strategy="geometric-median hostile=5 mix=nearest", at_least=.96, radii=[None]),
}
RATES = [".1", ".2", ".4"]
TUNE = ["mimic", "ipm"]
ROUNDS = {"logreg": 600, "2nn": 300, "mcmahan-cnn": 1200}
PILOT = {"logreg": 100, "2nn": 100, "mcmahan-cnn": 100}  # rounds of a run of the sweep
# Karimireddy et al. 2022, table 3: momentum .9, s=2, centred clipping
PUBLISHED = {"bit-flip": 97.7, "label-flip": 97.7, "mimic": 97.8, "ipm": 97.7, "alie": 98.0}


def parse():
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/robustness", help="folder of all runs (default build/robustness)")
    parser.add_argument("--model", default="mcmahan-cnn", choices=list(PILOT))
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="RULE/ATTACK",
                        help=f"rules: {', '.join(RULES)}; attacks: {', '.join(ATTACKS)}; may be repeated")
    parser.add_argument("--settings-of", metavar="MODEL", choices=list(PILOT),
                        help="no sweep: rate and radius that this model's sweep chose")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="run nothing: the table of what is there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/robustness.md")
    parser.add_argument("--json", action="store_true", help="an object a cell in place of the table")
    args = parser.parse_args()
    args.rounds = args.rounds or ROUNDS[args.model]
    return args


# ---- runs ----

class Run:
    """One run of covey-sim in a folder of its own; --resume goes on with it."""

    def __init__(self, args, name, settings):
        self.args, self.folder = args, os.path.join(args.out, name)
        self.settings = dict(settings, seed=args.seed)

    def words(self):
        words = [os.path.join(self.args.bin, "covey-sim"), "run", SCENARIO, "--out", self.folder, "--quiet",
                 "--threads", str(self.args.threads)]
        for key, value in self.settings.items():
            words += ["--set", f"{key}={value}"]
        return words

    def is_complete(self):
        try:
            with open(os.path.join(self.folder, "settings.json")) as file:
                same = json.load(file) == {k: str(v) for k, v in self.settings.items()}
        except OSError:
            return False
        return same and any(os.path.exists(os.path.join(self.folder, name)) for name in ("summary.json", "diverged"))

    def play(self):
        if self.is_complete():
            return
        os.makedirs(self.folder, exist_ok=True)
        words = self.words()
        if os.path.exists(os.path.join(self.folder, "checkpoint")):
            words.append("--resume")
        with open(os.path.join(self.folder, "settings.json"), "w") as file:
            json.dump({k: str(v) for k, v in self.settings.items()}, file)
        print(f"{COMMAND}: {os.path.relpath(self.folder, self.args.out)}", file=sys.stderr, flush=True)
        # In a group of its own: an interrupt reaches it once, from here.
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, process_group=0)
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.wait()
            raise
        if status == 1 and self.has_diverged():
            with open(os.path.join(self.folder, "diverged"), "w"):
                pass
        elif status != 0:
            sys.exit(f"{' '.join(words)} ended with status {status}")

    def has_diverged(self):
        """Nobody could train from the last models: they were not finite."""
        try:
            rounds = self.read_rounds()[-100:]
        except OSError:
            return False
        return len(rounds) == 100 and all(r["abandoned"] and r["dropped"] == r["chosen"] for r in rounds)

    def read_rounds(self):
        with open(os.path.join(self.folder, "rounds.jsonl")) as file:
            return [json.loads(line) for line in file]

    def accuracy(self, last):
        """The mean over the last rounds of those that were judged; 0 of a model that is not finite any more."""
        if os.path.exists(os.path.join(self.folder, "diverged")):
            return 0.0
        rounds = self.read_rounds()
        end = rounds[-1]["round"]
        judged = [r["metric"] for r in rounds if r["metric"] is not None and r["round"] > end - last]
        return statistics.mean(judged) if judged else 0.0

    def rounds(self):
        return len(self.read_rounds())


def settings_of(args, rule, attack, setting, rounds, last):
    rate, radius = setting
    strategy = RULES[rule]["strategy"] + ("" if radius in (None, "0") else
                                           f" radius={float(radius) * float(rate):g}")
    out = {"model": args.model, "strategy": strategy, "train.learning_rate": rate, "stop.rounds": rounds,
           "evaluate_every": rounds, "evaluate_from": max(1, rounds - last + 1)}
    out["attack.kind"] = ATTACKS[attack].get("kind", "none")
    out["attack.strength"] = ATTACKS[attack].get("strength", 1)
    out["attack.share"] = HOSTILE if attack != "none" else 0
    return out


def name_of(setting):
    rate, radius = setting
    return f"rate{rate}" + ("" if radius is None else f"-radius{radius}")


def pilots(args, rule):
    """setting -> attack -> run"""
    rounds = PILOT[args.model]
    last = max(1, rounds // 10)
    found = {}
    for rate in RATES:
        for radius in RULES[rule]["radii"]:
            setting = (rate, radius)
            found[setting] = {}
            for attack in TUNE:
                chosen = settings_of(args, rule, attack, setting, rounds, last)
                chosen["data.validation"] = VALIDATION
                found[setting][attack] = Run(args, f"{args.model}/pilots/{rule}/{name_of(setting)}/{attack}", chosen)
    return found, last


def choose(args, rule):
    """The setting whose worst attack is the least bad; None while one of the sweep is missing."""
    found, last = pilots(args, rule)
    scores = {}
    for setting, runs in found.items():
        if not all(run.is_complete() for run in runs.values()):
            return None, scores
        scores[setting] = min(run.accuracy(last) for run in runs.values())
    return max(scores, key=scores.get), scores


def final(args, rule, attack, setting):
    return Run(args, f"{args.model}/final/{rule}/{attack}",
               settings_of(args, rule, attack, setting, args.rounds, args.rounds // LAST))


def setting_for(args, rule):
    if args.settings_of is None or args.settings_of == args.model:
        return choose(args, rule)
    other = argparse.Namespace(**vars(args))
    other.model = args.settings_of
    return choose(other, rule)


# ---- the table ----

def wanted(args):
    cells = [(rule, attack) for rule in RULES for attack in ATTACKS]
    if args.only is None:
        return cells
    for cell in args.only:
        if tuple(cell.split("/")) not in cells:
            sys.exit(f"{COMMAND}: there is no cell '{cell}'")
    return [cell for cell in cells if "/".join(cell) in args.only]


def collect(args):
    rows = []
    for rule, attack in wanted(args):
        setting, scores = setting_for(args, rule)
        row = {"model": args.model, "rule": rule, "attack": attack, "seed": args.seed,
               "rate": setting and setting[0], "radius": setting and setting[1], "accuracy": None,
               "at_least": RULES[rule]["at_least"],
               "validation": {name_of(s): round(100 * v, 2) for s, v in scores.items()}}
        if setting is not None:
            run = final(args, rule, attack, setting)
            if run.is_complete():
                row["accuracy"], row["rounds"] = run.accuracy(args.rounds // LAST), run.rounds()
        rows.append(row)
    return rows


def table(args, rows):
    lines = [f"`{args.model}`, {args.rounds:,} rounds, seed {args.seed}; % of the test part, mean of the "
             f"last {args.rounds // LAST} rounds.", "", "| rule | rate, radius | " + " | ".join(TITLES[a] for a in ATTACKS) + " | wanted |",
             "|---|---|" + "---|" * len(ATTACKS) + "---|"]
    for rule, about in RULES.items():
        own = {row["attack"]: row for row in rows if row["rule"] == rule}
        if not own:
            continue
        some = next(iter(own.values()))
        setting = "" if some["rate"] is None else some["rate"] + ("" if some["radius"] is None else
                                                                   ", median" if some["radius"] == "0"
                                                                   else f", {some['radius']} rates")
        each = ["not run" if a not in own or own[a]["accuracy"] is None else "diverged" if own[a]["accuracy"] == 0
                else f"{100 * own[a]['accuracy']:.2f}" for a in ATTACKS]
        goal = f">= {100 * about['at_least']:.1f}" if about["at_least"] and args.model == "mcmahan-cnn" else ""
        lines.append(f"| {about['title']} | {setting} | {' | '.join(each)} | {goal} |")
    if args.model == "mcmahan-cnn":
        lines.append("| published: centred clipping, bucketing 2, their CNN | | " +
                     " | ".join(f"{PUBLISHED[a]:.1f}" if a in PUBLISHED else "" for a in ATTACKS) + " | |")
    lines += ["", f"Rate and radius by the sweep{' of `' + args.settings_of + '`' if args.settings_of else ''}, the worse "
              f"of {' and '.join(TITLES[a] for a in TUNE)} on {VALIDATION:,} examples of the training part:"]
    for rule in RULES:
        row = next((r for r in rows if r["rule"] == rule), None)
        if row is not None:
            lines.append(f"{RULES[rule]['title']}: " + ", ".join(f"{k} {v:.2f}" for k, v in row["validation"].items())
                         + ".")
    return lines


def main():
    args = parse()
    args.out = os.path.abspath(args.out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped = False
    try:
        for rule in dict.fromkeys(rule for rule, _ in wanted(args)) if not args.table else []:
            if args.settings_of in (None, args.model):
                for runs in pilots(args, rule)[0].values():
                    for run in runs.values():
                        run.play()
            setting, _ = setting_for(args, rule)
            if setting is None:
                sys.exit(f"{COMMAND}: the sweep of {args.settings_of} is not there: run it with --model first")
            for _, attack in (cell for cell in wanted(args) if cell[0] == rule):
                final(args, rule, attack, setting).play()
    except KeyboardInterrupt:
        stopped = True
        print(f"{COMMAND}: stopped; the same command goes on", file=sys.stderr)
    rows = collect(args)
    lines = table(args, rows)
    if args.write:
        replace_part(os.path.join(REPO, "docs", "robustness.md"), f"{COMMAND} --model {args.model}", lines)
    print("\n".join(json.dumps(row) for row in rows) if args.json else "\n".join(lines))
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
