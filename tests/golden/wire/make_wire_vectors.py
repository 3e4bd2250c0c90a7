#!/usr/bin/env python3
"""Makes the test vectors of the messages, from docs/wire.cddl and nothing of our C code.

Writes KIND.hex for each kind of message: for each vector a line "= NAME STATUS what it is", then its bytes in
hexadecimal. STATUS is what decoding gives: OK, CORRUPT or UNSUPPORTED. An OK vector is also what encoding must give, byte for byte, unless its name starts with "read-": those are well-formed,
and written by another hand than ours. tests/unit/common/test_wire_golden.c holds the same values as C structs.

Run it in this folder: python3 make_wire_vectors.py
"""
import hashlib
import math
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
from deterministic_cbor import Raw, Tag, dump, head  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def pairs(*items):
    """A map in the given order, keys possibly twice."""
    return Raw(head(5, len(items)) + b"".join(dump(k) + dump(v) for k, v in items))


def f32(value):
    """The f32 nearest to a decimal number: what C writes as 0.1f."""
    return struct.unpack(">f", struct.pack(">f", value))[0]


def without(fields, *keys):
    return {k: v for k, v in fields.items() if k not in keys}


# ---- the vectors

VECTORS = {}


def vector(name, kind, status, what, value):
    assert name not in VECTORS, name
    VECTORS[name] = (kind, status, what, value if isinstance(value, bytes) and not isinstance(value, Raw) else dump(value))


def fill(start, count):
    return bytes((start + i) & 255 for i in range(count))


HASH_A, HASH_B, HASH_C, HASH_D = (fill(s, 32) for s in (0x10, 0x40, 0x80, 0xc0))
ASSIGNMENT = fill(0x01, 8)

RECIPE = {1: 5, 3: 10, 5: f32(0.1), 14: 42}
PLAN = {0: 1, 1: 1, 2: 7, 3: ASSIGNMENT, 4: HASH_A, 5: "int8", 6: RECIPE, 7: 60000, 8: 5000, 9: 30000, 10: 32}
RECIPE_FULL = {1: 1000, 2: 2**32 - 1, 3: 4096, 4: 2, 5: f32(0.1), 6: f32(0.9), 7: f32(0.999), 8: f32(1e-8), 9: f32(1e-4),
               10: 3, 11: f32(0.01), 12: 1 << 24, 13: f32(0.3), 14: 2**64 - 1, 15: 4, 16: f32(0.7), 17: 1}
PLAN_FULL = {0: 1, 1: 1, 2: 1 << 24, 3: b"\xff" * 8, 4: b"\xff" * 32, 5: "c" * 31, 6: RECIPE_FULL, 7: 2**32 - 1,
             8: 2**32 - 1, 9: 2**32 - 1, 10: 32}


def recipe(**changes):
    return {**PLAN, 6: {**RECIPE, **{int(k[1:]): v for k, v in changes.items()}}}


vector("plan-train", "plan", "OK", "an assignment", PLAN)
vector("plan-full", "plan", "OK", "every field at its largest", PLAN_FULL)
vector("plan-gateway", "plan", "OK", "an assignment for a gateway", {**PLAN, 20: HASH_C, 21: 300})
vector("plan-gateway-full", "plan", "OK", "the same with every field at its largest",
       {**PLAN_FULL, 20: b"\xff" * 32, 21: 1 << 20})
vector("plan-terms-alone", "plan", "CORRUPT", "terms without a share", {**PLAN, 20: HASH_C})
vector("plan-share-alone", "plan", "CORRUPT", "a share without terms", {**PLAN, 21: 300})
vector("plan-share-high", "plan", "CORRUPT", "a share past the limit", {**PLAN, 20: HASH_C, 21: (1 << 20) + 1})
vector("plan-wait", "plan", "OK", "come back later", {0: 1, 1: 0, 2: 3, 8: 60000, 9: 240000, 10: 32})
vector("plan-done", "plan", "OK", "the federation has ended", {0: 1, 1: 2, 2: 100, 4: HASH_B, 8: 3600000, 10: 1})
vector("read-plan-later-fields", "plan", "OK", "fields of a later version of the same major version, of every type",
       {**PLAN, 6: {**RECIPE, 99: [1, {2: b"x"}], "note": None}, 11: "new", 1000: {1: [2, 3, {4: 5.5}]}, -1: -5,
        "extra": Tag(37, b"12"), 12: True, 13: 1e300, 14: -2**64})
vector("read-plan-other-order", "plan", "OK", "the same map in another order, version first",
       pairs((0, 1), *sorted(((k, v) for k, v in PLAN.items() if k), reverse=True)))
vector("read-plan-wide-heads", "plan", "OK", "longer heads than needed, and a float as 64 bits",
       Raw(bytes.fromhex("bb000000000000000b") + b"".join(
           bytes.fromhex("1800") + bytes.fromhex("190001") if k == 0 else
           dump(k) + (Raw(head(5, 4) + dump(1) + b"\x1b" + (5).to_bytes(8, "big") + dump(3) + b"\x18\x0a" + dump(5) +
                          b"\xfb" + struct.pack(">d", f32(0.1)) + dump(14) + b"\x1a" + (42).to_bytes(4, "big"))
                      if k == 6 else dump(v)) for k, v in PLAN.items())))
