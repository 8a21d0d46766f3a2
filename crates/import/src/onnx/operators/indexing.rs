//! Operators that pick and replace elements.

use kinglet_graph::ops::{BoxFormat, Gather, GatherElements, GatherNd, NonMaxSuppression, ScatterNd, Update};
use kinglet_graph::{DType, Op, ValueId};

use super::{Problem, axis, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Gather along an axis.
pub fn gather(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, indices) = (op.input(b, 0)?, op.input(b, 1)?);
    let axis = axis(op.int_or("axis", 0)?, b.ty(x).shape.len())?;
    Ok(vec![b.emit(Op::Gather(Gather { axis, batch_dims: 0 }), &[x, indices])?])
}

/// GatherElements.
pub fn gather_elements(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, indices) = (op.input(b, 0)?, op.input(b, 1)?);
    let axis = axis(op.int_or("axis", 0)?, b.ty(x).shape.len())?;
    Ok(vec![b.emit(Op::GatherElements(GatherElements { axis }), &[x, indices])?])
}

/// GatherND.
pub fn gather_nd(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, indices) = (op.input(b, 0)?, op.input(b, 1)?);
    let Ok(batch_dims) = usize::try_from(op.int_or("batch_dims", 0)?) else {
        return invalid("its batch_dims are negative");
    };
    Ok(vec![b.emit(Op::GatherNd(GatherNd { batch_dims }), &[x, indices])?])
}

/// ScatterND.
pub fn scatter_nd(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, indices, updates) = (op.input(b, 0)?, op.input(b, 1)?, op.input(b, 2)?);
    let update = match op.text_or("reduction", "none")? {
        "none" => Update::Replace,
        "add" => Update::Add,
        "mul" => Update::Multiply,
        "max" => Update::Maximum,
        "min" => Update::Minimum,
        other => return unsupported(format!("with the reduction {other:?}")),
    };
    let (x, updates) = (b.plain(x)?, b.plain(updates)?);
    Ok(vec![b.emit(Op::ScatterNd(ScatterNd { update }), &[x, indices, updates])?])
}

/// Where.
pub fn select(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (condition, x, y) = (op.input(b, 0)?, op.input(b, 1)?, op.input(b, 2)?);
    let (x, y) = (b.plain(x)?, b.plain(y)?);
    let dtype = b.dtype(x);
    Ok(vec![b.emit_as(Op::Select, &[Some(condition), Some(x), Some(y)], dtype, None)?])
}

/// NonMaxSuppression. What limits it must be known. The result has as many rows as there could be, the last of them −1.
pub fn non_max_suppression(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (boxes, scores) = (op.input(b, 0)?, op.input(b, 1)?);
    let format = match op.int_or("center_point_box", 0)? {
        0 => BoxFormat::Corners,
        1 => BoxFormat::Center,
        other => return invalid(format!("its boxes are of the kind {other}")),
    };
    let most = op.optional_integers(b, 2, "the most boxes of a class")?.and_then(|most| most.first().copied());
    let overlap = optional_number(b, op, 3, "the most overlap")?.unwrap_or(0.0);
    let score = optional_number(b, op, 4, "the least score")?;
    let most = usize::try_from(most.unwrap_or(0)).unwrap_or(0);
    let suppression = NonMaxSuppression { format, most, overlap, score };
    let inputs = [Some(boxes), Some(scores)];
    Ok(vec![b.emit_as(Op::NonMaxSuppression(suppression), &inputs, DType::I64, None)?])
}

fn optional_number(b: &mut Builder<'_>, op: &Operator<'_>, index: usize, what: &str) -> Result<Option<f32>, Problem> {
    match op.optional(b, index)? {
        Some(_) => Ok(op.numbers(b, index, what)?.first().copied()),
        None => Ok(None),
    }
}
