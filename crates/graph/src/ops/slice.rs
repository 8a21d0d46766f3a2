//! A strided part of a tensor.

use super::operands::{moves, operand, required, same_elements};
use super::walk::{Walk, dense};
use crate::{GraphError, TensorMut, TensorRef, TensorType};

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

impl Slice {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let rank = x.shape.len();
        let inside = |axis: usize| {
            let (begin, step, size) = (self.begin[axis] as i128, self.step[axis] as i128, self.size[axis] as i128);
            let limit = 0..x.shape[axis] as i128;
            step != 0 && (size == 0 || limit.contains(&begin) && limit.contains(&(begin + (size - 1) * step)))
        };
        let lengths = [self.begin.len(), self.step.len(), self.size.len()];
        if lengths != [rank; 3] || !(0..rank).all(inside) {
            return Err(GraphError::Attribute(format!(
                "{:?} elements from {:?} in steps of {:?} do not lie in {:?}",
                self.size, self.begin, self.step, x.shape
            )));
        }
        Ok(self.size.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        if output.view.is_empty() {
            return Ok(());
        }
        let mut strides = dense(&x.ty.shape);
        let start = self.begin.iter().zip(strides).map(|(begin, stride)| begin * stride as usize).sum();
        for (axis, stride) in strides.iter_mut().enumerate().take(self.step.len()) {
            // A step along an axis of one result may be anything, and is never taken.
            *stride = if self.size[axis] == 1 { 0 } else { *stride * self.step[axis] };
        }
        let walk = Walk::new(&self.size, [start], [strides]);
        same_elements!(x.view, &mut output.view, |from, to| walk
            .zip(to.iter_mut())
            .for_each(|([i], out)| *out = from[i]));
        Ok(())
    }
}
