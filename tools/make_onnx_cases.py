#!/usr/bin/env python3
"""Makes small ONNX models of the operators that Kinglet reads, with what ONNX Runtime answers.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2 onnxruntime==1.32.0
    venv/bin/python tools/make_onnx_cases.py crates/import/tests/data

Each group of operators becomes a model of one input with an output for each of them. For the model NAME.onnx, NAME.in.npy holds an
input and NAME.out.npy the elements of all outputs, one after another. `crates/import/tests/cases.rs` compares, and the tests of
hostile files mutate the models. The `onnx` package's own tests of single operators are run by `tools/onnx-node-tests`.
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
        self.nodes, self.constants, self.outputs = [], [], []
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


GROUPS = {
    "onnx-convolution": (convolution, 17),
    "onnx-pooling": (pooling, 19),
    "onnx-normalization": (normalization, 17),
    "onnx-matrix": (matrix, 13),
    "onnx-resize": (resize, 18),
    "onnx-shapes": (shapes, 13),
    "onnx-quantized": (quantized, 13),
}


def main(folder):
    for name, (build, opset) in GROUPS.items():
        graph = Graph()
        build(graph)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])
        outputs = [helper.make_empty_tensor_value_info(output) for output in graph.outputs]
        model = helper.make_model(
            helper.make_graph(graph.nodes, name, [x], outputs, graph.constants),
            opset_imports=[helper.make_opsetid("", opset)],
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
