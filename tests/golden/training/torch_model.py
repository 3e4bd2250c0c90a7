"""Covey's operations in PyTorch, channels last outside, and the reading of shipped model descriptions."""
import ast
import math
import re

import numpy as np
import torch
import torch.nn.functional as F

import philox


def read_model(path):
    """The subset of YAML in which the shipped models are written: one operation a line."""
    def literal(text):
        return ast.literal_eval(re.sub(r"([A-Za-z_][\w-]*)", r'"\1"', text))

    model, operations = {}, []
    for line in open(path):
        line = line.split("#")[0].rstrip()
        if line.strip().startswith("- {"):
            operations.append(literal(line.strip()[2:]))
        elif ": " in line:
            key, value = line.split(": ", 1)
            model[key] = literal(value) if value.startswith("{") else value
    for i, op in enumerate(operations):
        op.setdefault("name", f"{op['op']}-{i + 1}")
        op.setdefault("inputs", [operations[i - 1]["name"] if i else "input"])
        if op["op"].endswith("_norm"):
            op.setdefault("epsilon", 1e-5)
    model["ops"] = operations
    return model


def pair(op, key, image):
    value = op.get(key)
    if value is None:
        return None
    return tuple(value) if len(value) > 1 else (value[0], value[0] if image else 1)


