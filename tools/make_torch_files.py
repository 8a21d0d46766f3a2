"""Makes crates/import/tests/data/torch: checkpoints of one small network that has a layer of each kind, in each of
PyTorch's ways to save them, and what PyTorch answers.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch safetensors numpy
    /tmp/torch/bin/python tools/make_torch_files.py crates/import/tests/data/torch
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.depthwise, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.row = nn.Conv2d(8, 8, (1, 5), padding=(0, 2), bias=False)
        self.fc1, self.fc2 = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = F.hardswish(self.bn1(self.conv1(x)))
        x = F.silu(self.bn2(self.depthwise(x)))
        x = F.relu6(self.grouped(x)) + self.row(x)
        x = x * F.hardsigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
        averages = F.avg_pool2d(x, 3, 1, 1)
        x = torch.cat([F.max_pool2d(image, 3, 2, ceil_mode=True) for image in [averages, x]], 1)
        x = F.channel_shuffle(x, 2)[:, 4:12]
        x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        return self.linear(torch.sigmoid(x.mean((2, 3))))


class Command:
    """An object whose pickle runs a command when Python reads it."""

    def __reduce__(self):
        return os.system, ("touch command-was-run",)


def views(parameters):
    """The same tensors as parts of one storage, matrices and kernels transposed there."""
    flat = [value.transpose(0, -1).flatten() for value in parameters.values()]
    storage = torch.cat(flat)
    starts = np.cumsum([0] + [len(part) for part in flat])
    shapes = [value.transpose(0, -1).shape for value in parameters.values()]
    pairs = zip(parameters, starts, flat, shapes)
    return {name: storage[at : at + len(part)].view(shape).transpose(0, -1) for name, at, part, shape in pairs}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model = Small().eval()
    for name, value in model.named_parameters():
        nn.init.normal_(value, 0.3 if "bn" in name else 0, 0.5)
    for norm in [model.bn1, model.bn2]:
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    parameters = model.state_dict()
    floats = {name: value for name, value in parameters.items() if value.is_floating_point()}
    to = lambda dtype: {name: value.to(dtype) for name, value in floats.items()}
    training = {"epoch": 3, "best": torch.tensor(81.0), "args": argparse.Namespace(lr=0.1),
                "model": {f"module.{name}": value for name, value in to(torch.float16).items()},
                "optimizer": torch.optim.Adam(model.parameters()).state_dict()}
    torch.save(parameters, folder / "zip.pth")
    torch.save(parameters, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(dict(parameters), folder / "protocol-4.pth", pickle_protocol=4)
    torch.save(to(torch.float64), folder / "double.pth")
    torch.save(training, folder / "half.pth")
    torch.save({name: nn.Parameter(value) for name, value in floats.items()}, folder / "parameters.pth")
    torch.save(views(floats), folder / "views.pth")
    torch.save(views(floats), folder / "views.legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"hook": Command(), "state_dict": parameters}, folder / "command.pth")
    torch.save(model, folder / "whole-model.pth")
    torch.jit.trace(model, torch.zeros(1, 3, 15, 20)).save(str(folder / "torchscript.pt"))
    safetensors.torch.save_file(floats, folder / "floats.safetensors", {"format": "pt"})
    safetensors.torch.save_file(to(torch.bfloat16), folder / "bfloat16.safetensors")
    with torch.no_grad():
        x = torch.randn(1, 3, 15, 20)
        np.save(folder / "in.npy", x.numpy())
        np.save(folder / "out.npy", model(x).numpy())
