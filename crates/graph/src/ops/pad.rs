//! Elements added around a tensor.

use super::operands::{moves, one_of, operand, required, same_elements, unchecked};
use super::walk::{Walk, dense};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, ViewMut, qmath};

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
        let x = required(inputs, 0)?;
        let known = [DType::F32, DType::I8, DType::U8, DType::I32, DType::I64];
        one_of(x, "input", &known, "the operator takes float32, 8-bit numbers or integers")?;
        moves(x, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let value = self.value;
        let byte = match (output.ty.dtype, &output.ty.quantization) {
            (dtype @ (DType::I8 | DType::U8), Some(q)) => {
                let (min, max) = dtype.bounds_8_bit();
                qmath::quantize(value, q.scale(), q.zero_point(), min, max)
            }
            (DType::I8, None) => (value as i8).into(),
            _ => (value as u8).into(),
        };
        match &mut output.view {
            ViewMut::F32(out) => out.fill(value),
            ViewMut::I8(out) => out.fill(byte as i8),
            ViewMut::U8(out) => out.fill(byte as u8),
            ViewMut::I32(out) => out.fill(value as i32),
            ViewMut::I64(out) => out.fill(value as i64),
            ViewMut::F16(_) => return Err(unchecked()),
        }
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
