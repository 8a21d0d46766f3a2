#!/usr/bin/env python3
"""Quantizes networks as people do and compares Kinglet's answers with ONNX Runtime's.

    python3 -m venv venv && venv/bin/pip install torch torchvision onnx onnxscript onnxruntime pillow
    cargo build --release -p kinglet-cli
    venv/bin/python tools/compare_quantized.py [OPTIONS] PHOTOGRAPHS [FLOAT.onnx ...]

Each float model is quantized by ONNX Runtime in its many forms: operators on integers (QOperator) or between
QuantizeLinear and DequantizeLinear (QDQ), signed and unsigned bytes, symmetric or not, a scale a channel or a tensor,
and dynamically. PyTorch quantizes one of torchvision's networks (FX), and a small network has the forms of TensorFlow's
exports: images channels last between transposes, Relu6 as Clip or as Min and Max, Pad before a strided convolution.

A row says for one model: in how many of the photographs the first answers agree, how far an output is from ONNX
Runtime's at most, as a part of the largest one, and which operators Kinglet computes on floats. ONNX Runtime's
optimizations are off where it would saturate sums of 16 bits on a CPU without VNNI. Exits with 1 where a model cannot
be run.
"""

import argparse
import itertools
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings
from collections import Counter

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

KINGLET = pathlib.Path(__file__).parent.parent / "target" / "release" / "kinglet"
# What moves or converts numbers and computes none.
MOVES = {"Quantize", "Dequantize", "Transpose", "Reshape", "Cast", "Softmax", "Concat", "Slice"}


class Photographs(CalibrationDataReader):
    def __init__(self, name, images):
        self.name, self.images = name, iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {self.name: image}


def photograph(path):
    """As networks of torchvision take it: 1x3x224x224."""
    image = Image.open(path).convert("RGB").resize((256, 256)).crop((16, 16, 240, 240))
    image = (numpy.asarray(image, numpy.float32) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return numpy.ascontiguousarray(image.astype(numpy.float32).transpose(2, 0, 1)[None])


def by_onnxruntime(path, images, folder):
    """The forms of ONNX Runtime's quantizer."""
    prepared = folder / f"{path.stem}.prepared.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    name = onnx.load(path).graph.input[0].name
    signs = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    for form in (QuantFormat.QOperator, QuantFormat.QDQ):
        for activations, weights in (("u8", "u8"), ("u8", "s8"), ("s8", "s8")):
            for channels in (False, True):
                for symmetric in (False, True):
                    extra = {"ActivationSymmetric": symmetric, "WeightSymmetric": symmetric or weights == "s8"}
                    kind = [form.name, activations + weights]
                    kind += ["channels"] * channels + ["symmetric"] * symmetric
                    made = folder / f"{path.stem}.{'.'.join(kind)}.onnx"
                    yield made, lambda: quantize_static(
                        str(prepared), str(made), Photographs(name, images), quant_format=form, per_channel=channels,
                        activation_type=signs[activations], weight_type=signs[weights], extra_options=extra,
                    )
    for weights in ("u8", "s8"):
        for channels in (False, True):
            made = folder / f"{path.stem}.dynamic.{weights}{'.channels' * channels}.onnx"
            yield made, lambda: quantize_dynamic(
                str(prepared), str(made), weight_type=signs[weights], per_channel=channels
            )


def by_pytorch(network, images, folder):
    """A network of torchvision's with its fake quantization, which PyTorch exports as pairs of conversions."""
    import torch
    import torchvision
    from torch.ao.quantization import disable_observer, get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    for backend in ("qnnpack", "x86"):
        made = folder / f"{network}.torch.{backend}.onnx"

        def quantize():
            torch.manual_seed(0)
            example = (torch.from_numpy(images[0]),)
            model = getattr(torchvision.models, network)(weights=None).train()
            model = prepare_qat_fx(model, get_default_qat_qconfig_mapping(backend, 0), example).eval()
            for image in images:
                model(torch.from_numpy(image))
            model.apply(disable_observer)
            names = {"input_names": ["input"], "output_names": ["output"]}
            torch.onnx.export(model, example, str(made), opset_version=17, dynamo=False, **names)

        yield made, quantize


def tensorflow_form(clip, folder):
    """A small network as converters from TensorFlow write one, images channels last; its weights are random."""
    random = numpy.random.default_rng(3)
    nodes, constants = [], []

    def constant(values):
        constants.append(numpy_helper.from_array(numpy.asarray(values), f"c{len(constants)}"))
        return constants[-1].name

    def add(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, list(inputs), [f"{kind.lower()}{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def relu6(x):
        zero, six = constant(numpy.float32(0)), constant(numpy.float32(6))
        return add("Clip", x, zero, six) if clip else add("Min", add("Max", x, zero), six)

    def convolution(x, inputs, outputs, size, group=1, activation=relu6, **attributes):
        weights = random.normal(0, (2 / (inputs // group * size * size)) ** 0.5, (outputs, inputs // group, size, size))
        bias = random.normal(0, 0.1, outputs)
        x = add("Transpose", x, perm=[0, 3, 1, 2])
        x = add("Conv", x, constant(weights.astype(numpy.float32)), group=group, **attributes)
        x = add("Transpose", x, perm=[0, 2, 3, 1])
        return activation(add("Add", x, constant(bias.astype(numpy.float32))))

    x = add("Transpose", "input", perm=[0, 2, 3, 1])
    x = add("Pad", x, constant(numpy.array([0, 0, 0, 0, 0, 1, 1, 0])))
    x = convolution(x, 3, 16, 3, strides=[2, 2])
    x = convolution(x, 16, 16, 3, group=16, auto_pad="SAME_UPPER")
    block = convolution(x, 16, 24, 1, activation=lambda x: x)
    x = convolution(block, 24, 96, 1)
    x = convolution(x, 96, 96, 3, group=96, pads=[1, 1, 1, 1])
    x = add("Add", convolution(x, 96, 24, 1, activation=lambda x: x), block)
    x = convolution(x, 24, 96, 1)
    x = add("Pad", x, constant(numpy.array([0, 0, 0, 0, 0, 1, 1, 0])))
    x = convolution(x, 96, 96, 3, group=96, strides=[2, 2])
    x = convolution(x, 96, 24, 1, activation=lambda x: x)
    x = convolution(x, 24, 64, 1)
    x = add("ReduceMean", x, axes=[1, 2], keepdims=0)
    x = add("Add", add("MatMul", x, constant(random.normal(0, 0.3, (64, 20)).astype(numpy.float32))),
            constant(random.normal(0, 0.1, 20).astype(numpy.float32)))
    add("Softmax", x, axis=-1)
    nodes[-1].output[0] = "output"
    given = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])]
    wanted = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 20])]
    graph = helper.make_graph(nodes, "tensorflow", given, wanted, constants)
    path = folder / f"tensorflow.{'clip' if clip else 'min_max'}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def answers(path, image, folder, sessions={}):
    """What Kinglet and ONNX Runtime answer."""
    if sessions.get("path") != path:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        sessions.update(path=path, session=onnxruntime.InferenceSession(str(path), options))
    session = sessions["session"]
    expected = session.run(None, {session.get_inputs()[0].name: image})[0]
    given, made = folder / "input.npy", folder / "output.npy"
    numpy.save(given, image)
    command = [KINGLET, "run", path, "--input", given, "--output", made]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return numpy.load(made), expected


