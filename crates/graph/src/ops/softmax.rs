//! Softmax along the last axis.

use super::operands::{Bytes, float_or_quantized, floats, floats_mut, operand, required};
use crate::{GraphError, TensorMut, TensorRef, TensorType, View, qmath};

/// exp(beta · x) over its sum along the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// The factor in the exponent; positive.
    pub beta: f32,
}

impl Softmax {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        if x.shape.is_empty() || !(self.beta > 0.0 && self.beta.is_finite()) {
            return Err(GraphError::Attribute(format!("there is no softmax of {:?} with beta {}", x.shape, self.beta)));
        }
        Ok(x.shape.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        float_or_quantized(&[("input", required(inputs, 0)?), ("output", output)])
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let row = x.ty.shape.last().copied().unwrap_or(1).max(1);
        match x.view {
            View::I8(_) | View::U8(_) => self.eval_quantized(x, row, output),
            _ => self.eval_float(x, row, output),
        }
    }

    fn eval_float(&self, x: TensorRef<'_>, row: usize, output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let rows = floats(&x)?.chunks_exact(row);
        for (x, out) in rows.zip(floats_mut(output)?.chunks_exact_mut(row)) {
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (x, out) in x.iter().zip(&mut *out) {
                *out = libm::expf((x - largest) * self.beta);
                sum += *out;
            }
            for out in out {
                *out /= sum;
            }
        }
        Ok(())
    }

    fn eval_quantized(&self, x: TensorRef<'_>, row: usize, output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (from, to) = (x.ty.activation_quantization("input")?, output.ty.activation_quantization("output")?);
        let (min, max) = output.ty.dtype.bounds_8_bit();
        let table = qmath::softmax_table(from.scale(), self.beta);
        let elements = Bytes::new(&x)?;
        for (index, out) in output.view.bytes_mut().chunks_exact_mut(row).enumerate() {
            let first = index * row;
            let largest = (first..first + row).map(|i| elements.get(i)).max().unwrap_or(0);
            let entry = |i: usize| table[(largest - elements.get(i)) as usize];
            let sum = (first..first + row).map(|i| u64::from(entry(i))).sum();
            for (i, out) in (first..).zip(out) {
                *out = qmath::softmax_output(entry(i), sum, to.scale(), to.zero_point(), min, max) as u8;
            }
        }
        Ok(())
    }
}
