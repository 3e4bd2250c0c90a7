"""bench/run codecs-mnist: what coding the updates costs a federation, on the full MNIST: 100 devices, ten a round, one
epoch in batches of 10 (McMahan et al. 2017, table 2), `2nn` and `mcmahan-cnn`, IID and two digits a device. Every codec
learns at the rate that was chosen for raw32 (bench/run mcmahan). After the same rounds: accuracy (mean of the last
ten judgements), bytes; and the rounds until raw32's target was first reached. The cells of `mcmahan-cnn` take two hours of
one core. Everything is kept under --out: the same command goes on where it was stopped, and repeats nothing."""

import argparse
import json
import os
import signal
import statistics
import sys

from documents import replace_part
from sweeps import REPO, Sweep, read_rounds, read_summary

CODECS = ("raw32", "int8", "eden1", "ec:1", "tcq:1", "ec:.1", "mask:.076:eden1")
KEEP_RESIDUALS = ("ec:1", "tcq:1", "ec:.1")
TAIL = 10  # rounds that are judged

# rounds: of every codec; no target ends a run. target: the accuracy whose first crossing is told. judged_every: rounds.
CELLS = {
    "mcmahan-2nn-iid": dict(rounds=100, target=0.97, judged_every=1),
    "mcmahan-2nn-shards": dict(rounds=250, target=0.95, judged_every=2),
    "mcmahan-cnn-iid": dict(rounds=40, target=0.98, judged_every=1, store_bytes=2 * 10**9),
    "mcmahan-cnn-shards": dict(rounds=80, target=0.95, judged_every=2, store_bytes=2 * 10**9),
}


def parse():
    parser = argparse.ArgumentParser(prog="bench/run codecs-mnist", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/codecs-mnist", help="folder of all runs (default build/codecs-mnist)")
    parser.add_argument("--only", action="append", choices=list(CELLS), metavar="CELL",
                        help="of " + ", ".join(CELLS) + "; may be repeated")
    parser.add_argument("--codec", action="append", choices=CODECS, metavar="CODEC",
                        help="of " + ", ".join(CODECS) + "; may be repeated")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default 1)")
    parser.add_argument("--table", action="store_true", help="run nothing: the table of what is there")
    parser.add_argument("--docs", action="store_true", help="the table also into docs/compression.md")
    parser.add_argument("--json", action="store_true", help="an object a cell and codec in place of the table")
    return parser.parse_args()


def sweeps_of(args, name):
    """What keeps residuals may want more disk for them than the default."""
    cell, wanted = CELLS[name], args.codec or CODECS
    settings = {"train.epochs": 1, "stop.rounds": cell["rounds"], "stop.target": 1,
                "evaluate_every": cell["judged_every"]}
    for keeps in (False, True):
        codecs = [codec for codec in wanted if (codec in KEEP_RESIDUALS) == keeps]
        if codecs:
            more = {"store_bytes": cell["store_bytes"]} if keeps and "store_bytes" in cell else {}
            yield Sweep(args, name, os.path.join(args.out, name), {"codec": codecs}, {**settings, **more})


def crossing(metrics, target):
    """Rounds until the best so far passed the target, between two rounds as McMahan et al. count; None: never."""
    best, before = 0.0, 0
    for judged, metric in metrics:
        if metric >= target:
            return before + (judged - before) * (target - best) / (metric - best)
        best, before = max(best, metric), judged
    return None


def collect(args, name):
    rows, found = [], [cell for sweep in sweeps_of(args, name) for cell in sweep.cells()]
    for label, folder in sorted(found, key=lambda cell: CODECS.index(cell[0]["codec"])):
        summary = read_summary(folder)
        metrics = [(r["round"], r["metric"]) for r in read_rounds(folder) if r["metric"] is not None]
        rows.append({"cell": name, "codec": label["codec"], "rounds": summary["rounds"],
                     "accuracy": statistics.mean(metric for _, metric in metrics[-TAIL:]),
                     "target": CELLS[name]["target"],
                     "rounds_to_target": crossing(metrics, CELLS[name]["target"]),
                     "stream_bytes": summary["update_bytes_up"], "fp32_bytes": summary["bytes_up_fp32"],
                     "bytes_up": summary["bytes_up"], "bytes_down": summary["bytes_down"],
                     "model_sha256": summary["model_sha256"]})
    return rows


# ---- the table

def per_round(row, key):
    return row[key] / row["rounds"]


def line(row, base):
    rounds = row["rounds_to_target"]
    behind = times = fewer = ""
    if base is not None and row is not base:
        behind = f"{100 * (base['accuracy'] - row['accuracy']):+.2f}"
        reached = rounds is not None and base["rounds_to_target"] is not None
        times = f"{rounds / base['rounds_to_target']:.2f}" if reached else ""
        spent = rounds * per_round(row, "stream_bytes") if reached else 0
        fewer = f"{base['rounds_to_target'] * per_round(base, 'stream_bytes') / spent:.0f}" if reached else ""
    return (f"| {row['cell'].removeprefix('mcmahan-')}, {row['rounds']} rounds | `{row['codec']}` | "
            f"{100 * row['accuracy']:.2f} % | {behind} | {row['stream_bytes'] / 1e6:.2f} | {row['bytes_up'] / 1e6:.1f} | "
            f"{row['bytes_down'] / 1e6:.0f} | {'not reached' if rounds is None else f'{rounds:.1f}'} | {times} | {fewer} |")


def table(rows):
    targets = ", ".join(f"{100 * CELLS[name]['target']:g} % {name.removeprefix('mcmahan-')}"
                        for name in dict.fromkeys(row["cell"] for row in rows))
    yield (f"| cell | codec | accuracy | behind `raw32`, points | updates, MB | all bytes up, MB | down, MB | "
           f"rounds to the target ({targets}) | times `raw32`'s | times fewer bytes of updates until then |")
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        base = next((r for r in rows if r["cell"] == row["cell"] and r["codec"] == "raw32"), None)
        yield line(row, base)


def main():
    args = parse()
    args.out = os.path.abspath(args.out)
    names = args.only or list(CELLS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped = False
    try:
        for name in [] if args.table else names:
            print(name, file=sys.stderr)
            for sweep in sweeps_of(args, name):
                sweep.run()
    except KeyboardInterrupt:
        stopped = True
        print("bench/run codecs-mnist: stopped; the same command goes on", file=sys.stderr)
    rows = [row for name in names for row in collect(args, name)]
    lines = list(table(rows))
    if args.docs:
        replace_part(os.path.join(REPO, "docs", "compression.md"), "bench/run codecs-mnist", lines)
    print("\n".join(json.dumps(row) for row in rows) if args.json else "\n".join(lines))
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
