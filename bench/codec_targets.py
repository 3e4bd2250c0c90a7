"""Every codec against its target, and a picture of rate and distortion with the bounds.

Runs covey-bench codec on vectors of 2^20 values (other sizes where the table says so), several seeds; times
are the least of many runs.  With --docs the table replaces the one in docs/compression.md, and docs/rate-distortion.svg is drawn anew."""

import argparse
import array
import json
import math
import os
import platform
import random
import statistics
import struct
import subprocess
import sys
import tempfile

import rate_bounds
import rate_picture
from documents import replace_part

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIM = 1 << 20
RATES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)
PLACES = ("normal", "laplace")

# codec, distribution, the NMSE that it must reach, how far above it may be
EDEN = [(f"eden{bits}", dist, nmse, 1.01) for bits, nmse in enumerate((0.571, 0.133, 0.0358, 0.00959), 1)
        for dist in ("normal", "laplace", "lognormal")]
EC_RATES = (0.1, 0.5, 1, 2, 4, 8)
EC = [(f"ec:{rate:g}", dist, nmse, 1.0)
      for dist, wanted in (("normal", (0.910, 0.619, 0.349, 0.0892, 0.0056, 2.18e-5)),
                           ("laplace", (0.833, 0.488, 0.263, 0.0733, 0.0048, 1.89e-5)))
      for rate, nmse in zip(EC_RATES, wanted)]
TCQ = [(f"tcq:{rate:g}", "normal", nmse, 1.0) for rate, nmse in zip((0.5, 1, 2, 4), (0.580, 0.293, 0.0710, 0.00440))]
BLOCKS = [(codec, dist, None, 1.0) for codec in ("int8", "int4", "fp16") for dist in PLACES]
HEAVY = ("laplace", "student3", "ggd1/2", "lognormal2")  # for auto
AUTO_RATES = (0.1, 0.5, 1, 2, 4)
SMALL = (("ec:.5", 7850, 0.02), ("ec:.1", 199210, 0.001))
SMALL_SEEDS = 48
# codec, ns to encode, ns to fold, on a machine with AVX-512
TIMES = (("ec:1", 1.2, 1.0), ("tcq:1", 2.5, 1.3), ("int8", 0.35, 0.4), ("eden1", None, None), ("eden4", None, None),
         ("auto:1", None, None))
ROTATION = 10  # GB/s


def parse():
    parser = argparse.ArgumentParser(prog="bench/run codec", description=__doc__)
    parser.add_argument("--bin", help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, default=3, help="1 to so many (default 3)")
    parser.add_argument("--runs", type=int, default=40, help="of each, for the times (default 40)")
    parser.add_argument("--docs", action="store_true", help="write the table and the picture to docs/")
    parser.add_argument("--picture", help="write the picture there")
    parser.add_argument("--json", action="store_true", help="an object a row")
    return parser.parse_args()


# ---- vectors that covey-bench does not draw itself


def draw_lognormal(source):
    return math.exp(source.gauss(0, 1))


def draw_lognormal2(source):
    """Both signs: what is coded as it is should not have a mean."""
    return math.copysign(math.exp(source.gauss(0, 1)), source.random() - 0.5)


def draw_ggd_half(source):
    """Generalised Gaussian of shape 1/2: |x| is the square of a Gamma(2)."""
    gamma = -math.log((1 - source.random()) * (1 - source.random()))
    return math.copysign(gamma * gamma, source.random() - 0.5)


DRAWN = {"lognormal": draw_lognormal, "lognormal2": draw_lognormal2, "ggd1/2": draw_ggd_half}


def write_npy(path, draw, seed):
    source = random.Random(seed)
    values = array.array("f", (draw(source) for _ in range(DIM)))
    if sys.byteorder != "little":
        values.byteswap()
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({DIM},), }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
        values.tofile(file)


