"""What does coding the updates cost in accuracy?  Runs scripts/demo for so many rounds with each codec and each seed
(shares, initial weights and training change with it), prints the test accuracies, their means, and how far the means
stay behind raw32's."""

import argparse
import json
import os
import statistics
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parse():
    parser = argparse.ArgumentParser(prog="bench/run demo", description=__doc__)
    parser.add_argument("--bin", help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--data", default="fashion-mnist", choices=["fashion-mnist", "har"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="1 to so many (default 3)")
    parser.add_argument("--codec", action="append", help="may be repeated; default raw32, int8, int4")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def demo(options, codec, seed):
    """One federation to its end; its last line as a dict."""
    command = [f"{REPO}/scripts/demo", "--json", "--data", options.data, "--codec", codec, "--seed", str(seed),
               "--rounds", str(options.rounds), "--dir", "build/demo-codecs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        sys.exit(f"bench/run demo: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    options = parse()
    codecs = options.codec or ["raw32", "int8", "int4"]
    results = {codec: [] for codec in codecs}
    for seed in range(1, options.seeds + 1):
        for codec in codecs:
            result = demo(options, codec, seed)
            results[codec].append(result)
            print(f"{codec} seed {seed}: {100 * result['accuracy']:.2f} % after {result['rounds']} rounds", file=sys.stderr)
    rows = []
    base = results.get("raw32")
    for codec in codecs:
        accuracies = [100 * r["accuracy"] for r in results[codec]]
        rows.append({
            "codec": codec,
            "rounds": options.rounds,
            "accuracy": accuracies,
            "mean": statistics.mean(accuracies),
            "behind_raw32": statistics.mean(100 * r["accuracy"] for r in base) - statistics.mean(accuracies) if base else None,
            "times_smaller": statistics.mean(r["bytes_up_fp32"] / r["update_bytes_up"] for r in results[codec]),
            "framing": statistics.mean(r["upload_bytes_up"] / r["update_bytes_up"] for r in results[codec]),
        })
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    print(f"{options.data}, {options.rounds} rounds, seeds 1 to {options.seeds}: test accuracy, %")
    print(f"{'codec':8} {'mean':>6} {'behind raw32':>13} {'smaller':>8} {'framing':>8}   each seed")
    for row in rows:
        behind = "-" if row["behind_raw32"] is None else f"{row['behind_raw32']:+.2f}"
        each = " ".join(f"{a:.2f}" for a in row["accuracy"])
        print(f"{row['codec']:8} {row['mean']:6.2f} {behind:>13} {row['times_smaller']:8.2f} {row['framing']:8.3f}   {each}")


if __name__ == "__main__":
    main()
