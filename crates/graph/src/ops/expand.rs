//! A tensor repeated along axes of size 1, as broadcasting does.

use super::operands::{moves, operand, required, same_elements};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::{GraphError, TensorMut, TensorRef, TensorType};

/// Repeats a tensor so that it has the shape that its own and another are broadcast to.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// The other shape.
    pub shape: Vec<usize>,
}

impl Expand {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        broadcast_shape(&required(inputs, 0)?.shape, &self.shape)
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let shape = output.ty.shape.as_slice();
        let walk = Walk::new(shape, [0], [broadcast(&x.ty.shape, shape)]);
        same_elements!(x.view, &mut output.view, |from, to| walk
            .zip(to.iter_mut())
            .for_each(|([i], out)| *out = from[i]));
        Ok(())
    }
}