vector("plan-version-2", "plan", "UNSUPPORTED", "a later major version, its contents unlike ours", {0: 2, 1: "other"})
vector("plan-version-huge", "plan", "UNSUPPORTED", "version 2^64 - 1", {0: 2**64 - 1})
vector("plan-version-0", "plan", "CORRUPT", "version 0", {**PLAN, 0: 0})
vector("plan-version-text", "plan", "CORRUPT", "a version of the wrong type", {**PLAN, 0: "1"})
vector("plan-version-missing", "plan", "CORRUPT", "no version", without(PLAN, 0))
vector("plan-version-last", "plan", "CORRUPT", "the version is not first", pairs(*[(k, v) for k, v in PLAN.items() if k], (0, 1)))
vector("plan-version-twice", "plan", "CORRUPT", "two versions", pairs((0, 1), (0, 1), *[(k, v) for k, v in PLAN.items() if k]))
vector("plan-empty", "plan", "CORRUPT", "an empty map", {})
vector("plan-nothing", "plan", "CORRUPT", "no bytes at all", b"")
vector("plan-array", "plan", "CORRUPT", "an array", [0, 1])
vector("plan-kind-later", "plan", "UNSUPPORTED", "a kind that is not known", {**PLAN, 1: 3})
vector("plan-kind-missing", "plan", "CORRUPT", "no kind", without(PLAN, 1))
vector("plan-kind-negative", "plan", "CORRUPT", "a negative kind", {**PLAN, 1: -1})
vector("plan-round-high", "plan", "CORRUPT", "a round past the limit", {**PLAN, 2: (1 << 24) + 1})
vector("plan-round-float", "plan", "CORRUPT", "a float where an integer belongs", {**PLAN, 2: 7.0})
vector("plan-assignment-short", "plan", "CORRUPT", "an id of 7 bytes", {**PLAN, 3: fill(1, 7)})
vector("plan-assignment-long", "plan", "CORRUPT", "an id of 9 bytes", {**PLAN, 3: fill(1, 9)})
vector("plan-assignment-text", "plan", "CORRUPT", "an id that is a text", {**PLAN, 3: "12345678"})
vector("plan-assignment-missing", "plan", "CORRUPT", "an assignment without an id", without(PLAN, 3))
vector("plan-assignment-twice", "plan", "CORRUPT", "a key twice", pairs(*PLAN.items(), (3, ASSIGNMENT)))
vector("plan-manifest-missing", "plan", "CORRUPT", "an assignment without a model", without(PLAN, 4))
vector("plan-done-manifest-missing", "plan", "CORRUPT", "the end without a model", {0: 1, 1: 2})
vector("plan-codec-missing", "plan", "CORRUPT", "no codec", without(PLAN, 5))
vector("plan-codec-long", "plan", "CORRUPT", "a codec's name of 32 characters", {**PLAN, 5: "c" * 32})
vector("plan-codec-control", "plan", "CORRUPT", "a newline in a name", {**PLAN, 5: "int8\n"})
vector("plan-codec-zero", "plan", "CORRUPT", "a zero in a name", {**PLAN, 5: "int8\0x"})
vector("plan-codec-utf8", "plan", "CORRUPT", "a name that is not ASCII", {**PLAN, 5: "int\u00e98"})
vector("plan-codec-bytes", "plan", "CORRUPT", "a byte string where a text belongs", {**PLAN, 5: b"int8"})
vector("plan-recipe-missing", "plan", "CORRUPT", "no recipe", without(PLAN, 6))
vector("plan-recipe-array", "plan", "CORRUPT", "a recipe that is an array", {**PLAN, 6: [5, 10]})
vector("plan-recipe-idle", "plan", "CORRUPT", "neither epochs nor steps", {**PLAN, 6: without(RECIPE, 1)})
vector("plan-epochs-high", "plan", "CORRUPT", "epochs past the limit", recipe(_1=1001))
vector("plan-steps-high", "plan", "CORRUPT", "2^32 steps", recipe(_2=2**32))
vector("plan-batch-high", "plan", "CORRUPT", "a batch past the limit", recipe(_3=4097))
vector("plan-optimiser-later", "plan", "UNSUPPORTED", "an optimiser that is not known", recipe(_4=3))
vector("plan-algorithm-later", "plan", "UNSUPPORTED", "an algorithm that is not known", recipe(_15=5))
vector("plan-measures-high", "plan", "CORRUPT", "a switch of 2", recipe(_17=2))
vector("plan-strength-negative", "plan", "CORRUPT", "a strength below 0", recipe(_15=1, _16=-0.5))
vector("plan-rate-missing", "plan", "CORRUPT", "no learning rate", {**PLAN, 6: without(RECIPE, 5)})
vector("plan-rate-nan", "plan", "CORRUPT", "NaN", recipe(_5=math.nan))
vector("plan-rate-infinite", "plan", "CORRUPT", "infinity", recipe(_5=math.inf))
vector("plan-rate-negative", "plan", "CORRUPT", "a negative learning rate", recipe(_5=-0.5))
vector("plan-rate-double", "plan", "CORRUPT", "a float that is no f32", recipe(_5=0.1))
vector("plan-rate-overflow", "plan", "CORRUPT", "a float past the range of f32", recipe(_5=1e300))
vector("plan-rate-integer", "plan", "CORRUPT", "an integer where a float belongs", recipe(_5=1))
vector("plan-momentum-one", "plan", "CORRUPT", "a momentum of 1", recipe(_6=1.0))
vector("plan-beta2-one", "plan", "CORRUPT", "a beta2 of 1", recipe(_7=1.0))
vector("plan-decay-negative", "plan", "CORRUPT", "a negative weight decay", recipe(_9=-1.0))
vector("plan-schedule-later", "plan", "UNSUPPORTED", "a schedule that is not known", recipe(_10=4))
vector("plan-schedule-no-period", "plan", "CORRUPT", "a schedule without a period", recipe(_10=1, _11=0.5))
vector("plan-mu-nan", "plan", "CORRUPT", "a proximal term of NaN", recipe(_13=math.nan))
vector("plan-seed-negative", "plan", "CORRUPT", "a negative seed", recipe(_14=-1))
vector("plan-deadline-missing", "plan", "CORRUPT", "no deadline", without(PLAN, 7))
vector("plan-window-high", "plan", "CORRUPT", "a window past the limit", {**PLAN, 10: 33})
vector("plan-left-over", "plan", "CORRUPT", "a byte after the end", dump(PLAN) + b"\x00")
vector("plan-too-long", "plan", "CORRUPT", "more than 512 bytes", {**PLAN, 11: b"x" * 512})
vector("plan-indefinite-map", "plan", "CORRUPT", "a map of indefinite length",
       b"\xbf" + dump(PLAN)[1:] + b"\xff")
