//! ResNets for CIFAR-10 of akamaster/pytorch_resnet_cifar10.

use kinglet_vision::classifier::PreprocessOptions;

use super::{Entry, IMAGENET, LabelSet};

macro_rules! akamaster {
    ($file:literal) => {
        concat!("https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/master/pretrained_models/", $file)
    };
}

const fn resnet(
    name: &'static str,
    description: &'static str,
    address: &'static str,
    sha256: &'static str,
    size: u64,
) -> Entry {
    Entry {
        name,
        description,
        address,
        sha256,
        size,
        hub: None,
        architecture: Some(name),
        labels: LabelSet::Cifar10,
        preprocess: PreprocessOptions { resize: Some(32), crop: Some(32), ..IMAGENET },
        licence: "BSD-2-Clause",
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    resnet(
        "resnet20",
        "ResNet-20 for CIFAR-10, 32x32, float",
        akamaster!("resnet20-12fca82f.th"),
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        1_099_231,
    ),
    resnet(
        "resnet56",
        "ResNet-56 for CIFAR-10, 32x32, float",
        akamaster!("resnet56-4bfd9763.th"),
        "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
        3_471_733,
    ),
];
