#!/usr/bin/env python3
"""Turns UCI data set 341 (HAPT: smartphone recordings of 30 people) into IDX files, a folder for each person.

    har.py convert ARCHIVE.zip FOLDER     the publisher's archive -> subject-NN/{windows,features,labels}, manifest.csv,
                                          feature-stats.csv
    har.py check FOLDER                   recompute the features of FOLDER from its windows and compare

Reyes-Ortiz, Oneto, Sama, Parra, Anguita: Transition-Aware Human Activity Recognition Using Smartphones,
Neurocomputing 171 (2016).  Python's standard library alone; about 2 minutes on two cores.

A window is 128 samples (2.56 s at 50 Hz) of one labelled stretch, the next begins 64 later, what is left over at the
end is dropped.  Its 114 features are computed from the whole recording after a median of 3 and a Butterworth low-pass
of order 3 at 20 Hz, run forwards and backwards; gravity is what remains of the acceleration below 0.3 Hz.  With the
signals s = body acceleration x y z, gyroscope x y z, and the norms of both:
   0  mean s   8 standard deviation   16 minimum   24 maximum   32 median absolute deviation   40 interquartile range
  48  5 x standard deviation of the step from sample to sample, six axes
  54  mean gravity x y z   57  10 x its standard deviation
  60  log10(mean power / 128 + 1e-6) of s in the bins 1-3, 4-7, 8-15, 16-31, 32-51 of the window's spectrum
 100  bin of the highest power among 1 to 51, less one, over 51
 108  correlations xy xz yz of body acceleration, then of the gyroscope
"""
import cmath
import csv
import gzip
import hashlib
import math
import multiprocessing
import os
import re
import shutil
import struct
import sys
import zipfile

from idx_file import idx, run, write_gz

WINDOW = 128
STEP = 64
RATE_HZ = 50
FEATURES = 114
ACC_SCALE = 1 / 720                     # g for each step of the sensor
GYRO_SCALE = 0.00030543261909900766     # rad/s
TEST_PEOPLE = {2, 4, 9, 10, 12, 13, 18, 20, 24}
BANDS = ((1, 4), (4, 8), (8, 16), (16, 32), (32, 52))
# Windows and labels of all people in order, as IDX files one after the other.
CONTENT_SHA256 = "32ccdb2b0d139d12e05ef6407b3b397ffda3c08ddd1d8d33474cda40b7cb5452"


def butterworth_3(cutoff_hz):
    """Low-pass of order 3 by the bilinear transform, (b, a) with a[0] = 1."""
    k = math.tan(math.pi * cutoff_hz / RATE_HZ)
    first = (k / (1 + k), (k - 1) / (k + 1))
    norm = 1 / (1 + k + k * k)
    second = (k * k * norm, 2 * (k * k - 1) * norm, (1 - k + k * k) * norm)
    gain = first[0] * second[0]
    b = [gain, 3 * gain, 3 * gain, gain]
    a = [1, second[1] + first[1], second[2] + first[1] * second[1], first[1] * second[2]]
    return b, a


def one_way(b, a, x):
    """The filter once along x, begun in the state that a constant x[0] would leave."""
    b0, b1, b2, b3 = b
    _, a1, a2, a3 = a
    gain = sum(b) / sum(a)
    z3 = (b3 - a3 * gain)
    z2 = (b2 - a2 * gain) + z3
    z1 = (b1 - a1 * gain) + z2
    z1, z2, z3 = z1 * x[0], z2 * x[0], z3 * x[0]
    y = []
    append = y.append
    for v in x:
        w = b0 * v + z1
        z1 = b1 * v - a1 * w + z2
        z2 = b2 * v - a2 * w + z3
        z3 = b3 * v - a3 * w
        append(w)
    return y


def both_ways(filter_ba, x):
    """Forwards and backwards, so without delay; the ends are continued by 12 samples turned about the end point."""
    b, a = filter_ba
    pad = 3 * len(a)
    head = [2 * x[0] - v for v in x[pad:0:-1]]
    tail = [2 * x[-1] - v for v in x[-2:-pad - 2:-1]]
    y = one_way(b, a, head + x + tail)
    y = one_way(b, a, y[::-1])[::-1]
    return y[pad:-pad]


def median_of_3(x):
    padded = [0.0] + x + [0.0]
    return [sorted(padded[i:i + 3])[1] for i in range(len(x))]


def signals(channels):
    """six channels of a recording -> (eight signals, gravity x y z)"""
    low20, low03 = butterworth_3(20), butterworth_3(0.3)
    smooth = [both_ways(low20, median_of_3(c)) for c in channels]
    gravity = [both_ways(low03, c) for c in smooth[:3]]
    body = [[v - g for v, g in zip(s, k)] for s, k in zip(smooth[:3], gravity)]
    gyro = smooth[3:]
    norm = [[math.sqrt(x * x + y * y + z * z) for x, y, z in zip(*axes)] for axes in (body, gyro)]
    return body + gyro + norm, gravity


