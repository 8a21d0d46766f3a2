//! Matrix products.

use kinglet_graph::ops::{Activation, BinaryKind, FullyConnected};
use kinglet_graph::{DType, Op, ValueId};

use super::{Problem, invalid, unsupported};
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

/// MatMul: the product of two matrices, or of stacks of them as NumPy multiplies those.
pub fn mat_mul(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, weights) = (op.input(b, 0)?, op.input(b, 1)?);
    if b.ty(weights).shape.len() != 2 || b.ty(x).shape.is_empty() || b.dtype(x) != DType::F32 {
        return unsupported(format!("of {:?} and {:?}", b.shape(x), b.shape(weights)));
    }
    let weights = b.transpose(weights, &[1, 0])?;
    Ok(vec![b.emit(Op::FullyConnected(FullyConnected { activation: Activation::None }), &[x, weights])?])
}
