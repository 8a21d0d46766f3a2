"""Makes crates/graph/tests/data/operators.json: what TensorFlow Lite's own reference kernels answer, one operator a
case.

Each case is a model of one operator, written here with LiteRT's schema, fed with seeded random numbers, and run by
LiteRT with its reference kernels. The file holds the operator in Kinglet's words, its inputs, and LiteRT's output.

    python3 -m venv /tmp/litert && /tmp/litert/bin/pip install ai-edge-litert==2.3.0 numpy==2.4.6
    /tmp/litert/bin/python tools/make_operator_cases.py > crates/graph/tests/data/operators.json
"""

import json
import zlib
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter, OpResolverType

DTYPES = {
    "float32": tfl.TensorType.FLOAT32,
    "float16": tfl.TensorType.FLOAT16,
    "int8": tfl.TensorType.INT8,
    "uint8": tfl.TensorType.UINT8,
    "int32": tfl.TensorType.INT32,
    "int64": tfl.TensorType.INT64,
}
ACTIVATIONS = {
    "None": tfl.ActivationFunctionType.NONE,
    "Relu": tfl.ActivationFunctionType.RELU,
    "Relu6": tfl.ActivationFunctionType.RELU6,
    "ReluN1To1": tfl.ActivationFunctionType.RELU_N1_TO_1,
}


@dataclass
class Tensor:
    """A tensor of a case. Without values it is the output."""

    dtype: str
    shape: list
    values: np.ndarray | None = None
    scales: list = field(default_factory=list)
    zero_points: list = field(default_factory=list)
    axis: int | None = None
    constant: bool = False

    def json(self):
        values = self.values.flatten().tolist()
        if self.dtype.startswith("float"):
            values = [float(str(np.float32(value))) for value in values]
        quantization = {"scales": self.scales, "zero_points": self.zero_points, "axis": self.axis}
        described = {"dtype": self.dtype, "shape": list(self.shape), **(quantization if self.scales else {})}
        return {**described, "values": values}


class Cases:
    """Collects cases; each has a random generator of its own, so that adding one changes no other."""

    def __init__(self):
        self.cases = []

    def begin(self, name):
        self.name = name
        self.random = np.random.default_rng(zlib.crc32(name.encode()))

    def tensor(self, dtype, shape, scale=None, zero=0, low=-2.0, high=2.0, constant=False, axis=None):
        """Random numbers: floats and integers in [low, high), quantized ones over their whole range."""
        scales = [] if scale is None else [float(np.float32(s)) for s in np.atleast_1d(scale)]
        zero_points = [zero] * len(scales)
        if dtype.startswith("float"):
            values = self.random.uniform(low, high, shape).astype(dtype)
        elif scales or dtype in ("int8", "uint8"):
            limits = np.iinfo(dtype)
            values = self.random.integers(limits.min, limits.max + 1, shape).astype(dtype)
        else:
            values = self.random.integers(int(low), int(high), shape).astype(dtype)
        return Tensor(dtype, list(shape), values, scales, zero_points, axis, constant)

    def bias(self, channels, quantized):
        if not quantized:
            return self.tensor("float32", [channels], constant=True)
        values = self.random.integers(-2000, 2000, [channels]).astype("int32")
        return Tensor("int32", [channels], values, constant=True)

    def run(self, op, builtin, options, inputs, output, extra=()):
        """Runs LiteRT on inputs + extra (operands that Kinglet has as attributes) and records the case."""
        result = run_litert(builtin, options, [*inputs, *extra], output)
        output.values, output.shape = result, list(result.shape)
        recorded = [None if tensor is None else tensor.json() for tensor in inputs]
        self.cases.append({"name": self.name, "op": op, "inputs": recorded, "output": output.json()})


def constant(dtype, values):
    values = np.array(values, dtype=dtype)
    return Tensor(dtype, list(values.shape), values, constant=True)


def out(dtype, scale=None, zero=0):
    scales = [] if scale is None else [float(np.float32(scale))]
    return Tensor(dtype, [], None, scales, [zero] if scales else [])