vector("plan-indefinite-text", "plan", "CORRUPT", "a text of indefinite length",
       {**PLAN, 5: Raw(b"\x7f\x64int8\xff")})
vector("plan-break", "plan", "CORRUPT", "a break where a value belongs", {**PLAN, 11: Raw(b"\xff")})
vector("plan-reserved-head", "plan", "CORRUPT", "a head that RFC 8949 keeps free", {**PLAN, 11: Raw(b"\x1c")})
vector("read-plan-deep", "plan", "OK", "an unknown field 7 levels deep: 8 with the map around it",
       {**PLAN, 11: Raw(b"\x81" * 7 + b"\x00")})
vector("plan-too-deep", "plan", "CORRUPT", "an unknown field 8 levels deep", {**PLAN, 11: Raw(b"\x81" * 8 + b"\x00")})
vector("plan-deep-arrays", "plan", "CORRUPT", "300 arrays in each other", {**PLAN, 11: Raw(b"\x81" * 300 + b"\x00")})
vector("plan-deep-maps", "plan", "CORRUPT", "maps in each other", {**PLAN, 11: Raw(b"\xa1\x00" * 100 + b"\x00")})
vector("plan-deep-tags", "plan", "CORRUPT", "tags on tags", {**PLAN, 11: Raw(b"\xc1" * 200 + b"\x00")})
vector("plan-array-huge", "plan", "CORRUPT", "an array of 2^32 items in a few bytes",
       {**PLAN, 11: Raw(bytes.fromhex("9b0000000100000000"))})
vector("plan-map-huge", "plan", "CORRUPT", "a map of 2^63 pairs", {**PLAN, 11: Raw(bytes.fromhex("bb8000000000000000"))})
vector("plan-bytes-huge", "plan", "CORRUPT", "a byte string of 2^64 - 1 bytes",
       {**PLAN, 11: Raw(bytes.fromhex("5bffffffffffffffff"))})
vector("plan-top-map-huge", "plan", "CORRUPT", "the message claims 2^60 pairs", bytes.fromhex("bb1000000000000000") + dump(PLAN)[1:])
vector("plan-key-array", "plan", "CORRUPT", "an array as a key", pairs(*PLAN.items(), ([1], 2)))

UPDATE = {0: 1, 1: ASSIGNMENT, 2: HASH_B, 3: 600, 4: 300, 5: 1234, 6: f32(2.3), 7: 0.25, 8: 1.0, 20: fill(0, 40)}
vector("update", "update", "OK", "an update of 40 bytes", UPDATE)
vector("update-least", "update", "OK", "the least that an update can be",
       {0: 1, 1: ASSIGNMENT, 2: HASH_B, 3: 1, 8: 0.5, 20: b"\x01"})
