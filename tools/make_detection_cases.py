"""Makes crates/vision/tests/data/detection.json: what torchvision and PyTorch answer where Kinglet decodes detections.

    python3 -m venv venv && venv/bin/pip install torch torchvision
    venv/bin/python tools/make_detection_cases.py > crates/vision/tests/data/detection.json

`suppression`: boxes, scores, classes, and which of them torchvision's batched_nms keeps at some thresholds.
`interpolation`: scores of classes on a coarse grid, and each pixel's class after torch's bilinear interpolation.
"""

import json

import torch
from torchvision.ops import batched_nms

torch.manual_seed(3)


def numbers(tensor, digits):
    return [round(float(value), digits) for value in tensor.flatten()]


def suppression(count, classes):
    centres, sizes = torch.rand(count, 2) * 100, 10 + torch.rand(count, 2) * 40
    boxes = torch.cat([centres - sizes / 2, centres + sizes / 2], 1).round(decimals=2)
    scores = (torch.randperm(count) + 1) / (count + 1)
    labels = torch.randint(0, classes, (count,))
    kept = {str(iou): batched_nms(boxes, scores, labels, iou).tolist() for iou in (0.2, 0.45, 0.7)}
    return {"boxes": numbers(boxes, 2), "scores": numbers(scores, 6), "classes": labels.tolist(), "kept": kept}


def interpolation(classes, height, width, to_height, to_width):
    scores = torch.randn(1, classes, height, width).round(decimals=3)
    large = torch.nn.functional.interpolate(scores, (to_height, to_width), mode="bilinear", align_corners=False)
    # Where two classes are nearly equal, rounding decides: these pixels are marked.
    best = large.topk(2, dim=1).values[0]
    classes = torch.where(best[0] - best[1] < 1e-4, -1, large.argmax(1)[0])
    shape = [scores.shape[1], height, width, to_height, to_width]
    return {"shape": shape, "scores": numbers(scores, 3), "classes": classes.flatten().tolist()}


cases = {
    "suppression": [suppression(60, 1), suppression(120, 3)],
    "interpolation": [interpolation(5, 6, 8, 24, 31), interpolation(21, 5, 5, 12, 9)],
}
print(json.dumps(cases, separators=(",", ":")).replace('},{', '},\n{'))
