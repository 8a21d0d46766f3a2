#!/usr/bin/env python3
"""Exports torchvision's networks to ONNX and compares Kinglet's outputs with ONNX Runtime's.

    python3 -m venv venv && venv/bin/pip install torch torchvision onnx onnxscript onnxruntime
    cargo build --release -p kinglet-cli
    venv/bin/python tools/compare_torchvision.py [NETWORK ...]

The networks are the eleven of PyTorch's table for the Raspberry Pi, with seeded random weights and statistics: what
matters is that the same numbers come out, not what they mean. Each is exported by both of PyTorch's exporters, and for
several versions of ONNX's operators. Prints a row an export: the furthest that an output is from ONNX Runtime's, as a
part of the largest output. Exits with 1 if one is further than 1e-4.
"""

import logging
import os
import subprocess
import sys
import tempfile
import warnings

import numpy
import onnxruntime
import torch
import torchvision

NETWORKS = [
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet18",
    "resnet50",
    "resnext101_32x8d",
    "inception_v3",
    "googlenet",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
]
# (whether by the newer exporter, version of the operators). The newer one starts at 18.
EXPORTS = [(False, 9), (False, 11), (False, 13), (False, 17), (True, 18), (True, 20)]
FURTHEST = 1e-4
KINGLET = os.path.join(os.path.dirname(__file__), "..", "target", "release", "kinglet")


def network(name):
    """A network that gives one output, as it is when it is not trained."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    if options:
        options["aux_logits"] = True
    model = getattr(torchvision.models, name)(weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Statistics that a batch norm must use, and that keep activations in range.
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def export(model, image, newer, version, path):
    options = {"dynamo": True, "external_data": version == 20} if newer else {"dynamo": False}
    torch.onnx.export(
        model, (image,), path, input_names=["input"], output_names=["output"], opset_version=version, verbose=False, **options
    )


def kinglet(path, image, folder):
    given, made = os.path.join(folder, "input.npy"), os.path.join(folder, "output.npy")
    numpy.save(given, image)
    subprocess.run([KINGLET, "run", path, "--input", given, "--output", made], check=True, stdout=subprocess.DEVNULL)
    return numpy.load(made)


def main(names):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    failed = 0
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, onnxruntime {onnxruntime.__version__}")
    for name in names:
        model = network(name)
        size = 299 if name == "inception_v3" else 224
        image = torch.rand(1, 3, size, size)
        for newer, version in EXPORTS:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, f"{name}.onnx")
                row = f"{name:20} {'dynamo' if newer else 'script'} opset {version:2}"
                try:
                    export(model, image, newer, version, path)
                except Exception as error:  # PyTorch's own limits are no matter of this comparison.
                    print(f"{row}  not exported: {str(error).splitlines()[0][:90]}", flush=True)
                    continue
                session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                (expected,) = session.run(None, {"input": image.numpy()})
                try:
                    found = kinglet(path, image.numpy(), folder)
                    distance = float(numpy.abs(found - expected).max() / numpy.abs(expected).max())
                except subprocess.CalledProcessError:
                    distance = float("inf")
                failed += not distance <= FURTHEST
                print(f"{row}  {distance:.1e}{'' if distance <= FURTHEST else '  TOO FAR'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or NETWORKS))
