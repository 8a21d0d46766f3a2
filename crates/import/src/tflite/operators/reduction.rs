//! Operators that reduce along axes.

use kinglet_graph::Op;
use kinglet_graph::ops::{Arg, ArgKind, Reduce, ReduceKind, Softmax};

use super::{Operator, Problem, axis};
use crate::tflite::builder::Builder;
use crate::tflite::schema;

/// MEAN. Inputs: tensor, axes.
pub fn mean(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let rank = op.shape(b, 0)?.len();
    let axes = op.integers(b, 1, "axes")?;
    let mut axes = axes.into_iter().map(|number| axis(number, rank)).collect::<Result<Vec<usize>, Problem>>()?;
    axes.sort_unstable();
    axes.dedup();
    let keep_dims = op.option(schema::reducer::KEEP_DIMS)?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Reduce(Reduce { kind: ReduceKind::Mean, axes, keep_dims }), vec![Some(input)])
}

/// ARG_MAX. Inputs: tensor, axis. The output's type says how wide the index is.
pub fn arg_max(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let rank = op.shape(b, 0)?.len();
    let axis = axis(op.integer(b, 1, "an axis")?, rank)?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Arg(Arg { kind: ArgKind::Max, last: false, axis, keep_dims: false }), vec![Some(input)])
}

/// SOFTMAX, along the last axis.
pub fn softmax(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let beta = op.option(schema::softmax::BETA)?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Softmax(Softmax { beta }), vec![Some(input)])
}
