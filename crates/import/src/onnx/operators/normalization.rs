//! Normalizations: over a batch's statistics, and to a sum of 1.

use kinglet_graph::ops::{BinaryKind, Softmax, Unary};
use kinglet_graph::{Op, ValueId};

use super::{Problem, axis, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// BatchNormalization. Inputs: image `[N, C, …]`; scale, bias, mean and variance, each `[C]`.
pub fn batch_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    if op.flag("training_mode")? {
        return unsupported("in training mode");
    }
    let x = op.input(b, 0)?;
    let rank = b.ty(x).shape.len();
    let mut parameters = [x; 4];
    for (index, parameter) in parameters.iter_mut().enumerate() {
        let id = op.input(b, index + 1)?;
        let channels = b.ty(id).len();
        let shape: Vec<usize> = [channels].into_iter().chain(std::iter::repeat_n(1, rank.saturating_sub(2))).collect();
        *parameter = b.reshape(id, &shape)?;
    }
    let [scale, bias, mean, variance] = parameters;
    let epsilon = b.scalar(b.dtype(variance), op.float_or("epsilon", 1e-5)?)?;
    let variance = b.binary(BinaryKind::Add, variance, epsilon)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let factor = b.binary(BinaryKind::Divide, scale, deviation)?;
    let shift = b.binary(BinaryKind::Multiply, mean, factor)?;
    let shift = b.binary(BinaryKind::Subtract, bias, shift)?;
    let y = b.binary(BinaryKind::Multiply, x, factor)?;
    Ok(vec![b.binary(BinaryKind::Add, y, shift)?])
}

/// Softmax. Before version 13 it is over all axes from the given one on, later over that axis alone.
pub fn softmax(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let softmax = Op::Softmax(Softmax { beta: 1.0 });
    if shape.is_empty() {
        return invalid("it is of a number without axes");
    }
    if op.version < 13 {
        let axis = axis(op.int_or("axis", 1)?, shape.len())?;
        let (rows, columns) = (shape[..axis].iter().product(), shape[axis..].iter().product());
        let x = b.reshape(x, &[rows, columns])?;
        let y = b.emit(softmax, &[x])?;
        return Ok(vec![b.reshape(y, &shape)?]);
    }
    let axis = axis(op.int_or("axis", -1)?, shape.len())?;
    let mut permutation: Vec<usize> = (0..shape.len()).collect();
    permutation.swap(axis, shape.len() - 1);
    let x = b.transpose(x, &permutation)?;
    let y = b.emit(softmax, &[x])?;
    Ok(vec![b.transpose(y, &permutation)?])
}
