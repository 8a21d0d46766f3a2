//! ResNet (He et al. 2015, Deep Residual Learning for Image Recognition) and ResNeXt (Xie et al. 2016, Aggregated
//! Residual Transformations for Deep Neural Networks). torchvision and timm name their parameters alike.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made, Rounding};

/// What a residual block is.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// A 3×3 convolution in groups between two pointwise ones.
    Bottleneck {
        /// How many groups; ResNet has one.
        groups: usize,
        /// Channels of a group, where the stage has 64.
        width: usize,
    },
}

/// Channels of a bottleneck's result for each channel of its stage.
const EXPANSION: usize = 4;

pub(super) fn resnet(net: &mut Layers<'_>, image: ValueId, blocks: [usize; 4], block: Block) -> Made {
    let x = net.conv_bn(["conv1", "bn1"], image, Conv::new(64, 7).stride(2), Function::Relu)?;
    let mut x = net.max_pool(x, 3, 2, 1, Rounding::Down)?;
    for (stage, count) in blocks.into_iter().enumerate() {
        let planes = 64 << stage;
        for index in 0..count {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            x = residual(net, &format!("layer{}.{index}", stage + 1), x, planes, stride, block)?;
        }
    }
    let x = net.global_average(x)?;
    net.classifier("fc", x)
}

fn residual(net: &mut Layers<'_>, name: &str, x: ValueId, planes: usize, stride: usize, block: Block) -> Made {
    let layer = |net: &mut Layers<'_>, number: usize, x, conv, function| {
        net.conv_bn([&format!("{name}.conv{number}"), &format!("{name}.bn{number}")], x, conv, function)
    };
    let (y, channels) = match block {
        Block::Basic => {
            let y = layer(net, 1, x, Conv::new(planes, 3).stride(stride), Function::Relu)?;
            (layer(net, 2, y, Conv::new(planes, 3), Function::Identity)?, planes)
        }
        Block::Bottleneck { groups, width } => {
            let inner = planes / 64 * width * groups;
            let y = layer(net, 1, x, Conv::new(inner, 1), Function::Relu)?;
            let y = layer(net, 2, y, Conv::new(inner, 3).stride(stride).groups(groups), Function::Relu)?;
            let channels = planes * EXPANSION;
            (layer(net, 3, y, Conv::new(channels, 1), Function::Identity)?, channels)
        }
    };
    let shortcut = if stride == 1 && net.channels(x) == channels {
        x
    } else {
        let names = [&*format!("{name}.downsample.0"), &*format!("{name}.downsample.1")];
        net.conv_bn(names, x, Conv::new(channels, 1).stride(stride), Function::Identity)?
    };
    let sum = net.add(y, shortcut)?;
    net.function(Function::Relu, sum)
}
