//! The same elements in another shape.

use super::operands::{moves, operand, required, unchecked};
use crate::{GraphError, TensorMut, TensorRef, TensorType, checked_len};

/// Gives a tensor another shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// Sizes of the result; as many elements as the input has.
    pub shape: Vec<usize>,
}

impl Reshape {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        if checked_len(&self.shape) != Some(x.len()) {
            return Err(GraphError::Attribute(format!("{:?} has not as many elements as {:?}", x.shape, self.shape)));
        }
        Ok(self.shape.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (from, to) = (operand(inputs, 0)?.view.bytes(), output.view.bytes_mut());
        if from.len() != to.len() {
            return Err(unchecked());
        }
        to.copy_from_slice(from);
        Ok(())
    }
}
