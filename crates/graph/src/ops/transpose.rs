//! Axes in another order.

use super::operands::{moves, operand, required, same_elements};
use super::walk::{Walk, dense};
use crate::{GraphError, MAX_RANK, TensorMut, TensorRef, TensorType};

/// Permutes axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// Axis i of the result is axis `permutation[i]` of the input.
    pub permutation: Vec<usize>,
}

impl Transpose {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let rank = x.shape.len();
        if self.permutation.len() != rank || (0..rank).any(|axis| !self.permutation.contains(&axis)) {
            return Err(GraphError::Attribute(format!(
                "{:?} is no permutation of the axes of {:?}",
                self.permutation, x.shape
            )));
        }
        Ok(self.permutation.iter().map(|axis| x.shape[*axis]).collect())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let own = dense(&x.ty.shape);
        let mut strides = [0; MAX_RANK];
        for (stride, axis) in strides.iter_mut().zip(&self.permutation) {
            *stride = own[*axis];
        }
        let walk = Walk::new(&output.ty.shape, [0], [strides]);
        same_elements!(x.view, &mut output.view, |from, to| walk
            .zip(to.iter_mut())
            .for_each(|([i], out)| *out = from[i]));
        Ok(())
    }
}
