//! Inception v3 (Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision). torchvision and timm
//! name its parameters alike.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made, Rounding};

pub(super) fn inception_v3(net: &mut Layers<'_>, image: ValueId) -> Made {
    net.set_epsilon(1e-3);
    let x = conv(net, "Conv2d_1a_3x3", image, Conv::new(32, 3).stride(2).unpadded())?;
    let x = conv(net, "Conv2d_2a_3x3", x, Conv::new(32, 3).unpadded())?;
    let x = conv(net, "Conv2d_2b_3x3", x, Conv::new(64, 3))?;
    let x = net.max_pool(x, 3, 2, 0, Rounding::Down)?;
    let x = conv(net, "Conv2d_3b_1x1", x, Conv::new(80, 1))?;
    let x = conv(net, "Conv2d_4a_3x3", x, Conv::new(192, 3).unpadded())?;
    let x = net.max_pool(x, 3, 2, 0, Rounding::Down)?;
    let x = mixed_5(net, "Mixed_5b", x, 32)?;
    let x = mixed_5(net, "Mixed_5c", x, 64)?;
    let x = mixed_5(net, "Mixed_5d", x, 64)?;
    let x = mixed_6a(net, "Mixed_6a", x)?;
    let x = mixed_6(net, "Mixed_6b", x, 128)?;
    let x = mixed_6(net, "Mixed_6c", x, 160)?;
    let x = mixed_6(net, "Mixed_6d", x, 160)?;
    let x = mixed_6(net, "Mixed_6e", x, 192)?;
    let x = mixed_7a(net, "Mixed_7a", x)?;
    let x = mixed_7(net, "Mixed_7b", x)?;
    let x = mixed_7(net, "Mixed_7c", x)?;
    let x = net.global_average(x)?;
    net.classifier("fc", x)
}

/// Three branches of 3×3 windows, one of them written as 5×5, and a pool.
fn mixed_5(net: &mut Layers<'_>, name: &str, x: ValueId, pooled: usize) -> Made {
    let a = conv(net, &format!("{name}.branch1x1"), x, Conv::new(64, 1))?;
    let b = chain(net, &format!("{name}.branch5x5"), x, &[Conv::new(48, 1), Conv::new(64, 5)])?;
    let c = chain(net, &format!("{name}.branch3x3dbl"), x, &[Conv::new(64, 1), Conv::new(96, 3), Conv::new(96, 3)])?;
    let d = pool_branch(net, name, x, pooled)?;
    net.concat(&[a, b, c, d])
}

/// Halves the image.
fn mixed_6a(net: &mut Layers<'_>, name: &str, x: ValueId) -> Made {
    let last = Conv::new(96, 3).stride(2).unpadded();
    let a = conv(net, &format!("{name}.branch3x3"), x, Conv::new(384, 3).stride(2).unpadded())?;
    let b = chain(net, &format!("{name}.branch3x3dbl"), x, &[Conv::new(64, 1), Conv::new(96, 3), last])?;
    let c = net.max_pool(x, 3, 2, 0, Rounding::Down)?;
    net.concat(&[a, b, c])
}

/// 7×7 windows as products of a row and a column; `inner` channels in between.
fn mixed_6(net: &mut Layers<'_>, name: &str, x: ValueId, inner: usize) -> Made {
    let row = |filters| Conv::rectangular(filters, [1, 7]);
    let column = |filters| Conv::rectangular(filters, [7, 1]);
    let a = conv(net, &format!("{name}.branch1x1"), x, Conv::new(192, 1))?;
    let b = chain(net, &format!("{name}.branch7x7"), x, &[Conv::new(inner, 1), row(inner), column(192)])?;
    let twice = [Conv::new(inner, 1), column(inner), row(inner), column(inner), row(192)];
    let c = chain(net, &format!("{name}.branch7x7dbl"), x, &twice)?;
    let d = pool_branch(net, name, x, 192)?;
    net.concat(&[a, b, c, d])
}

/// Halves the image.
fn mixed_7a(net: &mut Layers<'_>, name: &str, x: ValueId) -> Made {
    let halving = |filters| Conv::new(filters, 3).stride(2).unpadded();
    let a = chain(net, &format!("{name}.branch3x3"), x, &[Conv::new(192, 1), halving(320)])?;
    let (row, column) = (Conv::rectangular(192, [1, 7]), Conv::rectangular(192, [7, 1]));
    let b = chain(net, &format!("{name}.branch7x7x3"), x, &[Conv::new(192, 1), row, column, halving(192)])?;
    let c = net.max_pool(x, 3, 2, 0, Rounding::Down)?;
    net.concat(&[a, b, c])
}

/// 3×3 windows as a row and a column beside each other.
fn mixed_7(net: &mut Layers<'_>, name: &str, x: ValueId) -> Made {
    let fork = |net: &mut Layers<'_>, name: String, x| {
        let row = conv(net, &format!("{name}a"), x, Conv::rectangular(384, [1, 3]))?;
        let column = conv(net, &format!("{name}b"), x, Conv::rectangular(384, [3, 1]))?;
        net.concat(&[row, column])
    };
    let a = conv(net, &format!("{name}.branch1x1"), x, Conv::new(320, 1))?;
    let b = chain(net, &format!("{name}.branch3x3"), x, &[Conv::new(384, 1)])?;
    let b = fork(net, format!("{name}.branch3x3_2"), b)?;
    let c = chain(net, &format!("{name}.branch3x3dbl"), x, &[Conv::new(448, 1), Conv::new(384, 3)])?;
    let c = fork(net, format!("{name}.branch3x3dbl_3"), c)?;
    let d = pool_branch(net, name, x, 192)?;
    net.concat(&[a, b, c, d])
}

fn pool_branch(net: &mut Layers<'_>, name: &str, x: ValueId, filters: usize) -> Made {
    let x = net.average_pool(x, 3)?;
    conv(net, &format!("{name}.branch_pool"), x, Conv::new(filters, 1))
}

/// Convolutions one after the other; the name counts them from 1.
fn chain(net: &mut Layers<'_>, name: &str, x: ValueId, convs: &[Conv]) -> Made {
    convs.iter().zip(1..).try_fold(x, |x, (layer, number)| conv(net, &format!("{name}_{number}"), x, *layer))
}

fn conv(net: &mut Layers<'_>, name: &str, x: ValueId, conv: Conv) -> Made {
    net.conv_bn([&format!("{name}.conv"), &format!("{name}.bn")], x, conv, Function::Relu)
}
