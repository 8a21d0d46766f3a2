//! Axes in another order.

/// Permutes axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// Axis i of the result is axis `permutation[i]` of the input.
    pub permutation: Vec<usize>,
}
