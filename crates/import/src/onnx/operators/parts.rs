//! Operators that cut tensors, and those that add to them.

use kinglet_graph::ops::{Expand, Pad, PadMode, Slice};
use kinglet_graph::{MAX_RANK, Op, ValueId};

use super::{Problem, axes, axis, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Slice. Where it begins and ends, along which axes and in which steps are attributes before version 10, then inputs.
pub fn slice(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let attribute = |name: &str| op.ints(name).map(<[i64]>::to_vec);
    let (starts, ends, along, steps) = if op.version < 10 {
        (attribute("starts").unwrap_or_default(), attribute("ends").unwrap_or_default(), attribute("axes"), None)
    } else {
        let (starts, ends) = (op.integers(b, 1, "where it begins")?, op.integers(b, 2, "where it ends")?);
        (starts, ends, op.optional_integers(b, 3, "its axes")?, op.optional_integers(b, 4, "its steps")?)
    };
    let along = along.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), along.len(), steps.len()] != [starts.len(); 3] {
        return invalid(format!("it cuts from {starts:?} to {ends:?} along {along:?} in steps of {steps:?}"));
    }
    axes(&along, shape.len())?;
    let mut part = Slice { begin: vec![0; shape.len()], step: vec![1; shape.len()], size: shape.clone() };
    for (place, &number) in along.iter().enumerate() {
        let axis = axis(number, shape.len())?;
        let (begin, size) = range(starts[place], ends[place], steps[place], shape[axis])?;
        (part.begin[axis], part.size[axis]) = (begin, size);
        part.step[axis] = isize::try_from(steps[place]).unwrap_or(isize::MAX);
    }
    Ok(vec![b.emit(Op::Slice(part), &[x])?])
}

/// The first index and how many there are, of those that NumPy's `start:end:step` means among `size`.
fn range(start: i64, end: i64, step: i64, size: usize) -> Result<(usize, usize), Problem> {
    if step == 0 {
        return invalid("its step is 0");
    }
    let len = size as i64;
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let forward = |at: i64| (if at < 0 { at.saturating_add(len) } else { at }).clamp(low, high);
    let distance = if step > 0 { forward(end) - forward(start) } else { forward(start) - forward(end) };
    let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
    Ok((if count == 0 { 0 } else { forward(start) as usize }, count))
}

