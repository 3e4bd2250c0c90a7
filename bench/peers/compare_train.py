#!/usr/bin/env python3
"""bench/run train: covey-bench and PyTorch in turn, on one thread each, and what comes out side by side."""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"bench/run: {' '.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def one_thread_environment():
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    environment.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    return environment


ENVIRONMENT = one_thread_environment()


def alternate(args, model):
    """One discarded run of PyTorch finds its best options; then ours and theirs in turn."""
    common = ["--model", model, "--batch", str(args.batch), "--examples", str(args.examples),
              "--seconds", str(args.seconds)]
    ours = [os.path.join(args.bin, "covey-bench"), "train", "--json", *common]
    theirs = [args.python, os.path.join(HERE, "train_torch.py"), *common]
    theirs += ["--options", json.dumps(run(theirs)["options"])]
    pairs = []
    for turn in range(args.alternations):
        pairs.append((run(ours), run(theirs)))
        if pairs[-1][0]["data"] != pairs[-1][1]["data"]:
            sys.exit(f"bench/run: {pairs[-1][0]['data']} on one side, {pairs[-1][1]['data']} on the other")
        print(f"{model} {turn + 1}/{args.alternations}: {pairs[-1][0]['examples_per_s']:.0f} and "
              f"{pairs[-1][1]['examples_per_s']:.0f} examples/s", file=sys.stderr)
    return pairs


def spread(values):
    return [min(values), statistics.median(values), max(values)]


def summarise(model, pairs):
    ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
    rates = [spread([side["examples_per_s"] for side in sides]) for sides in (ours, theirs)]
    return {
        "model": model, "batch": ours[0]["batch"], "alternations": len(pairs),
        "examples_per_s": rates[0], "peer_examples_per_s": rates[1],
        "ratio": round(statistics.median(a["examples_per_s"] / b["examples_per_s"] for a, b in pairs), 3),
        "sgemm_peak_share": spread([side["sgemm_peak_share"] for side in ours]),
        "gflops": statistics.median(side["gflops"] for side in ours),
        "peak_rss_bytes": ours[0]["peak_rss_bytes"], "peer_peak_rss_bytes": theirs[0]["peak_rss_bytes"],
        "sgemm_gflops": statistics.median(side["sgemm_gflops"] for side in ours),
        "peer_sgemm_gflops": statistics.median(side["sgemm_gflops"] for side in theirs),
        "blas": ours[0]["blas"], "peer_blas": theirs[0]["blas"],
        "instruction_set": ours[0]["instruction_set"], "peer_instruction_set": theirs[0]["instruction_set"],
        "engine": ours[0]["engine"], "peer_engine": theirs[0]["engine"], "peer_options": theirs[0]["options"],
        "data": ours[0]["data"],
    }


def print_table(results):
    first = results[0]
    print(f"one thread, batch {first['batch']}, plain SGD, {first['data']}, medians of {first['alternations']} alternations "
          "(least to most)")
    print(f"  covey    {first['engine']} kernels, {first['instruction_set']}; {first['blas']}, "
          f"SGEMM {first['sgemm_gflops']:.1f} GFLOP/s")
    print(f"  PyTorch  {first['peer_engine']}, {first['peer_instruction_set']}; {first['peer_blas']}, "
          f"SGEMM {first['peer_sgemm_gflops']:.1f} GFLOP/s")
    print(f"{'model':13}{'covey examples/s':>26}{'PyTorch examples/s':>26}{'ratio':>8}{'GFLOP/s':>9}{'of SGEMM':>10}"
          f"{'peak MiB':>16}")
    for r in results:
        mine, peer = (f"{m:.0f} ({a:.0f} to {b:.0f})" for a, m, b in (r["examples_per_s"], r["peer_examples_per_s"]))
        memory = f"{r['peak_rss_bytes'] / 2**20:.1f} / {r['peer_peak_rss_bytes'] / 2**20:.0f}"
        print(f"{r['model']:13}{mine:>26}{peer:>26}{r['ratio']:>8.2f}{r['gflops']:>9.1f}"
              f"{100 * r['sgemm_peak_share'][1]:>8.0f} %{memory:>16}")


def main():
    parser = argparse.ArgumentParser(prog="bench/run train", description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of covey-bench")
    parser.add_argument("--python", required=True, help="a Python that has torch")
    parser.add_argument("--model", action="append", help="default: 2nn and mcmahan-cnn; may be repeated")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--seconds", type=int, default=3, help="of measuring, a side and a turn")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = []
    for model in args.model or ["2nn", "mcmahan-cnn"]:
        results.append(summarise(model, alternate(args, model)))
        if args.json:
            print(json.dumps(results[-1]), flush=True)
    if not args.json:
        print_table(results)


if __name__ == "__main__":
    main()
