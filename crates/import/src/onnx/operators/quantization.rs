//! Operators on quantized numbers.
//!
//! In the graph, scale and zero point belong to a tensor's type. Where the file's are constants, quantized operators
//! become the graph's.

use kinglet_graph::ops::{Activation, BinaryKind, Concat, FullyConnected, Unary};
use kinglet_graph::{DType, Data, Op, Quantization, Tensor, ValueId};

use super::convolution::{self, Convolution};
use super::{Problem, Translation, axis, invalid, matrix, softmax, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;
use crate::onnx::tensors::is_small_float;

/// Scale and zero point that are inputs of an operator, from `index` on, and must be constants. `axis` is that of more
/// than one.
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

/// The type of a result whose scale and zero point are inputs from `index` on: the zero point's type, uint8 where it is
/// left out.
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

/// QLinearMatMul. Inputs: two matrices, each with scale and zero point; those of the result. With weights that are
/// known it is a fully connected layer; else the product is made of real numbers.
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

/// QGemm of com.microsoft. Inputs: A and B with scale and zero point, optional int32 C, then scale and zero point of
/// the result; without those the result is real.
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

/// The real numbers of an input with scale and zero point that are the two inputs after it.
fn real_input(b: &mut Builder<'_>, op: &Operator<'_>, index: usize) -> Result<ValueId, Problem> {
    let x = quantized_input(b, op, index, None)?;
    b.emit_as(Op::Dequantize, &[Some(x)], DType::F32, None)
}

/// Real numbers as a result whose scale and zero point are inputs from `index` on.
fn quantize(b: &mut Builder<'_>, op: &Operator<'_>, y: ValueId, index: usize) -> Result<Vec<ValueId>, Problem> {
    let (dtype, quantization) = result(b, op, index)?;
    Ok(vec![b.emit_as(Op::Quantize, &[Some(y)], dtype, Some(quantization))?])
}

/// An operator of com.microsoft that does on integers what `translation` does on real numbers: its result is quantized,
/// and passes make quantized operators of what stands between. Inputs: x, scale and zero point; those of the result.
pub fn qlinear(b: &mut Builder<'_>, op: &Operator<'_>, translation: Translation) -> Result<Vec<ValueId>, Problem> {
    let channels_last = op.flag("channels_last")?;
    let mut x = real_input(b, op, 0)?;
    if channels_last {
        x = b.channels_first(x)?;
    }
    let outputs = translation(b, &Operator { first: Some(x), ..*op })?;
    let &[mut y] = &outputs[..] else { return unsupported("with several outputs") };
    if channels_last {
        y = b.channels_last(y)?;
    }
    quantize(b, op, y, 3)
}

/// QLinearSoftmax of com.microsoft: its attribute `opset` says which version of Softmax it is.
pub fn qlinear_softmax(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    qlinear(b, &Operator { version: op.int_or("opset", 13)?, ..*op }, softmax::softmax)
}

/// QLinearConcat of com.microsoft. Inputs: scale and zero point of the result; tensors, each with its own.
pub fn qlinear_concat(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let indices = (2..op.node.input.len()).step_by(3);
    let inputs = indices.map(|index| real_input(b, op, index)).collect::<Result<Vec<_>, _>>()?;
    let Some(&first) = inputs.first() else { return invalid("it has no input") };
    let axis = axis(op.int_or("axis", 1)?, b.ty(first).shape.len())?;
    let y = b.emit(Op::Concat(Concat { axis, activation: Activation::None }), &inputs)?;
    quantize(b, op, y, 0)
}

/// QLinearWhere of com.microsoft. Inputs: condition; two tensors with scale and zero point; those of the result.
pub fn qlinear_where(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let condition = op.input(b, 0)?;
    let (x, y) = (real_input(b, op, 1)?, real_input(b, op, 4)?);
    let y = b.emit_as(Op::Select, &[Some(condition), Some(x), Some(y)], DType::F32, None)?;
    quantize(b, op, y, 7)
}

/// An input of integers as `dtype` with the zero point taken away, which is input `zero_point` where that is not left
/// out. One zero point for each index of `axis`, if there are several.
fn centred(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    index: usize,
    zero_point: usize,
    axis: usize,
    dtype: DType,
) -> Result<ValueId, Problem> {
    let x = op.input(b, index)?;
    let x = b.cast(x, dtype)?;
    let Some(zero_point) = op.optional(b, zero_point)? else { return Ok(x) };
    let rank = b.ty(x).shape.len();
    let mut zero_point = b.cast(zero_point, dtype)?;
    if let [count] = b.shape(zero_point)[..] {
        let shape: Vec<usize> = (0..rank).map(|other| if other == axis && count > 1 { count } else { 1 }).collect();
        zero_point = b.reshape(zero_point, &shape)?;
    }
    b.binary(BinaryKind::Subtract, x, zero_point)
}

/// Known weights as real numbers, with the zero points taken away that are input 3: one, or one for each index of
/// `axis`. Only where `f32` holds every sum of their products with bytes: then it holds the result, and has fast
/// kernels.
fn real_weights(b: &mut Builder<'_>, op: &Operator<'_>, axis: usize) -> Result<Option<ValueId>, Problem> {
    let weights = op.input(b, 1)?;
    let ty = b.ty(weights).clone();
    let Some(&channels) = ty.shape.get(axis) else { return Ok(None) };
    let zero_points = match op.optional(b, 3)? {
        Some(id) if b.constant(id).is_none() => return Ok(None),
        Some(_) => op.integers(b, 3, "its zero point")?.iter().map(|&zero_point| zero_point as i32).collect(),
        None => vec![0],
    };
    if zero_points.len() != 1 && zero_points.len() != channels {
        return Ok(None);
    }
    let first = axis == 0;
    let axis = (zero_points.len() > 1).then_some(axis);
    let largest = largest_sum(b, weights, &zero_points, first)?;
    if largest.is_none_or(|largest| largest > 1 << f32::MANTISSA_DIGITS) {
        return Ok(None);
    }
    let quantization = Quantization { scales: vec![1.0; zero_points.len()], zero_points, axis };
    let weights = b.quantized(weights, &quantization)?;
    Ok(Some(b.emit_as(Op::Dequantize, &[Some(weights)], DType::F32, None)?))
}

/// The largest sum of a channel's products with bytes, where the weights are known bytes. The channels lie along the
/// first axis or the last.
fn largest_sum(
    b: &mut Builder<'_>,
    weights: ValueId,
    zero_points: &[i32],
    channels_first: bool,
) -> Result<Option<u64>, Problem> {
    let ty = b.ty(weights).clone();
    let channels = if channels_first { ty.shape.first() } else { ty.shape.last() }.copied().unwrap_or(1);
    b.charge(ty.len() + size_of::<u64>() * channels)?;
    let step = if channels_first { ty.len() / channels.max(1) } else { 1 };
    let mut sums = vec![0; channels];
    let mut add = |(index, weight): (usize, i32)| {
        let channel = index / step.max(1) % channels;
        let zero_point = zero_points[channel % zero_points.len()];
        sums[channel] += u64::from(u8::MAX) * u64::from((weight - zero_point).unsigned_abs());
    };
    match b.constant(weights).map(Tensor::data) {
        Some(Data::I8(values)) => values.iter().map(|&weight| weight.into()).enumerate().for_each(&mut add),
        Some(Data::U8(values)) => values.iter().map(|&weight| weight.into()).enumerate().for_each(&mut add),
        _ => return Ok(None),
    }
    Ok(sums.into_iter().max())
}

/// ConvInteger. Inputs: image, weights, their zero points. The result is int32. (Where Winograd's algorithm is used on
/// real numbers, it is off by a fifty-thousandth of the largest.)
pub fn conv_integer(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    if let Some(weights) = real_weights(b, op, 0)? {
        let x = centred(b, op, 0, 2, 1, DType::F32)?;
        let convolution = Convolution { x, weights, bias: None, dtype: DType::F32, quantization: None };
        let sum = convolution::convolve(b, op, &convolution)?;
        let sum = b.unary(Unary::Round, sum)?;
        return Ok(vec![b.cast(sum, DType::I32)?]);
    }
    let (x, weights) = (centred(b, op, 0, 2, 1, DType::I32)?, centred(b, op, 1, 3, 0, DType::I32)?);
    let convolution = Convolution { x, weights, bias: None, dtype: DType::I32, quantization: None };
    Ok(vec![convolution::convolve(b, op, &convolution)?])
}

/// MatMulInteger. Inputs: two matrices, their zero points: of A one a row, of B one a column. The result is int32.
pub fn mat_mul_integer(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let [rows, columns] = [(0, 2), (1, 1)].map(|(index, from_end)| -> Result<usize, Problem> {
        let id = op.input(b, index)?;
        Ok(b.ty(id).shape.len().saturating_sub(from_end))
    });
    let (rows, columns) = (rows?, columns?);
    let matrix = op.input(b, 1)?;
    let known = if b.ty(matrix).shape.len() == 2 { real_weights(b, op, columns)? } else { None };
    if let Some(weights) = known {
        let x = centred(b, op, 0, 2, rows, DType::F32)?;
        let product = matrix::product(b, x, weights)?;
        return Ok(vec![b.cast(product, DType::I32)?]);
    }
    let (x, y) = (centred(b, op, 0, 2, rows, DType::I32)?, centred(b, op, 1, 3, columns, DType::I32)?);
    Ok(vec![matrix::product(b, x, y)?])
}
