//! Quantized numbers: into them, out of them.

use kinglet_graph::{DType, Op, Quantization, ValueId};

use super::{Problem, axis, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Scale and zero point that are inputs of an operator, from `index` on, where they are constants, and the type that the
/// zero point has. `shape` is that of the tensor that they are for.
fn quantization(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    shape: &[usize],
) -> Result<(Quantization, Option<DType>), Problem> {
    let scales = op.numbers(b, index, "its scale")?;
    let zero_point = op.optional(b, index + 1)?;
    let dtype = zero_point.map(|id| b.dtype(id));
    let zero_points = match op.optional_integers(b, index + 1, "its zero point")? {
        Some(zero_points) => zero_points.iter().map(|&zero_point| zero_point as i32).collect(),
        None => vec![0; scales.len()],
    };
    if scales.is_empty() || zero_points.len() != scales.len() {
        return invalid(format!("it has {} scales and {} zero points", scales.len(), zero_points.len()));
    }
    let axis = match scales.len() {
        1 => None,
        _ => Some(axis(op.int_or("axis", 1)?, shape.len())?),
    };
    Ok((Quantization { scales, zero_points, axis }, dtype))
}

/// QuantizeLinear. Inputs: x, scale, optional zero point, whose type is the result's.
pub fn quantize_linear(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let (quantization, dtype) = quantization(b, op, 1, &shape)?;
    if quantization.axis.is_some() {
        return unsupported("with one scale a channel");
    }
    Ok(vec![b.emit_as(Op::Quantize, &[Some(x)], dtype.unwrap_or(DType::U8), Some(quantization))?])
}

/// DequantizeLinear. Inputs: x, scale, optional zero point.
pub fn dequantize_linear(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let (quantization, _) = quantization(b, op, 1, &shape)?;
    let x = b.quantized(x, &quantization)?;
    Ok(vec![b.emit_as(Op::Dequantize, &[Some(x)], DType::F32, None)?])
}
