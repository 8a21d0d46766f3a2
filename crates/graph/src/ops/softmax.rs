//! Softmax along the last axis.

/// exp(beta · x) over its sum along the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// The factor in the exponent; positive.
    pub beta: f32,
}