vector("update-negative-loss", "update", "OK", "losses may be negative", {**UPDATE, 6: -0.5, 7: f32(-1e-8)})
vector("read-update-later-fields", "update", "OK", "fields of a later version", {**UPDATE, 19: [1, 2], 21: "after the stream"})
vector("update-effective-steps", "update", "OK", "steps that weigh otherwise", {**UPDATE, 9: f32(812.3)})
vector("update-effective-steps-negative", "update", "CORRUPT", "fewer than none", {**UPDATE, 9: -1.0})
vector("update-version-2", "update", "UNSUPPORTED", "a later major version", {0: 2})
vector("update-examples-0", "update", "CORRUPT", "no examples", {**UPDATE, 3: 0})
vector("update-examples-high", "update", "CORRUPT", "too many examples", {**UPDATE, 3: (1 << 20) + 1})
vector("update-examples-negative", "update", "CORRUPT", "fewer than no examples", {**UPDATE, 3: -5})
vector("update-loss-nan", "update", "CORRUPT", "a loss of NaN", {**UPDATE, 7: math.nan})
vector("update-loss-infinite", "update", "CORRUPT", "a loss of infinity", {**UPDATE, 6: -math.inf})
vector("update-clipped-above-1", "update", "CORRUPT", "a factor above 1", {**UPDATE, 8: 1.5})
vector("update-clipped-missing", "update", "CORRUPT", "no factor", without(UPDATE, 8))
vector("update-model-short", "update", "CORRUPT", "a hash of 31 bytes", {**UPDATE, 2: HASH_B[:31]})
vector("update-stream-missing", "update", "CORRUPT", "no stream", without(UPDATE, 20))
vector("update-stream-empty", "update", "CORRUPT", "an empty stream", {**UPDATE, 20: b""})
vector("update-stream-text", "update", "CORRUPT", "a stream that is a text", {**UPDATE, 20: "stream"})
vector("update-stream-short", "update", "CORRUPT", "a stream that says 40 bytes and has 39", dump(UPDATE)[:-1])
vector("update-stream-4g", "update", "CORRUPT", "a stream that says 4 GiB",
       dump({**UPDATE, 20: b""})[:-1] + bytes.fromhex("5b0000000100000000") + b"x" * 16)

DELTA = {1: 41, 2: HASH_C, 3: HASH_D, 4: 200001}
MANIFEST = {0: 1, 1: "digits", 2: 42, 3: 7, 4: 1700000000, 5: HASH_A, 6: 321, 7: HASH_B, 8: 199210, 9: HASH_C, 10: 796876,
            11: [DELTA]}
MANIFEST_FULL = {0: 1, 1: "f" * 63, 2: 2**63 - 1, 3: 1 << 24, 4: 2**53, 5: HASH_A, 6: 65536, 7: HASH_B, 8: 1 << 28,
                 9: HASH_C, 10: (1 << 30) + (1 << 20),
                 11: [{1: 2**63 - 2 - i, 2: HASH_D, 3: HASH_A, 4: (1 << 30) + (1 << 20)} for i in range(8)],
                 12: [{1: HASH_B, 2: (1 << 30) + (1 << 20), 3: 188} for i in range(8)], 13: 2**63 - 1}
STEP = {1: HASH_D, 2: 25037, 3: 117}
MANIFEST_STEPS = {**without(MANIFEST, 11), 12: [STEP, {1: HASH_A, 2: 25001, 3: 64}], 13: 12}
vector("manifest", "manifest", "OK", "a model and one way to it", MANIFEST)
vector("manifest-first", "manifest", "OK", "the first model: sequence 0, no deltas", without(MANIFEST, 2, 3, 11))
vector("manifest-full", "manifest", "OK", "every field at its largest", MANIFEST_FULL)
vector("manifest-before-1970", "manifest", "OK", "a negative time", {**MANIFEST, 4: -5})
vector("manifest-federation-empty", "manifest", "CORRUPT", "no name", {**MANIFEST, 1: ""})
vector("manifest-federation-long", "manifest", "CORRUPT", "a name of 64 characters", {**MANIFEST, 1: "f" * 64})
vector("manifest-sequence-high", "manifest", "CORRUPT", "a sequence of 2^63", {**MANIFEST, 2: 2**63})
vector("manifest-time-high", "manifest", "CORRUPT", "a time of 2^63", {**MANIFEST, 4: 2**63})
vector("manifest-time-low", "manifest", "CORRUPT", "a time of -2^64", {**MANIFEST, 4: -2**64})
vector("manifest-count-0", "manifest", "CORRUPT", "a model without values", {**MANIFEST, 8: 0})
vector("manifest-count-high", "manifest", "CORRUPT", "a model that is too large", {**MANIFEST, 8: (1 << 28) + 1})
vector("manifest-full-bytes-4g", "manifest", "CORRUPT", "a stream of 4 GiB", {**MANIFEST, 10: 1 << 32})
vector("manifest-description-bytes-high", "manifest", "CORRUPT", "a description that is too long", {**MANIFEST, 6: 65537})
vector("manifest-deltas-9", "manifest", "CORRUPT", "nine deltas", {**MANIFEST_FULL, 11: MANIFEST_FULL[11] + [DELTA]})
vector("manifest-delta-later", "manifest", "CORRUPT", "a delta that starts from the same model", {**MANIFEST, 11: [{**DELTA, 1: 42}]})
vector("manifest-delta-no-hash", "manifest", "CORRUPT", "a delta without a hash", {**MANIFEST, 11: [without(DELTA, 3)]})
vector("manifest-delta-number", "manifest", "CORRUPT", "a delta that is a number", {**MANIFEST, 11: [5]})
vector("manifest-deltas-map", "manifest", "CORRUPT", "deltas that are a map", {**MANIFEST, 11: DELTA})
vector("manifest-steps", "manifest", "OK", "the line's last steps, and how far sums reach back", MANIFEST_STEPS)
vector("manifest-steps-9", "manifest", "CORRUPT", "nine steps", {**MANIFEST_STEPS, 12: [STEP] * 9})
vector("manifest-steps-many", "manifest", "CORRUPT", "more steps than models before", {**MANIFEST_STEPS, 2: 1, 13: 1})
vector("manifest-step-grid-high", "manifest", "CORRUPT", "a lattice that is too coarse", {**MANIFEST_STEPS, 12: [{**STEP, 3: 189}]})
vector("manifest-step-grid-low", "manifest", "CORRUPT", "a lattice that is too fine", {**MANIFEST_STEPS, 12: [{**STEP, 3: 63}]})
vector("manifest-step-grid-missing", "manifest", "CORRUPT", "a step without a lattice", {**MANIFEST_STEPS, 12: [without(STEP, 3)]})
vector("manifest-step-no-hash", "manifest", "CORRUPT", "a step without a hash", {**MANIFEST_STEPS, 12: [without(STEP, 1)]})
vector("manifest-step-empty", "manifest", "CORRUPT", "a step of no bytes", {**MANIFEST_STEPS, 12: [{**STEP, 2: 0}]})
vector("manifest-sums-later", "manifest", "CORRUPT", "sums from a later model on", {**MANIFEST_STEPS, 13: 43})

