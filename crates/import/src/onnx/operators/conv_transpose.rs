//! Transposed convolutions, as the graph's two-dimensional one.

use kinglet_graph::ops::{Activation, BinaryKind, ConvTranspose2d, Pad, PadMode, Slice};
use kinglet_graph::{Op, ValueId};

use super::spatial::{AutoPad, Spatial, pads};
use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// A transposed convolution's attributes.
struct Attributes {
    spatial: Spatial,
    output_padding: Vec<usize>,
    groups: usize,
}

/// ConvTranspose. Inputs: image `[N, C, …]`, weights `[C, M / group, …]`, optional bias `[M]`.
pub fn conv_transpose(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, weights, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    let (image, filter) = (b.shape(x), b.shape(weights));
    let shapes = || format!("it has an image of shape {image:?} and weights of shape {filter:?}");
    let ([n, channels, sizes @ ..], [inputs, filters, kernel @ ..]) = (&image[..], &filter[..]) else {
        return invalid(shapes());
    };
    let groups = usize::try_from(op.int_or("group", 1)?).ok().filter(|groups| *groups > 0);
    let Some(groups) = groups.filter(|groups| inputs == channels && channels.is_multiple_of(*groups)) else {
        return invalid(shapes());
    };
    if sizes.len() != kernel.len() {
        return invalid(shapes());
    }
    let attributes = attributes(op, sizes, kernel, groups)?;
    let weights = channels_apart(b, weights, groups)?;
    let x = b.channels_last(x)?;
    let y = match (sizes, kernel) {
        (&[width], &[kernel]) => {
            let x = b.reshape(x, &[*n, 1, width, *channels])?;
            let weights = b.reshape(weights, &[filters * groups, 1, kernel, channels / groups])?;
            let y = planar(b, x, weights, bias, &attributes)?;
            let width = b.ty(y).shape[2];
            b.reshape(y, &[*n, width, filters * groups])?
        }
        (&[_, _], _) => planar(b, x, weights, bias, &attributes)?,
        (&[_, _, _], _) => volumetric(b, x, weights, bias, &attributes)?,
        _ => return unsupported(format!("over {} spatial axes", sizes.len())),
    };
    Ok(vec![b.channels_first(y)?])
}

/// Strides, padding and all else. `output_shape` makes padding of what is too much, split as `auto_pad` says, and
/// output padding of what is too little.
fn attributes(op: &Operator<'_>, sizes: &[usize], kernel: &[usize], groups: usize) -> Result<Attributes, Problem> {
    let axes = sizes.len();
    let mut spatial = Spatial::of(op, axes, Some(kernel))?;
    let lengths = |name: &str| match op.ints(name) {
        None => Ok(None),
        Some(numbers) if numbers.len() == axes && numbers.iter().all(|number| (0..1 << 20).contains(number)) => {
            Ok(Some(numbers.iter().map(|&number| number as usize).collect::<Vec<usize>>()))
        }
        Some(numbers) => invalid(format!("its {name} is {numbers:?} for {axes} spatial axes")),
    };
    let mut output_padding = lengths("output_padding")?.unwrap_or_else(|| vec![0; axes]);
    let auto_pad = AutoPad::of(op)?;
    let wanted = match (lengths("output_shape")?, auto_pad) {
        (Some(wanted), _) => Some(wanted),
        (None, AutoPad::SameUpper | AutoPad::SameLower) => {
            Some(sizes.iter().zip(&spatial.stride).map(|(size, stride)| size * stride).collect())
        }
        (None, _) => None,
    };
    match wanted {
        Some(wanted) => {
            for (axis, wanted) in wanted.into_iter().enumerate() {
                let moved = sizes[axis].saturating_sub(1).saturating_mul(spatial.stride[axis]);
                let whole = moved.saturating_add(spatial.extent(axis)).saturating_add(output_padding[axis]);
                // The odd element comes before the image, unless it is to come after it.
                let split = if auto_pad == AutoPad::SameUpper { auto_pad } else { AutoPad::SameLower };
                (spatial.before[axis], spatial.after[axis]) = split.split(whole.saturating_sub(wanted));
                output_padding[axis] += wanted.saturating_sub(whole);
            }
        }
        None if auto_pad == AutoPad::NotSet => (spatial.before, spatial.after) = pads(op, axes)?,
        None => {}
    }
    Ok(Attributes { spatial, output_padding, groups })
}

/// Weights `[C, M / group, …]` as `[M, …, C / group]`.
fn channels_apart(b: &mut Builder<'_>, weights: ValueId, groups: usize) -> Result<ValueId, Problem> {
    let shape = b.shape(weights);
    let [channels, filters, kernel @ ..] = &shape[..] else { return invalid("its weights have no channels") };
    let split = [&[groups, channels / groups, *filters], kernel].concat();
    let last = split.len();
    let weights = b.reshape(weights, &split)?;
    let permutation: Vec<usize> = [0, 2].into_iter().chain(3..last).chain([1]).collect();
    let weights = b.transpose(weights, &permutation)?;
    b.reshape(weights, &[&[groups * filters], kernel, &[channels / groups]].concat())
}

