#!/usr/bin/env python3
"""bench/run aggregate: covey-bench and NumPy at the same rules, in turn, and what comes out side by side.

`ratio` is of wall time, `cpu_ratio` of the processor time of all threads: on a machine that others use as well the
second says more.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench/run: {' '.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(args, rule):
    hostile = 0 if rule == "fedavg" else args.hostile
    line = rule if hostile == 0 else f"{rule} hostile={hostile}"
    ours = [os.path.join(args.bin, "covey-bench"), "aggregate", "--json", "--rule", line, "--clients",
            str(args.clients), "--dim", str(args.dim), "--codec", "int8", "--threads", str(args.threads),
            "--runs", "1"]
    theirs = [args.python, os.path.join(HERE, "aggregate_numpy.py"), "--rule", rule, "--clients", str(args.clients),
              "--dim", str(args.dim), "--hostile", str(hostile)]
    pairs = [(run(ours), run(theirs)) for _ in range(args.alternations)]
    return {
        "rule": line, "clients": args.clients, "dim": args.dim, "threads": args.threads,
        "alternations": len(pairs),
        "seconds": statistics.median(a["seconds"] for a, _ in pairs),
        "peer_seconds": statistics.median(b["seconds"] for _, b in pairs),
        "ratio": round(statistics.median(b["seconds"] / a["seconds"] for a, b in pairs), 2),
        "cpu_ratio": round(statistics.median(b["cpu_seconds"] / a["cpu_seconds"] for a, b in pairs), 2),
        "params_per_s": statistics.median(a["params_per_s"] for a, _ in pairs),
        "bandwidth_share": statistics.median(a["bandwidth_share"] for a, _ in pairs),
        "peak_rss_bytes": pairs[0][0]["peak_rss_bytes"], "peer_peak_rss_bytes": pairs[0][1]["peak_rss_bytes"]}


def main():
    parser = argparse.ArgumentParser(prog="bench/run aggregate", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rules", default="fedavg,median,krum,geometric-median")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--dim", type=int, default=1663370)
    parser.add_argument("--hostile", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alternations", type=int, default=3)
    args = parser.parse_args()
    for rule in args.rules.split(","):
        print(json.dumps(compare(args, rule)), flush=True)


if __name__ == "__main__":
    main()
