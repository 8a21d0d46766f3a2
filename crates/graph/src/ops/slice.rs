//! A strided part of a tensor.

/// A part of a tensor: along each axis, element i of the result is element `begin + i · step` of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The first index, for each axis.
    pub begin: Vec<usize>,
    /// The distance of indices, for each axis; negative to go backwards.
    pub step: Vec<isize>,
    /// How many, for each axis.
    pub size: Vec<usize>,
}
