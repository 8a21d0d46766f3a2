//! The index of the largest or smallest element along an axis.

use super::operands::{number, one_of, operand, required, unchecked};
use crate::element::Element;
use crate::tensor::each_number;
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, ViewMut};

/// Which element is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// The index of the largest or smallest element along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// Which element.
    pub kind: ArgKind,
    /// The axis that is searched.
    pub axis: usize,
    /// Whether it stays, with size 1.
    pub keep_dims: bool,
    /// Whether the last of equal ones is taken, not the first.
    pub last: bool,
}

impl Arg {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let mut shape = x.shape.clone();
        if super::operands::axis(self.axis, x)? == 0 {
            return Err(GraphError::Attribute(format!("there is no largest of no elements of {shape:?}")));
        }
        match self.keep_dims {
            true => shape[self.axis] = 1,
            false => drop(shape.remove(self.axis)),
        }
        Ok(shape)
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        number(required(inputs, 0)?, "input")?;
        one_of(output, "output", &[DType::I32, DType::I64], "indices are int32 or int64")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        each_number!(x.view, View, |elements| self.search(x.ty, elements, output), Err(unchecked()))
    }

    fn search<T: Element>(&self, ty: &TensorType, x: &[T], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let size = ty.shape[self.axis];
        let inner: usize = ty.shape[self.axis + 1..].iter().product();
        let found = |index: usize| {
            let first = index / inner * size * inner + index % inner;
            let value = |i: usize| x[first + i * inner].widen();
            let better = |i: usize, best: usize| match self.kind {
                ArgKind::Max => value(i) > value(best),
                ArgKind::Min => value(i) < value(best),
            };
            let takes = |i: usize, best: usize| better(i, best) || self.last && value(i) == value(best);
            (1..size).fold(0, |best, i| if takes(i, best) { i } else { best })
        };
        match &mut output.view {
            ViewMut::I32(out) => out.iter_mut().enumerate().for_each(|(index, out)| *out = found(index) as i32),
            ViewMut::I64(out) => out.iter_mut().enumerate().for_each(|(index, out)| *out = found(index) as i64),
            _ => return Err(unchecked()),
        }
        Ok(())
    }
}
