//! Elements added around a tensor.

use super::operands::{moves, operand, required, same_elements};
use super::walk::{Walk, dense};
use crate::element::Element;
use crate::tensor::each_type;
use crate::{GraphError, TensorMut, TensorRef, TensorType, qmath};

/// Adds elements of one value before and after each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// How many before, for each axis.
    pub before: Vec<usize>,
    /// How many after, for each axis.
    pub after: Vec<usize>,
    /// The real value of them; a quantized tensor holds the quantized value.
    pub value: f32,
}

impl Pad {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let padding = self.before.iter().zip(&self.after);
        let sum = |(size, (before, after)): (&usize, (&usize, &usize))| size.checked_add(*before)?.checked_add(*after);
        let shape: Option<Vec<usize>> = x.shape.iter().zip(padding).map(sum).collect();
        let (before, after) = (self.before.len(), self.after.len());
        shape.filter(|_| before == x.shape.len() && after == x.shape.len() && !self.value.is_nan()).ok_or_else(|| {
            GraphError::Attribute(format!(
                "{:?} cannot be padded by {:?} before and {:?} after, with {}",
                x.shape, self.before, self.after, self.value
            ))
        })
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        moves(required(inputs, 0)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let value = f64::from(match &output.ty.quantization {
            Some(q) if output.ty.dtype.is_8_bit() => {
                let (min, max) = output.ty.dtype.bounds_8_bit();
                qmath::quantize(self.value, q.scale(), q.zero_point(), min, max) as f32
            }
            _ => self.value,
        });
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
}

fn fill<T: Element>(out: &mut [T], value: f64) {
    out.fill(T::cast(value));
}
