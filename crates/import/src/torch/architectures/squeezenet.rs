//! SqueezeNet (Iandola et al. 2016) with torchvision's parameter names.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made, Rounding};

/// What follows the first convolution; each is one of `features`.
enum Layer {
    /// Maximum over 3×3 windows, two apart.
    Pool,
    /// Channels are squeezed to the first number and expanded to twice the second.
    Fire(usize, usize),
}

const VERSION_1_0: [Layer; 11] = [
    Layer::Pool,
    Layer::Fire(16, 64),
    Layer::Fire(16, 64),
    Layer::Fire(32, 128),
    Layer::Pool,
    Layer::Fire(32, 128),
    Layer::Fire(48, 192),
    Layer::Fire(48, 192),
    Layer::Fire(64, 256),
    Layer::Pool,
    Layer::Fire(64, 256),
];
const VERSION_1_1: [Layer; 11] = [
    Layer::Pool,
    Layer::Fire(16, 64),
    Layer::Fire(16, 64),
    Layer::Pool,
    Layer::Fire(32, 128),
    Layer::Fire(32, 128),
    Layer::Pool,
    Layer::Fire(48, 192),
    Layer::Fire(48, 192),
    Layer::Fire(64, 256),
    Layer::Fire(64, 256),
];

pub(super) fn squeezenet1_0(net: &mut Layers<'_>, image: ValueId) -> Made {
    squeezenet(net, image, Conv::new(96, 7), &VERSION_1_0)
}

pub(super) fn squeezenet1_1(net: &mut Layers<'_>, image: ValueId) -> Made {
    squeezenet(net, image, Conv::new(64, 3), &VERSION_1_1)
}

fn squeezenet(net: &mut Layers<'_>, image: ValueId, stem: Conv, layers: &[Layer]) -> Made {
    let relu_conv = |net: &mut Layers<'_>, name: &str, x, conv: Conv| {
        let x = net.conv(name, x, conv.biased())?;
        net.function(Function::Relu, x)
    };
    let mut x = relu_conv(net, "features.0", image, stem.stride(2).unpadded())?;
    for (index, layer) in layers.iter().enumerate() {
        let name = format!("features.{}", index + 2);
        x = match *layer {
            Layer::Pool => net.max_pool(x, 3, 2, 0, Rounding::Up)?,
            Layer::Fire(squeezed, expanded) => {
                let x = relu_conv(net, &format!("{name}.squeeze"), x, Conv::new(squeezed, 1))?;
                let pointwise = relu_conv(net, &format!("{name}.expand1x1"), x, Conv::new(expanded, 1))?;
                let spatial = relu_conv(net, &format!("{name}.expand3x3"), x, Conv::new(expanded, 3))?;
                net.concat(&[pointwise, spatial])?
            }
        };
    }
    let classes = net.rows("classifier.1.weight", 1000);
    let x = relu_conv(net, "classifier.1", x, Conv::new(classes, 1))?;
    net.global_average(x)
}
