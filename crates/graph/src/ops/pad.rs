//! Elements added around a tensor.

/// Adds elements of one value before and after each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// How many before, for each axis.
    pub before: Vec<usize>,
    /// How many after, for each axis.
    pub after: Vec<usize>,
    /// The real value of them; a quantized tensor holds the quantized value.
    pub value: f32,
}
