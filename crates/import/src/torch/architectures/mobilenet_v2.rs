//! MobileNetV2 (Sandler et al. 2018), of any width.

use kinglet_graph::ValueId;

use super::inverted_residual::{Block, BlockNames, Names, inverted_residual};
use super::layers::{Conv, Function, Layers, Made};

/// Expansion, channels at width 1, blocks, stride of the first one: table 2 of the paper.
const STAGES: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// Reads the width of each layer from the checkpoint.
pub(super) fn mobilenet_v2(net: &mut Layers<'_>, image: ValueId, names: Names) -> Made {
    let (stem, head, classifier) = match names {
        Names::Torchvision => (["features.0.0", "features.0.1"], ["features.18.0", "features.18.1"], "classifier.1"),
        Names::Timm => (["conv_stem", "bn1"], ["conv_head", "bn2"], "classifier"),
    };
    let filters = |net: &Layers<'_>, name: &str, usual| net.rows(&format!("{name}.weight"), usual);
    let width = filters(net, stem[0], 32);
    let mut x = net.conv_bn(stem, image, Conv::new(width, 3).stride(2), Function::Relu6)?;
    let mut number = 0;
    for (stage, [expansion, channels, blocks, first_stride]) in STAGES.into_iter().enumerate() {
        for index in 0..blocks {
            number += 1;
            let names = match names {
                Names::Torchvision => torchvision_names(number, expansion > 1),
                Names::Timm => BlockNames::timm(&format!("blocks.{stage}.{index}"), expansion > 1),
            };
            let block = Block {
                kernel: 3,
                stride: if index == 0 { first_stride } else { 1 },
                expanded: net.channels(x) * expansion,
                out: filters(net, &names.project[0], channels),
                squeeze: None,
                function: Function::Relu6,
            };
            x = inverted_residual(net, &names, x, &block)?;
        }
    }
    let width = filters(net, head[0], 1280);
    let x = net.conv_bn(head, x, Conv::new(width, 1), Function::Relu6)?;
    let x = net.global_average(x)?;
    net.classifier(classifier, x)
}

/// torchvision's blocks here end in a convolution and a batch normalization that are not a pair of their own.
fn torchvision_names(number: usize, expands: bool) -> BlockNames {
    let prefix = format!("features.{number}.conv");
    let project = 1 + usize::from(expands);
    let pair = [format!("{prefix}.{project}"), format!("{prefix}.{}", project + 1)];
    BlockNames { project: pair, ..BlockNames::torchvision(&prefix, expands, false) }
}
