//! EfficientNet-B0 (Tan and Le 2019).

use kinglet_graph::ValueId;

use super::inverted_residual::{Block, BlockNames, Names, inverted_residual};
use super::layers::{Conv, Function, Layers, Made};

/// Expansion, kernel, stride of the first block, channels, blocks: table 1 of the paper.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];

pub(super) fn efficientnet_b0(net: &mut Layers<'_>, image: ValueId, names: Names) -> Made {
    let (stem, head, classifier) = match names {
        Names::Torchvision => (["features.0.0", "features.0.1"], ["features.8.0", "features.8.1"], "classifier.1"),
        Names::Timm => (["conv_stem", "bn1"], ["conv_head", "bn2"], "classifier"),
    };
    let function = Function::Silu;
    let mut x = net.conv_bn(stem, image, Conv::new(32, 3).stride(2), function)?;
    for (stage, [expansion, kernel, first_stride, out, blocks]) in STAGES.into_iter().enumerate() {
        for index in 0..blocks {
            let expands = expansion > 1;
            let names = match names {
                Names::Torchvision => {
                    BlockNames::torchvision(&format!("features.{}.{index}.block", stage + 1), expands, true)
                }
                Names::Timm => BlockNames::timm(&format!("blocks.{stage}.{index}"), expands),
            };
            let channels = net.channels(x);
            let block = Block {
                kernel,
                stride: if index == 0 { first_stride } else { 1 },
                expanded: channels * expansion,
                out,
                squeeze: Some((channels / 4, [function, Function::Sigmoid])),
                function,
            };
            x = inverted_residual(net, &names, x, &block)?;
        }
    }
    let x = net.conv_bn(head, x, Conv::new(1280, 1), function)?;
    let x = net.global_average(x)?;
    net.classifier(classifier, x)
}