OPS = [
    {1: 5, 2: "flat", 3: ["input"]},
    {1: 0, 2: "fc1", 3: ["flat"], 4: 200},
    {1: 8, 2: "relu1", 3: ["fc1"]},
    {1: 0, 2: "fc2", 3: ["relu1"], 4: 10},
]
DESCRIPTION = {0: 1, 1: "small", 2: [28, 28, 1], 4: f32(1 / 255), 7: OPS}
OPS_FULL = [
    {1: 15, 2: "embed", 3: ["input"], 4: 8, 5: 1000, 17: 1},
    {1: 16, 2: "gru", 3: ["embed"], 4: 32, 11: 1, 12: 1},
    {1: 1, 2: "conv", 3: ["gru"], 4: 16, 6: [3, 5], 7: [2, 1], 8: 2, 9: [1, 2, 3, 4], 10: 4, 16: 2},
    {1: 12, 2: "drop", 3: ["conv"], 13: 0.5},
    {1: 14, 2: "norm", 3: ["drop"], 14: f32(1e-5), 15: f32(0.1)},
    {1: 6, 2: "sum", 3: ["norm", "conv"]},
    {1: 7, 2: "n" * 63, 3: ["sum"] * 8},
]
vector("description", "description", "OK", "a small dense network", DESCRIPTION)
vector("description-full", "description", "OK", "every field of operations",
       {0: 1, 1: "everything", 2: [7, 5, 3, 2], 3: 1, 4: -2.0, 5: 0.5, 6: 1, 7: OPS_FULL})
vector("description-kind-later", "description", "UNSUPPORTED", "an operation that is not known",
       {**DESCRIPTION, 7: [{1: 18, 2: "a", 3: ["input"]}]})
vector("description-loss-later", "description", "UNSUPPORTED", "a loss that is not known", {**DESCRIPTION, 6: 2})
vector("description-shape-0", "description", "CORRUPT", "a dimension of zero", {**DESCRIPTION, 2: [28, 0]})
vector("description-shape-empty", "description", "CORRUPT", "no dimensions", {**DESCRIPTION, 2: []})
vector("description-shape-5", "description", "CORRUPT", "five dimensions", {**DESCRIPTION, 2: [1] * 5})
vector("description-shape-huge", "description", "CORRUPT", "a dimension of 2^29", {**DESCRIPTION, 2: [1 << 29]})
vector("description-shape-number", "description", "CORRUPT", "a shape that is a number", {**DESCRIPTION, 2: 784})
vector("description-scale-nan", "description", "CORRUPT", "a scale of NaN", {**DESCRIPTION, 4: math.nan})
vector("description-no-ops", "description", "CORRUPT", "no operations", {**DESCRIPTION, 7: []})
vector("description-ops-257", "description", "CORRUPT", "257 operations", {**DESCRIPTION, 7: [OPS[0]] * 257})
vector("description-op-nameless", "description", "CORRUPT", "an operation without a name", {**DESCRIPTION, 7: [{1: 8, 3: ["input"]}]})
vector("description-op-inputs-0", "description", "CORRUPT", "an operation without inputs", {**DESCRIPTION, 7: [{1: 8, 2: "a", 3: []}]})
vector("description-op-inputs-9", "description", "CORRUPT", "nine inputs", {**DESCRIPTION, 7: [{1: 7, 2: "a", 3: ["input"] * 9}]})
vector("description-op-input-empty", "description", "CORRUPT", "an input without a name", {**DESCRIPTION, 7: [{1: 8, 2: "a", 3: [""]}]})
vector("description-op-input-number", "description", "CORRUPT", "an input that is a number", {**DESCRIPTION, 7: [{1: 8, 2: "a", 3: [1]}]})
vector("description-kernel-1", "description", "CORRUPT", "a kernel of one number", {**DESCRIPTION, 7: [{1: 1, 2: "a", 3: ["input"], 4: 1, 6: [3]}]})
vector("description-kernel-huge", "description", "CORRUPT", "a kernel of 65,537", {**DESCRIPTION, 7: [{1: 1, 2: "a", 3: ["input"], 4: 1, 6: [3, 65537]}]})
vector("description-rate-1", "description", "CORRUPT", "dropout of everything", {**DESCRIPTION, 7: [{1: 12, 2: "a", 3: ["input"], 13: 1.0}]})
vector("description-no-bias-2", "description", "CORRUPT", "a flag of 2", {**DESCRIPTION, 7: [{**OPS[1], 11: 2}]})

