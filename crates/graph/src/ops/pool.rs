//! Average and maximum over windows of an image.

use super::{Activation, Window};

/// What is taken over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean of the elements that lie inside the image: padding is not counted.
    Average,
    /// The largest of them.
    Max,
}

impl PoolKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            PoolKind::Average => "AveragePool2d",
            PoolKind::Max => "MaxPool2d",
        }
    }
}

/// Average or maximum over the windows of an NHWC image.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool2d {
    /// Which of them.
    pub kind: PoolKind,
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// How the windows lie.
    pub window: Window,
    /// Applied to the result.
    pub activation: Activation,
}
