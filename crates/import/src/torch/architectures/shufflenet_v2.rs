//! ShuffleNet V2 (Ma et al. 2018) with torchvision's parameter names.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made, Rounding};

/// Blocks of each stage.
const BLOCKS: [usize; 3] = [4, 8, 4];

/// `channels`: of the three stages; `last`: of the last convolution.
pub(super) fn shufflenet_v2(net: &mut Layers<'_>, image: ValueId, channels: [usize; 3], last: usize) -> Made {
    let x = net.conv_bn(["conv1.0", "conv1.1"], image, Conv::new(24, 3).stride(2), Function::Relu)?;
    let mut x = net.max_pool(x, 3, 2, 1, Rounding::Down)?;
    for (stage, (blocks, channels)) in BLOCKS.into_iter().zip(channels).enumerate() {
        let half = channels / 2;
        for index in 0..blocks {
            let name = format!("stage{}.{index}", stage + 2);
            let (left, right) = if index == 0 {
                (downsampled(net, &name, x, half)?, main_branch(net, &name, x, half, 2)?)
            } else {
                let right = net.channel_range(x, half, half)?;
                (net.channel_range(x, 0, half)?, main_branch(net, &name, right, half, 1)?)
            };
            let joined = net.concat(&[left, right])?;
            x = net.channel_shuffle(joined, 2)?;
        }
    }
    let x = net.conv_bn(["conv5.0", "conv5.1"], x, Conv::new(last, 1), Function::Relu)?;
    let x = net.global_average(x)?;
    net.classifier("fc", x)
}

/// The other branch of a block that halves the image.
fn downsampled(net: &mut Layers<'_>, name: &str, x: ValueId, channels: usize) -> Made {
    let depthwise = Conv::new(net.channels(x), 3).stride(2).groups(net.channels(x));
    let names = [&*format!("{name}.branch1.0"), &*format!("{name}.branch1.1")];
    let x = net.conv_bn(names, x, depthwise, Function::Identity)?;
    let names = [&*format!("{name}.branch1.2"), &*format!("{name}.branch1.3")];
    net.conv_bn(names, x, Conv::new(channels, 1), Function::Relu)
}

fn main_branch(net: &mut Layers<'_>, name: &str, x: ValueId, channels: usize, stride: usize) -> Made {
    let mut layer = |first: usize, x, conv, function| {
        net.conv_bn([&format!("{name}.branch2.{first}"), &format!("{name}.branch2.{}", first + 1)], x, conv, function)
    };
    let x = layer(0, x, Conv::new(channels, 1), Function::Relu)?;
    let x = layer(3, x, Conv::new(channels, 3).stride(stride).groups(channels), Function::Identity)?;
    layer(5, x, Conv::new(channels, 1), Function::Relu)
}
