"""Makes crates/cli/tests/data/*.onnx: the smallest models of each task that see something, red and blue areas.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2
    venv/bin/python tools/make_color_models.py crates/cli/tests/data

`colors_detect.onnx` has the outputs of YOLOv8 for an input of 64 × 64: on grids of 8, 16 and 32 pixels, a cell's scores
are how red and how blue it is on average, its box is itself. `colors_segment.onnx` gives a score for gray, red and blue
of each cell of 4 pixels. Both have the metadata that Ultralytics writes.
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
# How red and how blue a pixel of [0, 1] is: −6 for gray, 6 for the color itself.
COLORS = np.array([[12, -6, -6], [-6, -6, 12]], dtype=np.float32)


def save(path, nodes, constants, output, metadata):
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    result = helper.make_tensor_value_info("output0", TensorProto.FLOAT, output)
    constants = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "colors", [picture], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def detect(path):
    constants = {
        "weights": COLORS[:, :, None, None],
        "bias": np.array([-6, -6], dtype=np.float32),
        "flat": np.array([1, 2, -1], dtype=np.int64),
    }
    nodes, boxes = [], []
    for stride in (8, 16, 32):
        cells = SIDE // stride
        window = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes += [
            helper.make_node("AveragePool", ["images"], [f"mean{stride}"], **window),
            helper.make_node("Conv", [f"mean{stride}", "weights", "bias"], [f"color{stride}"]),
            helper.make_node("Reshape", [f"color{stride}", "flat"], [f"cells{stride}"]),
        ]
        centres = (np.arange(cells, dtype=np.float32) + 0.5) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        size = np.full(cells * cells, stride, dtype=np.float32)
        boxes.append(np.stack([x.flatten(), y.flatten(), size, size]))
    constants["boxes"] = np.concatenate(boxes, 1)[None]
    nodes += [
        helper.make_node("Concat", ["cells8", "cells16", "cells32"], ["colors"], axis=2),
        helper.make_node("Sigmoid", ["colors"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    metadata = {"names": "{0: 'red', 1: 'blue'}", "task": "detect", "stride": "32", "imgsz": f"[{SIDE}, {SIDE}]"}
    save(path, nodes, constants, [1, 6, sum((SIDE // stride) ** 2 for stride in (8, 16, 32))], metadata)


def segment(path):
    constants = {
        "weights": np.concatenate([np.zeros((1, 3), dtype=np.float32), COLORS])[:, :, None, None],
        "bias": np.array([0, -6, -6], dtype=np.float32),
    }
    # The range that PyTorch's models take is undone first.
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    constants["scale"] = np.array(std, dtype=np.float32).reshape(1, 3, 1, 1)
    constants["shift"] = np.array(mean, dtype=np.float32).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node("Mul", ["images", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["plain"]),
        helper.make_node("AveragePool", ["plain"], ["mean"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["mean", "weights", "bias"], ["output0"]),
    ]
    save(path, nodes, constants, [1, 3, SIDE // 4, SIDE // 4], {"names": "{0: 'background', 1: 'red', 2: 'blue'}"})


if __name__ == "__main__":
    folder = sys.argv[1]
    detect(os.path.join(folder, "colors_detect.onnx"))
    segment(os.path.join(folder, "colors_segment.onnx"))
