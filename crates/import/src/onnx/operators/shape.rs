//! Operators that move elements, and those on shapes.

use kinglet_graph::ops::{Activation, Concat};
use kinglet_graph::{MAX_RANK, Op, Tensor, ValueId};

use super::{Problem, axes, axis, invalid, unsupported};
use crate::onnx::builder::{Builder, refusal};
use crate::onnx::operator::Operator;

/// Identity.
pub fn identity(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    Ok(vec![op.input(b, 0)?])
}

/// Constant: its value is in one of several attributes.
pub fn constant(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let tensor = if let Some(tensor) = op.tensor(b, "value")? {
        Ok(tensor)
    } else if let Some(value) = op.float("value_float")? {
        Tensor::new([], vec![value])
    } else if let Some(value) = op.int("value_int")? {
        Tensor::new([], vec![value])
    } else if let Some(values) = op.floats("value_floats") {
        Tensor::new([values.len()], values.to_vec())
    } else if let Some(values) = op.ints("value_ints") {
        Tensor::new([values.len()], values.to_vec())
    } else {
        return unsupported("with a value that is no tensor of numbers");
    };
    Ok(vec![b.add_constant(tensor.map_err(refusal)?)?])
}

/// Shape, from version 15 on of a range of axes.
pub fn shape(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let sizes: Vec<i64> = b.ty(x).shape.iter().map(|&size| size as i64).collect();
    let rank = sizes.len() as i64;
    let place = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let (start, end) = (place(op.int_or("start", 0)?), place(op.int_or("end", rank)?));
    let sizes = sizes.get(start..end).unwrap_or_default().to_vec();
    Ok(vec![b.constant_of(&[sizes.len()], sizes)?])
}

/// Size: the number of elements.
pub fn size(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let len = b.ty(x).len() as i64;
    Ok(vec![b.constant_of(&[], vec![len])?])
}

/// Reshape. 0 keeps a size, unless the attribute `allowzero` is set; −1 is whatever is left.
pub fn reshape(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let wanted = op.integers(b, 1, "its shape")?;
    let (from, allow_zero) = (b.shape(x), op.flag("allowzero")?);
    if wanted.len() > MAX_RANK || wanted.iter().filter(|size| **size == -1).count() > 1 {
        return invalid(format!("it reshapes {from:?} to {wanted:?}"));
    }
    let mut shape = Vec::new();
    for (axis, &size) in wanted.iter().enumerate() {
        shape.push(match usize::try_from(size) {
            Ok(0) if !allow_zero => from.get(axis).copied().unwrap_or(0),
            Ok(size) => size,
            Err(_) if size == -1 => 1,
            Err(_) => return invalid(format!("it reshapes {from:?} to {wanted:?}")),
        });
    }
    if let Some(open) = wanted.iter().position(|size| *size == -1) {
        let known = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        match known.and_then(|known| b.ty(x).len().checked_div(known)) {
            Some(size) => shape[open] = size,
            None => return invalid(format!("it reshapes {from:?} to {wanted:?}")),
        }
    }
    Ok(vec![b.reshape(x, &shape)?])
}

/// Flatten to two axes, before and from the given one on.
pub fn flatten(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    // An axis may be the rank itself: then everything comes before it.
    let at = axis(op.int_or("axis", 1)?, shape.len() + 1);
    let at = if op.int_or("axis", 1)? < 0 { axis(op.int_or("axis", 1)?, shape.len()) } else { at }?;
    let flat = [shape[..at].iter().product(), shape[at..].iter().product()];
    Ok(vec![b.reshape(x, &flat)?])
}

/// The axes of Squeeze and Unsqueeze: an attribute before version 13, then an input.
fn axes_of(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Option<Vec<i64>>, Problem> {
    if op.version < 13 { Ok(op.ints("axes").map(<[i64]>::to_vec)) } else { op.optional_integers(b, 1, "its axes") }
}

/// Squeeze: removes axes of size 1; all of them where none are given.
pub fn squeeze(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let removed = match axes_of(b, op)? {
        Some(numbers) => axes(&numbers, shape.len())?,
        None => (0..shape.len()).filter(|axis| shape[*axis] == 1).collect(),
    };
    if let Some(axis) = removed.iter().find(|axis| shape[**axis] != 1) {
        return invalid(format!("axis {axis} of {shape:?} is not of size 1"));
    }
    let kept = shape.iter().enumerate().filter(|(axis, _)| !removed.contains(axis));
    let kept: Vec<usize> = kept.map(|(_, size)| *size).collect();
    Ok(vec![b.reshape(x, &kept)?])
}

/// Unsqueeze: adds axes of size 1, counted in the result.
pub fn unsqueeze(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let Some(numbers) = axes_of(b, op)? else { return invalid("it has no axes") };
    let mut sizes = b.shape(x).into_iter();
    let rank = sizes.len().saturating_add(numbers.len());
    if rank > MAX_RANK {
        return unsupported(format!("to {rank} axes"));
    }
    let added = axes(&numbers, rank)?;
    let shape: Vec<usize> =
        (0..rank).map(|axis| if added.contains(&axis) { 1 } else { sizes.next().unwrap_or(1) }).collect();
    Ok(vec![b.reshape(x, &shape)?])
}

/// Transpose; without a permutation, the axes are reversed.
pub fn transpose(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let rank = b.ty(x).shape.len();
    let permutation: Vec<usize> = match op.ints("perm") {
        None => (0..rank).rev().collect(),
        Some(perm) if perm.len() == rank => perm.iter().map(|&number| axis(number, rank)).collect::<Result<_, _>>()?,
        Some(perm) => return invalid(format!("{perm:?} is no permutation of {rank} axes")),
    };
    Ok(vec![b.transpose(x, &permutation)?])
}

/// Concat along an axis.
pub fn concat(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let mut inputs = op.inputs(b)?;
    let Some(&first) = inputs.first() else { return invalid("it has no input") };
    if inputs.iter().any(|id| !b.ty(*id).means_same(b.ty(first))) {
        // The file joins integers as they are, whatever their scales.
        inputs = inputs.into_iter().map(|id| b.plain(id)).collect::<Result<_, _>>()?;
    }
    let first = inputs[0];
    let axis = axis(op.int_or("axis", 1)?, b.ty(first).shape.len())?;
    Ok(vec![b.emit(Op::Concat(Concat { axis, activation: Activation::None }), &inputs)?])
}
