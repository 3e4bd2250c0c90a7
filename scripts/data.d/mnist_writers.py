#!/usr/bin/env python3
"""Takes the writer and the NIST series of each image out of QMNIST's extended labels (int32 IDX, eight columns).

    mnist_writers.py QMNIST_LABELS.gz PREFIX COUNT     -> PREFIX-writers-idx1-short.gz, PREFIX-hsf-idx1-ubyte.gz

The first COUNT rows are MNIST's own images in MNIST's order.  Columns: digit, series, writer, and five more.
"""
import gzip
import struct
import sys

from idx_file import idx, write_gz


def main(path, prefix, count):
    data = gzip.open(path).read()
    rows, columns = struct.unpack(">II", data[4:12])
    if data[:4] != b"\0\0\x0c\2" or rows < count or columns < 3:
        raise SystemExit("mnist: %s is not QMNIST's table of labels" % path)
    table = struct.unpack(">%di" % (count * columns), data[12:12 + 4 * count * columns])
    write_gz("", prefix + "-writers-idx1-short", idx("h", (count,), table[2::columns]))
    write_gz("", prefix + "-hsf-idx1-ubyte", idx("B", (count,), table[1::columns]))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
