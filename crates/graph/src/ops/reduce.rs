//! Mean over axes.

use super::operands::{Bytes, float_or_quantized, floats, floats_mut, operand, required};
use super::walk::{Strides, Walk, dense};
use super::{Activation, check_count};
use crate::qmath::MeanParameters;
use crate::{GraphError, MAX_RANK, TensorMut, TensorRef, TensorType, View};

/// The mean over some axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// The axes, ascending, each once.
    pub axes: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep_dims: bool,
}

impl Mean {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let ascending = self.axes.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.axes.last().is_some_and(|last| *last >= x.shape.len()) {
            return Err(GraphError::Attribute(format!("{:?} are no ascending axes of {:?}", self.axes, x.shape)));
        }
        if self.axes.iter().any(|axis| x.shape[*axis] == 0) {
            return Err(GraphError::Attribute(format!("there is no mean over no elements of {:?}", x.shape)));
        }
        let sizes = x.shape.iter().enumerate();
        Ok(match self.keep_dims {
            true => sizes.map(|(axis, size)| if self.axes.contains(&axis) { 1 } else { *size }).collect(),
            false => sizes.filter(|(axis, _)| !self.axes.contains(axis)).map(|(_, size)| *size).collect(),
        })
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let x = required(inputs, 0)?;
        float_or_quantized(&[("input", x), ("output", output)])?;
        if x.dtype.is_8_bit() {
            MeanParameters::new(x, output, Activation::None)?;
            check_count(self.axes.iter().map(|axis| x.shape[*axis]).product())?;
        }
        Ok(())
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let parts = Parts::new(&self.axes, &x.ty.shape);
        match x.view {
            View::I8(_) | View::U8(_) => {
                let mean = MeanParameters::new(x.ty, output.ty, Activation::None)?;
                let elements = Bytes::new(&x)?;
                let out = output.view.bytes_mut();
                parts.each(
                    0i32,
                    |sum, i| sum + (elements.get(i) - mean.zero_points[0]),
                    |index, sum, count| {
                        out[index] = mean.apply(sum, count) as u8;
                    },
                );
            }
            _ => {
                let (elements, out) = (floats(&x)?, floats_mut(output)?);
                let store = |index: usize, sum: f32, count| out[index] = Activation::None.clamp(sum / count as f32);
                parts.each(0.0, |sum, i| sum + elements[i], store);
            }
        }
        Ok(())
    }
}

/// A shape taken apart into the axes that stay and those that are averaged over.
struct Parts {
    kept: ([usize; MAX_RANK], Strides, usize),
    reduced: ([usize; MAX_RANK], Strides, usize),
}

impl Parts {
    fn new(axes: &[usize], shape: &[usize]) -> Parts {
        let strides = dense(shape);
        let part = |reduced: bool| {
            let (mut sizes, mut steps, mut rank) = ([1; MAX_RANK], [0; MAX_RANK], 0);
            for axis in (0..shape.len()).filter(|axis| axes.contains(axis) == reduced) {
                (sizes[rank], steps[rank]) = (shape[axis], strides[axis]);
                rank += 1;
            }
            (sizes, steps, rank)
        };
        Parts { kept: part(false), reduced: part(true) }
    }

    /// For every output element: `add(sum, input index)` over the elements that it is made of, then
    /// `store(output index, sum, how many they were)`.
    fn each<A: Copy>(&self, start: A, mut add: impl FnMut(A, usize) -> A, mut store: impl FnMut(usize, A, usize)) {
        let (sizes, strides, rank) = &self.kept;
        let (reduced_sizes, reduced_strides, reduced_rank) = &self.reduced;
        let reduced = &reduced_sizes[..*reduced_rank];
        for (index, [first]) in Walk::new(&sizes[..*rank], [0], [*strides]).enumerate() {
            let walk = Walk::new(reduced, [first], [*reduced_strides]);
            let sum = walk.fold(start, |sum, [i]| add(sum, i));
            store(index, sum, reduced.iter().product());
        }
    }
}
