//! Normalizations: to a mean of 0 and a variance of 1, by statistics of the batch or of parts of a tensor.

use kinglet_graph::ops::{Activation, BinaryKind, Pad, PadMode, Pool2d, PoolKind, Reduce, ReduceKind, Unary, Window};
use kinglet_graph::{Op, ValueId};

use super::{Problem, axis, invalid};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// BatchNormalization. Inputs: image `[N, C, …]`; scale, bias, mean and variance, each `[C]`. In training mode mean and
/// variance are the batch's own, and two more outputs give the running ones.
pub fn batch_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let rank = b.ty(x).shape.len();
    let epsilon = op.float_or("epsilon", 1e-5)?;
    let mut parameters = [x; 4];
    for (index, parameter) in parameters.iter_mut().enumerate() {
        let id = op.input(b, index + 1)?;
        *parameter = per_channel(b, id, rank)?;
    }
    let [scale, bias, mean, variance] = parameters;
    if !op.flag("training_mode")? {
        let deviation = deviation(b, variance, epsilon)?;
        let factor = b.binary(BinaryKind::Divide, scale, deviation)?;
        let shift = b.binary(BinaryKind::Multiply, mean, factor)?;
        let shift = b.binary(BinaryKind::Subtract, bias, shift)?;
        let y = b.binary(BinaryKind::Multiply, x, factor)?;
        return Ok(vec![b.binary(BinaryKind::Add, y, shift)?]);
    }
    let axes: Vec<usize> = (0..rank).filter(|axis| *axis != 1).collect();
    let own = standardized(b, x, &axes, epsilon)?;
    let y = b.binary(BinaryKind::Multiply, own.y, scale)?;
    let y = b.binary(BinaryKind::Add, y, bias)?;
    let momentum = op.float_or("momentum", 0.9)?;
    let channels = b.ty(scale).len();
    let mut outputs = vec![y];
    for (running, own) in [(mean, own.mean), (variance, own.variance)] {
        let (kept, new) = (b.scalar(b.dtype(running), momentum)?, b.scalar(b.dtype(own), 1.0 - momentum)?);
        let kept = b.binary(BinaryKind::Multiply, running, kept)?;
        let own = b.reshape(own, &b.shape(kept))?;
        let new = b.binary(BinaryKind::Multiply, own, new)?;
        let sum = b.binary(BinaryKind::Add, kept, new)?;
        outputs.push(b.reshape(sum, &[channels])?);
    }
    Ok(outputs)
}

/// A tensor `[C]` in the shape `[C, 1, …]`, which is broadcast over an image `[N, C, …]` of this rank.
fn per_channel(b: &mut Builder<'_>, x: ValueId, rank: usize) -> Result<ValueId, Problem> {
    let shape: Vec<usize> = [b.ty(x).len()].into_iter().chain(std::iter::repeat_n(1, rank.saturating_sub(2))).collect();
    b.reshape(x, &shape)
}

/// √(variance + epsilon)
fn deviation(b: &mut Builder<'_>, variance: ValueId, epsilon: f32) -> Result<ValueId, Problem> {
    let epsilon = b.scalar(b.dtype(variance), epsilon)?;
    let variance = b.binary(BinaryKind::Add, variance, epsilon)?;
    b.unary(Unary::Sqrt, variance)
}

/// A tensor brought to a mean of 0 and a variance of 1, and what it had before.
struct Standardized {
    y: ValueId,
    mean: ValueId,
    variance: ValueId,
    deviation: ValueId,
}

/// (x − mean) / √(variance + epsilon), mean and variance taken over these axes.
fn standardized(b: &mut Builder<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Result<Standardized, Problem> {
    let over = || Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep_dims: true });
    let mean = b.emit(over(), &[x])?;
    let centred = b.binary(BinaryKind::Subtract, x, mean)?;
    let squares = b.binary(BinaryKind::Multiply, centred, centred)?;
    let variance = b.emit(over(), &[squares])?;
    let deviation = deviation(b, variance, epsilon)?;
    let y = b.binary(BinaryKind::Divide, centred, deviation)?;
    Ok(Standardized { y, mean, variance, deviation })
}

