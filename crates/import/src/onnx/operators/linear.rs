//! QuantizeLinear and DequantizeLinear in all their forms, and DynamicQuantizeLinear.
//!
//! Where scale and zero point are constants of a form that the graph's types can have, they become a tensor's type:
//! then passes find quantized operators. Everything else is arithmetic on plain numbers.

use kinglet_graph::ops::{BinaryKind, Gather, Reduce, ReduceKind, Unary};
use kinglet_graph::{DType, Data, Op, Quantization, Tensor, TensorType, ValueId, qmath};

use super::quantization::{axis_of, known_quantization};
use super::{Problem, axis, invalid, unsupported};
use crate::onnx::builder::{Builder, refusal};
use crate::onnx::operator::Operator;
use crate::onnx::tensors;

/// The element type of attribute `output_dtype`, if there is one.
fn output_dtype(op: &Operator<'_>) -> Result<Option<DType>, Problem> {
    match op.int_or("output_dtype", 0)? {
        0 => Ok(None),
        number => tensors::element_type(number).map(Some).map_err(Problem::Unsupported),
    }
}

/// QuantizeLinear. Inputs: x, scale, optional zero point, whose type is the result's.
pub fn quantize_linear(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, scale, zero_point) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    let dtype = match zero_point {
        Some(zero_point) => b.dtype(zero_point),
        None => output_dtype(op)?.unwrap_or(DType::U8),
    };
    if bounds(dtype).is_none() && !tensors::is_small_float(dtype) {
        return unsupported(format!("to {dtype}"));
    }
    let shape = b.shape(x);
    let axis = axis_of(op, &shape)?;
    if dtype.is_8_bit()
        && b.dtype(x) == DType::F32
        && op.int_or("block_size", 0)? == 0
        && let Some(quantization) = known_quantization(b, op, 1, axis)?
    {
        if b.constant(x).is_some() {
            return Ok(vec![quantized_constant(b, x, dtype, quantization)?]);
        }
        if quantization.scales.len() == 1 {
            return Ok(vec![b.emit_as(Op::Quantize, &[Some(x)], dtype, Some(quantization))?]);
        }
    }
    let x = b.cast(x, DType::F32)?;
    let (scale, zero_point) = parameters(b, op, x, scale, zero_point)?;
    let y = b.binary(BinaryKind::Divide, x, scale)?;
    Ok(vec![quantized(b, y, zero_point, dtype)?])
}

/// A constant of bytes, as passes want weights: PyTorch's exports hold the real numbers of what was trained with
/// rounding.
fn quantized_constant(
    b: &mut Builder<'_>,
    x: ValueId,
    dtype: DType,
    quantization: Quantization,
) -> Result<ValueId, Problem> {
    let ty = TensorType { dtype, shape: b.shape(x), quantization: Some(quantization.clone()) };
    ty.check("result").map_err(refusal)?;
    b.charge(ty.bytes())?;
    let Some(Data::F32(values)) = b.constant(x).map(Tensor::data) else { return unsupported("of what is no constant") };
    let inner: usize = quantization.axis.map_or(1, |axis| ty.shape[axis + 1..].iter().product());
    let (channels, (min, max)) = (quantization.scales.len(), dtype.bounds_8_bit());
    let bytes = values.iter().enumerate().map(|(index, &value)| {
        let channel = index / inner.max(1) % channels;
        let (scale, zero_point) = (quantization.scale_at(channel), quantization.zero_point_at(channel));
        qmath::quantize(value, scale, zero_point, min, max)
    });
    let data = match dtype {
        DType::I8 => Data::I8(bytes.map(|q| q as i8).collect()),
        _ => Data::U8(bytes.map(|q| q as u8).collect()),
    };
    Ok(b.add_constant(Tensor::with_type(ty, data).map_err(refusal)?)?)
}

/// Numbers in units of the scale, rounded, moved by the zero point, and as another type within its bounds.
fn quantized(b: &mut Builder<'_>, x: ValueId, zero_point: Option<ValueId>, dtype: DType) -> Result<ValueId, Problem> {
    let mut y = x;
    let bounds = bounds(dtype);
    if bounds.is_some() {
        y = b.unary(Unary::Round, y)?;
    }
    if let Some(zero_point) = zero_point {
        y = b.binary(BinaryKind::Add, y, zero_point)?;
    }
    if let Some((min, max)) = bounds {
        y = b.unary(Unary::Clip { min, max }, y)?;
    }
    b.cast(y, dtype)
}

/// The smallest and the largest number of a narrow integer type.
fn bounds(dtype: DType) -> Option<(f32, f32)> {
    Some(match dtype {
        DType::I2 => (-2.0, 1.0),
        DType::U2 => (0.0, 3.0),
        DType::I4 => (-8.0, 7.0),
        DType::U4 => (0.0, 15.0),
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        _ => return None,
    })
}

