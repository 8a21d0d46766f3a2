#!/usr/bin/env python3
r"""Writes ResNet-18 and ResNet-50 as ONNX files, float and int8, into a folder.

    python3 -m venv venv && venv/bin/pip install torch torchvision onnx onnxscript onnxruntime
    venv/bin/python benchmarks/networks.py FOLDER
    benchmarks/measure.py rivals --model "resnet18 float=FOLDER/resnet18.onnx" \
        --model "resnet18 int8=FOLDER/resnet18.int8.onnx"

The networks are torchvision's, with seeded random weights: what an inference takes does not depend on them. int8 is ONNX
Runtime's static quantization: Q/DQ pairs, uint8 activations, int8 weights for each channel.
"""

import pathlib
import sys

import numpy
import torch
import torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SHAPE = (1, 3, 224, 224)


class Noise(CalibrationDataReader):
    """Two images."""

    def __init__(self):
        random = numpy.random.default_rng(1)
        self.images = iter([random.standard_normal(SHAPE).astype(numpy.float32) for _ in range(2)])

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"input": image}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("resnet18", "resnet50"):
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(weights=None).eval()
        exported, quantized = folder / f"{name}.onnx", folder / f"{name}.int8.onnx"
        names = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(model, (torch.zeros(SHAPE),), exported, opset_version=17, dynamo=False, **names)
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(exported, quantized, Noise(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
        print(exported, quantized, sep="\n")


if __name__ == "__main__":
    main()
