"""CBOR (RFC 8949) written by hand, deterministically: for the generators of test vectors."""
import math
import struct


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * size):
            return bytes([major << 5 | extra]) + value.to_bytes(size, "big")
    raise ValueError(value)


class Raw(bytes):
    """Bytes that are CBOR already."""


class Tag:
    def __init__(self, number, value):
        self.number, self.value = number, value


def pack_float(value):
    for code, form in ((0xf9, ">e"), (0xfa, ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        back = struct.unpack(form, packed)[0]
        if back == value or (math.isnan(back) and math.isnan(value)):
            return bytes([code]) + packed
    return b"\xfb" + struct.pack(">d", value)


def dump(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return pack_float(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(dump(v) for v in value)
    if isinstance(value, dict):
        pairs = sorted((dump(k), dump(v)) for k, v in value.items())
        return head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    if isinstance(value, Tag):
        return head(6, value.number) + dump(value.value)
    raise TypeError(type(value))
