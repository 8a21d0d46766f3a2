//! The same elements in another shape.

/// Gives a tensor another shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// Sizes of the result; as many elements as the input has.
    pub shape: Vec<usize>,
}
