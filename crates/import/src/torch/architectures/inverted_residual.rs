//! The inverted residual (Sandler et al. 2018, MobileNetV2), which the MobileNets and EfficientNet are made of, and the
//! two ways in which its parameters are named.

use kinglet_graph::ValueId;

use super::layers::{Conv, Function, Layers, Made};

/// Whose names a checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Torchvision,
    Timm,
}

/// A pointwise convolution to more channels, a depthwise one, the weighing of channels, and a pointwise one back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Side of the depthwise kernel.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Channels in between; where these are the input's, there is no first convolution.
    pub(super) expanded: usize,
    /// Channels of the result.
    pub(super) out: usize,
    /// Channels of the squeeze, where channels are weighed, and its two functions.
    pub(super) squeeze: Option<(usize, [Function; 2])>,
    /// After the first two convolutions.
    pub(super) function: Function,
}

/// The names of a block's layers; of a convolution and its batch normalization.
pub(super) struct BlockNames {
    pub(super) expand: [String; 2],
    pub(super) depthwise: [String; 2],
    pub(super) squeeze: [String; 2],
    pub(super) project: [String; 2],
}

impl BlockNames {
    /// torchvision numbers the parts that are there.
    pub(super) fn torchvision(prefix: &str, expands: bool, squeezes: bool) -> BlockNames {
        let depthwise = usize::from(expands);
        let squeeze = depthwise + 1;
        let project = squeeze + usize::from(squeezes);
        let pair = |part: usize, [first, second]: [&str; 2]| {
            [format!("{prefix}.{part}.{first}"), format!("{prefix}.{part}.{second}")]
        };
        BlockNames {
            expand: pair(0, ["0", "1"]),
            depthwise: pair(depthwise, ["0", "1"]),
            squeeze: pair(squeeze, ["fc1", "fc2"]),
            project: pair(project, ["0", "1"]),
        }
    }

    pub(super) fn timm(prefix: &str, expands: bool) -> BlockNames {
        let pair = |first: &str, second: &str| [format!("{prefix}.{first}"), format!("{prefix}.{second}")];
        let (depthwise, project) = if expands { ("bn2", ["conv_pwl", "bn3"]) } else { ("bn1", ["conv_pw", "bn2"]) };
        BlockNames {
            expand: pair("conv_pw", "bn1"),
            depthwise: pair("conv_dw", depthwise),
            squeeze: pair("se.conv_reduce", "se.conv_expand"),
            project: pair(project[0], project[1]),
        }
    }
}

pub(super) fn inverted_residual(net: &mut Layers<'_>, names: &BlockNames, x: ValueId, block: &Block) -> Made {
    let pair = |names: &'_ [String; 2]| [names[0].clone(), names[1].clone()];
    let conv_bn = |net: &mut Layers<'_>, names: &[String; 2], x, conv, function| {
        net.conv_bn([&names[0], &names[1]], x, conv, function)
    };
    let channels = net.channels(x);
    let mut y = x;
    if block.expanded != channels {
        y = conv_bn(net, &names.expand, y, Conv::new(block.expanded, 1), block.function)?;
    }
    let depthwise = Conv::new(block.expanded, block.kernel).stride(block.stride).groups(block.expanded);
    y = conv_bn(net, &names.depthwise, y, depthwise, block.function)?;
    if let Some((squeezed, functions)) = block.squeeze {
        let [first, second] = pair(&names.squeeze);
        y = net.squeeze_excite([&first, &second], y, squeezed, functions)?;
    }
    y = conv_bn(net, &names.project, y, Conv::new(block.out, 1), Function::Identity)?;
    if block.stride == 1 && channels == block.out { net.add(y, x) } else { Ok(y) }
}
