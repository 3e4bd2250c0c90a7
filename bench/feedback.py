"""bench/run feedback: what becomes of what a codec keeps back, where a device is seldom chosen? 1,000 devices of 60
digits of MNIST, ten a round (examples/scenarios/one-percent.yaml): kept for ever, dropped after so many rounds, never
kept, and unbiased codecs that need not keep anything. The learning rate of each codec, without and with feedback, is
chosen on 5,000 examples of the training part (data.validation), then all 60,000 are judged on the test part: the mean of
the last five judgements, and of the seeds. Everything is kept under --out: the same command goes on where it was
stopped, and repeats nothing."""

import argparse
import json
import os
import signal
import statistics
import sys

from documents import replace_part
from sweeps import REPO, Sweep, read_rounds, read_summary

SCENARIO = "one-percent"
VALIDATION = 5000
EVER = 16777216
BIASED = ("ec:.5", "ec:1", "tcq:1", "stc:.01")
UNBIASED = ("raw32", "int8", "int4", "eden1", "mask:.1")
KEPT = (1, 10, 100, EVER)  # rounds
TAIL = 5                   # judgements
RATES = {"logreg": (".03", ".1", ".3"), "2nn": (".05", ".1", ".2")}
PARTITIONS = ("iid", "shards")


def parse():
    parser = argparse.ArgumentParser(prog="bench/run feedback", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/feedback", help="folder of all runs (default build/feedback)")
    parser.add_argument("--model", action="append", choices=list(RATES), help="may be repeated; default all")
    parser.add_argument("--codec", action="append", choices=BIASED + UNBIASED, metavar="CODEC",
                        help="of " + ", ".join(BIASED + UNBIASED) + "; may be repeated; default all")
    parser.add_argument("--partition", action="append", choices=PARTITIONS, help="may be repeated; default both")
    parser.add_argument("--seeds", type=int, default=2, help="1 to so many (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default 1)")
    parser.add_argument("--table", action="store_true", help="run nothing: the table of what is there")
    parser.add_argument("--docs", action="store_true", help="the table also into docs/compression.md")
    parser.add_argument("--json", action="store_true", help="an object a row in place of the table")
    return parser.parse_args()


# ---- one row: a codec on a model and a partition

class Row:
    def __init__(self, args, model, partition, codec):
        self.args, self.model, self.partition, self.codec = args, model, partition, codec
        self.folder = os.path.join(args.out, model, partition, codec.replace(":", "-"))
        self.settings = {"model": model, "partition.kind": partition, "codec": codec}

    def modes(self):
        return ("off", "on") if self.codec in BIASED else ("off",)

    def pilots(self, mode):
        return Sweep(self.args, SCENARIO, os.path.join(self.folder, "pilots-" + mode),
                     {"train.learning_rate": RATES[self.model]},
                     {**self.settings, "data.validation": VALIDATION, "error_feedback": mode, "feedback_rounds": EVER})

    def rates(self):
        """mode -> the best rate; those of which a pilot is missing are not there."""
        found = {}
        for mode in self.modes():
            judged = {label["train.learning_rate"]: end_of(folder) for label, folder in self.pilots(mode).cells()}
            if len(judged) == len(RATES[self.model]):
                found[mode] = max(judged, key=judged.get)
        return found

    def finals(self, mode, kept, rate):
        seeds = list(range(1, self.args.seeds + 1))
        return Sweep(self.args, SCENARIO, os.path.join(self.folder, "final"), {"seed": seeds},
                     {**self.settings, "train.learning_rate": rate, "error_feedback": mode, "feedback_rounds": kept})

    def variants(self, rates):
        """(rounds kept, sweep): what is soon dropped has the rate of what is never kept."""
        if "off" in rates:
            yield 0, self.finals("off", 1, rates["off"])
            for kept in KEPT[:2] if self.codec in BIASED else ():
                yield kept, self.finals("on", kept, rates["off"])
            if self.codec in UNBIASED[1:]:
                yield KEPT[2], self.finals("on", KEPT[2], rates["off"])
        for kept in KEPT[2:] if "on" in rates else ():
            yield kept, self.finals("on", kept, rates["on"])

    def run(self):
        for mode in self.modes():
            self.pilots(mode).run()
        for _, sweep in self.variants(self.rates()):
            sweep.run()

    def collect(self):
        rates = self.rates()
        row = {"model": self.model, "partition": self.partition, "codec": self.codec, "rates": rates, "kept": {}}
        for kept, sweep in self.variants(rates):
            folders = [folder for _, folder in sweep.cells()]
            if len(folders) < self.args.seeds:
                continue
            ends = [end_of(folder) for folder in folders]
            summaries = [read_summary(folder) for folder in folders]
            row["kept"][kept] = {"metric": statistics.mean(ends), "seeds": ends}
            row["bits"] = 32 * statistics.mean(s["update_bytes_up"] / s["bytes_up_fp32"] for s in summaries)
        return row


def end_of(folder):
    metrics = [r["metric"] for r in read_rounds(folder) if r["metric"] is not None]
    return statistics.mean(metrics[-TAIL:])


# ---- the table

def table(rows):
    yield "| model, shares | codec | bits a value | never kept | 1 round | 10 | 100 | for ever | rates |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        if not row["kept"]:
            continue
        best = max(row["kept"].values(), key=lambda cell: cell["metric"])
        cells = []
        for kept in (0, *KEPT):
            cell = row["kept"].get(kept)
            text = f"{100 * cell['metric']:.2f}" if cell else ""
            cells.append(f"**{text}**" if cell is best and len(row["kept"]) > 1 else text)
        rates = ", ".join(sorted(set(row["rates"].values())))
        yield (f"| {row['model']}, {row['partition']} | `{row['codec']}` | {row['bits']:.3g} | "
               f"{' | '.join(cells)} | {rates} |")


def main():
    args = parse()
    args.out = os.path.abspath(args.out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = [Row(args, model, partition, codec) for model in args.model or RATES
            for partition in args.partition or PARTITIONS
            for codec in (*UNBIASED, *BIASED) if not args.codec or codec in args.codec]
    stopped = False
    try:
        for row in [] if args.table else rows:
            print(f"{row.model}, {row.partition}, {row.codec}", file=sys.stderr)
            row.run()
    except KeyboardInterrupt:
        stopped = True
        print("bench/run feedback: stopped; the same command goes on", file=sys.stderr)
    found = [row.collect() for row in rows]
    lines = list(table(found))
    if args.docs:
        replace_part(os.path.join(REPO, "docs", "compression.md"), "bench/run feedback", lines)
    print("\n".join(json.dumps(row) for row in found) if args.json else "\n".join(lines))
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
