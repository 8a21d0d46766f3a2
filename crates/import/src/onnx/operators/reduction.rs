//! Operators that make one number of many, or look for one among them.

use kinglet_graph::ops::{Arg, ArgKind, BinaryKind, GatherElements, Reduce, ReduceKind, TopK, Unary};
use kinglet_graph::{DType, Op, ValueId};

use super::{Problem, axes, axis, invalid};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// ReduceSum and its siblings. The axes are an attribute at first, and an input from version 13 on of ReduceSum and
/// from 18 on of the others; where there are none, they are all axes, or nothing is reduced.
pub fn reduce(b: &mut Builder<'_>, op: &Operator<'_>, kind: ReduceKind) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let x = b.plain(x)?;
    let rank = b.ty(x).shape.len();
    let by_input = op.version >= if kind == ReduceKind::Sum { 13 } else { 18 };
    let given = if by_input { op.optional_integers(b, 1, "its axes")? } else { op.ints("axes").map(<[i64]>::to_vec) };
    let axes = match given.filter(|given| !given.is_empty()) {
        Some(given) => axes(&given, rank)?,
        None if op.flag("noop_with_empty_axes")? => Vec::new(),
        None => (0..rank).collect(),
    };
    let keep_dims = op.int_or("keepdims", 1)? != 0;
    Ok(vec![b.emit(Op::Reduce(Reduce { kind, axes, keep_dims }), &[x])?])
}

/// ArgMax and ArgMin.
pub fn arg(b: &mut Builder<'_>, op: &Operator<'_>, kind: ArgKind) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let axis = axis(op.int_or("axis", 0)?, b.ty(x).shape.len())?;
    let (keep_dims, last) = (op.int_or("keepdims", 1)? != 0, op.flag("select_last_index")?);
    Ok(vec![b.emit_as(Op::Arg(Arg { kind, axis, keep_dims, last }), &[Some(x)], DType::I64, None)?])
}

/// TopK. How many is an attribute before version 10, then an input. Outputs: the elements, and their indices.
pub fn top_k(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let axis = axis(op.int_or("axis", -1)?, b.ty(x).shape.len())?;
    let k = if op.version < 10 { vec![op.int_or("k", 0)?] } else { op.integers(b, 1, "how many it takes")? };
    let &[k] = k.as_slice() else { return invalid("it has not one number of how many it takes") };
    let Ok(k) = usize::try_from(k) else { return invalid(format!("it takes {k} elements")) };
    let largest = op.int_or("largest", 1)? != 0;
    let indices = b.emit_as(Op::TopK(TopK { axis, k, largest }), &[Some(x)], DType::I64, None)?;
    let values = b.emit(Op::GatherElements(GatherElements { axis }), &[x, indices])?;
    Ok(vec![values, indices])
}

/// The maximum or minimum of a tensor and one known number as a clip, which converters from TensorFlow write so.
fn bound(b: &mut Builder<'_>, kind: BinaryKind, x: ValueId, y: ValueId) -> Result<Option<(ValueId, Unary)>, Problem> {
    if !matches!(kind, BinaryKind::Maximum | BinaryKind::Minimum) || b.dtype(x) != DType::F32 {
        return Ok(None);
    }
    for (x, number) in [(x, y), (y, x)] {
        let fits = b.ty(number).len() == 1 && b.ty(number).shape.len() <= b.ty(x).shape.len();
        if let Some(&[bound]) = b.floats(number)?.filter(|_| fits).as_deref()
            && !bound.is_nan()
        {
            let (min, max) = (f32::NEG_INFINITY, f32::INFINITY);
            let clip = match kind {
                BinaryKind::Maximum => Unary::Clip { min: bound, max },
                _ => Unary::Clip { min, max: bound },
            };
            return Ok(Some((x, clip)));
        }
    }
    Ok(None)
}

/// Max, Min, Sum and Mean of any number of tensors, with broadcasting.
pub fn of_tensors(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    kind: BinaryKind,
    mean: bool,
) -> Result<Vec<ValueId>, Problem> {
    let inputs = op.inputs(b)?;
    let Some((&first, others)) = inputs.split_first() else { return invalid("it has no input") };
    let mut result = first;
    for &other in others {
        result = match bound(b, kind, result, other)? {
            Some((x, clip)) => b.unary(clip, x)?,
            None => b.binary(kind, result, other)?,
        };
    }
    if mean {
        let count = b.scalar(b.dtype(result), inputs.len() as f32)?;
        result = b.binary(BinaryKind::Divide, result, count)?;
    }
    Ok(vec![result])
}
