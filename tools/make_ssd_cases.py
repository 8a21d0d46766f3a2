"""Makes small models that end in TFLite_Detection_PostProcess, with what LiteRT answers, for
crates/import/tests/cases.rs.

    python3 -m venv venv && venv/bin/pip install ai-edge-litert==2.3.0 numpy==2.4.6
    venv/bin/python tools/make_ssd_cases.py crates/import/tests/data

The one input holds boxes and scores side by side, which two slices take apart; anchors are constant. Scores have few
values, so that equal ones occur.
"""

import os
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import flexbuffers

BOXES = 150


def model(options, scores, quantized):
    """The file's bytes. Tensors: input, slices' begins and sizes, boxes, scores, anchors, four outputs."""
    buffers, tensors = [tfl.BufferT()], []

    def tensor(name, kind, shape, values=None, scale=None):
        flat = tfl.TensorT()
        flat.name, flat.type, flat.shape = name, kind, shape
        if scale:
            flat.quantization = tfl.QuantizationParametersT()
            flat.quantization.scale, flat.quantization.zeroPoint = [scale[0]], [scale[1]]
        if values is not None:
            data = tfl.BufferT()
            data.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
            buffers.append(data)
            flat.buffer = len(buffers) - 1
        tensors.append(flat)
        return len(tensors) - 1

    kind, scale = (tfl.TensorType.UINT8, (0.02, 100)) if quantized else (tfl.TensorType.FLOAT32, None)
    steps = np.linspace(0.05, 0.95, 10)
    corners = [(y, x, 0.2, 0.3) for y in steps for x in steps[:5]] * 3
    anchors = np.array(corners, dtype=np.float32)[:BOXES]
    x = tensor("x", kind, [1, BOXES, 4 + scores], scale=scale)
    begins = [np.array([0, 0, begin], dtype=np.int32) for begin in (0, 4)]
    sizes = [np.array([1, BOXES, size], dtype=np.int32) for size in (4, scores)]
    begins = [tensor(f"begin{i}", tfl.TensorType.INT32, [3], begin) for i, begin in enumerate(begins)]
    sizes = [tensor(f"size{i}", tfl.TensorType.INT32, [3], size) for i, size in enumerate(sizes)]
    parts = [tensor(f"part{i}", kind, [1, BOXES, n], scale=scale) for i, n in enumerate((4, scores))]
    if quantized:  # LiteRT takes anchors of the boxes' own type
        anchors = tensor("anchors", kind, [BOXES, 4], np.round(anchors / 0.005).astype(np.uint8), (0.005, 0))
    else:
        anchors = tensor("anchors", kind, [BOXES, 4], anchors)
    most = options["max_detections"]
    shapes = [[1, most, 4], [1, most], [1, most], [1]]
    outputs = [tensor(f"out{i}", tfl.TensorType.FLOAT32, shape) for i, shape in enumerate(shapes)]

    operators = []
    for begin, size, part in zip(begins, sizes, parts):
        operator = tfl.OperatorT()
        operator.inputs, operator.outputs = [x, begin, size], [part]
        operator.builtinOptionsType, operator.builtinOptions = tfl.BuiltinOptions.SliceOptions, tfl.SliceOptionsT()
        operators.append(operator)
    operator = tfl.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 1, [*parts, anchors], outputs
    operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), dtype=np.uint8)
    operators.append(operator)

    codes = [tfl.OperatorCodeT(), tfl.OperatorCodeT()]
    for code, builtin in zip(codes, (tfl.BuiltinOperator.SLICE, tfl.BuiltinOperator.CUSTOM)):
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
    codes[1].customCode = "TFLite_Detection_PostProcess"
    graph = tfl.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [x], outputs
    whole = tfl.ModelT()
    whole.version, whole.subgraphs, whole.operatorCodes, whole.buffers = 3, [graph], codes, buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def case(folder, name, scores, classes, quantized=False, **more):
    options = {
        "max_detections": 10, "max_classes_per_detection": 1, "detections_per_class": 100, "use_regular_nms": False,
        "nms_score_threshold": 0.3, "nms_iou_threshold": 0.5, "num_classes": classes,
        "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0, **more,
    }
    content = model(options, scores, quantized)
    random = np.random.default_rng(len(name) * 1000 + scores)
    boxes = random.normal(0, 1.5, (1, BOXES, 4))
    x = np.concatenate([boxes, random.integers(0, 50, (1, BOXES, scores)) / 50], 2).astype(np.float32)
    if quantized:
        x = np.clip(np.round(x / 0.02) + 100, 0, 255).astype(np.uint8)
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    parts = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    found = int(parts[3][0])
    for part in parts[:3]:
        part[:, found:] = 0  # LiteRT leaves there what was there before
    print(f"{name}: {found} found")
    with open(os.path.join(folder, f"{name}.tflite"), "wb") as file:
        file.write(content)
    np.save(os.path.join(folder, f"{name}.in.npy"), x)
    np.save(os.path.join(folder, f"{name}.out.npy"), np.concatenate([part.flatten() for part in parts]))


if __name__ == "__main__":
    folder = sys.argv[1]
    case(folder, "ssd_best-float32", scores=4, classes=3)
    case(folder, "ssd_best_few-float32", scores=3, classes=3, nms_iou_threshold=0.05, max_detections=60)
    case(folder, "ssd_best-uint8", scores=4, classes=3, quantized=True)
    case(folder, "ssd_each-float32", scores=4, classes=3, use_regular_nms=True, max_detections=25)
    case(folder, "ssd_each_few-float32", scores=6, classes=5, use_regular_nms=True, max_detections=40,
         detections_per_class=3, nms_score_threshold=0.0)