def power_spectrum(x):
    """|X_k|^2 for k < 52 of a real window of 128, by a recursive transform of length 128."""
    def transform(v):
        n = len(v)
        if n == 1:
            return v
        even, odd = transform(v[0::2]), transform(v[1::2])
        turned = [t * o for t, o in zip(TWIDDLE[n], odd)]
        return [e + t for e, t in zip(even, turned)] + [e - t for e, t in zip(even, turned)]
    return [abs(c) ** 2 for c in transform([complex(v) for v in x])[:52]]


TWIDDLE = {n: [cmath.exp(-2j * math.pi * k / n) for k in range(n // 2)] for n in (2, 4, 8, 16, 32, 64, 128)}


def quantile(ordered, q):
    at = (len(ordered) - 1) * q
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def deviation(x):
    mean = math.fsum(x) / len(x)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in x) / len(x))


def correlation(x, y):
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    top = math.fsum((a - mx) * (b - my) for a, b in zip(x, y))
    return top / len(x) / max(deviation(x) * deviation(y), 1e-30)


def features(s, gravity):
    """s: 8 lists of 128, gravity: 3 of 128 -> 114 numbers, in the order of the module's text"""
    ordered = [sorted(x) for x in s]
    middle = [quantile(o, .5) for o in ordered]
    spectra = [power_spectrum(x) for x in s]
    out = [math.fsum(x) / WINDOW for x in s]
    out += [deviation(x) for x in s]
    out += [o[0] for o in ordered] + [o[-1] for o in ordered]
    out += [quantile(sorted(abs(v - m) for v in x), .5) for x, m in zip(s, middle)]
    out += [quantile(o, .75) - quantile(o, .25) for o in ordered]
    out += [5 * deviation([b - a for a, b in zip(x, x[1:])]) for x in s[:6]]
    out += [math.fsum(g) / WINDOW for g in gravity] + [10 * deviation(g) for g in gravity]
    for low, high in BANDS:
        out += [math.log10(sum(p[low:high]) / (high - low) / WINDOW + 1e-6) for p in spectra]
    out += [max(range(51), key=lambda k: p[k + 1]) / 51 for p in spectra]
    for axes in (s[0:3], s[3:6]):
        out += [correlation(axes[i], axes[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    return out


def read_columns(archive, name):
    rows = [line.split() for line in archive.read(name).decode().splitlines() if line.strip()]
    return [[float(v) for v in column] for column in zip(*rows)]


def convert_recording(job):
    """-> (person, steps of the windows, labels, features) of one recording"""
    path, names, person, stretches = job
    with zipfile.ZipFile(path) as archive:
        acc, gyro = read_columns(archive, names[0]), read_columns(archive, names[1])
    count = min(len(acc[0]), len(gyro[0]))
    channels = [c[:count] for c in acc + gyro]
    steps = [[round(v / ACC_SCALE) for v in c] for c in channels[:3]]
    steps += [[round(v / GYRO_SCALE) for v in c] for c in channels[3:]]
    s, gravity = signals(channels)
    windows, labels, rows = [], [], []
    for activity, first, last in stretches:     # counted from 1, both inclusive
        for at in range(first - 1, last - WINDOW + 1, STEP):
            windows.append([c[at:at + WINDOW] for c in steps])
            labels.append(activity - 1)
            rows.append(features([x[at:at + WINDOW] for x in s], [g[at:at + WINDOW] for g in gravity]))
    return person, windows, labels, rows


def find_recordings(path):
    """-> jobs for convert_recording, in the order of the experiments"""
    with zipfile.ZipFile(path) as archive:
        names = {os.path.basename(n): n for n in archive.namelist() if "raw" in n.lower()}
        if "labels.txt" not in names:
            raise SystemExit("har: %s holds no RawData/labels.txt: is it UCI data set 341?" % path)
        stretches = {}
        for line in archive.read(names["labels.txt"]).decode().splitlines():
            if line.strip():
                experiment, person, activity, first, last = map(int, line.split())
                stretches.setdefault((experiment, person), []).append((activity, first, last))
    jobs = []
    for experiment, person in sorted(stretches):
        pair = ["%s_exp%02d_user%02d.txt" % (kind, experiment, person) for kind in ("acc", "gyro")]
        if not all(n in names for n in pair):
            raise SystemExit("har: %s lacks %s" % (path, " or ".join(pair)))
        jobs.append((path, [names[n] for n in pair], person, stretches[experiment, person]))
    return jobs


def person_files(windows, labels, rows):
    flat = [w[c][t] for w in windows for t in range(WINDOW) for c in range(6)]
    values = [v for row in rows for v in row]
    n = len(labels)
    return {
        "windows-idx3-short": idx("h", (n, WINDOW, 6), flat),
        "features-idx2-float": idx("f", (n, FEATURES), values),
        "labels-idx1-ubyte": idx("B", (n,), labels),
    }


def write_tables(folder, people):
    with open(os.path.join(folder, "manifest.csv"), "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["subject", "split", "windows"] + ["c%d" % c for c in range(12)])
        for person, (_, labels, _) in sorted(people.items()):
            split = "test" if person in TEST_PEOPLE else "train"
            table.writerow([person, split, len(labels)] + [labels.count(c) for c in range(12)])
    train = [row for person, (_, _, rows) in people.items() if person not in TEST_PEOPLE for row in rows]
    with open(os.path.join(folder, "feature-stats.csv"), "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["feature", "mean", "std"])
        for f, column in enumerate(zip(*train)):
            table.writerow([f, "%.7g" % (math.fsum(column) / len(column)), "%.7g" % deviation(column)])


def unwrap(path):
    """The archive itself, or the one inside it, as the repository has wrapped some sets twice."""
    with zipfile.ZipFile(path) as archive:
        inner = [n for n in archive.namelist() if n.lower().endswith(".zip")]
        if len(inner) != 1:
            return path
        target = path + ".inner"
        with archive.open(inner[0]) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink)
        return target


def convert(path, folder):
    path = unwrap(path)
    jobs = find_recordings(path)
    people = {}
    with multiprocessing.Pool() as pool:
        for done, (person, windows, labels, rows) in enumerate(pool.imap(convert_recording, jobs), 1):
            for mine, new in zip(people.setdefault(person, ([], [], [])), (windows, labels, rows)):
                mine.extend(new)
            print("har: %d of %d recordings" % (done, len(jobs)), file=sys.stderr)
    content = hashlib.sha256()
    for person in sorted(people):
        home = os.path.join(folder, "subject-%02d" % person)
        os.makedirs(home, exist_ok=True)
        files = person_files(*people[person])
        content.update(files["windows-idx3-short"] + files["labels-idx1-ubyte"])
        for name, data in files.items():
            write_gz(home, name, data)
    write_tables(folder, people)
    return content.hexdigest()


def load(path):
    data = gzip.open(path).read()
    kind, dimensions = data[2], data[3]
    shape = struct.unpack(">%dI" % dimensions, data[4:4 + 4 * dimensions])
    code = {0x08: "B", 0x0B: "h", 0x0D: "f"}[kind]
    return shape, struct.unpack(">%d%s" % (math.prod(shape), code), data[4 + 4 * dimensions:])


def stretches_of(windows):
    """Runs of windows that overlap by half, (first, past the last): each was one stretch of a recording."""
    half = STEP * 6
    ends = [0] + [i for i in range(1, len(windows)) if windows[i - 1][half:] != windows[i][:half]] + [len(windows)]
    return zip(ends, ends[1:])


def check_person(home, margin):
    """-> (windows compared, worst difference) away from the ends of stretches, where the filters do not know the rest"""
    (n, _, _), flat = load(os.path.join(home, "windows-idx3-short.gz"))
    _, values = load(os.path.join(home, "features-idx2-float.gz"))
    windows = [flat[i * WINDOW * 6:(i + 1) * WINDOW * 6] for i in range(n)]
    compared, worst = 0, [0.0] * FEATURES
    for first, past in stretches_of(windows):
        if past - first <= 2 * margin:
            continue
        samples = list(windows[first])
        for i in range(first + 1, past):
            samples += windows[i][STEP * 6:]
        channels = [[v * (ACC_SCALE if c < 3 else GYRO_SCALE) for v in samples[c::6]] for c in range(6)]
        s, gravity = signals(channels)
        for i in range(first + margin, past - margin):
            at = (i - first) * STEP
            row = features([x[at:at + WINDOW] for x in s], [g[at:at + WINDOW] for g in gravity])
            there = values[i * FEATURES:(i + 1) * FEATURES]
            worst = [max(w, abs(a - b)) for w, a, b in zip(worst, row, there)]
            compared += 1
    return compared, worst


def check(folder):
    homes = sorted(os.path.join(folder, d) for d in os.listdir(folder) if re.fullmatch(r"subject-\d\d", d))
    margin = 8
    with multiprocessing.Pool() as pool:
        results = pool.starmap(check_person, [(h, margin) for h in homes])
    worst = [max(column) for column in zip(*(w for _, w in results))]
    gyro = [3, 4, 5, 7]
    exact = [f for base in (0, 8, 16, 24, 32, 40, 60, 68, 76, 84, 92, 100) for f in (base + g for g in gyro)]
    exact += [51, 52, 53, 111, 112, 113]
    rest = [f for f in range(FEATURES) if f not in exact]
    print("windows %d, worst difference: gyroscope %.2g, with acceleration %.2g (feature %d)" % (
        sum(n for n, _ in results), max(worst[f] for f in exact), max(worst[f] for f in rest),
        max(rest, key=lambda f: worst[f])))


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "convert":
        run(convert, "har", "windows and labels have", CONTENT_SHA256, __doc__, arguments[1:])
    elif len(arguments) == 2 and arguments[0] == "check":
        check(arguments[1])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