def on_floats(path):
    """The operators that Kinglet computes on floats, counted."""
    command = [KINGLET, "inspect", path, "--json"]
    nodes = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["nodes"]
    floats = (node["op"] for node in nodes if node["output"]["dtype"] == "float32")
    return dict(Counter(operator for operator in floats if operator not in MOVES))


def compare(path, images, folder):
    """A row of the table."""
    agree, furthest = 0, 0.0
    for image in images:
        ours, expected = answers(path, image, folder)
        agree += int(ours.argmax() == expected.argmax())
        furthest = max(furthest, float(numpy.abs(ours - expected).max() / numpy.abs(expected).max()))
    floats = ", ".join(f"{count} {operator}" for operator, count in on_floats(path).items())
    print(f"{path.stem:64} {agree}/{len(images)}  {furthest:.2e}  {floats or 'none'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs_folder", type=pathlib.Path, metavar="PHOTOGRAPHS")
    parser.add_argument("models", type=pathlib.Path, nargs="*", metavar="FLOAT.onnx")
    parser.add_argument("--photographs", type=int, default=8, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the models whose name has this text in it")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="a folder for the models, made if need be")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    paths = sorted(arguments.photographs_folder.glob("*.jpg"))
    step = max(1, len(paths) // arguments.photographs)
    images = [photograph(path) for path in paths[::step][: arguments.photographs]]
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        floats = arguments.models + [tensorflow_form(clip, folder) for clip in (True, False)]
        # One after another: each is made from what the loop over the forms stands at.
        forms = [by_onnxruntime(path, images, folder) for path in floats] + [by_pytorch("resnet18", images, folder)]
        for path, quantize in itertools.chain.from_iterable(forms):
            if arguments.only not in path.name:
                continue
            try:
                if not path.exists():
                    quantize()
                compare(path, images, folder)
            except subprocess.CalledProcessError as error:
                print(f"{path.stem:64} {error.stderr.strip()}", flush=True)
                failures += 1
            except Exception as error:  # The quantizer or ONNX Runtime cannot.
                print(f"{path.stem:64} not made: {str(error).splitlines()[0][:200]}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
