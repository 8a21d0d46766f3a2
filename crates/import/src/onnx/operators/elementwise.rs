//! Functions of each element.

use kinglet_graph::ValueId;
use kinglet_graph::ops::{BinaryKind, Unary};

use super::{Problem, invalid};
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

/// Cast: the attribute `to` is an element type.
pub fn cast(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    match tensors::element_type(op.int_or("to", 0)?) {
        Ok(dtype) => Ok(vec![b.cast(x, dtype)?]),
        Err(problem) => Err(Problem::Unsupported(problem)),
    }
}

/// LeakyRelu.
pub fn leaky_relu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let slope = op.float_or("alpha", 0.01)?;
    unary(b, op, Unary::LeakyRelu { slope })
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
        _ => None,
    };
    if let Some(clamp) = clamp {
        return Ok(vec![b.unary(clamp, x)?]);
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
