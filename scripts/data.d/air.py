#!/usr/bin/env python3
"""Turns UCI data set 501 (Beijing multi-site air quality, 12 stations, hourly) into a forecasting task.

    air.py ARCHIVE.zip FOLDER     -> STATION/{train,test}-{x,y}-*.gz, manifest.csv, feature-stats.csv

Zhang, Guo, Dong, He, Xu, Chen: Cautionary Tales on Air-Quality Improvement in Beijing, Proc. R. Soc. A 473 (2017).
Python's standard library alone; about ten seconds.

y is PM2.5 (ug/m3) six hours after t, t every six hours from the 25th hour on.  The 23 values of x:
   0  PM2.5 at t, 1, 2, 3, 6, 12, 18 and 24 hours before
   8  PM10, SO2, NO2, CO, O3, temperature, pressure, dew point, rain at t
  17  wind to the east and to the north by its direction and speed
  19  sine and cosine of the hour of the day, then of the time of the year
What is missing is the last value known (0 before the first), but rows without PM2.5 at t or six hours later are left
out.  To February 2016 for training, the last year for the test.
"""
import csv
import hashlib
import io
import math
import os
import sys
import zipfile

from idx_file import idx, run, write_gz

STATIONS = ("Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan", "Gucheng", "Huairou", "Nongzhanguan",
            "Shunyi", "Tiantan", "Wanliu", "Wanshouxigong")
HOURS = 35064
LAGS = (0, 1, 2, 3, 6, 12, 18, 24)
AHEAD = 6
NOW = ("PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN")
WINDS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
# x and y of all stations in order, training before test, as IDX files one after the other.
CONTENT_SHA256 = "65e0727a9799c49e70f6c019965ac6ad08d5f3f5f0a94442f1457e08cca17ec6"


def station_rows(archive_path):
    """-> {station: rows of its CSV}, from the archive or from the one inside it"""
    with zipfile.ZipFile(archive_path) as archive:
        inner = [n for n in archive.namelist() if n.lower().endswith(".zip")]
        if inner:
            with zipfile.ZipFile(io.BytesIO(archive.read(inner[0]))) as nested:
                return rows_of(nested)
        return rows_of(archive)


def rows_of(archive):
    found = {}
    for name in archive.namelist():
        for station in STATIONS:
            if name.endswith(".csv") and "_%s_" % station in os.path.basename(name):
                found[station] = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
    for station in STATIONS:
        if len(found.get(station, ())) != HOURS:
            raise SystemExit("beijing-air: station %s has %d hours, not %d: is it UCI data set 501?" % (
                station, len(found.get(station, ())), HOURS))
    return found


def number(text):
    return None if text == "NA" else float(text)


def filled(values):
    out, last = [], 0.0
    for value in values:
        last = last if value is None else value
        out.append(last)
    return out


def winds(rows):
    """-> wind to the east, to the north; missing when direction or speed is"""
    east, north = [], []
    for row in rows:
        if row["wd"] == "NA" or row["WSPM"] == "NA":
            east.append(None)
            north.append(None)
            continue
        angle = 2 * math.pi * WINDS.index(row["wd"]) / len(WINDS)
        east.append(float(row["WSPM"]) * math.sin(angle))
        north.append(float(row["WSPM"]) * math.cos(angle))
    return filled(east), filled(north)


def task(rows):
    """-> ((x, y) of training, (x, y) of test)"""
    raw = [number(row["PM2.5"]) for row in rows]
    pm = filled(raw)
    now = [filled([number(row[name]) for row in rows]) for name in NOW]
    east, north = winds(rows)
    parts = (([], []), ([], []))
    for t in range(max(LAGS), len(rows) - AHEAD, 6):
        if raw[t] is None or raw[t + AHEAD] is None:
            continue
        row = rows[t]
        year, month, day, hour = (int(row[k]) for k in ("year", "month", "day", "hour"))
        season, clock = 2 * math.pi * (month - 1 + day / 31) / 12, 2 * math.pi * hour / 24
        x = [pm[t - lag] for lag in LAGS] + [values[t] for values in now]
        x += [east[t], north[t], math.sin(clock), math.cos(clock), math.sin(season),
              math.cos(season)]
        part = parts[(year, month) >= (2016, 3)]
        part[0].append(x)
        part[1].append(raw[t + AHEAD])
    return parts


def write_tables(folder, manifest, training):
    with open(os.path.join(folder, "manifest.csv"), "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["station", "id", "hours", "train_rows", "test_rows"])
        table.writerows(manifest)
    with open(os.path.join(folder, "feature-stats.csv"), "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["feature", "mean", "std"])
        for f, column in enumerate(zip(*training)):
            mean = math.fsum(column) / len(column)
            deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in column) / len(column))
            table.writerow([f, "%.7g" % mean, "%.7g" % deviation])


def convert(archive, folder):
    rows, content = station_rows(archive), hashlib.sha256()
    manifest, training = [], []
    for number_of, station in enumerate(STATIONS):
        home = os.path.join(folder, station)
        os.makedirs(home, exist_ok=True)
        parts = task(rows[station])
        for name, (x, y) in zip(("train", "test"), parts):
            for kind, shape, values in (("x-idx2", (len(x), 23), [v for row in x for v in row]), ("y-idx1", (len(y),), y)):
                data = idx("f", shape, values)
                content.update(data)
                write_gz(home, "%s-%s-float" % (name, kind), data)
        training += parts[0][0]
        manifest.append([station, number_of, len(rows[station]), len(parts[0][1]), len(parts[1][1])])
    write_tables(folder, manifest, training)
    return content.hexdigest()


if __name__ == "__main__":
    run(convert, "beijing-air", "task has", CONTENT_SHA256, __doc__, sys.argv[1:])
