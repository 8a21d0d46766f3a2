//! Functions of each element.

use kinglet_graph::element::{Bool, Round};
use kinglet_graph::ops::{BinaryKind, Cast, Expand, Unary};
use kinglet_graph::{DType, Op, ValueId, qmath};

use super::parts::known;
use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;
use crate::onnx::tensors;

/// A function of one tensor without attributes.
pub fn unary(b: &mut Builder<'_>, op: &Operator<'_>, unary: Unary) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    Ok(vec![b.unary(unary, x)?])
}

/// A function of two tensors, with broadcasting.
pub fn binary(b: &mut Builder<'_>, op: &Operator<'_>, kind: BinaryKind) -> Result<Vec<ValueId>, Problem> {
    let (x, y) = (op.input(b, 0)?, op.input(b, 1)?);
    Ok(vec![b.binary(kind, x, y)?])
}

/// Pow. The exponent may be of another type than the base, of which the result is.
pub fn pow(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, y) = (op.input(b, 0)?, op.input(b, 1)?);
    let (base, exponent) = (b.dtype(x), b.dtype(y));
    // An integer to a broken exponent is what a float of it is.
    let common = if base.is_integer() && exponent.is_float() { DType::F64 } else { base };
    let (x, y) = (b.cast(x, common)?, b.cast(y, common)?);
    let power = b.binary(BinaryKind::Power, x, y)?;
    Ok(vec![b.cast(power, base)?])
}

/// Mod: with the sign of the divisor, or of the dividend with `fmod`.
pub fn modulo(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let kind = if op.int_or("fmod", 0)? != 0 { BinaryKind::Remainder } else { BinaryKind::Modulo };
    binary(b, op, kind)
}

/// Cast: the attribute `to` is an element type.
pub fn cast(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let x = b.plain(x)?;
    let dtype = match tensors::element_type(op.int_or("to", 0)?) {
        Ok(dtype) => dtype,
        Err(problem) => return Err(Problem::Unsupported(problem)),
    };
    if dtype == b.dtype(x) {
        return Ok(vec![x]);
    }
    let round = match op.text_or("round_mode", "up")? {
        "up" => Round::Up,
        "down" => Round::Down,
        "nearest" => Round::Nearest,
        other => return unsupported(format!("with the rounding {other:?}")),
    };
    let cast = Cast { saturate: op.int_or("saturate", 1)? != 0, round };
    Ok(vec![b.emit_as(Op::Cast(cast), &[Some(x)], dtype, None)?])
}

/// Dropout, which changes nothing but in training. The second output says that every element was kept.
pub fn dropout(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let number = |b: &mut Builder<'_>, index, what| match op.optional(b, index)? {
        Some(id) => Ok::<_, Problem>(known(b, op, id, what)?.first().copied().unwrap_or(0.0)),
        None => Ok(0.0),
    };
    let training = number(b, 2, "whether it is trained")? != 0.0;
    let ratio = if training && op.optional(b, 1)?.is_some() { number(b, 1, "its ratio")? } else { 0.5 };
    if training && ratio != 0.0 {
        return unsupported("in training, where it drops elements at random");
    }
    if !op.wants(1) {
        return Ok(vec![x]);
    }
    let kept = b.constant_of(&[], vec![Bool::from(true)])?;
    let shape = b.shape(x);
    Ok(vec![x, b.emit(Op::Expand(Expand { shape }), &[kept])?])
}

/// PRelu: a slope for negative numbers, broadcast.
pub fn prelu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, slope) = (op.input(b, 0)?, op.input(b, 1)?);
    Ok(vec![b.emit(Op::Prelu, &[x, slope])?])
}

/// Elu.
pub fn elu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let alpha = op.float_or("alpha", 1.0)?;
    unary(b, op, Unary::Elu { alpha })
}

/// HardSigmoid.
pub fn hard_sigmoid(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (alpha, beta) = (op.float_or("alpha", 0.2)?, op.float_or("beta", 0.5)?);
    unary(b, op, Unary::HardSigmoid { alpha, beta })
}

/// Gelu, exact or approximated.
pub fn gelu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    match op.text_or("approximate", "none")? {
        "none" => unary(b, op, Unary::Gelu),
        "tanh" => unary(b, op, Unary::GeluTanh),
        other => unsupported(format!("approximated by {other:?}")),
    }
}

/// LeakyRelu.
pub fn leaky_relu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let slope = op.float_or("alpha", 0.01)?;
    unary(b, op, Unary::LeakyRelu { slope })
}

/// The clip of real numbers that is one of the bytes that mean them: PyTorch writes such where it uses a part of a
/// type's range.
fn clip_of_bytes(b: &mut Builder<'_>, x: ValueId, bounds: [Option<ValueId>; 2]) -> Result<Option<Unary>, Problem> {
    let ty = b.ty(x).clone();
    let Ok(quantization) = ty.activation_quantization("input") else { return Ok(None) };
    let (lowest, highest) = ty.dtype.bounds_8_bit();
    let mut real = [0.0; 2];
    for ((real, bound), end) in real.iter_mut().zip(bounds).zip([lowest, highest]) {
        let known = match bound {
            Some(bound) => b.integers(bound)?.and_then(|integers| integers.first().copied()),
            None => Some(end.into()),
        };
        let Some(q) = known.and_then(|q| i32::try_from(q).ok()) else { return Ok(None) };
        *real = qmath::dequantize(q.clamp(lowest, highest), quantization.scale(), quantization.zero_point());
    }
    let [min, max] = real;
    Ok((min <= max).then_some(Unary::Clip { min, max }))
}

/// Clip. The bounds are attributes before version 11, then inputs.
pub fn clip(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let dtype = b.dtype(x);
    let (mut min, mut max) = (op.optional(b, 1)?, op.optional(b, 2)?);
    if op.version < 11 {
        for (bound, attribute) in [(&mut min, "min"), (&mut max, "max")] {
            if let Some(value) = op.float(attribute)? {
                *bound = Some(b.scalar(dtype, value)?);
            }
        }
    }
    for bound in [min, max].into_iter().flatten() {
        if b.ty(bound).len() != 1 {
            return invalid(format!("it has a bound of shape {:?}", b.shape(bound)));
        }
    }
    let number = |b: &mut Builder<'_>, bound: Option<ValueId>| match bound {
        None => Ok(None),
        Some(bound) => Ok::<_, Problem>(b.floats(bound)?.map(|numbers| numbers[0])),
    };
    let clamp = match (number(b, min)?, number(b, max)?) {
        (Some(0.0), Some(6.0)) => Some(Unary::Relu6),
        (Some(0.0), None) if max.is_none() => Some(Unary::Relu),
        (Some(-1.0), Some(1.0)) => Some(Unary::ReluN1To1),
        (low, high) if b.dtype(x).is_float() && low.is_some() == min.is_some() && high.is_some() == max.is_some() => {
            let (min, max) = (low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY));
            (min <= max).then_some(Unary::Clip { min, max })
        }
        _ => None,
    };
    if let Some(clamp) = clamp {
        return Ok(vec![b.unary(clamp, x)?]);
    }
    if let Some(clamp) = clip_of_bytes(b, x, [min, max])? {
        return Ok(vec![b.emit(Op::Unary(clamp), &[x])?]);
    }
    let mut y = x;
    for (bound, kind) in [(min, BinaryKind::Maximum), (max, BinaryKind::Minimum)] {
        if let Some(bound) = bound {
            let bound = b.reshape(bound, &[])?;
            y = b.binary(kind, y, bound)?;
        }
    }
    Ok(vec![y])
}
