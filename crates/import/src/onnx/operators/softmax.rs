//! Softmax and its logarithm.

use kinglet_graph::ops::{BinaryKind, Reduce, ReduceKind, Softmax, Unary};
use kinglet_graph::{Op, ValueId};

use super::{Problem, axis, invalid};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Softmax. Before version 13 it is over all axes from the given one on, later over that axis alone.
pub fn softmax(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    Ok(vec![along_axis(b, op, x, |b, x| b.emit(Op::Softmax(Softmax { beta: 1.0 }), &[x]))?])
}

/// Applies a function of the last axis along the axis that the operator's attribute says.
pub fn along_axis(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    x: ValueId,
    function: impl FnOnce(&mut Builder<'_>, ValueId) -> Result<ValueId, Problem>,
) -> Result<ValueId, Problem> {
    let shape = b.shape(x);
    if shape.is_empty() {
        return invalid("it is of a number without axes");
    }
    if op.version < 13 {
        let axis = axis(op.int_or("axis", 1)?, shape.len())?;
        let (rows, columns) = (shape[..axis].iter().product(), shape[axis..].iter().product());
        let x = b.reshape(x, &[rows, columns])?;
        let y = function(b, x)?;
        return b.reshape(y, &shape);
    }
    let axis = axis(op.int_or("axis", -1)?, shape.len())?;
    let mut permutation: Vec<usize> = (0..shape.len()).collect();
    permutation.swap(axis, shape.len() - 1);
    let x = b.transpose(x, &permutation)?;
    let y = function(b, x)?;
    b.transpose(y, &permutation)
}

/// LogSoftmax: x less the largest, less the logarithm of the sum of the exponentials of that.
pub fn log_softmax(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let log_softmax = |b: &mut Builder<'_>, x: ValueId| {
        let last = b.ty(x).shape.len() - 1;
        let over = |kind| Op::Reduce(Reduce { kind, axes: vec![last], keep_dims: true });
        let largest = b.emit(over(ReduceKind::Max), &[x])?;
        let x = b.binary(BinaryKind::Subtract, x, largest)?;
        let powers = b.unary(Unary::Exp, x)?;
        let sum = b.emit(over(ReduceKind::Sum), &[powers])?;
        let log = b.unary(Unary::Log, sum)?;
        b.binary(BinaryKind::Subtract, x, log)
    };
    Ok(vec![along_axis(b, op, x, log_softmax)?])
}