class Bench:
    """covey-bench codec, each combination once."""

    def __init__(self, options, folder):
        self.options, self.folder, self.known = options, folder, {}

    def _vector(self, dist, seed):
        if dist not in DRAWN:
            return dist
        path = os.path.join(self.folder, f"{dist.replace('/', '_')}-{seed}.npy")
        if not os.path.exists(path):
            write_npy(path, DRAWN[dist], seed)
        return path

    def run(self, codec, dist, dim, seed, runs, kernels=None):
        key = (codec, dist, dim, seed, runs, kernels)
        if key not in self.known:
            command = [f"{self.options.bin}/covey-bench", "codec", "--codec", codec, "--dist", self._vector(dist, seed),
                       "--dim", str(dim), "--seed", str(seed), "--runs", str(runs), "--json"]
            command += ["--kernels", kernels] if kernels else []
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                sys.exit(f"bench/run codec: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
            self.known[key] = json.loads(done.stdout)
        return self.known[key]

    def row(self, codec, dist, dim=DIM, seeds=None):
        """Means over the seeds, and the spread of the NMSE: its standard deviation."""
        found = [self.run(codec, dist, dim, seed, 1)
                 for seed in range(1, (seeds or self.options.seeds) + 1)]
        row = {"codec": codec, "dist": dist, "dim": dim, "seeds": len(found)}
        for key in ("bits_per_param", "nmse", "bias"):
            row[key] = statistics.mean(one[key] for one in found)
        row["nmse_spread"] = statistics.stdev(one["nmse"] for one in found) if len(found) > 1 else 0.0
        return row


# ---- what is asked


def asked_rate(codec):
    return float(codec.split(":")[1]) if ":" in codec else None


def rate_is_met(row):
    """Within 1 % or 24 bytes of the rate asked for, whichever is more."""
    rate = asked_rate(row["codec"])
    return rate is None or row["bits_per_param"] <= rate + max(0.01 * rate, 24 * 8 / row["dim"])


def judged(row, target, slack):
    row["target"] = target
    row["met"] = None if target is None else bool(row["nmse"] <= target * slack and rate_is_met(row))
    return row


def nmse_rows(bench):
    for codec, dist, target, slack in EDEN + EC + TCQ + BLOCKS:
        yield judged(bench.row(codec, dist), target, slack)


def auto_rows(bench):
    """Rotated values are normal whatever they were: `ec` on normal values is what a rotation would give."""
    for dist in HEAVY:
        for rate in AUTO_RATES:
            raw, rotated = bench.row(f"ec:{rate:g}", dist), bench.row(f"ec:{rate:g}", "normal")
            row = judged(bench.row(f"auto:{rate:g}", dist), min(raw["nmse"], rotated["nmse"]), 1.01)
            row["raw"], row["rotated"] = raw["nmse"], rotated["nmse"]
            yield row


def small_rows(bench):
    """Bits above what the ideal quantiser's codes would take for the very NMSE that was reached."""
    for codec, dim, target in SMALL:
        row = bench.row(codec, "normal", dim, SMALL_SEEDS)
        row["overhead"] = row["bits_per_param"] - rate_bounds.uniform_bits(row["nmse"])
        row["target"] = target
        row["met"] = bool(row["overhead"] <= target and rate_is_met(row))
        yield row


def time_rows(bench):
    """With each of the tables of kernels that the machine has; the targets are for the widest."""
    rotation = {}
    for codec, encode, fold in TIMES:
        found = {name: bench.run(codec, "normal", DIM, 1, bench.options.runs, name) for name in kernels()}
        for what, keys, target in (("encode", ("encode",), encode), ("decode", ("decode",), None),
                                   ("fold", ("fold", "fold16"), fold)):
            ns = {name: min(one[key + "_ns_per_param"] for key in keys) for name, one in found.items()}
            first = next(iter(ns.values()))
            yield {"codec": codec, "what": what, **ns, "target": target,
                   "met": None if target is None else bool(first <= target),
                   "copy": min(one["copy_ns_per_param"] for one in found.values())}
        for name, one in found.items():
            rotation[name] = max(rotation.get(name, 0), one["rotate_gb_per_s"])
    yield {"codec": "rotation, GB/s", "what": "in the cache", **rotation, "target": ROTATION,
           "met": bool(next(iter(rotation.values())) >= ROTATION), "copy": None}


def kernels():
    flags = machine_flags()
    return [name for name, flag in (("avx512", "avx512bw"), ("avx2", "avx2")) if flag in flags] + ["plain"]


def cpuinfo(key):
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def machine_flags():
    return cpuinfo("flags").split()


def machine():
    names = {"avx512": "AVX-512", "avx2": "AVX2", "plain": "no AVX2"}
    return f"{cpuinfo('model name') or platform.processor() or platform.machine()}, {names[kernels()[0]]}"


# ---- what is shown


def short(value):
    return f"{value:.4g}" if value >= 1e-3 or value == 0 else f"{value:.3g}"


def verdict(row):
    return "" if row["met"] is None else "yes" if row["met"] else "**no**"


def nmse_table(rows):
    bounds = {"normal": rate_bounds.normal, "laplace": rate_bounds.Laplace()}
    yield "| codec | values | bits | NMSE | +/- | wanted | met | bias | ideal ECSQ | bound |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        bits, biased = row["bits_per_param"], row["codec"].startswith(("ec", "tcq"))
        ideal = short(rate_bounds.uniform(bits)) if biased and row["dist"] == "normal" else ""
        bound = short(bounds[row["dist"]](bits)) if row["dist"] in bounds else ""
        wanted = "" if row["target"] is None else short(row["target"])
        yield (f"| `{row['codec']}` | {row['dist']} | {bits:.4f} | {short(row['nmse'])} | {row['nmse_spread']:.1g} | "
               f"{wanted} | {verdict(row)} | {row['bias']:.2g} | {ideal} | {bound} |")


def auto_table(rows):
    yield "| codec | values | bits | NMSE | raw | rotated | met |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        yield (f"| `{row['codec']}` | {row['dist']} | {row['bits_per_param']:.4f} | {short(row['nmse'])} | "
               f"{short(row['raw'])} | {short(row['rotated'])} | {verdict(row)} |")


