"""Makes a folder of PyTorch checkpoints and of what PyTorch answers, for crates/kinglet/tests/torch_cases.rs.

Every architecture that Kinglet knows, by each library that names its parameters in a way of its own, with random
weights and with the batch statistics that these give random images. ARCHITECTURE-LIBRARY is the name of a case; it has
the endings .pth (zip format), .legacy.pth (the format before 1.6), .half.pth (float16, inside a training checkpoint,
from nn.DataParallel), .safetensors, .in.npy and, computed in double precision, .out.npy.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch torchvision timm safetensors numpy
    /tmp/torch/bin/python tools/make_torch_cases.py FOLDER [CASE ...]
"""

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

CLASSES = 17


class CifarBlock(nn.Module):
    """A residual block whose shortcut has no parameters: option A of the ResNet paper."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.more = (channels - inputs) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """The ResNet for CIFAR-10 with the parameter names of akamaster/pytorch_resnet_cifar10."""

    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stage = lambda inputs, channels, stride: nn.Sequential(
            CifarBlock(inputs, channels, stride), *(CifarBlock(channels, channels, 1) for _ in range(blocks - 1))
        )
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def vision(name, **options):
    return lambda: torchvision.models.get_model(name, num_classes=CLASSES, **options)


def pytorch_models(name, **options):
    return lambda: timm.create_model(name, num_classes=CLASSES, **options)


INCEPTION = {"init_weights": False}
CASES = {
    "mobilenet_v2-torchvision": vision("mobilenet_v2"),
    "mobilenet_v2-width_0_35": vision("mobilenet_v2", width_mult=0.35),
    "mobilenet_v2-width_1_4": vision("mobilenet_v2", width_mult=1.4),
    "mobilenet_v2-timm": pytorch_models("mobilenetv2_100"),
    "mobilenet_v2-timm_0_5": pytorch_models("mobilenetv2_050"),
    "mobilenet_v3_small-torchvision": vision("mobilenet_v3_small"),
    "mobilenet_v3_small-timm": pytorch_models("mobilenetv3_small_100"),
    "mobilenet_v3_large-torchvision": vision("mobilenet_v3_large"),
    "mobilenet_v3_large-timm": pytorch_models("mobilenetv3_large_100"),
    "efficientnet_b0-torchvision": vision("efficientnet_b0"),
    "efficientnet_b0-timm": pytorch_models("efficientnet_b0"),
    "squeezenet1_0-torchvision": vision("squeezenet1_0"),
    "squeezenet1_1-torchvision": vision("squeezenet1_1"),
    "googlenet-torchvision": vision("googlenet", transform_input=True, aux_logits=True, **INCEPTION),
    "googlenet_plain-torchvision": vision("googlenet", transform_input=False, aux_logits=False, **INCEPTION),
    "inception_v3-torchvision": vision("inception_v3", transform_input=True, aux_logits=True, **INCEPTION),
    "inception_v3_plain-timm": pytorch_models("inception_v3", aux_logits=False),
    **{f"shufflenet_v2_{x}-torchvision": vision(f"shufflenet_v2_{x}") for x in ["x0_5", "x1_0", "x1_5", "x2_0"]},
    **{f"resnet{depth}-torchvision": vision(f"resnet{depth}") for depth in [18, 34, 50, 101, 152]},
    **{f"resnet{depth}-timm": pytorch_models(f"resnet{depth}") for depth in [18, 50]},
    **{f"{name}-torchvision": vision(name) for name in ["resnext50_32x4d", "resnext101_32x8d"]},
    **{f"resnet{6 * blocks + 2}-akamaster": lambda blocks=blocks: CifarResNet(blocks) for blocks in [3, 5, 7, 9, 18]},
}


def side(name):
    return 32 if name.endswith("akamaster") else 299 if name.startswith("inception") else 224


def with_statistics(model, size):
    """Gives batch normalizations the statistics of random images, and other factors, summands and biases than 1 and 0."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.2)
    model.train()
    model(torch.randn(2, 3, size, size))
    return model.eval()


def save(folder, name, make):
    torch.manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        model = with_statistics(make(), side(name))
        x = torch.randn(1, 3, side(name), side(name))
        single, y = model(x), copy.deepcopy(model).double()(x.double())
    parameters = model.state_dict()
    torch.save(parameters, folder / f"{name}.pth")
    torch.save({"epoch": 3, "state_dict": parameters, "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}}},
               folder / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file({key: value.contiguous() for key, value in parameters.items()}, folder / f"{name}.safetensors")
    half = {f"module.{key}": value.half() if value.is_floating_point() else value for key, value in parameters.items()}
    torch.save({"args": argparse.Namespace(lr=0.1), "model": half}, folder / f"{name}.half.pth")
    np.save(folder / f"{name}.in.npy", x.numpy())
    np.save(folder / f"{name}.out.npy", y.float().numpy())
    print(f"{name}: PyTorch in single precision is {float((single - y).abs().max() / y.abs().max()):.1e} away", flush=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or CASES:
        save(folder, name, CASES[name])
