//! torchvision's weights, as `torchvision.models` names, prepares and measures them (version 0.29). A name without
//! ending is that of its newest weights, and `.v1` of older ones; `mobilenet_v2` alone is the quantized model.
//!
//! The names of the files end in the first digits of their SHA-256, and their sizes are published in mebibytes with
//! three decimals.

use kinglet_vision::classifier::PreprocessOptions;
use kinglet_vision::preprocess::Interpolation;

use super::{Entry, IMAGENET, LabelSet};

macro_rules! pytorch {
    ($file:literal) => {
        concat!("https://download.pytorch.org/models/", $file)
    };
}

const USUAL: PreprocessOptions = IMAGENET;
/// For weights that were trained on smaller images than they are shown.
const LARGER: PreprocessOptions = PreprocessOptions { resize: Some(232), ..IMAGENET };
const BICUBIC: PreprocessOptions = PreprocessOptions { interpolation: Some(Interpolation::Bicubic), ..IMAGENET };
const INCEPTION: PreprocessOptions = PreprocessOptions { resize: Some(342), crop: Some(299), ..IMAGENET };

const fn torchvision(
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
        hub: None,
        architecture: Some(architecture),
        labels: LabelSet::ImageNet,
        preprocess,
        licence: "BSD-3-Clause",
    }
}

