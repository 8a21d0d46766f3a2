//! GoogLeNet (Szegedy et al. 2014, Going Deeper with Convolutions) with torchvision's parameter names: with batch
//! normalization, and 3×3 windows where the paper has 5×5.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made, Rounding};

/// Filters of the four branches; the second and the third begin with a pointwise convolution to fewer.
type Branches = [usize; 6];

pub(super) fn googlenet(net: &mut Layers<'_>, image: ValueId) -> Made {
    net.set_epsilon(1e-3);
    let x = conv(net, "conv1", image, Conv::new(64, 7).stride(2))?;
    let x = net.max_pool(x, 3, 2, 0, Rounding::Up)?;
    let x = conv(net, "conv2", x, Conv::new(64, 1))?;
    let x = conv(net, "conv3", x, Conv::new(192, 3))?;
    let x = net.max_pool(x, 3, 2, 0, Rounding::Up)?;
    let x = inception(net, "inception3a", x, [64, 96, 128, 16, 32, 32])?;
    let x = inception(net, "inception3b", x, [128, 128, 192, 32, 96, 64])?;
    let x = net.max_pool(x, 3, 2, 0, Rounding::Up)?;
    let x = inception(net, "inception4a", x, [192, 96, 208, 16, 48, 64])?;
    let x = inception(net, "inception4b", x, [160, 112, 224, 24, 64, 64])?;
    let x = inception(net, "inception4c", x, [128, 128, 256, 24, 64, 64])?;
    let x = inception(net, "inception4d", x, [112, 144, 288, 32, 64, 64])?;
    let x = inception(net, "inception4e", x, [256, 160, 320, 32, 128, 128])?;
    let x = net.max_pool(x, 2, 2, 0, Rounding::Up)?;
    let x = inception(net, "inception5a", x, [256, 160, 320, 32, 128, 128])?;
    let x = inception(net, "inception5b", x, [384, 192, 384, 48, 128, 128])?;
    let x = net.global_average(x)?;
    net.classifier("fc", x)
}

fn inception(net: &mut Layers<'_>, name: &str, x: ValueId, branches: Branches) -> Made {
    let [first, second_reduced, second, third_reduced, third, fourth] = branches;
    let layer = |net: &mut Layers<'_>, branch: &str, x, filters, side| {
        conv(net, &format!("{name}.{branch}"), x, Conv::new(filters, side))
    };
    let a = layer(net, "branch1", x, first, 1)?;
    let b = layer(net, "branch2.0", x, second_reduced, 1)?;
    let b = layer(net, "branch2.1", b, second, 3)?;
    let c = layer(net, "branch3.0", x, third_reduced, 1)?;
    let c = layer(net, "branch3.1", c, third, 3)?;
    let d = net.max_pool(x, 3, 1, 1, Rounding::Up)?;
    let d = layer(net, "branch4.1", d, fourth, 1)?;
    net.concat(&[a, b, c, d])
}

fn conv(net: &mut Layers<'_>, name: &str, x: ValueId, conv: Conv) -> Made {
    net.conv_bn([&format!("{name}.conv"), &format!("{name}.bn")], x, conv, Function::Relu)
}