STATE = {0: 1, 2: 262144, 3: 1024, 4: [0, 1, 7, 3, 250, 6]}
vector("upload-state", "upload-state", "OK", "three gaps", STATE)
vector("upload-state-nothing", "upload-state", "OK", "nothing known", {0: 1})
vector("upload-state-complete", "upload-state", "OK", "recorded", {0: 1, 1: 1, 2: 262144, 3: 1024})
vector("upload-state-full", "upload-state", "OK", "32 gaps, the last block of all", {
    0: 1, 2: (1 << 30) + (1 << 20), 3: 1024,
    4: [n for i in range(31) for n in (2 * i, 1)] + [(1 << 20) - 1, 1]})
vector("upload-state-odd", "upload-state", "CORRUPT", "half a range", {**STATE, 4: [0, 1, 7]})
vector("upload-state-33", "upload-state", "CORRUPT", "33 gaps", {**STATE, 4: [n for i in range(33) for n in (2 * i, 1)]})
vector("upload-state-empty-range", "upload-state", "CORRUPT", "a gap of nothing", {**STATE, 4: [5, 0]})
vector("upload-state-overlap", "upload-state", "CORRUPT", "gaps that overlap", {**STATE, 4: [0, 5, 4, 1]})
vector("upload-state-past-end", "upload-state", "CORRUPT", "blocks past 2^20", {**STATE, 4: [(1 << 20) - 1, 2]})
vector("upload-state-block-high", "upload-state", "CORRUPT", "blocks of 1,025 bytes", {**STATE, 3: 1025})
vector("upload-state-complete-2", "upload-state", "CORRUPT", "a flag of 2", {**STATE, 1: 2})

vector("where", "where", "OK", "a shard", {0: 1, 1: 5685, 2: 86400})
vector("where-port-0", "where", "CORRUPT", "port 0", {0: 1, 1: 0})
vector("where-port-high", "where", "CORRUPT", "port 65536", {0: 1, 1: 65536})
vector("where-port-missing", "where", "CORRUPT", "no port", {0: 1, 2: 5})
vector("where-version-2", "where", "UNSUPPORTED", "a later major version", {0: 2, 1: 5685})

KID, SIGNATURE, PAYLOAD = fill(0xa0, 16), fill(0x20, 64), dump({0: 1, 1: "payload"})


def sign1(protected={1: -7}, unprotected={4: KID}, payload=PAYLOAD, signature=SIGNATURE, tag=18):
    return Tag(tag, [dump(protected), unprotected, payload, signature])


vector("cose", "cose", "OK", "an envelope; its signature is not looked at here", sign1())
vector("read-cose-more-headers", "cose", "OK", "headers that are not critical", sign1(unprotected={4: KID, 33: b"x", "note": 1}))
vector("cose-alg-other", "cose", "UNSUPPORTED", "EdDSA", sign1(protected={1: -8}))
vector("cose-alg-missing", "cose", "CORRUPT", "no algorithm", sign1(protected={}))
vector("cose-alg-unprotected", "cose", "CORRUPT", "the algorithm where nobody signs it", sign1(protected={}, unprotected={1: -7, 4: KID}))
vector("cose-crit", "cose", "UNSUPPORTED", "a critical header", sign1(protected={1: -7, 2: [99], 99: 1}))
vector("cose-kid-missing", "cose", "CORRUPT", "no key id", sign1(unprotected={}))
vector("cose-kid-short", "cose", "CORRUPT", "a key id of 8 bytes", sign1(unprotected={4: KID[:8]}))
vector("cose-kid-protected", "cose", "CORRUPT", "a key id in the protected header", sign1(protected={1: -7, 4: KID}))
vector("cose-kid-twice", "cose", "CORRUPT", "two key ids", sign1(unprotected=pairs((4, KID), (4, KID))))
vector("cose-detached", "cose", "CORRUPT", "no payload", sign1(payload=None))
vector("cose-signature-short", "cose", "CORRUPT", "a signature of 63 bytes", sign1(signature=SIGNATURE[:63]))
vector("cose-tag-other", "cose", "CORRUPT", "COSE_Mac0", sign1(tag=17))
vector("cose-untagged", "cose", "CORRUPT", "without its tag", dump(sign1())[1:])
vector("cose-protected-map", "cose", "CORRUPT", "a protected header that is a map", Tag(18, [{1: -7}, {4: KID}, PAYLOAD, SIGNATURE]))
vector("cose-protected-more", "cose", "CORRUPT", "bytes after the protected header", Tag(18, [dump({1: -7}) + b"\x00", {4: KID}, PAYLOAD, SIGNATURE]))
vector("cose-five", "cose", "CORRUPT", "five parts", Tag(18, [dump({1: -7}), {4: KID}, PAYLOAD, SIGNATURE, 0]))

METRICS = [{-2: "cell-7/", -3: 1.7e9, 0: "loss", 2: f32(0.125)}, {0: "temp", 1: "Cel", 2: 21.5}, {0: "steps", 2: 300.0},
           {0: "tenth", 2: 0.1}]
vector("metrics", "metrics", "OK", "four records", METRICS)
vector("read-metrics-base", "metrics", "OK", "base unit and base value, integers, a record of base values only",
       [{-1: 10, -2: "cell-7/", -3: 1700000000, -4: "Cel", -5: 20}, {0: "temp", 2: 1.5}, {0: "other", 1: "m", 2: -3},
        {0: "text", 3: "not a number"}, {0: "flag", 4: True}, {0: "late", 2: 1, 6: -5, 7: 60}])
