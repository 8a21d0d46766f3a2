//! The small ResNets for CIFAR-10 (He et al. 2015, section 4.2) with the parameter names of
//! akamaster/pytorch_resnet_cifar10.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made};

/// A network of 6 · `blocks` + 2 layers.
pub(super) fn resnet_cifar(net: &mut Layers<'_>, image: ValueId, blocks: usize) -> Made {
    let mut x = net.conv_bn(["conv1", "bn1"], image, Conv::new(16, 3), Function::Relu)?;
    for stage in 0..3 {
        let channels = 16 << stage;
        for index in 0..blocks {
            let name = format!("layer{}.{index}", stage + 1);
            let is_first = stage > 0 && index == 0;
            let conv = Conv::new(channels, 3).stride(if is_first { 2 } else { 1 });
            let y = net.conv_bn([&format!("{name}.conv1"), &format!("{name}.bn1")], x, conv, Function::Relu)?;
            let names = [&*format!("{name}.conv2"), &*format!("{name}.bn2")];
            let y = net.conv_bn(names, y, Conv::new(channels, 3), Function::Identity)?;
            let shortcut = if is_first { net.subsample_and_pad(x, channels)? } else { x };
            let sum = net.add(y, shortcut)?;
            x = net.function(Function::Relu, sum)?;
        }
    }
    let x = net.global_average(x)?;
    net.classifier("linear", x)
}
