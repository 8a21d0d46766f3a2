//! Slices picked along an axis by index.

/// Picks slices of a tensor along an axis; a negative or too large index is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The axis that is indexed.
    pub axis: usize,
    /// The first axes that tensor and indices share; at most `axis`.
    pub batch_dims: usize,
}
