//! Slices picked along an axis by index.

use super::operands::{index_in, moves, one_of, operand, required, same_elements};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType};

/// Picks slices of a tensor along an axis; a negative index counts from the end, and one beyond it is an error of the
/// run.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The axis that is indexed.
    pub axis: usize,
    /// The first axes that tensor and indices share; at most `axis`.
    pub batch_dims: usize,
}

impl Gather {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let (x, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        let Gather { axis, batch_dims } = *self;
        let batched = batch_dims <= axis
            && axis < x.shape.len()
            && batch_dims <= indices.shape.len()
            && x.shape[..batch_dims] == indices.shape[..batch_dims];
        if !batched {
            return Err(GraphError::Attribute(format!(
                "{:?} cannot be indexed along axis {axis} by {:?} with {batch_dims} axes shared",
                x.shape, indices.shape
            )));
        }
        Ok([&x.shape[..axis], &indices.shape[batch_dims..], &x.shape[axis + 1..]].concat())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let indices = required(inputs, 1)?;
        one_of(indices, "indices", &[DType::I32, DType::I64], "indices are int32 or int64")?;
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (x, indices) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let shape = &x.ty.shape;
        let size = shape[self.axis];
        let outer: usize = shape[self.batch_dims..self.axis].iter().product();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let each: usize = indices.ty.shape[self.batch_dims..].iter().product();
        if output.view.is_empty() {
            return Ok(());
        }
        // Output rows are numbered by batch, outer index and place among the batch's indices.
        let source = |row: usize| -> Result<usize, GraphError> {
            let (block, place) = (row / each, row % each);
            let index = index_in(indices.view, block / outer * each + place, size)?;
            Ok((block * size + index) * inner)
        };
        same_elements!(x.view, &mut output.view, |from, to| {
            for (row, to) in to.chunks_exact_mut(inner).enumerate() {
                let first = source(row)?;
                to.copy_from_slice(&from[first..first + inner]);
            }
        });
        Ok(())
    }
}
