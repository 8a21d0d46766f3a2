//! Operators that take parts of a tensor.

use kinglet_graph::Op;
use kinglet_graph::ops::{Gather, Reshape, Slice};
use kinglet_graph::{TensorType, ValueId};

use super::{Operator, Problem, axis, invalid};
use crate::tflite::builder::{Builder, Form};
use crate::tflite::schema;

/// SLICE. Inputs: tensor, begin, size (−1: all that is left).
pub fn slice(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(3..=3, 1)?;
    let shape = op.shape(b, 0)?;
    let (begin, size) = (op.integers(b, 1, "a begin")?, op.integers(b, 2, "a size")?);
    if begin.len() != shape.len() || size.len() != shape.len() {
        return invalid(format!("it begins at {begin:?} and takes {size:?} of {shape:?}"));
    }
    let mut part = Slice { begin: Vec::new(), step: vec![1; shape.len()], size: Vec::new() };
    for ((&all, &begin), &size) in shape.iter().zip(&begin).zip(&size) {
        let left = usize::try_from(begin).ok().and_then(|begin| all.checked_sub(begin));
        let size = if size == -1 { left } else { usize::try_from(size).ok() };
        match (left, size) {
            (Some(left), Some(size)) if size <= left => {
                part.begin.push(all - left);
                part.size.push(size);
            }
            _ => return invalid(format!("it takes a part of an axis of {all} that does not lie in it")),
        }
    }
    let input = op.value(b, 0)?;
    op.emit(b, Op::Slice(part), vec![Some(input)])
}

/// STRIDED_SLICE. Inputs: tensor, begin, end, strides; masks say which of their entries mean something else.
pub fn strided_slice(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    use schema::strided_slice as o;
    op.arity(4..=4, 1)?;
    let shape = op.shape(b, 0)?;
    let spec = StridedSlice {
        begin: op.integers(b, 1, "a begin")?,
        end: op.integers(b, 2, "an end")?,
        strides: op.integers(b, 3, "strides")?,
        begin_mask: op.option(o::BEGIN_MASK)?,
        end_mask: op.option(o::END_MASK)?,
        ellipsis_mask: op.option(o::ELLIPSIS_MASK)?,
        new_axis_mask: op.option(o::NEW_AXIS_MASK)?,
        shrink_axis_mask: op.option(o::SHRINK_AXIS_MASK)?,
        end_is_offset: op.option(o::OFFSET)?,
    };
    let (part, shape) = spec.resolve(&shape)?;
    let input = op.value(b, 0)?;
    emit_reshaped(b, op, part, input, shape)
}

/// Adds the node that takes a part, then one that gives it another shape where that differs.
fn emit_reshaped(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    part: Slice,
    input: ValueId,
    shape: Vec<usize>,
) -> Result<(), Problem> {
    if part.size == shape {
        return op.emit(b, Op::Slice(part), vec![Some(input)]);
    }
    let ty = TensorType { shape: part.size.clone(), ..b.value_type(input).clone() };
    let taken = op.emit_between(b, "slice", Op::Slice(part), vec![Some(input)], ty)?;
    op.emit(b, Op::Reshape(Reshape { shape }), vec![Some(taken)])
}

/// The operands and options of STRIDED_SLICE, an entry of each for each axis that is spoken of. (Semantics:
/// <https://www.tensorflow.org/api_docs/python/tf/strided_slice>)
struct StridedSlice {
    begin: Vec<i64>,
    end: Vec<i64>,
    strides: Vec<i64>,
    begin_mask: i32,
    end_mask: i32,
    ellipsis_mask: i32,
    new_axis_mask: i32,
    shrink_axis_mask: i32,
    end_is_offset: bool,
}