/// A transposed convolution of NHWC images along the last two axes of the attributes.
fn planar(
    b: &mut Builder<'_>,
    x: ValueId,
    weights: ValueId,
    bias: Option<ValueId>,
    attributes: &Attributes,
) -> Result<ValueId, Problem> {
    let (_, window) = attributes.spatial.window();
    let output_padding = match attributes.output_padding[..] {
        [.., rows, columns] => [rows, columns],
        [columns] => [0, columns],
        [] => [0, 0],
    };
    let groups = attributes.groups;
    let op = ConvTranspose2d { window, output_padding, groups, activation: Activation::None };
    let inputs: Vec<ValueId> = [x, weights].into_iter().chain(bias).collect();
    b.emit(Op::ConvTranspose2d(op), &inputs)
}

/// A transposed convolution of NDHWC images: every tap of the kernel's depth makes planes, which lie a stride apart;
/// those of all taps are added, and the padding cut off.
fn volumetric(
    b: &mut Builder<'_>,
    x: ValueId,
    weights: ValueId,
    bias: Option<ValueId>,
    attributes: &Attributes,
) -> Result<ValueId, Problem> {
    let [n, depth, height, width, channels] = b.shape(x)[..] else { return invalid("its image has not five axes") };
    let [filters, taps, kernel_height, kernel_width, inputs] = b.shape(weights)[..] else {
        return invalid("its weights have not five axes");
    };
    let spatial = &attributes.spatial;
    let (stride, extent) = (spatial.stride[0], spatial.extent(0));
    let planes = b.reshape(x, &[n * depth, height, width, channels])?;
    let length = depth.saturating_sub(1) * stride + extent;
    let mut sum: Option<ValueId> = None;
    for tap in 0..taps {
        let size = vec![filters, 1, kernel_height, kernel_width, inputs];
        let slice = Slice { begin: vec![0, tap, 0, 0, 0], step: vec![1; 5], size };
        let filter = b.emit(Op::Slice(slice), &[weights])?;
        let filter = b.reshape(filter, &[filters, kernel_height, kernel_width, inputs])?;
        let part = planar(b, planes, filter, None, attributes)?;
        let [_, height, width, _] = b.shape(part)[..] else { return invalid("it has no result") };
        // Empty planes after each one, so that they lie a stride apart.
        let part = b.reshape(part, &[n, depth, 1, height, width, filters])?;
        let part = pad(b, part, 2, 0, stride - 1)?;
        let part = b.reshape(part, &[n, depth * stride, height, width, filters])?;
        let part = cut(b, part, 0, depth * stride - (stride - 1))?;
        let before = tap * spatial.dilation[0];
        let after = extent - 1 - before;
        let part = pad(b, part, 1, before, after)?;
        sum = Some(match sum {
            Some(sum) => b.binary(BinaryKind::Add, sum, part)?,
            None => part,
        });
    }
    let Some(sum) = sum else { return invalid("its kernel is empty") };
    let sum = pad(b, sum, 1, 0, attributes.output_padding[0])?;
    let kept = (length + attributes.output_padding[0]).checked_sub(spatial.before[0] + spatial.after[0]);
    let Some(kept) = kept.filter(|kept| *kept > 0) else { return invalid("its padding cuts everything off") };
    let y = cut(b, sum, spatial.before[0], kept)?;
    bias.map_or(Ok(y), |bias| b.binary(BinaryKind::Add, y, bias))
}

/// Zeros before and after an axis.
fn pad(b: &mut Builder<'_>, x: ValueId, axis: usize, before: usize, after: usize) -> Result<ValueId, Problem> {
    if before == 0 && after == 0 {
        return Ok(x);
    }
    let rank = b.ty(x).shape.len();
    let only = |size: usize| (0..rank).map(|other| if other == axis { size } else { 0 }).collect();
    b.emit(Op::Pad(Pad { before: only(before), after: only(after), mode: PadMode::Constant(0.0) }), &[x])
}

/// A range of planes.
fn cut(b: &mut Builder<'_>, x: ValueId, begin: usize, planes: usize) -> Result<ValueId, Problem> {
    let mut size = b.shape(x);
    if begin == 0 && size[1] == planes {
        return Ok(x);
    }
    size[1] = planes;
    let slice = Slice { begin: vec![0, begin, 0, 0, 0], step: vec![1; 5], size };
    b.emit(Op::Slice(slice), &[x])
}
