//! Quantized models for TensorFlow Lite from Google's test data for the Edge TPU.

use kinglet_vision::classifier::PreprocessOptions;

use super::{Entry, LabelSet};

/// Google's test data for the Edge TPU, at a pinned commit.
macro_rules! coral {
    ($file:literal) => {
        concat!(
            "https://raw.githubusercontent.com/google-coral/test_data/104342d2d3480b3e66203073dac24f4e2dbb4c41/",
            $file
        )
    };
}

/// Shorter side to 256 / 224 of the input, its centre, and the range that the input's quantization says.
const USUAL: PreprocessOptions =
    PreprocessOptions { resize: None, crop: None, mean: None, std: None, interpolation: None };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        // Post-training quantization, a scale a channel: 86.2 % top-1 on 500 photographs, one of each second class.
        name: "mobilenet_v2",
        description: "MobileNetV2, 224x224, int8",
        address: coral!("tf2_mobilenet_v2_1.0_224_ptq.tflite"),
        sha256: "5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c",
        size: 4_070_174,
        hub: None,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
    Entry {
        // Quantization-aware training, a scale a tensor, weight zero points that are not 0: 88.2 % there.
        name: "mobilenet_v2_uint8",
        description: "MobileNetV2, 224x224, uint8",
        address: coral!("mobilenet_v2_1.0_224_quant.tflite"),
        sha256: "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
        size: 3_610_798,
        hub: None,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
    Entry {
        // Very small and fast, far less accurate: 45.2 % there.
        name: "mobilenet_v1_0.25_128",
        description: "MobileNetV1 0.25, 128x128, uint8",
        address: coral!("mobilenet_v1_0.25_128_quant.tflite"),
        sha256: "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
        size: 525_598,
        hub: None,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
];
