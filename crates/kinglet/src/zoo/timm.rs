//! Weights of timm (PyTorch Image Models), named as there, where their files' names end in the first digits of their
//! SHA-256. The Hugging Face hub has the same parameters as `model.safetensors`. Sizes are those of such networks, to a
//! hundred kilobytes.

use kinglet_vision::classifier::PreprocessOptions;
use kinglet_vision::preprocess::Interpolation;

use super::{Entry, IMAGENET, LabelSet};

const USUAL: PreprocessOptions = PreprocessOptions { interpolation: Some(Interpolation::Bicubic), ..IMAGENET };
/// The middle 95 % of the picture.
const TIGHT: PreprocessOptions = PreprocessOptions { resize: Some(235), ..USUAL };
/// Pixels from 0 to 1.
const UNIT_RANGE: PreprocessOptions = PreprocessOptions { mean: Some([0.0; 3]), std: Some([1.0; 3]), ..IMAGENET };
/// Pixels from −1 to 1.
const INCEPTION: PreprocessOptions =
    PreprocessOptions { resize: Some(341), crop: Some(299), mean: Some([0.5; 3]), std: Some([0.5; 3]), ..USUAL };

const fn timm(
    name: &'static str,
    architecture: &'static str,
    description: &'static str,
    address: &'static str,
    sha256: &'static str,
    size: u64,
    preprocess: PreprocessOptions,
) -> Entry {
    Entry {
        name,
        description,
        address,
        sha256,
        size,
        hub: Some("timm"),
        architecture: Some(architecture),
        labels: LabelSet::ImageNet,
        preprocess,
        licence: "Apache-2.0",
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    timm(
        "mobilenetv2_050.lamb_in1k",
        "mobilenet_v2",
        "MobileNetV2 0.5, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_050-3d30d450.pth",
        "3d30d450",
        8_100_000,
        USUAL,
    ),
    timm(
        "mobilenetv2_100.ra_in1k",
        "mobilenet_v2",
        "MobileNetV2, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_100_ra-b33bc2c4.pth",
        "b33bc2c4",
        14_300_000,
        USUAL,
    ),
    timm(
        "mobilenetv2_140.ra_in1k",
        "mobilenet_v2",
        "MobileNetV2 1.4, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_140_ra-21a4e913.pth",
        "21a4e913",
        24_700_000,
        USUAL,
    ),
    timm(
        "mobilenetv3_small_100.lamb_in1k",
        "mobilenet_v3_small",
        "MobileNetV3 small, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_small_100_lamb-266a294c.pth",
        "266a294c",
        10_300_000,
        USUAL,
    ),
    timm(
        "mobilenetv3_large_100.ra_in1k",
        "mobilenet_v3_large",
        "MobileNetV3 large, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_large_100_ra-f55367f5.pth",
        "f55367f5",
        22_100_000,
        USUAL,
    ),
    timm(
        "mobilenetv3_large_100.miil_in21k_ft_in1k",
        "mobilenet_v3_large",
        "MobileNetV3 large, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-tresnet/mobilenetv3_large_100_1k_miil_78_0-66471c13.pth",
        "66471c13",
        22_100_000,
        UNIT_RANGE,
    ),
    timm(
        "efficientnet_b0.ra_in1k",
        "efficientnet_b0",
        "EfficientNet-B0, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b0_ra-3dd342df.pth",
        "3dd342df",
        21_400_000,
        USUAL,
    ),
    timm(
        "resnet18.a1_in1k",
        "resnet18",
        "ResNet-18, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth",
        "d63eafa0",
        46_800_000,
        TIGHT,
    ),
    timm(
        "resnet34.a1_in1k",
        "resnet34",
        "ResNet-34, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet34_a1_0-46f8f793.pth",
        "46f8f793",
        87_300_000,
        TIGHT,
    ),
    timm(
        "resnet50.a1_in1k",
        "resnet50",
        "ResNet-50, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth",
        "14fe96d1",
        102_500_000,
        TIGHT,
    ),
    timm(
        "resnet50.ra_in1k",
        "resnet50",
        "ResNet-50, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/resnet50_ra-85ebb6e5.pth",
        "85ebb6e5",
        102_500_000,
        USUAL,
    ),
    timm(
        "resnet101.a1_in1k",
        "resnet101",
        "ResNet-101, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet101_a1_0-cdcb52a9.pth",
        "cdcb52a9",
        178_800_000,
        TIGHT,
    ),
    timm(
        "resnet152.a1_in1k",
        "resnet152",
        "ResNet-152, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet152_a1_0-2eee8a7a.pth",
        "2eee8a7a",
        241_700_000,
        TIGHT,
    ),
    timm(
        "resnext50_32x4d.a1_in1k",
        "resnext50_32x4d",
        "ResNeXt-50 32x4d, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnext50_32x4d_a1_0-b5a91a1d.pth",
        "b5a91a1d",
        100_500_000,
        TIGHT,
    ),
    timm(
        "resnext50_32x4d.ra_in1k",
        "resnext50_32x4d",
        "ResNeXt-50 32x4d, 224x224, float (timm)",
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/resnext50_32x4d_ra-d733960d.pth",
        "d733960d",
        100_500_000,
        USUAL,
    ),
    timm(
        "inception_v3.tv_in1k",
        "inception_v3_plain",
        "Inception v3, 299x299, float (timm)",
        "https://download.pytorch.org/models/inception_v3_google-1a9a5a14.pth",
        "1a9a5a14",
        109_000_000,
        INCEPTION,
    ),
];