def small_table(rows):
    yield "| codec | values | bits | NMSE | bits over the ideal | wanted | met |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        yield (f"| `{row['codec']}` | {row['dim']:,} | {row['bits_per_param']:.4f} | {short(row['nmse'])} | "
               f"{row['overhead']:.4f} | {row['target']} | {verdict(row)} |")


def time_table(rows):
    names = kernels()
    yield f"| codec | | {' | '.join(names)} | wanted with AVX-512 | met here |"
    yield "|---|---|" + "---|" * len(names) + "---|---|"
    for row in rows:
        wanted = "" if row["target"] is None else row["target"]
        found = " | ".join(f"{row[name]:.2f}" for name in names)
        yield f"| `{row['codec']}` | {row['what']} | {found} | {wanted} | {verdict(row)} |"


def picture(bench):
    """Curves of the codecs with a rate, points of the others, for both distributions."""
    panels = []
    laplace = rate_bounds.Laplace()
    for dist, bound in (("normal", rate_bounds.normal), ("laplace", laplace)):
        series = []
        for name, codecs in (("ec", [f"ec:{rate:g}" for rate in RATES]),
                             ("tcq", [f"tcq:{rate:g}" for rate in RATES if 0.2 <= rate <= 4]),
                             ("eden", [f"eden{bits}" for bits in (1, 2, 3, 4)]), ("int", ["int4", "int8"])):
            rows = [bench.row(codec, dist, DIM, 1) for codec in codecs]
            series.append((name, [(row["bits_per_param"], row["nmse"]) for row in rows]))
        panels.append((dist, bound, series))
    return rate_picture.draw(panels)


def main():
    options = parse()
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        groups = [("nmse", list(nmse_rows(bench)), nmse_table), ("auto", list(auto_rows(bench)), auto_table),
                  ("small", list(small_rows(bench)), small_table), ("time", list(time_rows(bench)), time_table)]
        drawing = picture(bench) if options.docs or options.picture else None
    loads.append(os.getloadavg()[0])
    text = []
    for name, rows, table in groups:
        if options.json:
            for row in rows:
                print(json.dumps({"table": name, **row}))
        text += [*table(rows), ""]
    copy = min(row["copy"] for name, rows, _ in groups if name == "time" for row in rows if row["copy"] is not None)
    text.append(f"2^20 values unless said, {options.seeds} seeds ({SMALL_SEEDS} for small vectors). Times are ns a value, CPU "
                f"time of one thread, the least of {options.runs} runs, on {machine()}; load average {min(loads):.0f} to "
                f"{max(loads):.0f}; memcpy of the values takes {copy:.2f} there.")
    if not options.json:
        print("\n".join(text))
    if options.docs:
        replace_part(f"{REPO}/docs/compression.md", "bench/run codec", text)
    for path in filter(None, (f"{REPO}/docs/rate-distortion.svg" if options.docs else None, options.picture)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(drawing)
    missed = [row for name, rows, _ in groups if name != "time" for row in rows if row["met"] is False]
    for row in missed:
        print(f"bench/run codec: {row['codec']} on {row['dist']} misses its target", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