vector("metrics-none", "metrics", "CORRUPT", "no records", [])
vector("metrics-no-number", "metrics", "CORRUPT", "no record with a number", [{0: "text", 3: "x"}])
vector("metrics-map", "metrics", "CORRUPT", "a map", METRICS[0])
vector("metrics-33", "metrics", "CORRUPT", "33 records", [{0: "n", 2: i} for i in range(33)])
vector("metrics-nan", "metrics", "CORRUPT", "NaN", [{0: "n", 2: math.nan}])
vector("metrics-infinite", "metrics", "CORRUPT", "infinity", [{0: "n", 2: -math.inf}])
vector("metrics-sum-overflow", "metrics", "CORRUPT", "a base value that makes infinity", [{-5: 1.7e308, 0: "n", 2: 1.7e308}])
vector("metrics-name-long", "metrics", "CORRUPT", "a name of 32 characters", [{0: "n" * 32, 2: 1}])
vector("metrics-unit-long", "metrics", "CORRUPT", "a unit of 8 characters", [{0: "n", 1: "u" * 8, 2: 1}])
vector("metrics-text-value", "metrics", "CORRUPT", "a text as the value", [{0: "n", 2: "1"}])
vector("metrics-must-understand", "metrics", "UNSUPPORTED", "a label that must be understood", [{0: "n", 2: 1, "x_": 1}])
vector("metrics-version-11", "metrics", "UNSUPPORTED", "a later version of SenML", [{-1: 11, 0: "n", 2: 1}])
vector("metrics-base-name-changes", "metrics", "UNSUPPORTED", "two base names", [{-2: "a", 0: "n", 2: 1}, {-2: "b", 0: "n", 2: 1}])
vector("metrics-too-long", "metrics", "CORRUPT", "more than 4,096 bytes", [{0: "n", 2: 1, 3: "x" * 4096}])

# ---- what goes between a gateway and its parent

TERMS = {0: 1, 1: "fedavg", 2: 6, 3: 1048576.0}
TERMS_FULL = {0: 1, 1: "s" * 191, 2: 1 << 20, 3: 0.1, 4: 3.7, 5: 1, 6: fill(0, 1024), 7: fill(9, 4096)}

vector("terms", "sum-terms", "OK", "the first round of a plain mean", TERMS)
vector("terms-exponents", "sum-terms", "OK", "two tensors and a limit that is no f32",
       {**TERMS, 3: 100.3, 4: 2.5, 5: 1, 6: bytes.fromhex("fdff0600"), 7: b"kept"})
vector("terms-full", "sum-terms", "OK", "every field at its largest", TERMS_FULL)
vector("read-terms-later-fields", "sum-terms", "OK", "fields of a later version", {**TERMS, 40: {1: [2]}, "x": None})
vector("terms-version-2", "sum-terms", "UNSUPPORTED", "a later major version", {**TERMS, 0: 2})
vector("terms-strategy-missing", "sum-terms", "CORRUPT", "no strategy", without(TERMS, 1))
vector("terms-strategy-empty", "sum-terms", "CORRUPT", "an empty strategy", {**TERMS, 1: ""})
vector("terms-strategy-long", "sum-terms", "CORRUPT", "a strategy of 192 characters", {**TERMS, 1: "s" * 192})
vector("terms-updates-0", "sum-terms", "CORRUPT", "no updates", {**TERMS, 2: 0})
vector("terms-updates-high", "sum-terms", "CORRUPT", "updates past the limit", {**TERMS, 2: (1 << 20) + 1})
vector("terms-weight-missing", "sum-terms", "CORRUPT", "no largest weight", without(TERMS, 3))
vector("terms-weight-nan", "sum-terms", "CORRUPT", "a weight of NaN", {**TERMS, 3: math.nan})
vector("terms-weight-infinite", "sum-terms", "CORRUPT", "a weight of infinity", {**TERMS, 3: math.inf})
vector("terms-weight-negative", "sum-terms", "CORRUPT", "a negative weight", {**TERMS, 3: -1.0})
vector("terms-weight-integer", "sum-terms", "CORRUPT", "an integer where a float belongs", {**TERMS, 3: 1})
vector("terms-norm-nan", "sum-terms", "CORRUPT", "a norm of NaN", {**TERMS, 4: math.nan})
vector("terms-refuse-2", "sum-terms", "CORRUPT", "neither 0 nor 1", {**TERMS, 5: 2})
vector("terms-exponents-odd", "sum-terms", "CORRUPT", "half a number", {**TERMS, 6: b"\x01\x00\x02"})
vector("terms-exponents-many", "sum-terms", "CORRUPT", "exponents of 513 tensors", {**TERMS, 6: bytes(1026)})
vector("terms-kept-long", "sum-terms", "CORRUPT", "more kept than fits", {**TERMS, 7: bytes(4097)})


def contributors(*entries):
    return b"".join(dump(list(entry)) for entry in entries)


