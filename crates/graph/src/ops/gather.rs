//! Slices picked along an axis by index.

use super::operands::{moves, one_of, operand, required, same_elements, unchecked};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View};

/// Picks slices of a tensor along an axis; a negative or too large index is an error.
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
            let index = at(indices.view, block / outer * each + place)?;
            let index = usize::try_from(index).ok().filter(|index| *index < size).ok_or_else(|| {
                GraphError::Attribute(format!("the index {index} lies outside axis {} of {shape:?}", self.axis))
            })?;
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

fn at(indices: View<'_>, place: usize) -> Result<i64, GraphError> {
    match indices {
        View::I32(indices) => Ok(indices[place].into()),
        View::I64(indices) => Ok(indices[place]),
        _ => Err(unchecked()),
    }
}
