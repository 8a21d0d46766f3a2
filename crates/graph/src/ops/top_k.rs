//! The indices of the largest or smallest elements along an axis.

use std::cmp::Ordering;

use super::operands::{axis, number, one_of, operand, required, unchecked};
use crate::element::{Element, Number};
use crate::tensor::each_number;
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, ViewMut};

/// The indices of the largest or smallest elements along an axis, in their order, of equal ones the first. The elements
/// themselves are what [`GatherElements`](super::GatherElements) picks by these.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// The axis that is searched.
    pub axis: usize,
    /// How many; the size of the axis in the result.
    pub k: usize,
    /// The largest, or else the smallest.
    pub largest: bool,
}

impl TopK {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let size = axis(self.axis, x)?;
        if self.k > size {
            return Err(GraphError::Attribute(format!("there are no {} largest of {size} elements", self.k)));
        }
        let mut shape = x.shape.clone();
        shape[self.axis] = self.k;
        Ok(shape)
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        number(required(inputs, 0)?, "input")?;
        one_of(output, "output", &[DType::I64], "indices are int64")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let ViewMut::I64(out) = &mut output.view else { return Err(unchecked()) };
        each_number!(x.view, View, |elements| self.search(x.ty, elements, out), return Err(unchecked()));
        Ok(())
    }

    /// Finds one after another, each the first of those that come after the one before: nothing needs to be sorted in
    /// memory.
    fn search<T: Element>(&self, ty: &TensorType, x: &[T], out: &mut [i64]) {
        let size = ty.shape[self.axis];
        let inner: usize = ty.shape[self.axis + 1..].iter().product();
        for (row, out) in out.chunks_exact_mut((self.k * inner).max(1)).enumerate() {
            for column in 0..inner {
                let value = |place: usize| x[(row * size + place) * inner + column].widen();
                let order = |a: &usize, b: &usize| {
                    let ascending = compare(value(*a), value(*b));
                    if self.largest { ascending.reverse() } else { ascending }.then(a.cmp(b))
                };
                let mut last = None;
                for place in 0..self.k {
                    let after = (0..size).filter(|i| last.is_none_or(|last| order(&last, i) == Ordering::Less));
                    last = after.min_by(order);
                    out[place * inner + column] = last.unwrap_or(0) as i64;
                }
            }
        }
    }
}

/// The order of numbers, in which none is the largest, as NumPy sorts.
pub(super) fn compare<N: Number>(a: N, b: N) -> Ordering {
    let is_none = |x: N| x.partial_cmp(&x).is_none();
    a.partial_cmp(&b).unwrap_or_else(|| is_none(a).cmp(&is_none(b)))
}
