//! Matrix products.

use kinglet_graph::ops::{Activation, BinaryKind, FullyConnected};
use kinglet_graph::{DType, Op, ValueId};

use super::{Problem, invalid};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Gemm: alpha · A · B + beta · C, A and B each transposed where attributes say so.
pub fn gemm(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (mut x, mut weights, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    if b.ty(x).shape.len() != 2 || b.ty(weights).shape.len() != 2 {
        return invalid(format!("it multiplies {:?} by {:?}", b.shape(x), b.shape(weights)));
    }
    if op.flag("transA")? {
        x = b.transpose(x, &[1, 0])?;
    }
    if !op.flag("transB")? {
        weights = b.transpose(weights, &[1, 0])?;
    }
    let (alpha, beta) = (op.float_or("alpha", 1.0)?, op.float_or("beta", 1.0)?);
    let columns = b.ty(weights).shape[0];
    let own_bias = bias.filter(|bias| alpha == 1.0 && beta == 1.0 && b.ty(*bias).shape == [columns]);
    let inputs: Vec<ValueId> = [x, weights].into_iter().chain(own_bias).collect();
    let mut y = b.emit(Op::FullyConnected(FullyConnected { activation: Activation::None }), &inputs)?;
    y = scaled(b, y, alpha)?;
    match bias.filter(|_| own_bias.is_none()) {
        Some(bias) => {
            let bias = scaled(b, bias, beta)?;
            Ok(vec![b.binary(BinaryKind::Add, y, bias)?])
        }
        None => Ok(vec![y]),
    }
}

fn scaled(b: &mut Builder<'_>, x: ValueId, factor: f32) -> Result<ValueId, Problem> {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = b.scalar(b.dtype(x), factor)?;
    b.binary(BinaryKind::Multiply, x, factor)
}

/// MatMul: the product of two matrices, or of stacks of them.
pub fn mat_mul(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, y) = (op.input(b, 0)?, op.input(b, 1)?);
    Ok(vec![product(b, x, y)?])
}

/// The product of matrices, of vectors, or of stacks of matrices, as NumPy's `matmul` multiplies them.
pub fn product(b: &mut Builder<'_>, x: ValueId, y: ValueId) -> Result<ValueId, Problem> {
    let (first, second) = (b.shape(x), b.shape(y));
    if first.is_empty() || second.is_empty() {
        return invalid("it multiplies a number without axes");
    }
    // A vector is a matrix of one row, or of one column, and its axis is none of the result's.
    let row = if let [depth] = first[..] { b.reshape(x, &[1, depth])? } else { x };
    let column = if let [depth] = second[..] { b.reshape(y, &[depth, 1])? } else { y };
    let known = second.len() == 2 && b.is_known(y) && b.dtype(x) == DType::F32;
    let z = if known {
        let weights = b.transpose(column, &[1, 0])?;
        b.emit(Op::FullyConnected(FullyConnected { activation: Activation::None }), &[row, weights])?
    } else {
        b.emit(Op::MatMul, &[row, column])?
    };
    let mut shape = b.shape(z);
    if first.len() == 1 {
        shape.remove(shape.len() - 2);
    }
    if second.len() == 1 {
        shape.pop();
    }
    b.reshape(z, &shape)
}
