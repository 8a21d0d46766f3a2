//! Elementwise operators, and those that only change the type of the elements.

use kinglet_graph::Op;
use kinglet_graph::ops::{Activation, Binary, BinaryKind, Cast, Unary};

use super::{Operator, Problem, unsupported};
use crate::tflite::builder::{Builder, Form};
use crate::tflite::schema;

/// ADD, SUB, MUL and DIV with a fused activation, MAXIMUM and MINIMUM without.
pub fn binary(b: &mut Builder<'_>, op: &Operator<'_>, kind: BinaryKind) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let activation = match kind {
        BinaryKind::Maximum | BinaryKind::Minimum => Activation::None,
        _ => op.activation(schema::binary::ACTIVATION)?,
    };
    let inputs = vec![Some(op.value(b, 0)?), Some(op.value(b, 1)?)];
    op.emit(b, Op::Binary(Binary { kind, activation }), inputs)
}

/// RELU, TANH and the like.
pub fn unary(b: &mut Builder<'_>, op: &Operator<'_>, unary: Unary) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Unary(unary), vec![Some(input)])
}

/// LEAKY_RELU
pub fn leaky_relu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    let slope = op.option(schema::leaky_relu::ALPHA)?;
    unary(b, op, Unary::LeakyRelu { slope })
}

/// PRELU. Inputs: tensor, slopes.
pub fn prelu(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let inputs = vec![Some(op.value(b, 0)?), Some(op.value(b, 1)?)];
    op.emit(b, Op::Prelu, inputs)
}

/// CAST, of plain numbers: of quantized ones it would take what is stored, which has no meaning of its own.
pub fn cast(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let [from, to] = [op.input(0)?, op.output(0)?];
    if b.tensor(from)?.ty.quantization.is_some() || b.tensor(to)?.ty.quantization.is_some() {
        return unsupported("of quantized numbers");
    }
    let input = op.value(b, 0)?;
    op.emit(b, Op::Cast(Cast::default()), vec![Some(input)])
}

/// QUANTIZE: takes and makes the form of uint8 that is there or asked for, so that no second conversion stands beside
/// it.
pub fn quantize(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let input = b.read_either(op.input(0)?)?;
    let form = if b.is_output(op.output(0)?) { Form::Stored } else { Form::Signed };
    op.emit_output(b, 0, form, Op::Quantize, vec![Some(input)])
}

/// DEQUANTIZE, of quantized numbers and of half floats.
pub fn dequantize(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let input = b.read_either(op.input(0)?)?;
    op.emit(b, Op::Dequantize, vec![Some(input)])
}
