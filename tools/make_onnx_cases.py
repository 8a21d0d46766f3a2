#!/usr/bin/env python3
"""Makes small ONNX models of the operators that Kinglet reads, with what ONNX Runtime answers.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2 onnxruntime==1.32.0
    venv/bin/python tools/make_onnx_cases.py crates/import/tests/data

Each group of operators becomes a model of one input with an output for each of them. For the model NAME.onnx,
NAME.in.npy holds an input and NAME.out.npy the elements of all outputs, one after another.
`crates/import/tests/cases.rs` compares, and the tests of hostile files mutate the models. The `onnx` package's own
tests of single operators are run by `tools/onnx-node-tests`.
"""

import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and constants of a model that is being written."""

    def __init__(self):
        self.nodes, self.constants, self.outputs, self.functions = [], [], [], []
        self.random = np.random.default_rng(7)

    def constant(self, values, typed=False):
        name = f"c{len(self.constants)}"
        values = np.asarray(values)
        tensor = numpy_helper.from_array(values, name)
        if typed:  # In the field of its type instead of raw bytes.
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            tensor = helper.make_tensor(name, kind, values.shape, values.flatten().tolist())
        self.constants.append(tensor)
        return name

    def weights(self, *shape, typed=False):
        return self.constant(self.random.normal(0, 0.5, shape).astype(np.float32), typed)

    def add(self, kind, inputs, count=1, **attributes):
        outputs = [f"{kind.lower()}{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0] if count == 1 else outputs

    def give(self, kind, inputs, **attributes):
        self.outputs.append(self.add(kind, inputs, **attributes))


def convolution(g):
    x = g.weights  # Shorter below.
    g.give("Conv", ["x", x(6, 4, 3, 3), x(6)], pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])
    g.give("Conv", ["x", x(4, 1, 3, 3, typed=True)], group=4, auto_pad="SAME_UPPER", strides=[2, 2])
    g.give("Conv", ["x", x(8, 2, 1, 1), x(8)], group=2)
    g.give("ConvTranspose", ["x", x(4, 3, 3, 3), x(3)], strides=[2, 2], pads=[1, 1, 0, 0], output_padding=[1, 0])
    g.give("ConvTranspose", ["x", x(4, 2, 2, 3)], group=2, strides=[2, 3], output_shape=[12, 18])
    line = g.add("Reshape", ["x", g.constant(np.array([0, 0, -1]))])
    g.give("Conv", [line, x(5, 4, 4), x(5)], pads=[2, 1])
    volume = g.add("Reshape", ["x", g.constant(np.array([0, 2, 2, 6, -1]))])
    g.give("Conv", [volume, x(3, 2, 2, 3, 3), x(3)], pads=[1, 1, 1, 0, 1, 1])


def pooling(g):
    g.give("AveragePool", ["x"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1)
    g.give("AveragePool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    g.give("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    g.give("MaxPool", ["x"], kernel_shape=[2, 2], dilations=[2, 2], ceil_mode=1, strides=[2, 1])
    g.outputs.extend(g.add("MaxPool", ["x"], 2, kernel_shape=[2, 2], strides=[2, 2]))
    g.give("GlobalAveragePool", ["x"])
    g.give("GlobalMaxPool", ["x"])


def normalization(g):
    positive = g.constant(np.array([0.5, 1.0, 1.5, 2.0], np.float32))
    g.give("BatchNormalization", ["x", g.weights(4), g.weights(4), g.weights(4), positive])
    g.give("InstanceNormalization", ["x", g.weights(4), g.weights(4)], epsilon=0.01)
    g.give("LayerNormalization", ["x", g.weights(6), g.weights(6)], axis=-1)
    g.give("Softmax", ["x"], axis=1)


def matrix(g):
    rows = g.add("Flatten", ["x"], axis=2)
    g.give("Gemm", [rows, g.weights(36, 5), g.weights(5)], alpha=0.5)
    g.give("Gemm", [rows, g.weights(5, 36), g.weights(4, 5)], transB=1, beta=2.0)
    g.give("MatMul", ["x", g.weights(6, 3)])
    g.give("MatMul", ["x", g.add("Transpose", ["x"], perm=[0, 1, 3, 2])])
    g.give("MatMul", [g.weights(6), "x"])


def resize(g):
    none = ""
    twice = g.constant(np.array([1, 1, 2, 2], np.float32))
    uneven = g.constant(np.array([1, 1, 0.6, 1.7], np.float32))
    sizes = g.constant(np.array([1, 4, 9, 4]))
    g.give("Resize", ["x", none, twice], coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    g.give("Resize", ["x", none, uneven], mode="linear")
    g.give("Resize", ["x", none, none, sizes], mode="linear", coordinate_transformation_mode="align_corners")
    g.give("Resize", ["x", none, twice], mode="cubic")
    g.give("Resize", ["x", none, none, sizes], mode="linear", antialias=1)


def shapes(g):
    """What exporters write around a reshape: it must vanish while the model is read."""
    shape = g.add("Shape", ["x"])
    batch = g.add("Gather", [shape, g.constant(np.array(0))])
    batch = g.add("Unsqueeze", [batch, g.constant(np.array([0]))])
    wanted = g.add("Concat", [batch, g.constant(np.array([-1]))], axis=0)
    flat = g.add("Reshape", ["x", wanted])
    g.give("Relu", [flat])
    g.give("Squeeze", [g.add("Concat", [flat, flat], axis=1), g.constant(np.array([0]))])


def quantized(g):
    """A convolution as quantizers write it: between conversions, and as one operator."""
    scale, zero = g.constant(np.array(0.02, np.float32)), g.constant(np.array(3, np.int8))
    q = g.add("QuantizeLinear", ["x", scale, zero])
    real = g.add("DequantizeLinear", [q, scale, zero])
    integers = g.constant(g.random.integers(-127, 128, (5, 4, 3, 3)).astype(np.int8))
    scales = g.constant(np.array([0.01, 0.02, 0.005, 0.01, 0.03], np.float32))
    zeros = g.constant(np.zeros(5, np.int8))
    weights = g.add("DequantizeLinear", [integers, scales, zeros], axis=0)
    bias = g.constant(g.random.integers(-500, 500, 5).astype(np.int32))
    y_scale, y_zero = g.constant(np.array(0.1, np.float32)), g.constant(np.array(-4, np.int8))
    conv = g.add("Conv", [real, weights], pads=[1, 1, 1, 1])
    g.outputs.append(g.add("QuantizeLinear", [conv, y_scale, y_zero]))
    g.give("QLinearConv", [q, scale, zero, integers, scales, zeros, y_scale, y_zero, bias], pads=[1, 1, 1, 1])
    g.give("MatMulInteger", [q, g.constant(g.random.integers(-127, 128, (6, 2)).astype(np.int8)), zero])


def q_operators(g):
    """The operators on integers that ONNX Runtime's quantizer writes."""
    bytes_of = {np.int8: g.random.integers(-127, 128, (9, 6, 6)), np.uint8: g.random.integers(0, 256, (9, 6, 6))}
    for kind, zero_point in ((np.int8, -5), (np.uint8, 120)):

        def parameters(scale, zero_point):
            return [g.constant(np.array(scale, np.float32)), g.constant(np.array(zero_point, kind))]

        def give(operator, inputs, **attributes):
            g.give(operator, inputs, domain="com.microsoft", **attributes)

        own, other = parameters(0.02, zero_point), parameters(0.05, zero_point + 7)
        x = [g.add("QuantizeLinear", ["x", *own]), *own]
        constant = [g.constant(bytes_of[kind][None, :4].astype(kind)), *other]
        give("QLinearAdd", [*x, *constant, *parameters(0.06, zero_point)])
        give("QLinearMul", [*x, *constant, *parameters(0.04, zero_point)])
        give("QLinearConcat", [*parameters(0.05, zero_point), *x, *constant], axis=1)
        give("QLinearLeakyRelu", [*x, *other], alpha=0.2)
        give("QLinearSigmoid", [*x, *parameters(1 / 256, 0 if kind == np.uint8 else -128)])
        give("QLinearSoftmax", [*x, *parameters(1 / 256, 0 if kind == np.uint8 else -128)], axis=1, opset=13)
        give("QLinearAveragePool", [*x, *other], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        give("QLinearGlobalAveragePool", [*x, *parameters(0.01, zero_point)])
        rows = [g.add("Flatten", [x[0]], axis=2), *own]
        weights = [g.constant(g.random.integers(-127, 128, (5, 36)).astype(np.int8))]
        weights += [g.constant(np.linspace(0.01, 0.03, 5, dtype=np.float32)), g.constant(np.zeros(5, np.int8))]
        bias = g.constant(g.random.integers(-900, 900, 5).astype(np.int32))
        give("QGemm", [*rows, *weights, bias, *parameters(0.2, zero_point)], transB=1, alpha=1.0)
        zero = g.constant(np.array(zero_point, kind))
        filters = g.constant(g.random.integers(0, 256, (3, 4, 3, 3)).astype(np.uint8))
        g.give("ConvInteger", [x[0], filters, zero, g.constant(np.array(117, np.uint8))], pads=[1, 1, 1, 1])
        columns = g.constant(g.random.integers(-127, 128, (6, 5)).astype(np.int8))
        g.give("MatMulInteger", [x[0], columns, zero, g.constant(np.arange(-2, 3).astype(np.int8))])


def tensorflow(g):
    """As converters from TensorFlow write: channels last between transposes, ReLU6 as Max and Min, padding before."""
    scale, zero = g.constant(np.array(0.02, np.float32)), g.constant(np.array(131, np.uint8))
    q = g.add("QuantizeLinear", ["x", scale, zero])
    x = g.add("Transpose", [g.add("DequantizeLinear", [q, scale, zero])], perm=[0, 2, 3, 1])
    x = g.add("Pad", [x, g.constant(np.array([0, 0, 0, 0, 0, 1, 1, 0]))])
    x = g.add("Transpose", [x], perm=[0, 3, 1, 2])
    weights = g.constant(g.random.integers(0, 256, (5, 4, 3, 3)).astype(np.uint8))
    own = [g.constant(np.array(0.01, np.float32)), g.constant(np.array(126, np.uint8))]
    x = g.add("Conv", [x, g.add("DequantizeLinear", [weights, *own])], strides=[2, 2])
    x = g.add("Transpose", [x], perm=[0, 2, 3, 1])
    x = g.add("Max", [x, g.constant(np.float32(0))])
    x = g.add("Min", [g.constant(np.float32(6)), x])
    six = [g.constant(np.array(6 / 255, np.float32)), g.constant(np.array(0, np.uint8))]
    g.give("QuantizeLinear", [x, *six])


def functions(g):
    """Functions of the model's own, one of which calls another, with an attribute that is handed on."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    scaled = helper.make_node("Constant", [], ["factor"])
    scaled.attribute.append(onnx.AttributeProto(name="value_float", ref_attr_name="by", type=onnx.AttributeProto.FLOAT))
    scale = [scaled, helper.make_node("Mul", ["a", "factor"], ["b"])]
    inner = helper.make_node("Scale", ["n"], ["s"], domain="own")
    inner.attribute.append(onnx.AttributeProto(name="by", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT))
    block = [helper.make_node("Relu", ["x"], ["n"]), inner, helper.make_node("Add", ["s", "x"], ["y"])]
    g.functions.append(helper.make_function("own", "Scale", ["a"], ["b"], scale, opsets, ["by"]))
    g.functions.append(helper.make_function("own", "Block", ["x"], ["y"], block, opsets, ["factor"]))
    g.give("Block", [g.add("Block", ["x"], domain="own", factor=0.5)], domain="own", factor=-2.0)


GROUPS = {
    "onnx-convolution": (convolution, 17),
    "onnx-pooling": (pooling, 19),
    "onnx-normalization": (normalization, 17),
    "onnx-matrix": (matrix, 13),
    "onnx-resize": (resize, 18),
    "onnx-shapes": (shapes, 13),
    "onnx-quantized": (quantized, 13),
    "onnx-q-operators": (q_operators, 13),
    "onnx-tensorflow": (tensorflow, 13),
    "onnx-functions": (functions, 17),
}


def main(folder):
    for name, (build, opset) in GROUPS.items():
        graph = Graph()
        build(graph)
        domains = [""] + sorted({node.domain for node in graph.nodes} - {""})
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])
        outputs = [helper.make_empty_tensor_value_info(output) for output in graph.outputs]
        model = helper.make_model(
            helper.make_graph(graph.nodes, name, [x], outputs, graph.constants),
            opset_imports=[helper.make_opsetid(domain, opset if domain == "" else 1) for domain in domains],
            functions=graph.functions,
            ir_version=8,
            producer_name="tools/make_onnx_cases.py",
        )
        model = onnx.shape_inference.infer_shapes(model)
        path = os.path.join(folder, name)
        onnx.save(model, f"{path}.onnx")
        image = np.random.default_rng(11).normal(0, 1, (1, 4, 6, 6)).astype(np.float32)
        session = onnxruntime.InferenceSession(f"{path}.onnx", providers=["CPUExecutionProvider"])
        answers = session.run(None, {"x": image})
        np.save(f"{path}.in.npy", image)
        np.save(f"{path}.out.npy", np.concatenate([answer.flatten().astype(np.float32) for answer in answers]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
