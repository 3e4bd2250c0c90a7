"""Covey's reproducible randomness (common/random.c) in numpy, written from the paper (Salmon et al. 2011) and the header,
so that the golden values also test the generator."""
import numpy as np

INIT, SHUFFLE, DROPOUT, TEST = 1, 2, 3, 8
MASK = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """counter: (n, 4), key: (2), all below 2^32 -> (n, 4) uint64 below 2^32."""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    k = [np.uint64(key[0]), np.uint64(key[1])]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k[0], p1 & MASK, (p0 >> np.uint64(32)) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + np.uint64(0x9E3779B9)) & MASK, (k[1] + np.uint64(0xBB67AE85)) & MASK]
    return np.stack(c, axis=1)


def name_id(name):
    """covey_random_id"""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    for _ in range(2):
        h ^= h >> 32
        h = (h * 0xD6E8FEB86659FD93) & (2**64 - 1)
    return h ^ h >> 32


def words(seed, device, round_, purpose, count):
    """The first `count` values of covey_random_u32."""
    name = np.array([[device & 0xFFFFFFFF, device >> 32, round_, purpose]], dtype=np.uint64)
    mixed = philox(name, (seed & 0xFFFFFFFF, seed >> 32))[0]
    blocks = (count + 3) // 4
    counter = np.zeros((blocks, 4), dtype=np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 2], counter[:, 3] = mixed[2], mixed[3]
    return philox(counter, (mixed[0], mixed[1])).reshape(-1)[:count]


def floats(seed, device, round_, purpose, count):
    """covey_random_float, as f64: multiples of 2^-24 in [0, 1)."""
    return (words(seed, device, round_, purpose, count) >> np.uint64(8)).astype(np.float64) * 2.0**-24