/// DequantizeLinear. Inputs: x, scale, whose type is the result's, optional zero point.
pub fn dequantize_linear(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, scale, zero_point) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    let dtype = output_dtype(op)?.unwrap_or_else(|| b.dtype(scale));
    let shape = b.shape(x);
    if dtype == DType::F32 && op.int_or("block_size", 0)? == 0 {
        let axis = axis_of(op, &shape)?;
        if let Some(quantization) = known_quantization(b, op, 1, axis)? {
            let wide = match b.dtype(x) {
                // A constant of narrow integers takes a byte an element here as well.
                DType::I4 | DType::I2 if b.constant(x).is_some() => Some(DType::I8),
                DType::U4 | DType::U2 if b.constant(x).is_some() => Some(DType::U8),
                own @ (DType::I8 | DType::U8) => Some(own),
                DType::I32 if quantization.zero_points.iter().all(|zero_point| *zero_point == 0) => Some(DType::I32),
                _ => None,
            };
            if let Some(wide) = wide {
                let x = if b.dtype(x) == wide { x } else { b.cast(x, wide)? };
                let x = b.quantized(x, &quantization)?;
                return Ok(vec![b.emit_as(Op::Dequantize, &[Some(x)], DType::F32, None)?]);
            }
        }
    }
    let x = b.cast(x, DType::F32)?;
    let (scale, zero_point) = parameters(b, op, x, scale, zero_point)?;
    let centred = match zero_point {
        Some(zero_point) => b.binary(BinaryKind::Subtract, x, zero_point)?,
        None => x,
    };
    let y = b.binary(BinaryKind::Multiply, centred, scale)?;
    Ok(vec![b.cast(y, dtype)?])
}

/// Scale and zero point as float32, in a shape that is broadcast over x.
fn parameters(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    x: ValueId,
    scale: ValueId,
    zero_point: Option<ValueId>,
) -> Result<(ValueId, Option<ValueId>), Problem> {
    let shape = b.shape(x);
    let scale = parameter(b, op, &shape, scale)?;
    let zero_point = zero_point.map(|zero_point| parameter(b, op, &shape, zero_point)).transpose()?;
    Ok((scale, zero_point))
}

/// One number for the tensor, for each index of an axis, or for each block of `block_size` elements along it.
fn parameter(b: &mut Builder<'_>, op: &Operator<'_>, shape: &[usize], value: ValueId) -> Result<ValueId, Problem> {
    let value = b.cast(value, DType::F32)?;
    let given = b.shape(value);
    if b.ty(value).len() == 1 && given.len() <= 1 {
        return b.reshape(value, &[]);
    }
    let axis = axis(op.int_or("axis", 1)?, shape.len())?;
    if let [count] = given[..]
        && (shape.len() != 1 || op.int_or("block_size", 0)? == 0)
    {
        let over_axis: Vec<usize> = (0..shape.len()).map(|other| if other == axis { count } else { 1 }).collect();
        return b.reshape(value, &over_axis);
    }
    let block = usize::try_from(op.int_or("block_size", 0)?).unwrap_or(0);
    if given.len() != shape.len() || block == 0 || shape[axis].div_ceil(block) != given[axis] {
        return invalid(format!("it has scales of shape {given:?} for {shape:?} in blocks of {block}"));
    }
    b.charge(size_of::<i64>() * shape[axis])?;
    let blocks: Vec<i64> = (0..shape[axis]).map(|index| (index / block) as i64).collect();
    let blocks = b.constant_of(&[shape[axis]], blocks)?;
    b.emit(Op::Gather(Gather { axis, batch_dims: 0 }), &[value, blocks])
}

/// DynamicQuantizeLinear: to uint8, with the scale and the zero point that the tensor's own range asks for.
pub fn dynamic_quantize_linear(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let axes: Vec<usize> = (0..b.ty(x).shape.len()).collect();
    let over = |kind| Op::Reduce(Reduce { kind, axes: axes.clone(), keep_dims: false });
    let (min, max) = (b.emit(over(ReduceKind::Min), &[x])?, b.emit(over(ReduceKind::Max), &[x])?);
    let (zero, steps) = (b.scalar(DType::F32, 0.0)?, b.scalar(DType::F32, 255.0)?);
    let (min, max) = (b.binary(BinaryKind::Minimum, min, zero)?, b.binary(BinaryKind::Maximum, max, zero)?);
    let range = b.binary(BinaryKind::Subtract, max, min)?;
    let scale = b.binary(BinaryKind::Divide, range, steps)?;
    let below = b.binary(BinaryKind::Divide, min, scale)?;
    let below = b.binary(BinaryKind::Subtract, zero, below)?;
    let zero_point = quantized(b, below, None, DType::U8)?;
    let offset = b.cast(zero_point, DType::F32)?;
    let y = b.binary(BinaryKind::Divide, x, scale)?;
    Ok(vec![quantized(b, y, Some(offset), DType::U8)?, scale, zero_point])
}
