"""IDX files, as the converters beside this file write them, and the frame that those converters share.

IDX is MNIST's format: two zeros, a code of the type, the number of axes, their lengths, then the values, all big-endian.
"""
import gzip
import os
import struct

TYPE_CODES = {"B": 0x08, "h": 0x0B, "i": 0x0C, "f": 0x0D}    # by struct's letters: u8, i16, i32, f32


def idx(letter, shape, values):
    """The bytes of one file; values: in row order, as many as the shape holds."""
    return struct.pack(">BBBB%dI" % len(shape), 0, 0, TYPE_CODES[letter], len(shape), *shape) + struct.pack(
        ">%d%s" % (len(values), letter), *values)


def write_gz(folder, name, data):
    """FOLDER/NAME.gz, the same bytes at whatever time it is made."""
    with open(os.path.join(folder, name + ".gz"), "wb") as out:
        out.write(gzip.compress(data, mtime=0))


def run(convert, name, what, expected, usage, arguments):
    """A converter's main(): convert(ARCHIVE, FOLDER) gives the SHA-256 of what it made of `what`."""
    if len(arguments) != 2:
        raise SystemExit(usage)
    found = convert(*arguments)
    if found != expected:
        raise SystemExit("%s: the %s SHA-256 %s, not %s: another edition of the data?" % (name, what, found, expected))
