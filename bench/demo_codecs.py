"""What does coding cost the demo in accuracy, and what does it save, up and down?  Runs scripts/demo for so many rounds
with each pair of codecs and each seed (shares, initial weights and training change with it): test accuracies, their
means, how far those stay behind raw32's, and the bytes of a device. To choose codecs by: --simulate, which
is the same federation in covey-sim, judged on 5,000 examples of the training part and never on the test part."""

import argparse
import json
import os
import statistics
import subprocess
import sys

from sweeps import REPO, Sweep, read_rounds, read_summary

SCENARIO = "fashion-quickstart"
# of scripts/demo, where this scenario has others
SETTINGS = {"partition.devices": 10, "selection.fraction": 1, "train.learning_rate": .1, "data.validation": 5000,
            "links": "[{class: perfect}]", "devices_judged": 0}
PAIRS = ["raw32/raw32", "int8/ec:1", "ec:2/ec:1", "ec:2/ec:2", "ec:1/ec:1", "tcq:1/ec:1"]
TAIL = 5  # rounds that are judged in a simulation
MODEL_BYTES = 4 * 199210


def parse():
    parser = argparse.ArgumentParser(prog="bench/run demo", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--data", default="fashion-mnist", choices=["fashion-mnist", "har"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="1 to so many (default 3)")
    parser.add_argument("--codec", action="append", metavar="UP[/DOWN]",
                        help="of updates, of models; may be repeated (default " + ", ".join(PAIRS) + "); without DOWN: the demo's")
    parser.add_argument("--simulate", action="store_true", help="covey-sim in place of processes; fashion-mnist alone")
    parser.add_argument("--out", default="build/demo-codecs", help="folder of simulations, each kept (default build/demo-codecs)")
    parser.add_argument("--threads", type=int, help="of a simulation (default: all processors)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.simulate and options.data != "fashion-mnist":
        parser.error("--simulate knows fashion-mnist alone")
    return options


def demo(options, up, down, seed):
    """One federation to its end: what its last line says."""
    command = [f"{REPO}/scripts/demo", "--json", "--data", options.data, "--codec", up, "--seed", str(seed),
               "--rounds", str(options.rounds), "--dir", "build/demo-codecs-run"] + (["--downlink", down] if down else [])
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        sys.exit(f"bench/run demo: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def simulate(options, up, down, seed):
    """The same in virtual time, with the demo's keys. From the disk if it was played before."""
    settings = {**SETTINGS, "codec": up, "stop.rounds": options.rounds, **({"downlink": down} if down else {})}
    sweep = Sweep(options, SCENARIO, os.path.abspath(options.out), {"seed": [seed]}, settings)
    sweep.run()
    ((_, folder),) = sweep.cells()
    last, rounds = read_summary(folder), read_rounds(folder)
    judged = [r["metric"] for r in rounds if r["metric"] is not None]
    return {**last, "accuracy": statistics.mean(judged[-TAIL:]), "upload_bytes_up": last["bytes_up"],
            "bytes_down_fp32": len(rounds) * last["devices"] * MODEL_BYTES}


def row_of(options, name, results, base):
    accuracies = [100 * r["accuracy"] for r in results]
    devices = results[0]["devices"]
    mean = statistics.mean(accuracies)
    return {
        "codec": name,
        "rounds": options.rounds,
        "accuracy": accuracies,
        "mean": mean,
        "behind_raw32": statistics.mean(100 * r["accuracy"] for r in base) - mean if base else None,
        "times_smaller": statistics.mean(r["bytes_up_fp32"] / r["update_bytes_up"] for r in results),
        "framing": statistics.mean(r["upload_bytes_up"] / r["update_bytes_up"] for r in results),
        "mb_up": statistics.mean(r["bytes_up"] / devices / 1e6 for r in results),
        "mb_down": statistics.mean(r["bytes_down"] / devices / 1e6 for r in results),
        "times_less_up": statistics.mean(r["bytes_up_fp32"] / r["bytes_up"] for r in results),
        "times_less_down": statistics.mean(r["bytes_down_fp32"] / r["bytes_down"] for r in results),
    }


def main():
    options = parse()
    play = simulate if options.simulate else demo
    pairs = options.codec or PAIRS
    results = {pair: [] for pair in pairs}
    for seed in range(1, options.seeds + 1):
        for pair in pairs:
            up, _, down = pair.partition("/")
            result = play(options, up, down, seed)
            results[pair].append(result)
            print(f"{pair} seed {seed}: {100 * result['accuracy']:.2f} % after {result['rounds']} rounds", file=sys.stderr, flush=True)
    base = next((results[pair] for pair in pairs if pair.partition("/")[0] == "raw32"), None)
    rows = [row_of(options, pair, results[pair], base) for pair in pairs]
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    judged = f"mean of the last {TAIL} on a held-out part of the training part" if options.simulate else "test accuracy"
    print(f"{options.data}, {options.rounds} rounds, seeds 1 to {options.seeds}: {judged}, %; MB of datagrams a device, "
          "and times fewer than updates and models in fp32 alone would be")
    print(f"{'up/down':14} {'mean':>6} {'behind raw32':>13} {'MB up':>8} {'fewer':>6} {'MB down':>8} {'fewer':>6}   each seed")
    for row in rows:
        behind = "-" if row["behind_raw32"] is None else f"{row['behind_raw32']:+.2f}"
        each = " ".join(f"{a:.2f}" for a in row["accuracy"])
        print(f"{row['codec']:14} {row['mean']:6.2f} {behind:>13} {row['mb_up']:8.2f} {row['times_less_up']:6.2f} "
              f"{row['mb_down']:8.2f} {row['times_less_down']:6.2f}   {each}")


if __name__ == "__main__":
    main()
