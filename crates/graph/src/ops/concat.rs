//! Tensors joined along an axis.

use super::Activation;
use super::operands::{Bytes, float_or_quantized, moves, operand, required, same_elements};
use crate::qmath::Rescale;
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, ViewMut};

/// Joins tensors along an axis; quantized ones of another scale are requantized.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The axis along which they follow each other.
    pub axis: usize,
    /// Applied to the result; none on integers.
    pub activation: Activation,
}

impl Concat {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let mut shape = required(inputs, 0)?.shape.clone();
        let axis = self.axis;
        super::operands::axis(axis, required(inputs, 0)?)?;
        for index in 1..inputs.len() {
            let next = required(inputs, index)?;
            let fits = next.shape.len() == shape.len()
                && next.shape.iter().zip(&shape).enumerate().all(|(other, (a, b))| other == axis || a == b);
            if !fits {
                return Err(GraphError::Shape {
                    what: format!("input {index}"),
                    expected: format!("that of input 0 but for axis {axis}, {shape:?}"),
                    found: next.shape.clone(),
                });
            }
            // Neither is above MAX_ELEMENTS, unless another axis is 0: then only the sum is bounded.
            shape[axis] = shape[axis].saturating_add(next.shape[axis]);
        }
        Ok(shape)
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        for index in 0..inputs.len() {
            let input = required(inputs, index)?;
            if output.quantization.is_none() && output.dtype != DType::F32 {
                moves(input, output)?;
                if self.activation != Activation::None {
                    return Err(GraphError::Attribute(format!("{:?} has no integer form", self.activation)));
                }
                continue;
            }
            float_or_quantized(&[("output", output), ("input", input)])?;
            if output.dtype.is_8_bit() {
                Rescale::new(input, output, self.activation)?;
            }
        }
        Ok(())
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let total = output.ty.shape[self.axis];
        let inner: usize = output.ty.shape[self.axis + 1..].iter().product();
        let mut start = 0;
        for index in 0..inputs.len() {
            let x = operand(inputs, index)?;
            let size = x.ty.shape[self.axis];
            let place = Place { row: size * inner, stride: total * inner, start: start * inner };
            self.copy(x, output, place)?;
            start += size;
        }
        Ok(())
    }

    fn copy(&self, x: TensorRef<'_>, output: &mut TensorMut<'_>, place: Place) -> Result<(), GraphError> {
        if place.row == 0 {
            return Ok(());
        }
        if x.ty.dtype.is_8_bit() && output.ty.quantization.is_some() {
            let rescale = Rescale::new(x.ty, output.ty, self.activation)?;
            let bytes = output.view.bytes_mut();
            for (i, q) in Bytes::new(&x)?.iter().enumerate() {
                bytes[place.of(i)] = rescale.apply(q) as u8;
            }
            return Ok(());
        }
        same_elements!(x.view, &mut output.view, |from, to| {
            for (row, from) in from.chunks_exact(place.row).enumerate() {
                let first = place.of(row * place.row);
                to[first..first + place.row].copy_from_slice(from);
            }
        });
        if let (ViewMut::F32(elements), true) = (&mut output.view, self.activation != Activation::None) {
            for i in (0..x.view.len()).map(|i| place.of(i)) {
                elements[i] = self.activation.clamp(elements[i]);
            }
        }
        Ok(())
    }
}

/// Where the rows of an input lie in the output.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    stride: usize,
    start: usize,
}

impl Place {
    /// The output index of an input's element.
    fn of(self, index: usize) -> usize {
        index / self.row * self.stride + self.start + index % self.row
    }
}
