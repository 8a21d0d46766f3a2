//! Operators on quantized numbers.
//!
//! In the graph, scale and zero point belong to a tensor's type. Where the file's are constants, quantized operators become the graph's.

use kinglet_graph::ops::{Activation, BinaryKind, FullyConnected};
use kinglet_graph::{DType, Op, Quantization, ValueId};

use super::convolution::{self, Convolution};
use super::{Problem, axis, invalid, matrix, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;
use crate::onnx::tensors::is_small_float;

/// Scale and zero point that are inputs of an operator, from `index` on, and must be constants. `axis` is that of more than one.
fn quantization(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    axis: Option<usize>,
) -> Result<Quantization, Problem> {
    let scales = op.numbers(b, index, "its scale")?;
    let mut zero_points: Vec<i32> = match op.optional_integers(b, index + 1, "its zero point")? {
        Some(zero_points) => zero_points.iter().map(|&zero_point| zero_point as i32).collect(),
        None => vec![0; scales.len()],
    };
    if let &[only] = &zero_points[..] {
        zero_points.resize(scales.len(), only);
    }
    if scales.is_empty() || zero_points.len() != scales.len() {
        return invalid(format!("it has {} scales and {} zero points", scales.len(), zero_points.len()));
    }
    let axis = axis.filter(|_| scales.len() > 1);
    Ok(Quantization { scales, zero_points, axis })
}

/// The same where both are known and a tensor's type can have them.
pub fn known_quantization(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    axis: Option<usize>,
) -> Result<Option<Quantization>, Problem> {
    let (scale, zero_point) = (op.input(b, index)?, op.optional(b, index + 1)?);
    let known = |b: &Builder<'_>, id: ValueId| b.constant(id).is_some() && b.ty(id).shape.len() <= 1;
    if !known(b, scale) || b.dtype(scale) != DType::F32 || !zero_point.is_none_or(|id| known(b, id)) {
        return Ok(None);
    }
    // Of small floats, whose zero points are such, there are no quantized tensors.
    if zero_point.is_some_and(|id| is_small_float(b.dtype(id))) {
        return Ok(None);
    }
    let quantization = quantization(b, op, index, axis)?;
    let positive = quantization.scales.iter().all(|scale| scale.is_finite() && *scale > 0.0);
    Ok(positive.then_some(quantization))
}

/// The attribute `axis` of an operator on a tensor of this shape.
pub fn axis_of(op: &Operator<'_>, shape: &[usize]) -> Result<Option<usize>, Problem> {
    if shape.is_empty() { Ok(None) } else { Ok(axis(op.int_or("axis", 1)?, shape.len()).ok()) }
}

/// The value of an input with scale and zero point that are the two inputs after it.
fn quantized_input(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    axis: Option<usize>,
) -> Result<ValueId, Problem> {
    let x = op.input(b, index)?;
    let quantization = quantization(b, op, index + 1, axis)?;
    b.quantized(x, &quantization)
}

/// The type of a result whose scale and zero point are inputs from `index` on: the zero point's type, uint8 where it is left out.
fn result(b: &mut Builder<'_>, op: &Operator<'_>, index: usize) -> Result<(DType, Quantization), Problem> {
    let dtype = op.optional(b, index + 1)?.map_or(DType::U8, |id| b.dtype(id));
    Ok((dtype, quantization(b, op, index, None)?))
}

/// QLinearConv. Inputs: image, weights, each with scale and zero point; those of the result; optional int32 bias.
pub fn qlinear_conv(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = quantized_input(b, op, 0, None)?;
    let weights = quantized_input(b, op, 3, Some(0))?;
    let (dtype, quantization) = result(b, op, 6)?;
    let bias = op.optional(b, 8)?;
    let convolution = Convolution { x, weights, bias, dtype, quantization: Some(quantization) };
    Ok(vec![convolution::convolve(b, op, &convolution)?])
}

/// QLinearMatMul. Inputs: two matrices, each with scale and zero point; those of the result. With weights that are known it is a fully
/// connected layer; else the product is made of real numbers.
pub fn qlinear_mat_mul(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = quantized_input(b, op, 0, None)?;
    let y = op.input(b, 3)?;
    let last = b.ty(y).shape.len().checked_sub(1);
    let y = quantized_input(b, op, 3, last)?;
    let (dtype, quantization) = result(b, op, 6)?;
    if b.constant(y).is_some() && b.ty(y).shape.len() == 2 && b.ty(x).shape.len() > 1 {
        let weights = b.transpose(y, &[1, 0])?;
        let layer = Op::FullyConnected(FullyConnected { activation: Activation::None });
        return Ok(vec![b.emit_as(layer, &[Some(x), Some(weights)], dtype, Some(quantization))?]);
    }
    let x = b.emit_as(Op::Dequantize, &[Some(x)], DType::F32, None)?;
    let y = b.emit_as(Op::Dequantize, &[Some(y)], DType::F32, None)?;
    let product = matrix::product(b, x, y)?;
    Ok(vec![b.emit_as(Op::Quantize, &[Some(product)], dtype, Some(quantization))?])
}

/// QGemm of com.microsoft. Inputs: A and B with scale and zero point, optional int32 C, then scale and zero point of the result; without
/// those the result is real.
pub fn qgemm(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let mut x = quantized_input(b, op, 0, None)?;
    let transposed = op.flag("transB")?;
    let mut weights = quantized_input(b, op, 3, Some(usize::from(!transposed)))?;
    if op.flag("transA")? {
        x = b.transpose(x, &[1, 0])?;
    }
    if !transposed {
        weights = b.transpose(weights, &[1, 0])?;
    }
    let bias = op.optional(b, 6)?;
    let alpha = op.float_or("alpha", 1.0)?;
    let columns = b.ty(weights).shape.first().copied();
    let plain =
        alpha == 1.0 && bias.is_none_or(|bias| Some(b.ty(bias).len()) == columns && b.dtype(bias) == DType::I32);
    if !plain || op.optional(b, 7)?.is_none() {
        return unsupported("with a factor, a bias that is not one number a column, or a real result");
    }
    let (dtype, quantization) = result(b, op, 7)?;
    let bias = match (bias, columns) {
        (Some(bias), Some(columns)) => Some(b.reshape(bias, &[columns])?),
        _ => None,
    };
    let layer = Op::FullyConnected(FullyConnected { activation: Activation::None });
    Ok(vec![b.emit_as(layer, &[Some(x), Some(weights), bias], dtype, Some(quantization))?])
}

/// QLinearAdd and QLinearMul of com.microsoft. Inputs: two tensors with scale and zero point; those of the result.
pub fn qlinear_binary(b: &mut Builder<'_>, op: &Operator<'_>, kind: BinaryKind) -> Result<Vec<ValueId>, Problem> {
    let (x, y) = (quantized_input(b, op, 0, None)?, quantized_input(b, op, 3, None)?);
    let (dtype, quantization) = result(b, op, 6)?;
    let binary = Op::Binary(kinglet_graph::ops::Binary { kind, activation: Activation::None });
    Ok(vec![b.emit_as(binary, &[Some(x), Some(y)], dtype, Some(quantization))?])
}

/// An input of integers as int32 with the zero point taken away, which is input `zero_point` where that is not left out. One zero
/// point for each index of `axis`, if there are several.
fn centred(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    zero_point: usize,
    axis: usize,
) -> Result<ValueId, Problem> {
    let x = op.input(b, index)?;
    let x = b.cast(x, DType::I32)?;
    let Some(zero_point) = op.optional(b, zero_point)? else { return Ok(x) };
    let rank = b.ty(x).shape.len();
    let mut zero_point = b.cast(zero_point, DType::I32)?;
    if let [count] = b.shape(zero_point)[..] {
        let shape: Vec<usize> = (0..rank).map(|other| if other == axis && count > 1 { count } else { 1 }).collect();
        zero_point = b.reshape(zero_point, &shape)?;
    }
    b.binary(BinaryKind::Subtract, x, zero_point)
}

/// ConvInteger. Inputs: image, weights, their zero points. The result is int32.
pub fn conv_integer(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, weights) = (centred(b, op, 0, 2, 1)?, centred(b, op, 1, 3, 0)?);
    let convolution = Convolution { x, weights, bias: None, dtype: DType::I32, quantization: None };
    Ok(vec![convolution::convolve(b, op, &convolution)?])
}

/// MatMulInteger. Inputs: two matrices, their zero points: of A one a row, of B one a column. The result is int32.
pub fn mat_mul_integer(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let ranks = [op.input(b, 0)?, op.input(b, 1)?].map(|id| b.ty(id).shape.len());
    let (x, y) = (centred(b, op, 0, 2, ranks[0].saturating_sub(2))?, centred(b, op, 1, 3, ranks[1].saturating_sub(1))?);
    Ok(vec![matrix::product(b, x, y)?])
}
