//! PReLU: a leaky ReLU whose slope is a tensor.

use super::operands::{Bytes, float_or_quantized, floats, floats_mut, operand, required};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::qmath::PreluParameters;
use crate::{GraphError, TensorMut, TensorRef, TensorType, View};

pub(super) fn infer(inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
    broadcast_shape(&required(inputs, 0)?.shape, &required(inputs, 1)?.shape)
}

pub(super) fn check(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    let (x, slope) = (required(inputs, 0)?, required(inputs, 1)?);
    float_or_quantized(&[("input", x), ("slope", slope), ("output", output)])?;
    if x.dtype.is_8_bit() {
        PreluParameters::new(x, slope, output)?;
    }
    Ok(())
}

pub(super) fn eval(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let (x, slope) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let shape = output.ty.shape.as_slice();
    let walk = Walk::new(shape, [0, 0], [broadcast(&x.ty.shape, shape), broadcast(&slope.ty.shape, shape)]);
    match x.view {
        View::I8(_) | View::U8(_) => {
            let formula = PreluParameters::new(x.ty, slope.ty, output.ty)?;
            let (x, slope) = (Bytes::new(&x)?, Bytes::new(&slope)?);
            for ([i, j], out) in walk.zip(output.view.bytes_mut()) {
                *out = formula.apply(x.get(i), slope.get(j)) as u8;
            }
        }
        _ => {
            let (x, slope) = (floats(&x)?, floats(&slope)?);
            for ([i, j], out) in walk.zip(floats_mut(output)?) {
                *out = if x[i] >= 0.0 { x[i] } else { x[i] * slope[j] };
            }
        }
    }
    Ok(())
}
