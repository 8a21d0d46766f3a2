//! MobileNetV3 (Howard et al. 2019, Searching for MobileNetV3).

use kinglet_graph::ValueId;

use super::inverted_residual::{Block, BlockNames, Names, inverted_residual};
use super::layers::{Conv, Function, Layers, Made};

/// A block of the paper's tables 1 and 2: kernel, expanded channels, channels of the result, whether channels are
/// weighed, function, stride.
type Row = (usize, usize, usize, bool, Function, usize);

const RE: Function = Function::Relu;
const HS: Function = Function::HardSwish;

/// The blocks in stages, as timm numbers them; torchvision numbers them through.
const LARGE: [&[Row]; 6] = [
    &[(3, 16, 16, false, RE, 1)],
    &[(3, 64, 24, false, RE, 2), (3, 72, 24, false, RE, 1)],
    &[(5, 72, 40, true, RE, 2), (5, 120, 40, true, RE, 1), (5, 120, 40, true, RE, 1)],
    &[(3, 240, 80, false, HS, 2), (3, 200, 80, false, HS, 1), (3, 184, 80, false, HS, 1), (3, 184, 80, false, HS, 1)],
    &[(3, 480, 112, true, HS, 1), (3, 672, 112, true, HS, 1)],
    &[(5, 672, 160, true, HS, 2), (5, 960, 160, true, HS, 1), (5, 960, 160, true, HS, 1)],
];
const SMALL: [&[Row]; 5] = [
    &[(3, 16, 16, true, RE, 2)],
    &[(3, 72, 24, false, RE, 2), (3, 88, 24, false, RE, 1)],
    &[(5, 96, 40, true, HS, 2), (5, 240, 40, true, HS, 1), (5, 240, 40, true, HS, 1)],
    &[(5, 120, 48, true, HS, 1), (5, 144, 48, true, HS, 1)],
    &[(5, 288, 96, true, HS, 2), (5, 576, 96, true, HS, 1), (5, 576, 96, true, HS, 1)],
];

pub(super) fn mobilenet_v3_large(net: &mut Layers<'_>, image: ValueId, names: Names) -> Made {
    mobilenet_v3(net, image, names, &LARGE, 1280)
}

pub(super) fn mobilenet_v3_small(net: &mut Layers<'_>, image: ValueId, names: Names) -> Made {
    mobilenet_v3(net, image, names, &SMALL, 1024)
}

fn mobilenet_v3(net: &mut Layers<'_>, image: ValueId, names: Names, stages: &[&[Row]], hidden: usize) -> Made {
    let stem = match names {
        Names::Torchvision => ["features.0.0", "features.0.1"],
        Names::Timm => ["conv_stem", "bn1"],
    };
    net.set_epsilon(if names == Names::Torchvision { 1e-3 } else { 1e-5 });
    let mut x = net.conv_bn(stem, image, Conv::new(16, 3).stride(2), HS)?;
    let mut number = 0;
    for (stage, rows) in stages.iter().enumerate() {
        for (index, &(kernel, expanded, out, weighs, function, stride)) in rows.iter().enumerate() {
            number += 1;
            let expands = expanded != net.channels(x);
            let names = match names {
                Names::Torchvision => BlockNames::torchvision(&format!("features.{number}.block"), expands, weighs),
                Names::Timm => BlockNames::timm(&format!("blocks.{stage}.{index}"), expands),
            };
            let squeeze = weighs.then_some((squeezed(expanded), [Function::Relu, Function::HardSigmoid]));
            x = inverted_residual(net, &names, x, &Block { kernel, stride, expanded, out, squeeze, function })?;
        }
    }
    let last = Conv::new(net.channels(x) * 6, 1);
    match names {
        Names::Torchvision => {
            let prefix = format!("features.{}", number + 1);
            let x = net.conv_bn([&format!("{prefix}.0"), &format!("{prefix}.1")], x, last, HS)?;
            let x = net.global_average(x)?;
            let x = net.linear("classifier.0", x, hidden)?;
            let x = net.function(HS, x)?;
            net.classifier("classifier.3", x)
        }
        Names::Timm => {
            let prefix = format!("blocks.{}.0", stages.len());
            let x = net.conv_bn([&format!("{prefix}.conv"), &format!("{prefix}.bn1")], x, last, HS)?;
            let x = net.global_average_pixel(x)?;
            let x = net.conv("conv_head", x, Conv::new(hidden, 1).biased())?;
            let x = net.function(HS, x)?;
            let x = net.flatten(x)?;
            net.classifier("classifier", x)
        }
    }
}

/// A quarter of the channels, rounded to a multiple of eight, but not down by more than a tenth.
fn squeezed(channels: usize) -> usize {
    let quarter = channels / 4;
    let rounded = ((quarter + 4) / 8 * 8).max(8);
    if 10 * rounded < 9 * quarter { rounded + 8 } else { rounded }
}