impl StridedSlice {
    /// The part of a tensor of this shape, with all its axes, and the shape that the result has.
    fn resolve(&self, shape: &[usize]) -> Result<(Slice, Vec<usize>), Problem> {
        let entries = self.begin.len();
        if self.end.len() != entries
            || self.strides.len() != entries
            || entries > 31
            || self.ellipsis_mask.count_ones() > 1
        {
            return invalid("its begin, end, strides and masks do not fit each other");
        }
        let is = |mask: i32, entry: usize| mask >> entry & 1 == 1;
        let speaks = |entry: &usize| !is(self.ellipsis_mask, *entry) && !is(self.new_axis_mask, *entry);
        let spoken = (0..entries).filter(speaks).count();
        let Some(unspoken) = shape.len().checked_sub(spoken) else {
            return invalid(format!("it speaks of {spoken} axes, but the tensor has {}", shape.len()));
        };
        let mut part = Slice { begin: Vec::new(), step: Vec::new(), size: Vec::new() };
        let mut result = Vec::new();
        let take_all = |part: &mut Slice, result: &mut Vec<usize>, count: usize| {
            for _ in 0..count {
                let size = shape[part.size.len()];
                part.begin.push(0);
                part.step.push(1);
                part.size.push(size);
                result.push(size);
            }
        };
        for entry in 0..entries {
            if is(self.ellipsis_mask, entry) {
                take_all(&mut part, &mut result, unspoken);
            } else if is(self.new_axis_mask, entry) {
                result.push(1);
            } else {
                let shrinks = is(self.shrink_axis_mask, entry);
                let (begin, step, size) = self.range(entry, shape[part.size.len()], shrinks)?;
                part.begin.push(begin);
                part.step.push(step);
                part.size.push(size);
                if !shrinks {
                    result.push(size);
                }
            }
        }
        let rest = shape.len() - part.size.len();
        take_all(&mut part, &mut result, rest);
        Ok((part, result))
    }

    /// Where an entry begins in an axis of this size, its step, and how many elements it takes.
    fn range(&self, entry: usize, size: usize, shrinks: bool) -> Result<(usize, isize, usize), Problem> {
        let masked = |mask: i32| mask >> entry & 1 == 1;
        let (step, all) = (self.strides[entry], size as i64);
        // The first and the last place that a walk in this direction can begin or end at; it ends before its end.
        let (low, high) = if step > 0 { (0, all) } else { (-1, all - 1) };
        let from_end = |place: i64| if place < 0 { place.saturating_add(all) } else { place };
        let begin =
            if masked(self.begin_mask) { if step > 0 { low } else { high } } else { from_end(self.begin[entry]) };
        if shrinks {
            return match usize::try_from(begin) {
                Ok(begin) if begin < size && step > 0 => Ok((begin, 1, 1)),
                _ => invalid(format!("it takes element {begin} of an axis of {size}")),
            };
        }
        let begin = begin.clamp(low, high);
        let end = if masked(self.end_mask) {
            if step > 0 { high } else { low }
        } else if self.end_is_offset {
            begin.saturating_add(self.end[entry])
        } else {
            from_end(self.end[entry])
        };
        let distance = end.clamp(low, high) - begin;
        let count = if step == 0 || distance.signum() != step.signum() {
            0
        } else {
            distance.unsigned_abs().div_ceil(step.unsigned_abs())
        };
        match (usize::try_from(begin), isize::try_from(step), usize::try_from(count)) {
            (Ok(begin), Ok(step), Ok(count @ 1..)) => Ok((begin, step, count)),
            _ => invalid(format!("it takes nothing of an axis of {size}")),
        }
    }
}

/// SPLIT. Inputs: axis, tensor. Parts of equal size.
pub fn split(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    let parts = op.output_count();
    op.arity(2..=2, parts)?;
    let shape = op.shape(b, 1)?;
    let axis = axis(op.integer(b, 0, "an axis")?, shape.len())?;
    match shape[axis].checked_div(parts) {
        Some(size) if size * parts == shape[axis] => emit_parts(b, op, 1, axis, &mut std::iter::repeat_n(size, parts)),
        _ => invalid(format!("it splits an axis of {} into {parts} equal parts", shape[axis])),
    }
}

