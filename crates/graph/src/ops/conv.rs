//! Two-dimensional convolution and depthwise convolution.

use super::{Activation, Window};

/// Two-dimensional convolution, plain or in groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// How the kernel moves over the image.
    pub window: Window,
    /// Output channels fall into this many groups of equal size; each reads its own part of the input channels.
    pub groups: usize,
    /// Applied to the result.
    pub activation: Activation,
}

/// Two-dimensional convolution of each channel on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthwiseConv2d {
    /// How the kernel moves over the image.
    pub window: Window,
    /// Output channels an input channel.
    pub multiplier: usize,
    /// Applied to the result.
    pub activation: Activation,
}
