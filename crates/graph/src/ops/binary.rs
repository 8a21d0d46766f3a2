//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::Activation;

/// Which function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryKind {
    /// a + b
    Add,
    /// a − b
    Subtract,
    /// a · b
    Multiply,
    /// a / b
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
}

impl BinaryKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            BinaryKind::Add => "Add",
            BinaryKind::Subtract => "Subtract",
            BinaryKind::Multiply => "Multiply",
            BinaryKind::Divide => "Divide",
            BinaryKind::Maximum => "Maximum",
            BinaryKind::Minimum => "Minimum",
        }
    }
}

/// An elementwise function of two tensors; shapes are broadcast as NumPy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which function.
    pub kind: BinaryKind,
    /// Applied to the result; none on integers.
    pub activation: Activation,
}