/// LayerNormalization: over the axes from the given one on. Further outputs: the mean, and 1 over the deviation.
pub fn layer_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, scale, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    let rank = b.ty(x).shape.len();
    let first = axis(op.int_or("axis", -1)?, rank)?;
    let axes: Vec<usize> = (first..rank).collect();
    let Standardized { y, mean, deviation, .. } = standardized(b, x, &axes, op.float_or("epsilon", 1e-5)?)?;
    let mut y = b.binary(BinaryKind::Multiply, y, scale)?;
    if let Some(bias) = bias {
        y = b.binary(BinaryKind::Add, y, bias)?;
    }
    let mut outputs = vec![y];
    if op.wants(1) || op.wants(2) {
        let one = b.scalar(b.dtype(deviation), 1.0)?;
        outputs.extend([mean, b.binary(BinaryKind::Divide, one, deviation)?]);
    }
    Ok(outputs)
}

/// InstanceNormalization: each channel of each image on its own. Inputs: image `[N, C, …]`, scale and bias `[C]`.
pub fn instance_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, scale, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.input(b, 2)?);
    let rank = b.ty(x).shape.len();
    let axes: Vec<usize> = (2..rank).collect();
    let y = standardized(b, x, &axes, op.float_or("epsilon", 1e-5)?)?.y;
    let (scale, bias) = (per_channel(b, scale, rank)?, per_channel(b, bias, rank)?);
    let y = b.binary(BinaryKind::Multiply, y, scale)?;
    Ok(vec![b.binary(BinaryKind::Add, y, bias)?])
}

/// GroupNormalization: each group of channels of each image. Scale and bias are one a group before version 21, then one
/// a channel.
pub fn group_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, scale, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.input(b, 2)?);
    let shape = b.shape(x);
    let groups = usize::try_from(op.int_or("num_groups", 0)?).unwrap_or(0);
    let [n, channels, pixels @ ..] = &shape[..] else { return invalid(format!("its image has the shape {shape:?}")) };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return invalid(format!("{channels} channels do not fall into {groups} groups"));
    }
    let x = b.reshape(x, &[*n, groups, channels / groups * pixels.iter().product::<usize>()])?;
    let mut y = standardized(b, x, &[2], op.float_or("epsilon", 1e-5)?)?.y;
    if op.version >= 21 {
        y = b.reshape(y, &shape)?;
    }
    for (kind, parameter) in [(BinaryKind::Multiply, scale), (BinaryKind::Add, bias)] {
        let rank = b.ty(y).shape.len();
        let parameter = per_channel(b, parameter, rank)?;
        y = b.binary(kind, y, parameter)?;
    }
    Ok(vec![b.reshape(y, &shape)?])
}

/// LRN: x over the size of its neighbours among the channels. Input: image `[N, C, …]`.
pub fn local_response_normalization(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let size = match usize::try_from(op.int_or("size", 0)?) {
        Ok(size @ 1..=0xffff) => size,
        _ => return invalid(format!("its size is {}", op.int_or("size", 0)?)),
    };
    let (alpha, beta, bias) = (op.float_or("alpha", 1e-4)?, op.float_or("beta", 0.75)?, op.float_or("bias", 1.0)?);
    let last = b.channels_last(x)?;
    let shape = b.shape(last);
    let [n, pixels @ .., channels] = &shape[..] else { return invalid(format!("its image has the shape {shape:?}")) };
    // The mean of the squares in a window that slides along the channels, which lie as the columns of an image here.
    // What lies outside of them counts as 0.
    let squares = b.binary(BinaryKind::Multiply, last, last)?;
    let squares = b.reshape(squares, &[*n, pixels.iter().product(), *channels, 1])?;
    let (before, after) = (vec![0, 0, (size - 1) / 2, 0], vec![0, 0, size / 2, 0]);
    let padded = b.emit(Op::Pad(Pad { before, after, mode: PadMode::Constant(0.0) }), &[squares])?;
    let window =
        Pool2d { kind: PoolKind::Average, kernel: [1, size], window: Window::unit(), activation: Activation::None };
    let mean = b.emit(Op::Pool2d(window), &[padded])?;
    let mean = b.reshape(mean, &shape)?;
    let dtype = b.dtype(x);
    let (alpha, beta, bias) = (b.scalar(dtype, alpha)?, b.scalar(dtype, beta)?, b.scalar(dtype, bias)?);
    let sum = b.binary(BinaryKind::Multiply, mean, alpha)?;
    let sum = b.binary(BinaryKind::Add, sum, bias)?;
    let divisor = b.binary(BinaryKind::Power, sum, beta)?;
    let y = b.binary(BinaryKind::Divide, last, divisor)?;
    Ok(vec![b.channels_first(y)?])
}
