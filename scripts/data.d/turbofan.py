#!/usr/bin/env python3
"""Turns NASA's C-MAPSS archive (simulated turbofan engines run to failure) into IDX files, subset FD001.

    turbofan.py ARCHIVE.zip FOLDER     -> train-idx2-float.gz, test-idx2-float.gz, test-rul-idx1-int.gz, feature-stats.csv

Saxena, Goebel, Simon, Eklund: Damage Propagation Modeling for Aircraft Engine Run-to-Failure Simulation, PHM08.
A row is a cycle: engine, cycle, three settings, 21 sensors, as the text files have them.  Python's standard library
alone.
"""
import hashlib
import io
import math
import os
import sys
import zipfile

from idx_file import idx, run, write_gz

COLUMNS = 26
VARYING = (6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 19, 21, 24, 25)    # the sensors that are not constant
# train, test and life left, as IDX files one after the other.
CONTENT_SHA256 = "c82d3cdafc452a31028c006725a7ab8dd48bdc0bcf6c459bb4425807ffa399de"


def read_member(archive, name):
    """The file of that name, wherever it lies in the archive or in archives inside it; None: not there."""
    for member in archive.namelist():
        if os.path.basename(member) == name:
            return archive.read(member).decode()
        if member.lower().endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
                found = read_member(inner, name)
                if found is not None:
                    return found
    return None


def table(archive, name, columns):
    text = read_member(archive, name)
    if text is None:
        raise SystemExit("turbofan: no %s inside: is it NASA's CMAPSSData?" % name)
    rows = [[float(v) for v in line.split()] for line in text.splitlines() if line.strip()]
    if any(len(row) != columns for row in rows):
        raise SystemExit("turbofan: %s has rows without %d columns" % (name, columns))
    return rows


def write_statistics(path, rows):
    with open(path, "w") as out:
        out.write("column,mean,std\n")
        for column in VARYING:
            values = [row[column] for row in rows]
            mean = math.fsum(values) / len(values)
            deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
            out.write("%d,%.7g,%.7g\n" % (column, mean, deviation))


def convert(path, folder):
    with zipfile.ZipFile(path) as archive:
        train, test = table(archive, "train_FD001.txt", COLUMNS), table(archive, "test_FD001.txt", COLUMNS)
        life = [int(row[0]) for row in table(archive, "RUL_FD001.txt", 1)]
    files = {
        "train-idx2-float": idx("f", (len(train), COLUMNS), [v for row in train for v in row]),
        "test-idx2-float": idx("f", (len(test), COLUMNS), [v for row in test for v in row]),
        "test-rul-idx1-int": idx("i", (len(life),), life),
    }
    content = hashlib.sha256()
    for name, data in files.items():
        content.update(data)
        write_gz(folder, name, data)
    write_statistics(os.path.join(folder, "feature-stats.csv"), train)
    return content.hexdigest()


if __name__ == "__main__":
    run(convert, "turbofan", "tables have", CONTENT_SHA256, __doc__, sys.argv[1:])
