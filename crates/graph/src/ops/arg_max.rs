//! The index of the largest element along an axis.

/// The index of the largest element along an axis, the first of equal ones.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgMax {
    /// The axis that is searched.
    pub axis: usize,
    /// Whether it stays, with size 1.
    pub keep_dims: bool,
}
