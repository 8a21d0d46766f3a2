//! Tensors joined along an axis.

use super::Activation;

/// Joins tensors along an axis; quantized ones of another scale are requantized.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The axis along which they follow each other.
    pub axis: usize,
    /// Applied to the result; none on integers.
    pub activation: Activation,
}