SUM = fill(3, 96)
LIST = contributors(("device-1", 60, HASH_A), ("device-2", 1 << 20, HASH_B))
PARTIAL = {0: 1, 1: ASSIGNMENT, 2: HASH_B, 3: HASH_C, 4: 2, 6: f32(2.3), 7: f32(0.25), 8: hashlib.sha256(SUM).digest(),
           19: LIST, 20: SUM}


def partial(count, *entries):
    return {**PARTIAL, 4: count, 19: contributors(*entries)}


vector("partial", "partial-sum", "OK", "the sum of two devices", PARTIAL)
vector("partial-least", "partial-sum", "OK", "one device, nothing known of the loss",
       without(partial(1, ("a", 1, HASH_D)), 6, 7))
vector("partial-names", "partial-sum", "OK", "the longest name, and one that begins like another",
       partial(3, ("a", 1, HASH_A), ("a" * 63, 2, HASH_A), ("b", 3, HASH_A)))
vector("read-partial-later-fields", "partial-sum", "OK", "fields of a later version", {**PARTIAL, 5: [1], 30: {}})
vector("partial-version-2", "partial-sum", "UNSUPPORTED", "a later major version", {**PARTIAL, 0: 2})
vector("partial-model-short", "partial-sum", "CORRUPT", "a hash of 31 bytes", {**PARTIAL, 2: fill(0, 31)})
vector("partial-terms-missing", "partial-sum", "CORRUPT", "no terms", without(PARTIAL, 3))
vector("partial-count-0", "partial-sum", "CORRUPT", "nobody", {**PARTIAL, 4: 0})
vector("partial-count-more", "partial-sum", "CORRUPT", "more than are listed", {**PARTIAL, 4: 3})
vector("partial-count-fewer", "partial-sum", "CORRUPT", "fewer than are listed", {**PARTIAL, 4: 1})
vector("partial-loss-nan", "partial-sum", "CORRUPT", "a loss of NaN", {**PARTIAL, 7: math.nan})
vector("partial-digest-other", "partial-sum", "CORRUPT", "a sum that is not what was hashed", {**PARTIAL, 20: SUM[:-1] + b"x"})
vector("partial-digest-missing", "partial-sum", "CORRUPT", "no digest", without(PARTIAL, 8))
vector("partial-list-missing", "partial-sum", "CORRUPT", "no list", without(PARTIAL, 19))
vector("partial-list-empty", "partial-sum", "CORRUPT", "an empty list", {**PARTIAL, 19: b""})
vector("partial-list-cut", "partial-sum", "CORRUPT", "a list that is cut short", {**PARTIAL, 19: LIST[:-1]})
vector("partial-list-array", "partial-sum", "CORRUPT", "an array where bytes belong",
       {**PARTIAL, 19: [["device-1", 60, HASH_A], ["device-2", 60, HASH_A]]})
vector("partial-twice", "partial-sum", "CORRUPT", "a device twice",
       partial(2, ("device-1", 60, HASH_A), ("device-1", 60, HASH_B)))
vector("partial-disorder", "partial-sum", "CORRUPT", "names that fall",
       partial(2, ("device-2", 60, HASH_A), ("device-1", 60, HASH_B)))
vector("partial-name-empty", "partial-sum", "CORRUPT", "an empty name", partial(1, ("", 60, HASH_A)))
vector("partial-name-long", "partial-sum", "CORRUPT", "a name of 64 characters", partial(1, ("a" * 64, 60, HASH_A)))
vector("partial-name-control", "partial-sum", "CORRUPT", "a newline in a name", partial(1, ("a\n", 60, HASH_A)))
vector("partial-examples-0", "partial-sum", "CORRUPT", "no examples", partial(1, ("a", 0, HASH_A)))
vector("partial-examples-high", "partial-sum", "CORRUPT", "examples past the limit", partial(1, ("a", (1 << 20) + 1, HASH_A)))
vector("partial-examples-text", "partial-sum", "CORRUPT", "examples as a text", partial(1, ("a", "60", HASH_A)))
vector("partial-update-short", "partial-sum", "CORRUPT", "a hash of 31 bytes", partial(1, ("a", 60, fill(0, 31))))
vector("partial-entry-4", "partial-sum", "CORRUPT", "an entry of four items", partial(1, ("a", 60, HASH_A, 1)))
vector("partial-entry-map", "partial-sum", "CORRUPT", "an entry that is a map", {**PARTIAL, 4: 1, 19: dump({1: "a"})})
vector("partial-sum-missing", "partial-sum", "CORRUPT", "no sum", without(PARTIAL, 20))
vector("partial-sum-empty", "partial-sum", "CORRUPT", "an empty sum", {**PARTIAL, 20: b""})


def main():
    for old in HERE.glob("*.hex"):
        old.unlink()
    for kind in dict.fromkeys(v[0] for v in VECTORS.values()):
        lines = [f"# vectors of {kind}, made by make_wire_vectors.py"]
        for name, (of, status, what, data) in VECTORS.items():
            if of == kind:
                digits = data.hex()
                lines += [f"= {name} {status} {what}", *(digits[i:i + 96] for i in range(0, len(digits), 96))]
        (HERE / f"{kind}.hex").write_text("\n".join(lines) + "\n")
    print(f"{len(VECTORS)} vectors, the longest plan {max(len(v[3]) for k, v in VECTORS.items() if v[:2] == ('plan', 'OK'))} bytes")


if __name__ == "__main__":
    main()