/// Smallest first of a kind, newest first of an architecture.
pub(super) const ENTRIES: &[Entry] = &[
    torchvision(
        "mobilenet_v2_float",
        "mobilenet_v2",
        "MobileNetV2, 224x224, float, 72.2 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("mobilenet_v2-7ebf99e0.pth"),
        "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",
        14_258_573,
        LARGER,
    ),
    torchvision(
        "mobilenet_v2_float.v1",
        "mobilenet_v2",
        "MobileNetV2, 224x224, float, 71.9 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("mobilenet_v2-b0353104.pth"),
        "b0353104",
        14_213_448,
        USUAL,
    ),
    torchvision(
        "mobilenet_v3_small",
        "mobilenet_v3_small",
        "MobileNetV3 small, 224x224, float, 67.7 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("mobilenet_v3_small-047dcff4.pth"),
        "047dcff4",
        10_306_454,
        USUAL,
    ),
    torchvision(
        "mobilenet_v3_large",
        "mobilenet_v3_large",
        "MobileNetV3 large, 224x224, float, 75.3 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("mobilenet_v3_large-5c1a4163.pth"),
        "5c1a4163",
        22_132_294,
        LARGER,
    ),
    torchvision(
        "mobilenet_v3_large.v1",
        "mobilenet_v3_large",
        "MobileNetV3 large, 224x224, float, 74.0 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("mobilenet_v3_large-8738ca79.pth"),
        "8738ca79",
        22_139_634,
        USUAL,
    ),
    torchvision(
        "resnet18",
        "resnet18",
        "ResNet-18, 224x224, float, 69.8 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnet18-f37072fd.pth"),
        "f37072fd",
        46_830_453,
        USUAL,
    ),
    torchvision(
        "resnet34",
        "resnet34",
        "ResNet-34, 224x224, float, 73.3 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnet34-b627a593.pth"),
        "b627a593",
        87_320_166,
        USUAL,
    ),
    torchvision(
        "resnet50",
        "resnet50",
        "ResNet-50, 224x224, float, 80.9 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("resnet50-11ad3fa6.pth"),
        "11ad3fa6",
        102_540_247,
        LARGER,
    ),
    torchvision(
        "resnet50.v1",
        "resnet50",
        "ResNet-50, 224x224, float, 76.1 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnet50-0676ba61.pth"),
        "0676ba61",
        102_530_810,
        USUAL,
    ),
    torchvision(
        "resnet101",
        "resnet101",
        "ResNet-101, 224x224, float, 81.9 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("resnet101-cd907fc2.pth"),
        "cd907fc2",
        178_813_665,
        LARGER,
    ),
    torchvision(
        "resnet101.v1",
        "resnet101",
        "ResNet-101, 224x224, float, 77.4 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnet101-63fe2227.pth"),
        "63fe2227",
        178_793_742,
        USUAL,
    ),
    torchvision(
        "resnet152",
        "resnet152",
        "ResNet-152, 224x224, float, 82.3 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("resnet152-f82ba261.pth"),
        "f82ba261",
        241_669_505,
        LARGER,
    ),
    torchvision(
        "resnet152.v1",
        "resnet152",
        "ResNet-152, 224x224, float, 78.3 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnet152-394f9c45.pth"),
        "394f9c45",
        241_627_562,
        USUAL,
    ),
    torchvision(
        "resnext50_32x4d",
        "resnext50_32x4d",
        "ResNeXt-50 32x4d, 224x224, float, 81.2 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("resnext50_32x4d-1a0047aa.pth"),
        "1a0047aa",
        100_488_184,
        LARGER,
    ),
    torchvision(
        "resnext50_32x4d.v1",
        "resnext50_32x4d",
        "ResNeXt-50 32x4d, 224x224, float, 77.6 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnext50_32x4d-7cdf4587.pth"),
        "7cdf4587",
        100_442_046,
        USUAL,
    ),
    torchvision(
        "resnext101_32x8d",
        "resnext101_32x8d",
        "ResNeXt-101 32x8d, 224x224, float, 82.8 % of ImageNet (torchvision's IMAGENET1K_V2)",
        pytorch!("resnext101_32x8d-110c445d.pth"),
        "110c445d",
        356_172_956,
        LARGER,
    ),
    torchvision(
        "resnext101_32x8d.v1",
        "resnext101_32x8d",
        "ResNeXt-101 32x8d, 224x224, float, 79.3 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("resnext101_32x8d-8ba56ff5.pth"),
        "8ba56ff5",
        356_081_730,
        USUAL,
    ),
    torchvision(
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x0_5",
        "ShuffleNet V2 x0.5, 224x224, float, 60.6 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("shufflenetv2_x0.5-f707e7126e.pth"),
        "f707e7126e",
        5_538_578,
        USUAL,
    ),
    torchvision(
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_0",
        "ShuffleNet V2 x1.0, 224x224, float, 69.4 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("shufflenetv2_x1-5666bf0f80.pth"),
        "5666bf0f80",
        9_218_032,
        USUAL,
    ),
    torchvision(
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x1_5",
        "ShuffleNet V2 x1.5, 224x224, float, 73.0 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("shufflenetv2_x1_5-3c479a10.pth"),
        "3c479a10",
        14_215_545,
        LARGER,
    ),
    torchvision(
        "shufflenet_v2_x2_0",
        "shufflenet_v2_x2_0",
        "ShuffleNet V2 x2.0, 224x224, float, 76.2 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("shufflenetv2_x2_0-8be3c8ee.pth"),
        "8be3c8ee",
        29_814_161,
        LARGER,
    ),
    torchvision(
        "squeezenet1_0",
        "squeezenet1_0",
        "SqueezeNet 1.0, 224x224, float, 58.1 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("squeezenet1_0-b66bff10.pth"),
        "b66bff10",
        5_010_096,
        USUAL,
    ),
    torchvision(
        "squeezenet1_1",
        "squeezenet1_1",
        "SqueezeNet 1.1, 224x224, float, 58.2 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("squeezenet1_1-b8a52dc0.pth"),
        "b8a52dc0",
        4_958_716,
        USUAL,
    ),
    torchvision(
        "googlenet",
        "googlenet",
        "GoogLeNet, 224x224, float, 69.8 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("googlenet-1378be20.pth"),
        "1378be20",
        52_146_733,
        USUAL,
    ),
    torchvision(
        "inception_v3",
        "inception_v3",
        "Inception v3, 299x299, float, 77.3 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("inception_v3_google-0cc3c7bd.pth"),
        "0cc3c7bd",
        108_950_192,
        INCEPTION,
    ),
    torchvision(
        "efficientnet_b0",
        "efficientnet_b0",
        "EfficientNet-B0, 224x224, float, 77.7 % of ImageNet (torchvision's IMAGENET1K_V1)",
        pytorch!("efficientnet_b0_rwightman-7f5810bc.pth"),
        "7f5810bc",
        21_444_428,
        BICUBIC,
    ),
];