/// SPLIT_V. Inputs: tensor, sizes (one may be −1: what is left), axis.
pub fn split_v(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    let parts = op.output_count();
    op.arity(3..=3, parts)?;
    let shape = op.shape(b, 0)?;
    let sizes = op.integers(b, 1, "sizes")?;
    let axis = axis(op.integer(b, 2, "an axis")?, shape.len())?;
    let known = sizes
        .iter()
        .filter(|&&size| size != -1)
        .try_fold(0usize, |sum, &size| usize::try_from(size).ok().and_then(|size| sum.checked_add(size)));
    let open = sizes.iter().filter(|&&size| size == -1).count();
    let rest = known.and_then(|known| shape[axis].checked_sub(known));
    match rest {
        Some(rest) if sizes.len() == parts && (open == 1 || (open == 0 && rest == 0)) => {
            let mut sizes = sizes.iter().map(|&size| if size == -1 { rest } else { size as usize });
            emit_parts(b, op, 0, axis, &mut sizes)
        }
        _ => invalid(format!("it splits an axis of {} into {parts} parts of {sizes:?}", shape[axis])),
    }
}

/// A slice for each output, one after another along an axis.
fn emit_parts(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    input: usize,
    axis: usize,
    sizes: &mut dyn Iterator<Item = usize>,
) -> Result<(), Problem> {
    let shape = op.shape(b, input)?;
    let input = op.value(b, input)?;
    let mut begin = 0;
    for (index, part) in sizes.enumerate() {
        let mut slice = Slice { begin: vec![0; shape.len()], step: vec![1; shape.len()], size: shape.clone() };
        slice.begin[axis] = begin;
        slice.size[axis] = part;
        begin += part;
        op.emit_output(b, index, Form::Signed, Op::Slice(slice), vec![Some(input)])?;
    }
    Ok(())
}

/// UNPACK: a tensor for each index along an axis, which goes.
pub fn unpack(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    let parts = op.output_count();
    op.arity(1..=1, parts)?;
    let shape = op.shape(b, 0)?;
    let axis = axis(i64::from(op.option(schema::pack::AXIS)?), shape.len())?;
    if shape[axis] != parts {
        return invalid(format!("it unpacks an axis of {} into {parts}", shape[axis]));
    }
    let input = op.value(b, 0)?;
    let mut kept = shape.clone();
    kept.remove(axis);
    for index in 0..parts {
        let mut slice = Slice { begin: vec![0; shape.len()], step: vec![1; shape.len()], size: shape.clone() };
        slice.begin[axis] = index;
        slice.size[axis] = 1;
        let ty = TensorType { shape: slice.size.clone(), ..b.value_type(input).clone() };
        let taken = op.emit_between(b, &index.to_string(), Op::Slice(slice), vec![Some(input)], ty)?;
        let reshape = Op::Reshape(Reshape { shape: kept.clone() });
        op.emit_output(b, index, Form::Signed, reshape, vec![Some(taken)])?;
    }
    Ok(())
}

/// GATHER. Inputs: tensor, indices.
pub fn gather(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let (rank, indices_rank) = (op.shape(b, 0)?.len(), op.shape(b, 1)?.len());
    let axis = axis(i64::from(op.option(schema::gather::AXIS)?), rank)?;
    let batch_dims = i64::from(op.option(schema::gather::BATCH_DIMS)?);
    // One more than the last axis is allowed here: all of the indices' axes may be batches.
    let batch_dims = if batch_dims < 0 { batch_dims + indices_rank as i64 } else { batch_dims };
    let batch_dims = match usize::try_from(batch_dims) {
        Ok(batch_dims) if batch_dims <= indices_rank && batch_dims <= axis => batch_dims,
        _ => return invalid(format!("it has {batch_dims} batch axes")),
    };
    let inputs = vec![Some(op.value(b, 0)?), Some(op.value(b, 1)?)];
    op.emit(b, Op::Gather(Gather { axis, batch_dims }), inputs)
}
