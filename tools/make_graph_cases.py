#!/usr/bin/env python3
"""Writes crates/graph/tests/data/onnx.json: operators with what ONNX's reference implementation and NumPy answer.

Operators that TensorFlow Lite has as well are in operators.json, which make_operator_cases.py writes. Needs the package
`onnx`.

    make_graph_cases.py > crates/graph/tests/data/onnx.json
"""

import json
import math

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

OPSET = 23
CODES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
         "bfloat16": TensorProto.BFLOAT16, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8,
         "int16": TensorProto.INT16, "uint16": TensorProto.UINT16, "int32": TensorProto.INT32,
         "uint32": TensorProto.UINT32, "int64": TensorProto.INT64, "uint64": TensorProto.UINT64,
         "bool": TensorProto.BOOL}
cases = []


def written(array):
    values = [int(x) for x in array.flat] if array.dtype.kind in "iub" else [float(x) for x in array.astype(np.float64).flat]
    return {"dtype": str(array.dtype), "shape": list(array.shape), "values": values}


def add(name, op, inputs, output):
    cases.append({"name": name, "op": op, "inputs": [written(np.asarray(x)) for x in inputs], "output": written(output)})


def reference(kind, inputs, output=0, extra=(), outputs=1, **attributes):
    """What ONNX's reference gives; `extra` are inputs that are attributes here."""
    every = [*inputs, *extra]
    names = [f"i{n}" if x is not None else "" for n, x in enumerate(every)]
    made = [f"o{n}" for n in range(outputs)]
    node = helper.make_node(kind, names, made, **attributes)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, CODES[str(x.dtype)], x.shape) for n, x in zip(names, every) if x is not None],
        [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    return ReferenceEvaluator(model).run(None, {n: x for n, x in zip(names, every) if x is not None})[output]


def random(dtype, shape, low=-9, high=9):
    dtype = np.dtype(getattr(ml_dtypes, dtype) if dtype == "bfloat16" else dtype)
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else low, high, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


rng = np.random.default_rng(5)

ERF = np.vectorize(math.erf)

# Functions of which the reference is of single precision.
DOUBLES = {
    "Erf": ERF,
    "Gelu": lambda x: 0.5 * x * (1 + ERF(x / np.sqrt(2))),
    "GeluTanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def binaries():
    numpys = {"Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply, "Maximum": np.maximum, "Minimum": np.minimum}
    for kind, function in numpys.items():
        for dtype in ("float64", "float16", "bfloat16", "int8", "uint8", "int16", "uint16", "uint32", "uint64"):
            a, b = random(dtype, [2, 3, 1], high=120), random(dtype, [3, 4], high=120)
            add(f"{kind} {dtype}", {"kind": kind, "activation": "None"}, [a, b], function(a, b).astype(a.dtype))
    for dtype in ("float32", "float64", "int32", "uint8"):
        a, b = random(dtype, [3, 4], low=0, high=5), random(dtype, [4], low=0, high=4)
        add(f"Power {dtype}", {"kind": "Power", "activation": "None"}, [a, b], np.power(a, b).astype(a.dtype))
    for dtype in ("int8", "int32", "uint64"):
        a, b = random(dtype, [4, 5], high=99), np.where(random(dtype, [5]) > 3, 7, 3).astype(dtype)
        add(f"Divide {dtype}", {"kind": "Divide", "activation": "None"}, [a, b], np.trunc(a / b).astype(dtype))
        add(f"Remainder {dtype}", {"kind": "Remainder", "activation": "None"}, [a, b], np.fmod(a, b))
        add(f"Modulo {dtype}", {"kind": "Modulo", "activation": "None"}, [a, b], np.mod(a, b))
        add(f"Modulo {dtype} of a negative", {"kind": "Modulo", "activation": "None"}, [a, -b], np.mod(a, -b))
    a, b = random("float32", [4, 5], high=99), random("float32", [5], low=1, high=9)
    for kind, function in {"Remainder": np.fmod, "Modulo": np.mod}.items():
        add(f"{kind} float32", {"kind": kind, "activation": "None"}, [a, b], function(a, b))
    comparisons = {"Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater,
                   "GreaterOrEqual": np.greater_equal}
    for kind, function in comparisons.items():
        for dtype in ("float32", "float16", "int8", "int64", "uint32"):
            a, b = random(dtype, [5, 6], low=-2, high=2), random(dtype, [6], low=-2, high=2)
            a[0] = b
            add(f"{kind} {dtype}", {"kind": kind, "activation": "None"}, [a, b], function(a, b))
    for kind, function in {"And": np.logical_and, "Or": np.logical_or}.items():
        a, b = random("int8", [3, 4]) > 0, random("int8", [4]) > 0
        add(f"{kind} bool", {"kind": kind, "activation": "None"}, [a, b], function(a, b))


def unaries():
    kinds = {
        "Elu": ({"alpha": 0.75}, "Elu", {"alpha": 0.75}), "HardSigmoid": ({"alpha": 0.25, "beta": 0.5}, "HardSigmoid", {"alpha": 0.25, "beta": 0.5}),
        "Mish": ({}, "Mish", {}), "Gelu": ({}, "Gelu", {}), "GeluTanh": ({}, "Gelu", {"approximate": "tanh"}),
        "Softplus": ({}, "Softplus", {}), "Reciprocal": ({}, "Reciprocal", {}), "Log": ({}, "Log", {}), "Erf": ({}, "Erf", {}),
        "Abs": ({}, "Abs", {}), "Negate": ({}, "Neg", {}), "Floor": ({}, "Floor", {}), "Ceil": ({}, "Ceil", {}),
        "Round": ({}, "Round", {}), "Sin": ({}, "Sin", {}), "Cos": ({}, "Cos", {}),
    }
    for kind, (attributes, onnx_kind, onnx_attributes) in kinds.items():
        for dtype in ("float32", "float64", "float16"):
            x = random(dtype, [4, 8], low=0.1 if kind in ("Log", "Reciprocal") else -6, high=6)
            x[0, :4] = np.array([0.5, 1.5, 2.5, 1.0], dtype)
            # In double precision, as the reference of narrower types rounds in between.
            wide = x.astype(np.float64)
            y = DOUBLES[kind](wide) if kind in DOUBLES else reference(onnx_kind, [wide], **onnx_attributes)
            y = y.astype(dtype)
            add(f"{kind} {dtype}", {"kind": kind, **attributes}, [x], y)
    for kind, function in {"Abs": np.abs, "Negate": np.negative}.items():
        x = np.array([-128, -3, 0, 5, 127], np.int8)
        add(f"{kind} int8", {"kind": kind}, [x], function(x))
    x = random("int8", [7]) > 0
    add("Not bool", {"kind": "Not"}, [x], np.logical_not(x))
    x = random("float32", [20])
    add("Clip float32", {"kind": "Clip", "min": -2.5, "max": 4.0}, [x], np.clip(x, np.float32(-2.5), np.float32(4)))
    x = random("float16", [20])
    add("Clip float16", {"kind": "Clip", "min": -2.5, "max": 4.0}, [x], np.clip(x, np.float16(-2.5), np.float16(4)))


def reductions():
    kinds = {"Mean": "ReduceMean", "ReduceSum": "ReduceSum", "ReduceProduct": "ReduceProd", "ReduceMax": "ReduceMax",
             "ReduceMin": "ReduceMin", "ReduceL2": "ReduceL2"}
    for kind, onnx_kind in kinds.items():
        for dtype, axes, keep in (("float32", [1], False), ("float64", [0, 2], True), ("float16", [2], False),
                                  ("int32", [0, 1, 2], False)):
            x = random(dtype, [3, 4, 5], low=1 if kind == "ReduceProduct" else -9, high=2 if kind == "ReduceProduct" else 9)
            if kind in ("Mean", "ReduceL2") and dtype == "int32":
                continue
            wide = x.astype(np.float64) if dtype == "float16" else x
            y = reference(onnx_kind, [wide], extra=[np.array(axes, np.int64)], keepdims=int(keep)).astype(dtype)
            add(f"{kind} {dtype}", {"kind": kind, "axes": axes, "keep_dims": keep}, [x], y)
    for kind, onnx_kind in {"ReduceSum": "ReduceSum", "ReduceProduct": "ReduceProd"}.items():
        x = np.zeros([2, 0, 3], np.float32)
        y = reference(onnx_kind, [x], extra=[np.array([1], np.int64)], keepdims=0)
        add(f"{kind} of nothing", {"kind": kind, "axes": [1], "keep_dims": False}, [x], y)
    x = random("int8", [3, 4]) > 4
    add("ReduceMax bool", {"kind": "ReduceMax", "axes": [1], "keep_dims": False}, [x], x.max(1))
    for kind in ("ArgMax", "ArgMin"):
        for last in (False, True):
            x = random("int16", [3, 6, 2], low=-2, high=2)
            y = reference(kind, [x], axis=1, keepdims=1, select_last_index=int(last))
            add(f"{kind} last {last}", {"kind": kind, "axis": 1, "keep_dims": True, "last": last}, [x], y)
    for largest in (True, False):
        for dtype in ("float32", "int64"):
            x = random(dtype, [2, 9, 3], low=-3, high=3)
            x[:, 4] = x[:, 2]
            # A stable sort gives the first of equal elements, as the operator does.
            order = np.argsort(-x if largest else x, axis=1, kind="stable")[:, :4]
            add(f"TopK {dtype} {largest}", {"kind": "TopK", "axis": 1, "k": 4, "largest": largest}, [x], order)


def indices():
    x, picked = random("float32", [3, 4]), np.array([[0, -1, 2, 1], [2, 2, -3, 0]], np.int64)
    add("GatherElements", {"kind": "GatherElements", "axis": 0}, [x, picked], reference("GatherElements", [x, picked], axis=0))
    x, picked = random("uint16", [2, 5]), np.array([[4, -5, 2], [1, 1, -1]], np.int32)
    add("GatherElements int32", {"kind": "GatherElements", "axis": 1}, [x, picked],
        reference("GatherElements", [x, picked], axis=1))
    x, picked = random("int64", [3, 4]), np.array([-1, 1], np.int64)
    add("Gather backwards", {"kind": "Gather", "axis": 0, "batch_dims": 0}, [x, picked], np.take(x, picked, 0))
    x, picked = random("float32", [2, 3, 4]), np.array([[1, -1], [0, 2]], np.int64)
    add("GatherNd", {"kind": "GatherNd", "batch_dims": 0}, [x, picked], reference("GatherND", [x, picked]))
    picked = np.array([[[2], [0]], [[-1], [1]]], np.int64)
    add("GatherNd batches", {"kind": "GatherNd", "batch_dims": 1}, [x, picked], reference("GatherND", [x, picked], batch_dims=1))
    for mode, onnx_mode in {"Replace": "none", "Add": "add", "Multiply": "mul", "Maximum": "max", "Minimum": "min"}.items():
        x, picked, updates = random("float32", [4, 3]), np.array([[1], [3], [0]], np.int64), random("float32", [3, 3])
        if mode != "Replace":
            picked[2, 0] = 1
        add(f"ScatterNd {mode}", {"kind": "ScatterNd", "mode": mode}, [x, picked, updates],
            reference("ScatterND", [x, picked, updates], reduction=onnx_mode))
    condition, a, b = random("int8", [3, 1]) > 0, random("float64", [3, 4]), random("float64", [4])
    add("Select", {"kind": "Select"}, [condition, a, b], np.where(condition, a, b))
    x = random("uint8", [3, 1, 2])
    add("Expand", {"kind": "Expand", "shape": [2, 1, 4, 1]}, [x], np.broadcast_to(x, [2, 3, 4, 2]))
    for mode, numpy_mode in {"Reflect": "reflect", "Edge": "edge", "Wrap": "wrap"}.items():
        x = random("float32", [3, 4])
        add(f"Pad {mode}", {"kind": "Pad", "before": [2, 7], "after": [1, 5], "mode": mode}, [x],
            np.pad(x, [(2, 1), (7, 5)], mode=numpy_mode))


def suppression():
    for name, center in (("Corners", 0), ("Center", 1)):
        boxes, scores = random("float32", [2, 12, 4], low=0, high=1), random("float32", [2, 2, 12], low=0, high=1)
        if center:
            boxes[..., 2:] = boxes[..., 2:] * 0.5 + 0.1
        limits = [np.array([4], np.int64), np.array([0.3], np.float32), np.array([0.25], np.float32)]
        kept = reference("NonMaxSuppression", [boxes, scores], extra=limits, center_point_box=center)
        rows = np.full([2 * 2 * 4, 3], -1, np.int64)
        rows[:len(kept)] = kept
        add(f"NonMaxSuppression {name}", {"kind": "NonMaxSuppression", "mode": name, "most": 4, "overlap": float(np.float32(0.3)),
                                          "score": 0.25}, [boxes, scores], rows)


for make in (binaries, unaries, reductions, indices, suppression):
    make()
assert all(math.isfinite(x) for case in cases for x in case["output"]["values"])
print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
