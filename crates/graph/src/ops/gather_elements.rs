//! Elements picked along an axis, each by an index of its own.

use super::operands::{axis, index_in, moves, one_of, operand, required, same_elements, unchecked};
use super::walk::{Walk, dense};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType};

/// For each index, the element that lies there along an axis, and where the index itself lies along the others. A
/// negative index counts from the end; one beyond it is an error of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherElements {
    /// The axis that is indexed.
    pub axis: usize,
}

impl GatherElements {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let (x, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        axis(self.axis, x)?;
        let within = |(other, (index, size)): (usize, (&usize, &usize))| other == self.axis || index <= size;
        let fits = x.shape.len() == indices.shape.len();
        if !fits || !indices.shape.iter().zip(&x.shape).enumerate().all(within) {
            return Err(GraphError::Shape {
                what: "indices".into(),
                expected: format!("none larger than {:?} but along axis {}", x.shape, self.axis),
                found: indices.shape.clone(),
            });
        }
        Ok(indices.shape.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        one_of(required(inputs, 1)?, "indices", &[DType::I32, DType::I64], "indices are int32 or int64")?;
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (x, indices) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let size = x.ty.shape.get(self.axis).copied().ok_or_else(unchecked)?;
        let mut strides = dense(&x.ty.shape);
        let step = std::mem::take(&mut strides[self.axis]) as usize;
        let walk = Walk::new(&indices.ty.shape, [0], [strides]);
        same_elements!(x.view, &mut output.view, |from, to| {
            for (place, ([start], out)) in walk.zip(to.iter_mut()).enumerate() {
                *out = from[start + index_in(indices.view, place, size)? * step];
            }
        });
        Ok(())
    }
}
