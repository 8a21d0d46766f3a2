//! The small network of `tools/make_torch_files.py`: an architecture of one's own, with a layer of each kind.

use kinglet_graph::ValueId;
use kinglet_import::Options;
use kinglet_import::torch::architectures::{Architecture, Conv, Function, Layers, Made, Rounding};

pub const SMALL: Architecture = Architecture { name: "small", side: 32, unused: &[], builders: &[build] };

/// The small network on the images of its test.
pub fn small() -> Options<'static> {
    let shapes = [("input".to_owned(), vec![1, 3, 15, 20])].into();
    Options { architecture: Some(SMALL), shapes, ..Options::default() }
}

fn build(net: &mut Layers<'_>, image: ValueId) -> Made {
    net.set_epsilon(1e-3);
    let x = net.conv_bn(["conv1", "bn1"], image, Conv::new(8, 3).stride(2), Function::HardSwish)?;
    let x = net.conv_bn(["depthwise", "bn2"], x, Conv::new(8, 3).groups(8), Function::Silu)?;
    let grouped = net.conv("grouped", x, Conv::new(8, 3).groups(2).biased())?;
    let grouped = net.function(Function::Relu6, grouped)?;
    let row = net.conv("row", x, Conv::rectangular(8, [1, 5]))?;
    let x = net.add(grouped, row)?;
    let x = net.squeeze_excite(["fc1", "fc2"], x, 4, [Function::Relu, Function::HardSigmoid])?;
    let averages = net.average_pool(x, 3)?;
    let averages = net.max_pool(averages, 3, 2, 0, Rounding::Up)?;
    let largest = net.max_pool(x, 3, 2, 0, Rounding::Up)?;
    let x = net.concat(&[averages, largest])?;
    let x = net.channel_shuffle(x, 2)?;
    let x = net.channel_range(x, 4, 8)?;
    let x = net.subsample_and_pad(x, 16)?;
    let x = net.global_average(x)?;
    let x = net.function(Function::Sigmoid, x)?;
    net.classifier("linear", x)
}
