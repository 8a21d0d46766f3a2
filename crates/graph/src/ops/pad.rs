//! Elements added around a tensor.

use super::operands::{moves, operand, required, same_elements};
use super::walk::{Walk, dense};
use crate::element::Element;
use crate::tensor::each_type;
use crate::{GraphError, TensorMut, TensorRef, TensorType, qmath};

/// What elements around a tensor are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This real number; a quantized tensor holds the quantized one.
    Constant(f64),
    /// The tensor mirrored at its first and last elements, which are not repeated.
    Reflect,
    /// The nearest of its elements.
    Edge,
    /// The tensor again.
    Wrap,
}

/// Adds elements before and after each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// How many before, for each axis.
    pub before: Vec<usize>,
    /// How many after, for each axis.
    pub after: Vec<usize>,
    /// What they are.
    pub mode: PadMode,
}

impl Pad {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let padding = self.before.iter().zip(&self.after);
        let possible = |size: usize, added: usize| match self.mode {
            PadMode::Constant(value) => !value.is_nan(),
            _ => size > 0 || added == 0,
        };
        let sum = |(size, (before, after)): (&usize, (&usize, &usize))| {
            let added = before.checked_add(*after)?;
            size.checked_add(added).filter(|_| possible(*size, added))
        };
        let shape: Option<Vec<usize>> = x.shape.iter().zip(padding).map(sum).collect();
        let (before, after) = (self.before.len(), self.after.len());
        shape.filter(|_| before == x.shape.len() && after == x.shape.len()).ok_or_else(|| {
            GraphError::Attribute(format!(
                "{:?} cannot be padded by {:?} before and {:?} after, {:?}",
                x.shape, self.before, self.after, self.mode
            ))
        })
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let PadMode::Constant(value) = self.mode else { return self.repeat(x, output) };
        let value = match &output.ty.quantization {
            Some(q) if output.ty.dtype.is_8_bit() => {
                let (min, max) = output.ty.dtype.bounds_8_bit();
                qmath::quantize(value as f32, q.scale(), q.zero_point(), min, max).into()
            }
            _ => value,
        };
        each_type!(&mut output.view, ViewMut, |out| fill(out, value));
        let strides = dense(&output.ty.shape);
        let start = self.before.iter().zip(strides).map(|(before, stride)| before * stride as usize).sum();
        if x.view.is_empty() {
            return Ok(());
        }
        let walk = Walk::new(&x.ty.shape, [start], [strides]);
        same_elements!(x.view, &mut output.view, |from, to| walk.zip(from).for_each(|([j], x)| to[j] = *x));
        Ok(())
    }

    /// Fills the output with elements of the input.
    fn repeat(&self, x: TensorRef<'_>, output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (own, strides) = (dense(&x.ty.shape), dense(&output.ty.shape));
        let shape = &output.ty.shape;
        let source = |index: usize| -> usize {
            let along = |axis: usize| {
                let at = (index / strides[axis] as usize % shape[axis]) as isize - self.before[axis] as isize;
                self.mode.place(at, x.ty.shape[axis] as isize) * own[axis]
            };
            (0..shape.len()).map(along).sum::<isize>() as usize
        };
        same_elements!(x.view, &mut output.view, |from, to| {
            to.iter_mut().enumerate().for_each(|(index, out)| *out = from[source(index)]);
        });
        Ok(())
    }
}

impl PadMode {
    /// The index among `size` elements of what lies at an index that may be beyond them.
    fn place(self, at: isize, size: isize) -> isize {
        match self {
            PadMode::Constant(_) | PadMode::Edge => at.clamp(0, size - 1),
            PadMode::Wrap => at.rem_euclid(size),
            PadMode::Reflect => {
                let period = (2 * (size - 1)).max(1);
                let within = at.rem_euclid(period);
                if within < size { within } else { period - within }
            }
        }
    }
}

fn fill<T: Element>(out: &mut [T], value: f64) {
    out.fill(T::cast(value));
}