def flat_tensor(tensor, index, buffer):
    """The schema's form of a tensor."""
    flat = tfl.TensorT()
    flat.name, flat.type, flat.shape, flat.buffer = f"t{index}", DTYPES[tensor.dtype], list(tensor.shape), buffer
    if tensor.scales:
        flat.quantization = tfl.QuantizationParametersT()
        flat.quantization.scale, flat.quantization.zeroPoint = tensor.scales, tensor.zero_points
        flat.quantization.quantizedDimension = tensor.axis or 0
    return flat


def run_litert(builtin, options, inputs, output):
    """A model of one operator, run by LiteRT's reference kernels."""
    buffers, tensors, operands, fed = [tfl.BufferT()], [], [], []
    for tensor in [*inputs, output]:
        if tensor is None:
            operands.append(-1)
            continue
        buffer = 0
        if tensor.constant:
            data = tfl.BufferT()
            data.data = np.frombuffer(tensor.values.tobytes(), dtype=np.uint8)
            buffers.append(data)
            buffer = len(buffers) - 1
        elif tensor.values is not None:
            fed.append((len(tensors), tensor))
        operands.append(len(tensors))
        tensors.append(flat_tensor(tensor, len(tensors), buffer))
    operator = tfl.OperatorT()
    operator.inputs, operator.outputs = operands[:-1], operands[-1:]
    if options is not None:
        operator.builtinOptionsType = getattr(tfl.BuiltinOptions, type(options).__name__[:-1])
        operator.builtinOptions = options
    graph = tfl.SubGraphT()
    graph.tensors, graph.operators = tensors, [operator]
    graph.inputs, graph.outputs = [index for index, _ in fed], operands[-1:]
    code = tfl.OperatorCodeT()
    code.builtinCode, code.version = getattr(tfl.BuiltinOperator, builtin), 1
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    model = tfl.ModelT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [code], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = Interpreter(
        model_content=bytes(builder.Output()),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    for detail, (_, tensor) in zip(interpreter.get_input_details(), fed):
        interpreter.set_tensor(detail["index"], tensor.values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()


def options(kind, **fields):
    made = getattr(tfl, kind + "OptionsT")()
    for name, value in fields.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def window(image, kernel, stride, dilation, same):
    """Kinglet's words for TensorFlow's padding."""
    before, after = [0, 0], [0, 0]
    for axis in range(2) if same else ():
        extent = (kernel[axis] - 1) * dilation[axis] + 1
        windows = -(-image[axis] // stride[axis])
        total = max((windows - 1) * stride[axis] + extent - image[axis], 0)
        before[axis], after[axis] = total // 2, total - total // 2
    return {"stride": stride, "dilation": dilation, "padding_before": before, "padding_after": after}


def padding(same):
    return tfl.Padding.SAME if same else tfl.Padding.VALID


SYMMETRIC = 0


def products(c):
    """Convolutions and matrix products: float, int8 a channel, uint8 with weight zero points."""
    for name, types, image, weights, stride, dilation, same, activation in [
        ("same stride 2 relu6", "float", [2, 7, 6, 3], [4, 3, 3, 3], [2, 2], [1, 1], True, "Relu6"),
        ("valid dilation", "float", [1, 8, 9, 2], [3, 3, 2, 2], [1, 1], [2, 3], False, "None"),
        ("groups", "float", [1, 5, 5, 6], [4, 3, 3, 3], [1, 1], [1, 1], True, "Relu"),
        ("pointwise", "int8", [1, 4, 5, 16], [24, 1, 1, 16], [1, 1], [1, 1], True, "None"),
        ("same stride 2", "int8", [1, 9, 8, 3], [8, 3, 3, 3], [2, 2], [1, 1], True, "Relu6"),
        ("same dilation", "int8", [1, 8, 8, 4], [5, 3, 3, 4], [1, 1], [2, 2], True, "None"),
        ("groups", "int8", [1, 5, 5, 6], [6, 3, 3, 2], [1, 1], [1, 1], False, "None"),
        ("weight zero point", "uint8", [2, 6, 5, 3], [7, 3, 2, 3], [2, 1], [1, 1], True, "Relu"),
    ]:
        c.begin(f"conv2d {types} {name}")
        groups, filters = image[3] // weights[3], weights[0]
        op = {"kind": "Conv2d", "groups": groups, "activation": activation}
        op["window"] = window(image[1:3], weights[1:3], stride, dilation, same)
        kind = options("Conv2D", padding=padding(same), strideH=stride[0], strideW=stride[1],
                       dilationHFactor=dilation[0], dilationWFactor=dilation[1],
                       fusedActivationFunction=ACTIVATIONS[activation])
        operands = product_operands(c, types, image, weights, filters, 0)
        c.run(op, "CONV_2D", kind, *operands)
    for name, types, image, kernel, multiplier, stride, dilation, same, activation in [
        ("multiplier 2", "float", [1, 6, 7, 3], [3, 3], 2, [2, 2], [1, 1], True, "Relu"),
        ("valid dilation", "float", [2, 7, 7, 2], [3, 2], 1, [1, 1], [2, 2], False, "None"),
        ("same stride 1", "int8", [1, 6, 6, 17], [3, 3], 1, [1, 1], [1, 1], True, "Relu6"),
        ("same stride 2", "int8", [1, 7, 8, 4], [3, 3], 1, [2, 2], [1, 1], True, "None"),
        ("multiplier 3", "int8", [1, 5, 5, 2], [3, 3], 3, [1, 1], [1, 1], False, "None"),
        ("weight zero point", "uint8", [1, 8, 6, 5], [5, 3], 1, [2, 2], [1, 1], True, "None"),
    ]:
        c.begin(f"depthwise {types} {name}")
        filters = image[3] * multiplier
        op = {"kind": "DepthwiseConv2d", "multiplier": multiplier, "activation": activation}
        op["window"] = window(image[1:3], kernel, stride, dilation, same)
        kind = options("DepthwiseConv2D", padding=padding(same), strideH=stride[0], strideW=stride[1],
                       depthMultiplier=multiplier, dilationHFactor=dilation[0], dilationWFactor=dilation[1],
                       fusedActivationFunction=ACTIVATIONS[activation])
        operands = product_operands(c, types, image, [1, *kernel, filters], filters, 3)
        c.run(op, "DEPTHWISE_CONV_2D", kind, *operands)
    for name, types, shape, columns, activation in [
        ("relu", "float", [3, 10], 4, "Relu"),
        ("three axes", "float", [2, 3, 5], 6, "None"),
        ("relu6", "int8", [2, 40], 9, "Relu6"),
        ("weight zero point", "uint8", [4, 33], 5, "None"),
    ]:
        c.begin(f"fully connected {types} {name}")
        kind = options("FullyConnected", fusedActivationFunction=ACTIVATIONS[activation], keepNumDims=len(shape) > 2)
        operands = product_operands(c, types, shape, [columns, shape[-1]], columns, None)
        c.run({"kind": "FullyConnected", "activation": activation}, "FULLY_CONNECTED", kind, *operands)


def product_operands(c, types, image, weights, filters, axis):
    """Input, weights, bias, and the output's type."""
    if types == "float":
        operands = [c.tensor("float32", image), c.tensor("float32", weights, constant=True), c.bias(filters, False)]
        return operands, out("float32")
    if types == "uint8":
        operands = [c.tensor("uint8", image, 0.02, 120), c.tensor("uint8", weights, 0.01, 133, constant=True)]
        return [*operands, c.bias(filters, True)], out("uint8", 0.06, 115)
    scale = 0.01 if axis is None else c.random.uniform(0.004, 0.012, filters)
    weights = c.tensor("int8", weights, scale, SYMMETRIC, constant=True, axis=axis)
    weights.values[weights.values == -128] = -127
    return [c.tensor("int8", image, 0.02, -5), weights, c.bias(filters, True)], out("int8", 0.05, 3)


def binaries(c):
    kinds = {"Add": "ADD", "Subtract": "SUB", "Multiply": "MUL", "Divide": "DIV", "Maximum": "MAXIMUM",
             "Minimum": "MINIMUM"}
    table = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "MaximumMinimum",
             "MINIMUM": "MaximumMinimum"}

    def case(name, kind, activation, a, b, result):
        fused = {} if kind in ("Maximum", "Minimum") else {"fusedActivationFunction": ACTIVATIONS[activation]}
        made = options(table[kinds[kind]], **fused)
        op = {"kind": kind, "activation": activation}
        c.run(op, kinds[kind], made, [a, b], result)

    for kind in kinds:
        c.begin(f"{kind} float broadcast")
        divisor = {"low": 0.3, "high": 3.0} if kind == "Divide" else {}
        case("", kind, "None", c.tensor("float32", [2, 3, 1, 4]), c.tensor("float32", [3, 5, 1], **divisor), out("float32"))
    c.begin("Add float relu6")
    case("", "Add", "Relu6", c.tensor("float32", [40], low=-9, high=9), c.tensor("float32", [40]), out("float32"))
    for kind, dtype, activation, scales, zeros in [
        ("Add", "int8", "None", [0.03, 0.05, 0.07], [4, -7, 1]),
        ("Add", "uint8", "Relu6", [0.03, 0.05, 0.04], [130, 120, 2]),
        ("Subtract", "int8", "None", [0.02, 0.05, 0.06], [3, -9, 8]),
        ("Subtract", "uint8", "Relu", [0.05, 0.02, 0.06], [100, 120, 0]),
        ("Multiply", "int8", "None", [0.03, 0.05, 0.2], [-3, 6, 10]),
        ("Multiply", "uint8", "Relu", [0.03, 0.05, 0.2], [125, 140, 9]),
    ]:
        c.begin(f"{kind} {dtype} {activation}")
        a = c.tensor(dtype, [2, 5, 6], scales[0], zeros[0])
        b = c.tensor(dtype, [5, 1], scales[1], zeros[1])
        case("", kind, activation, a, b, out(dtype, scales[2], zeros[2]))
    c.begin("Divide uint8")
    divisor = c.tensor("uint8", [8, 1], 0.02, 0)
    divisor.values = np.maximum(divisor.values, 30)
    case("", "Divide", "None", c.tensor("uint8", [8, 6], 0.04, 128), divisor, out("uint8", 0.05, 100))
    for kind in ("Maximum", "Minimum"):
        c.begin(f"{kind} int8")
        a, b = c.tensor("int8", [4, 6], 0.05, 3), c.tensor("int8", [6], 0.05, 3)
        case("", kind, "None", a, b, out("int8", 0.05, 3))
    for kind in ("Add", "Subtract", "Multiply", "Maximum", "Minimum"):
        for dtype in ("int32", "int64"):
            c.begin(f"{kind} {dtype}")
            a, b = c.tensor(dtype, [3, 4], low=-99, high=99), c.tensor(dtype, [4], low=-99, high=99)
            case("", kind, "None", a, b, out(dtype))


def unaries(c):
    floats = [("Relu", "RELU"), ("Relu6", "RELU6"), ("ReluN1To1", "RELU_N1_TO_1"), ("LeakyRelu", "LEAKY_RELU"),
              ("Logistic", "LOGISTIC"), ("Tanh", "TANH"), ("HardSwish", "HARD_SWISH"), ("Sqrt", "SQRT"),
              ("Rsqrt", "RSQRT"), ("Exp", "EXP")]
    eights = [("Relu", "int8", [0.05, 3, 0.03, -20]), ("Relu6", "uint8", [0.06, 90, 0.03, 7]),
              ("ReluN1To1", "int8", [0.02, 3, 0.01, 0]), ("LeakyRelu", "int8", [0.05, 10, 0.04, -4]),
              ("Logistic", "int8", [0.06, 5, 1 / 256, -128]), ("Logistic", "uint8", [0.06, 128, 1 / 256, 0]),
              ("Tanh", "int8", [0.03, -8, 1 / 128, 0]), ("HardSwish", "int8", [0.05, 4, 0.03, -100]),
              ("HardSwish", "uint8", [0.05, 120, 0.03, 14]), ("Rsqrt", "int8", [0.05, -128, 0.02, -128]),
              ("Exp", "int8", [0.02, 0, 0.05, -128])]
    codes = dict(floats)

    def case(kind, x, result):
        op = {"kind": kind}
        made = None
        if kind == "LeakyRelu":
            op["slope"] = float(np.float32(0.2))
            made = options("LeakyRelu", alpha=0.2)
        c.run(op, codes[kind], made, [x], result)

    for kind, _ in floats:
        c.begin(f"{kind} float")
        low = 0.01 if kind in ("Sqrt", "Rsqrt") else -8
        case(kind, c.tensor("float32", [3, 20], low=low, high=8), out("float32"))
    for kind, dtype, (scale, zero, out_scale, out_zero) in eights:
        c.begin(f"{kind} {dtype}")
        x = c.tensor(dtype, [256], scale, zero)
        limits = np.iinfo(dtype)
        x.values = np.arange(limits.min, limits.max + 1).astype(dtype)
        if kind == "Rsqrt":
            x.values[x.values < -120] = -120
        case(kind, x, out(dtype, out_scale, out_zero))
    c.begin("Prelu float")
    c.run({"kind": "Prelu"}, "PRELU", None,
          [c.tensor("float32", [2, 3, 3, 4]), c.tensor("float32", [1, 1, 4], constant=True)], out("float32"))
    c.begin("Prelu int8")
    c.run({"kind": "Prelu"}, "PRELU", None,
          [c.tensor("int8", [2, 3, 3, 4], 0.04, 3), c.tensor("int8", [1, 1, 4], 0.01, -3, constant=True)],
          out("int8", 0.05, -9))


def pools(c):
    for kind, builtin in (("Average", "AVERAGE_POOL_2D"), ("Max", "MAX_POOL_2D")):
        for name, dtype, image, kernel, stride, same, activation, quantization in [
            ("same", "float32", [2, 7, 6, 3], [3, 2], [2, 2], True, "None", []),
            ("valid relu6", "float32", [1, 6, 6, 2], [2, 3], [1, 2], False, "Relu6", []),
            ("same", "int8", [1, 7, 7, 5], [3, 3], [2, 2], True, "None", [0.05, 4]),
            ("whole", "int8", [1, 7, 7, 9], [7, 7], [1, 1], False, "None", [0.05, -12]),
            ("same relu", "uint8", [1, 6, 7, 5], [2, 2], [2, 2], True, "Relu", [0.05, 100]),
        ]:
            c.begin(f"{kind} pool {dtype} {name}")
            op = {"kind": f"{kind}Pool2d", "kernel": kernel, "activation": activation}
            op["window"] = window(image[1:3], kernel, stride, [1, 1], same)
            made = options("Pool2D", padding=padding(same), strideH=stride[0], strideW=stride[1], filterHeight=kernel[0],
                           filterWidth=kernel[1], fusedActivationFunction=ACTIVATIONS[activation])
            x = c.tensor(dtype, image, *quantization, low=-9, high=9)
            c.run(op, builtin, made, [x], out(dtype, *quantization))
    for name, dtype, shape, axes, keep, quantization, result in [
        ("spatial", "float32", [2, 4, 5, 3], [1, 2], False, [], []),
        ("inner kept", "float32", [3, 4, 5], [0, 2], True, [], []),
        ("spatial", "int8", [2, 7, 7, 6], [1, 2], False, [0.05, 4], [0.02, -3]),
        ("kept", "uint8", [3, 6, 5], [1], True, [0.05, 110], [0.03, 128]),
    ]:
        c.begin(f"Mean {dtype} {name}")
        c.run({"kind": "Mean", "axes": axes, "keep_dims": keep}, "MEAN", options("Reducer", keepDims=keep),
              [c.tensor(dtype, shape, *quantization)], out(dtype, *result), [constant("int32", axes)])


def moves(c):
    """Operators that only move elements."""
    before, after = [1, 0, 2], [0, 3, 1]
    pairs = constant("int32", list(zip(before, after)))
    pad = {"kind": "Pad", "before": before, "after": after}
    for dtype, quantization in [("float32", []), ("int8", [0.05, -7]), ("int32", []), ("int64", [])]:
        c.begin(f"Pad {dtype}")
        x = c.tensor(dtype, [2, 3, 2], *quantization, low=-9, high=9)
        c.run({**pad, "value": 0.0}, "PAD", options("Pad"), [x], out(dtype, *quantization), [pairs])
    c.begin("Pad float32 with 2.5")
    c.run({**pad, "value": 2.5}, "PADV2", options("PadV2"), [c.tensor("float32", [2, 3, 2])], out("float32"),
          [pairs, constant("float32", [2.5])])
    c.begin("Pad uint8 with 1")
    value = constant("uint8", [120])
    value.scales, value.zero_points = [float(np.float32(0.05))], [100]
    c.run({**pad, "value": 1.0}, "PADV2", options("PadV2"), [c.tensor("uint8", [2, 3, 2], 0.05, 100)],
          out("uint8", 0.05, 100), [pairs, value])
    c.begin("Reshape int8")
    c.run({"kind": "Reshape", "shape": [4, 6]}, "RESHAPE", options("Reshape", newShape=[4, 6]),
          [c.tensor("int8", [2, 3, 4], 0.05, 1)], out("int8", 0.05, 1), [constant("int32", [4, 6])])
    for dtype, shape, permutation in [("float32", [2, 3, 4, 5], [0, 3, 1, 2]), ("int8", [3, 4, 5], [2, 0, 1]),
                                      ("int32", [4, 6], [1, 0])]:
        c.begin(f"Transpose {dtype}")
        quantization = [0.05, 1] if dtype == "int8" else []
        c.run({"kind": "Transpose", "permutation": permutation}, "TRANSPOSE", options("Transpose"),
              [c.tensor(dtype, shape, *quantization, low=-9, high=9)], out(dtype, *quantization),
              [constant("int32", permutation)])
    for dtype, begin, step, size in [("float32", [1, 0, 2], [1, 1, 1], [2, 3, 2]), ("int8", [3, 2, 0], [-2, -1, 2], [2, 2, 2]),
                                     ("int64", [0, 1, 3], [3, 1, -3], [2, 1, 2])]:
        c.begin(f"Slice {dtype}")
        quantization = [0.05, 1] if dtype == "int8" else []
        ends = [b + n * s for b, n, s in zip(begin, size, step)]
        # An end of -1 would mean the last element; with its mask it means beyond the first.
        mask = sum(1 << axis for axis, end in enumerate(ends) if end < 0)
        c.run({"kind": "Slice", "begin": begin, "step": step, "size": size}, "STRIDED_SLICE",
              options("StridedSlice", endMask=mask), [c.tensor(dtype, [4, 3, 4], *quantization, low=-9, high=9)],
              out(dtype, *quantization), [constant("int32", values) for values in (begin, ends, step)])
    for name, dtype, shape, indices, axis, batch_dims in [
        ("first axis", "float32", [5, 3], [[4, 0], [2, 2]], 0, 0),
        ("middle axis", "int8", [2, 4, 3], [3, 1, 1], 1, 0),
        ("batches", "int32", [2, 3, 4], [[0, 3, 1], [2, 2, 0]], 2, 1),
    ]:
        c.begin(f"Gather {dtype} {name}")
        quantization = [0.05, 1] if dtype == "int8" else []
        picked = constant("int32", indices)
        c.run({"kind": "Gather", "axis": axis, "batch_dims": batch_dims}, "GATHER",
              options("Gather", axis=axis, batchDims=batch_dims),
              [c.tensor(dtype, shape, *quantization, low=-9, high=9), picked], out(dtype, *quantization))
    for name, dtype, axis, shapes, quantizations, result in [
        ("last axis", "float32", 3, [[1, 2, 3, 2], [1, 2, 3, 1], [1, 2, 3, 4]], [[]] * 3, []),
        ("first axis", "int32", 0, [[2, 3], [1, 3]], [[]] * 2, []),
        ("equal scales", "int8", 1, [[2, 3, 4], [2, 1, 4]], [[0.05, 3]] * 2, [0.05, 3]),
        ("other scales", "uint8", 2, [[2, 3, 4], [2, 3, 2]], [[0.05, 100], [0.02, 140]], [0.04, 120]),
    ]:
        c.begin(f"Concat {dtype} {name}")
        inputs = [c.tensor(dtype, shape, *q, low=-9, high=9) for shape, q in zip(shapes, quantizations)]
        c.run({"kind": "Concat", "axis": axis, "activation": "None"}, "CONCATENATION", options("Concatenation", axis=axis),
              inputs, out(dtype, *result))


def conversions(c):
    for source, target in [("float32", "int32"), ("int32", "float32"), ("int64", "int32"), ("int32", "int64"),
                           ("uint8", "float32"), ("float32", "uint8"), ("int8", "int32")]:
        c.begin(f"Cast {source} to {target}")
        x = c.tensor(source, [20], low=0 if target == "uint8" else -99, high=99)
        c.run({"kind": "Cast"}, "CAST", options("Cast", inDataType=DTYPES[source], outDataType=DTYPES[target]), [x],
              out(target))
    for source, quantization, target, result in [
        ("float32", [], "int8", [0.05, 3]), ("float32", [], "uint8", [0.05, 120]),
        ("int8", [0.05, 3], "int8", [0.03, -9]), ("uint8", [0.05, 120], "int8", [0.05, -8]),
        ("int8", [0.05, 3], "uint8", [0.07, 90]),
    ]:
        c.begin(f"Quantize {source} to {target}")
        x = c.tensor(source, [200], *quantization, low=-9, high=9)
        c.run({"kind": "Quantize"}, "QUANTIZE", options("Quantize"), [x], out(target, *result))
    for name, x in [
        ("int8", lambda: c.tensor("int8", [60], 0.05, 3)),
        ("uint8", lambda: c.tensor("uint8", [60], 0.05, 130)),
        ("int8 per channel", lambda: c.tensor("int8", [3, 4, 5], [0.1, 0.2, 0.3, 0.4], 0, axis=1, constant=True)),
        ("float16", lambda: c.tensor("float16", [60], constant=True)),
    ]:
        c.begin(f"Dequantize {name}")
        c.run({"kind": "Dequantize"}, "DEQUANTIZE", options("Dequantize"), [x()], out("float32"))


def images(c):
    """Softmax, resizing, arg max."""
    for dtype, beta, quantization, result in [
        ("float32", 1.0, [], []), ("float32", 0.5, [], []),
        ("int8", 1.0, [0.1, 7], [1 / 256, -128]), ("uint8", 1.0, [0.04, 7], [1 / 256, 0]),
        ("int8", 0.7, [0.2, 7], [1 / 256, -128]),
    ]:
        c.begin(f"Softmax {dtype} beta {beta}")
        x = c.tensor(dtype, [3, 17], *quantization, low=-9, high=9)
        c.run({"kind": "Softmax", "beta": float(np.float32(beta))}, "SOFTMAX", options("Softmax", beta=beta), [x],
              out(dtype, *result))
    modes = {"Asymmetric": {}, "AlignCorners": {"alignCorners": True}, "HalfPixel": {"halfPixelCenters": True}}
    for kind, builtin in (("Bilinear", "RESIZE_BILINEAR"), ("Nearest", "RESIZE_NEAREST_NEIGHBOR")):
        table = "ResizeBilinear" if kind == "Bilinear" else "ResizeNearestNeighbor"
        for mode, flags in modes.items():
            for dtype, quantization in (("float32", []), ("int8", [0.05, 3]), ("uint8", [0.05, 130])):
                for image, size in (([1, 4, 5, 2], [7, 8]), ([2, 7, 6, 1], [3, 5])):
                    c.begin(f"Resize {kind} {mode} {dtype} {image} to {size}")
                    c.run({"kind": f"Resize{kind}", "mode": mode, "size": size}, builtin, options(table, **flags),
                          [c.tensor(dtype, image, *quantization)], out(dtype, *quantization), [constant("int32", size)])
    for dtype, target, axis, quantization in [("float32", "int32", 1, []), ("int8", "int64", 2, [0.05, 3]),
                                              ("int32", "int32", 0, [])]:
        c.begin(f"ArgMax {dtype}")
        x = c.tensor(dtype, [3, 5, 4], *quantization, low=-9, high=9)
        c.run({"kind": "ArgMax", "axis": axis, "keep_dims": False}, "ARG_MAX",
              options("ArgMax", outputType=DTYPES[target]), [x], out(target), [constant("int32", axis)])


def main():
    cases = Cases()
    for make in (products, binaries, unaries, pools, moves, conversions, images):
        make(cases)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases.cases)
    print(f"[\n{lines}\n]")


if __name__ == "__main__":
    main()