def padding(op, kernel, stride, size):
    """top, bottom, left, right"""
    if op.get("padding", "valid") == "same":
        result = []
        for k, s, n in zip(kernel, stride, size):
            total = max((math.ceil(n / s) - 1) * s + k - n, 0)
            result += [total // 2, total - total // 2]
        return result
    return list(op.get("pad", [0, 0, 0, 0]))


def to_image(x):
    """(n, h, w, c) or (n, l, c) -> (n, c, h, w)"""
    return (x if x.dim() == 4 else x.unsqueeze(2)).permute(0, 3, 1, 2)


def from_image(y, like):
    y = y.permute(0, 2, 3, 1)
    return y if like.dim() == 4 else y.squeeze(2)


def window(op, x, default_stride):
    image = to_image(x)
    kernel = pair(op, "kernel", x.dim() == 4) or (1, 1)
    stride = pair(op, "stride", x.dim() == 4) or default_stride or kernel
    stride = tuple(s or k for s, k in zip(stride, kernel))
    top, bottom, left, right = padding(op, kernel, stride, image.shape[2:])
    return image, kernel, stride, (left, right, top, bottom)


def conv2d(op, p, x):
    image, _, stride, pad = window(op, x, (1, 1))
    weight = p["weight"].permute(0, 3, 1, 2)
    y = F.conv2d(F.pad(image, pad), weight, p.get("bias"), stride=stride, groups=op.get("groups", 1))
    return from_image(y, x)


def max_pool(op, p, x):
    image, kernel, stride, pad = window(op, x, None)
    return from_image(F.max_pool2d(F.pad(image, pad, value=-math.inf), kernel, stride), x)


def average_pool(op, p, x):
    image, kernel, stride, pad = window(op, x, None)
    ones = torch.ones_like(image)
    total = F.avg_pool2d(F.pad(image, pad), kernel, stride)
    return from_image(total / F.avg_pool2d(F.pad(ones, pad), kernel, stride), x)


def group_norm(op, p, x):
    shape = x.shape
    y = x.reshape(shape[0], -1, shape[-1]).permute(0, 2, 1)
    y = F.group_norm(y, op.get("groups", 1), p["weight"], p["bias"], np.float32(op["epsilon"]).item())
    return y.permute(0, 2, 1).reshape(shape)


def batch_norm(op, p, x):
    """Updates p["running_mean"] and p["running_variance"] in place."""
    frozen = op.get("weights") == "frozen"
    y = F.batch_norm(x.reshape(-1, x.shape[-1]), p["running_mean"], p["running_variance"], p["weight"], p["bias"],
                     training=not frozen, momentum=np.float32(op.get("momentum", 0.1)).item(),
                     eps=np.float32(op["epsilon"]).item())
    return y.reshape(x.shape)


def gru(op, p, x):
    names = {"weight_ih_l0": "weight_input", "weight_hh_l0": "weight_state"}
    if "bias_input" in p:
        names.update({"bias_ih_l0": "bias_input", "bias_hh_l0": "bias_state"})
    layer = torch.nn.GRU(x.shape[-1], op["units"], bias="bias_input" in p, batch_first=True, dtype=x.dtype)
    y, last = torch.func.functional_call(layer, {ours: p[theirs] for ours, theirs in names.items()}, (x,))
    return last[0] if op.get("last_only") else y


def dropout(op, p, x):
    """With the key that test_operations' runner has: seed 11, device 5, round 0, step 3, operation 0."""
    seed = 11 ^ (((3 << 32 | 1) * 0x9E3779B97F4A7C15) & (2**64 - 1))
    draws = torch.from_numpy(philox.floats(seed, 5, 0, philox.DROPOUT, x.numel())).reshape(x.shape)
    rate = np.float32(op["rate"]).item()
    return torch.where(draws >= rate, x / (1 - rate), torch.zeros_like(x))


OPERATIONS = {
    "dense": lambda op, p, x: F.linear(x, p["weight"], p.get("bias")),
    "conv2d": conv2d,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_average_pool": lambda op, p, x: x.flatten(1, -2).mean(1),
    "flatten": lambda op, p, x: x.flatten(1),
    "add": lambda op, p, *x: sum(x[1:], x[0]),
    "concat": lambda op, p, *x: torch.cat(x, -1),
    "relu": lambda op, p, x: F.relu(x),
    "relu6": lambda op, p, x: F.relu6(x),
    "tanh": lambda op, p, x: torch.tanh(x),
    "sigmoid": lambda op, p, x: torch.sigmoid(x),
    "gelu": lambda op, p, x: F.gelu(x),
    "dropout": dropout,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "embedding": lambda op, p, x: F.embedding(x.long(), p["weight"]),
    "gru": gru,
}


def parameter_shapes(op, shape):
    """Name and shape of each parameter, in Covey's order, for an input of one example's shape."""
    bias = not op.get("no_bias")
    last, kind = shape[-1], op["op"]
    if kind == "dense":
        return [("weight", (op["units"], last))] + [("bias", (op["units"],))] * bias
    if kind == "conv2d":
        kernel = pair(op, "kernel", len(shape) == 3) or (1, 1)
        return [("weight", (op["units"], *kernel, last // op.get("groups", 1)))] + [("bias", (op["units"],))] * bias
    if kind == "group_norm":
        return [("weight", (last,)), ("bias", (last,))]
    if kind == "batch_norm":
        return [(name, (last,)) for name in ("weight", "bias", "running_mean", "running_variance")]
    if kind == "embedding":
        return [("weight", (op["vocabulary"], op["units"]))]
    if kind == "gru":
        gates = 3 * op["units"]
        return ([("weight_input", (gates, last)), ("weight_state", (gates, op["units"]))] +
                [("bias_input", (gates,)), ("bias_state", (gates,))] * bias)
    return []


def forward(model, params, x):
    values = {"input": x}
    for op in model["ops"]:
        own = {k.split(".")[-1]: v for k, v in params.items() if k.rsplit(".", 1)[0] == op["name"]}
        values[op["name"]] = OPERATIONS[op["op"]](op, own, *[values[name] for name in op["inputs"]])
    return values[model["ops"][-1]["name"]]


def initialise(model, seed):
    """covey_model_initialise: f32 values, as an ordered dict of numpy arrays."""
    shapes = {"input": tuple(model["input"]["shape"])}
    readers = {op["name"]: [o["op"] for o in model["ops"] if op["name"] in o["inputs"]] for op in model["ops"]}
    params = {}
    for op in model["ops"]:
        shape = shapes[op["inputs"][0]]
        for suffix, size in parameter_shapes(op, shape):
            name, kind = f"{op['name']}.{suffix}", op["op"]
            count = math.prod(size)
            norm = kind.endswith("_norm")
            if suffix.startswith("weight") and not norm:
                fan_in = count / size[0]
                fan_out = size[0] * (size[1] * size[2] / op.get("groups", 1) if kind == "conv2d" else 1)
                rectified = readers[op["name"]] in (["relu"], ["relu6"])
                bound = math.sqrt(6 / fan_in) if rectified else math.sqrt(6 / (fan_in + fan_out))
                bound = {"gru": 1 / math.sqrt(op.get("units", 1)), "embedding": 0.05}.get(kind, bound)
                uniform = philox.floats(seed, philox.name_id(name), 0, philox.INIT, count)
                values = (bound * (2.0 * uniform - 1.0)).astype(np.float32)
            else:
                one = norm and suffix in ("weight", "running_variance")
                values = np.full(count, 1.0 if one else 0.0, dtype=np.float32)
            params[name] = values.reshape(size)
        blank = {k: torch.zeros(s, dtype=torch.float64) for k, s in parameter_shapes(op, shape)}
        inputs = [torch.zeros((2, *shapes[name]), dtype=torch.float64) for name in op["inputs"]]
        shapes[op["name"]] = tuple(OPERATIONS[op["op"]](op, blank, *inputs).shape[1:])
    return params