/// Split along an axis: into parts of given sizes (an attribute before version 13, then an input), or of equal ones,
/// the last of which may be smaller.
pub fn split(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let axis = axis(op.int_or("axis", 0)?, shape.len())?;
    let given =
        if op.version < 13 { op.ints("split").map(<[i64]>::to_vec) } else { op.optional_integers(b, 1, "its sizes")? };
    let size = shape[axis];
    let count = op.node.output.len();
    let sizes: Vec<usize> = match given {
        Some(given) => given.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect(),
        None => {
            let each = size.div_ceil(count.max(1));
            (0..count).map(|part| size.saturating_sub(part * each).min(each)).collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
    if total != Some(size) || sizes.len() != count {
        return invalid(format!("it splits {size} into {count} parts of {sizes:?}"));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(count);
    for part in sizes {
        let (mut begin, mut size) = (vec![0; shape.len()], shape.clone());
        (begin[axis], size[axis]) = (if part == 0 { 0 } else { start }, part);
        parts.push(b.emit(Op::Slice(Slice { begin, step: vec![1; shape.len()], size }), &[x])?);
        start += part;
    }
    Ok(parts)
}

/// Pad. How much is an attribute before version 11, then an input; less than nothing cuts away.
pub fn pad(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let mut x = op.input(b, 0)?;
    let shape = b.shape(x);
    let rank = shape.len();
    let (pads, value) = if op.version < 11 {
        (op.ints("pads").unwrap_or_default().to_vec(), f64::from(op.float_or("value", 0.0)?))
    } else {
        let value = match op.optional(b, 2)? {
            Some(id) => known(b, op, id, "the value that it pads with")?.first().copied().unwrap_or(0.0),
            None => 0.0,
        };
        (op.integers(b, 1, "its pads")?, value)
    };
    let along = match op.optional_integers(b, 3, "its axes")? {
        Some(along) => along,
        None => (0..rank as i64).collect(),
    };
    axes(&along, rank)?;
    if pads.len() != 2 * along.len() {
        return invalid(format!("it pads {shape:?} by {pads:?} along {along:?}"));
    }
    let mode = match op.text_or("mode", "constant")? {
        "constant" => PadMode::Constant(value),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return unsupported(format!("in the mode {other:?}")),
    };
    let mut part = Slice { begin: vec![0; rank], step: vec![1; rank], size: shape.clone() };
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (place, &number) in along.iter().enumerate() {
        let axis = axis(number, rank)?;
        let [front, back] = [pads[place], pads[place + along.len()]];
        let size = |pad: i64| usize::try_from(pad.unsigned_abs()).unwrap_or(usize::MAX);
        (before[axis], after[axis]) = (size(front.max(0)), size(back.max(0)));
        let (cut, cut_behind) = (size(front.min(0)), size(back.min(0)));
        let Some(left) = shape[axis].checked_sub(cut).and_then(|left| left.checked_sub(cut_behind)) else {
            return invalid(format!("it takes {pads:?} away from {shape:?}"));
        };
        (part.begin[axis], part.size[axis]) = (if left == 0 { 0 } else { cut }, left);
    }
    if part.size != shape {
        x = b.emit(Op::Slice(part), &[x])?;
    }
    Ok(vec![b.emit(Op::Pad(Pad { before, after, mode }), &[x])?])
}

/// The numbers of a value that must be known now.
pub fn known(b: &mut Builder<'_>, op: &Operator<'_>, id: ValueId, what: &str) -> Result<Vec<f64>, Problem> {
    let Some(constant) = b.constant(id) else { return Err(op.unknown(b, id, what)) };
    let bytes = size_of::<f64>() * constant.ty().len();
    b.charge(bytes)?;
    Ok(b.constant(id).map(|constant| constant.data().view().to_f64()).unwrap_or_default())
}

/// Sizes of a result that an input gives.
fn sizes(b: &mut Builder<'_>, op: &Operator<'_>, index: usize, what: &str) -> Result<Vec<usize>, Problem> {
    let sizes = op.integers(b, index, what)?;
    if sizes.len() > MAX_RANK {
        return unsupported(format!("with {} axes", sizes.len()));
    }
    let checked: Result<Vec<usize>, _> = sizes.iter().map(|&size| usize::try_from(size)).collect();
    checked.or_else(|_| invalid(format!("{what} has the negative size of {sizes:?}")))
}

/// Expand: broadcasting to a shape.
pub fn expand(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = sizes(b, op, 1, "its shape")?;
    Ok(vec![b.emit(Op::Expand(Expand { shape }), &[x])?])
}

/// ConstantOfShape: one number, float32's 0 where none is given, expanded to a shape.
pub fn constant_of_shape(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let shape = sizes(b, op, 0, "its shape")?;
    let value = match op.tensor(b, "value")? {
        Some(tensor) if tensor.ty().len() == 1 => b.add_constant(tensor)?,
        Some(tensor) => return invalid(format!("its value has the shape {:?}", tensor.shape())),
        None => b.constant_of(&[], vec![0.0f32])?,
    };
    let value = b.reshape(value, &[])?;
    Ok(vec![b.emit(Op::Expand(Expand { shape }), &[value])?])
}

/// Tile: the tensor beside itself, along each axis so often. Repeated along an axis of its own before each, it has the
/// same elements in the same order.
pub fn tile(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let (shape, repeats) = (b.shape(x), sizes(b, op, 1, "how often it repeats")?);
    if repeats.len() != shape.len() {
        return invalid(format!("it repeats {shape:?} {repeats:?} times"));
    }
    let (mut apart, mut repeated, mut joined) = (Vec::new(), Vec::new(), Vec::new());
    for (&size, &times) in shape.iter().zip(&repeats) {
        if times != 1 {
            apart.push(1);
            repeated.push(times);
        }
        apart.push(size);
        repeated.push(size);
        joined.push(size.saturating_mul(times));
    }
    if apart.len() > MAX_RANK {
        return unsupported(format!("of {} axes along so many of them", shape.len()));
    }
    let x = b.reshape(x, &apart)?;
    let x = b.emit(Op::Expand(Expand { shape: repeated }), &[x])?;
    Ok(vec![b.reshape(x, &joined)?])
}

/// Range: from a number on, below another, in steps.
pub fn range_of(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let mut numbers = [0.0; 3];
    for (index, (number, what)) in numbers.iter_mut().zip(["its start", "its limit", "its step"]).enumerate() {
        let id = op.input(b, index)?;
        *number = match known(b, op, id, what)?.as_slice() {
            &[number] => number,
            other => return invalid(format!("{what} are {} numbers", other.len())),
        };
    }
    let dtype = {
        let start = op.input(b, 0)?;
        b.dtype(start)
    };
    let [start, limit, step] = numbers;
    let count = ((limit - start) / step).ceil().max(0.0);
    if count > kinglet_graph::MAX_ELEMENTS as f64 {
        return invalid(format!("it counts from {start} to {limit} in steps of {step}"));
    }
    b.charge((size_of::<f64>() + dtype.size()) * count as usize)?;
    let values: Vec<f64> = (0..count as usize).map(|place| start + place as f64 * step).collect();
    Ok(vec![b.constant_of(&[values.len()], kinglet_graph::Data::from_f64(dtype, &values))?])
}
