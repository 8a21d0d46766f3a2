//! Parts of a tensor picked by index vectors.

use super::operands::{index_in, moves, one_of, operand, required, same_elements};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View};

/// For each vector along the last axis of the indices, the part of the tensor that its numbers lead to, one an axis.
/// Negative numbers count from the end; one beyond it is an error of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherNd {
    /// The first axes that tensor and indices share.
    pub batch_dims: usize,
}

impl GatherNd {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let (x, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        let batch = self.batch_dims;
        let depth = indices.shape.last().copied().unwrap_or(0);
        let last = indices.shape.len().saturating_sub(1);
        let indexed = batch.checked_add(depth).filter(|end| *end <= x.shape.len());
        match indexed {
            Some(end) if depth > 0 && batch <= last && x.shape[..batch] == indices.shape[..batch] => {
                Ok([&indices.shape[..last], &x.shape[end..]].concat())
            }
            _ => Err(GraphError::Attribute(format!(
                "{:?} cannot be indexed by the vectors of {:?} with {batch} axes shared",
                x.shape, indices.shape
            ))),
        }
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        one_of(required(inputs, 1)?, "indices", &[DType::I32, DType::I64], "indices are int32 or int64")?;
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (x, indices) = (operand(inputs, 0)?, operand(inputs, 1)?);
        if output.view.is_empty() {
            return Ok(());
        }
        let vectors = Vectors::new(x.ty, indices, self.batch_dims);
        let each = vectors.count / x.ty.shape[..self.batch_dims].iter().product::<usize>();
        let batch_len: usize = x.ty.shape[self.batch_dims..].iter().product();
        same_elements!(x.view, &mut output.view, |from, to| {
            for (row, to) in to.chunks_exact_mut(vectors.part).enumerate() {
                let first = row / each * batch_len + vectors.offset(row)?;
                to.copy_from_slice(&from[first..first + vectors.part]);
            }
        });
        Ok(())
    }
}

/// Vectors of indices into the axes of a tensor, from one on.
pub(super) struct Vectors<'a> {
    indices: View<'a>,
    /// The sizes of the axes that are indexed.
    sizes: &'a [usize],
    /// Elements of what a vector leads to.
    pub(super) part: usize,
    /// How many vectors there are.
    pub(super) count: usize,
}

impl<'a> Vectors<'a> {
    /// The vectors along the last axis of `indices`, into the axes of a tensor from `first` on. Types must have been
    /// checked.
    pub(super) fn new(x: &'a TensorType, indices: TensorRef<'a>, first: usize) -> Vectors<'a> {
        let depth = indices.ty.shape.last().copied().unwrap_or(0);
        let (sizes, part) = x.shape[first..].split_at(depth);
        let count = indices.view.len().checked_div(depth).unwrap_or(0);
        Vectors { indices: indices.view, sizes, part: part.iter().product(), count }
    }

    /// Where what a vector leads to begins, in elements.
    pub(super) fn offset(&self, vector: usize) -> Result<usize, GraphError> {
        let mut offset = 0;
        for (place, &size) in self.sizes.iter().enumerate() {
            offset = offset * size + index_in(self.indices, vector * self.sizes.len() + place, size)?;
        }
        Ok(offset * self.part)
    }
}
