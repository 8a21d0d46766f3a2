//! Average and maximum over windows.

use kinglet_graph::ops::{Activation, BinaryKind, Pad, PadMode, Pool2d, PoolKind, Reduce, ReduceKind, Window};
use kinglet_graph::{DType, Op, ValueId};

use super::spatial::{AutoPad, Spatial};
use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// AveragePool. Input: image `[N, C, …]`.
pub fn average_pool(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let image = Image::of(b, op)?;
    let mut spatial = Spatial::of(op, image.sizes.len(), None)?.padded(op, &image.sizes)?;
    let mut x = b.channels_last(image.x)?;
    let beyond = beyond(op, &spatial, &image.sizes)?;
    if op.flag("count_include_pad")? && spatial.before.iter().chain(&spatial.after).any(|pad| *pad > 0) {
        // Padding that counts is made of zeros; what windows reach beyond it does not count.
        let with_ends = |pads: &[usize]| [&[0], pads, &[0]].concat();
        let (before, after) = (with_ends(&spatial.before), with_ends(&spatial.after));
        x = b.emit(Op::Pad(Pad { before, after, mode: PadMode::Constant(0.0) }), &[x])?;
        spatial.before.fill(0);
        spatial.after.fill(0);
    }
    spatial.after.iter_mut().zip(beyond).for_each(|(after, beyond)| *after += beyond);
    let y = over_axes(b, x, &spatial, PoolKind::Average)?;
    Ok(vec![b.channels_first(y)?])
}

/// MaxPool. Input: image `[N, C, …]`. The optional second output says where each maximum was in the whole input.
pub fn max_pool(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let image = Image::of(b, op)?;
    let mut spatial = Spatial::of(op, image.sizes.len(), None)?.padded(op, &image.sizes)?;
    let beyond = beyond(op, &spatial, &image.sizes)?;
    spatial.after.iter_mut().zip(beyond).for_each(|(after, beyond)| *after += beyond);
    let x = b.channels_last(image.x)?;
    let y = over_axes(b, x, &spatial, PoolKind::Max)?;
    let y = b.channels_first(y)?;
    if op.wants(1) { Ok(vec![y, places(b, op, &image, &spatial)?]) } else { Ok(vec![y]) }
}

/// The image that an operator reads.
struct Image {
    x: ValueId,
    shape: Vec<usize>,
    /// Sizes of the spatial axes.
    sizes: Vec<usize>,
}

impl Image {
    fn of(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Image, Problem> {
        let x = op.input(b, 0)?;
        let shape = b.shape(x);
        match &shape[..] {
            [_, _, sizes @ ..] if (1..=3).contains(&sizes.len()) => Ok(Image { x, sizes: sizes.to_vec(), shape }),
            _ => unsupported(format!("over an image of shape {shape:?}")),
        }
    }
}

/// With `ceil_mode`, how far the last window reaches beyond the padded image along each axis. A window that begins only
/// in the padding after the image is left out.
fn beyond(op: &Operator<'_>, spatial: &Spatial, image: &[usize]) -> Result<Vec<usize>, Problem> {
    if !op.flag("ceil_mode")? || !matches!(AutoPad::of(op)?, AutoPad::NotSet | AutoPad::Valid) {
        return Ok(vec![0; image.len()]);
    }
    let axis = |axis: usize| {
        let (stride, begin) = (spatial.stride[axis], spatial.before[axis] + image[axis]);
        let padded = begin + spatial.after[axis];
        let mut steps = padded.saturating_sub(spatial.extent(axis)).div_ceil(stride);
        if steps * stride >= begin {
            steps = steps.saturating_sub(1);
        }
        (steps * stride + spatial.extent(axis)).saturating_sub(padded)
    };
    Ok((0..image.len()).map(axis).collect())
}

/// Pools an image N, …, C. Windows over three axes are pooled along two, and what comes of that along the third: the
/// maximum of maxima is the maximum, and since a window is cut off at the border along each axis on its own, so is the
/// mean of means.
fn over_axes(b: &mut Builder<'_>, x: ValueId, spatial: &Spatial, kind: PoolKind) -> Result<ValueId, Problem> {
    let shape = b.shape(x);
    let (kernel, window) = spatial.window();
    match shape[..] {
        [n, width, channels] => {
            let x = b.reshape(x, &[n, 1, width, channels])?;
            let y = pool(b, x, kernel, window, kind)?;
            let width = b.ty(y).shape[2];
            b.reshape(y, &[n, width, channels])
        }
        [n, depth, height, width, channels] => {
            let planes = b.reshape(x, &[n * depth, height, width, channels])?;
            let y = pool(b, planes, kernel, window, kind)?;
            let [height, width] = [b.ty(y).shape[1], b.ty(y).shape[2]];
            let columns = b.reshape(y, &[n, depth, height * width, channels])?;
            let along_depth = Window {
                stride: [spatial.stride[0], 1],
                dilation: [spatial.dilation[0], 1],
                padding_before: [spatial.before[0], 0],
                padding_after: [spatial.after[0], 0],
            };
            let y = pool(b, columns, [spatial.kernel[0], 1], along_depth, kind)?;
            let depth = b.ty(y).shape[1];
            b.reshape(y, &[n, depth, height, width, channels])
        }
        _ => pool(b, x, kernel, window, kind),
    }
}

fn pool(
    b: &mut Builder<'_>,
    x: ValueId,
    kernel: [usize; 2],
    window: Window,
    kind: PoolKind,
) -> Result<ValueId, Problem> {
    let pool = Op::Pool2d(Pool2d { kind, kernel, window, activation: Activation::None });
    if kind == PoolKind::MaxIndex { b.emit_as(pool, &[Some(x)], DType::I64, None) } else { b.emit(pool, &[x]) }
}

/// Where the maxima are: their places in the whole input, N, C, …, the last axis fastest (or the first of the spatial
/// ones, with the attribute `storage_order`).
fn places(b: &mut Builder<'_>, op: &Operator<'_>, image: &Image, spatial: &Spatial) -> Result<ValueId, Problem> {
    let columns_first = op.flag("storage_order")?;
    let [n, channels, ..] = image.shape[..] else { return invalid("its image has no channels") };
    let [height, width] = match image.sizes[..] {
        [width] => [1, width],
        [height, width] => [height, width],
        _ => return unsupported("over three axes with the places of the maxima"),
    };
    let x = b.reshape(image.x, &[n, channels, height, width])?;
    let (mut kernel, mut window) = spatial.window();
    let permutation: [usize; 4] = if columns_first { [0, 3, 2, 1] } else { [0, 2, 3, 1] };
    if columns_first {
        kernel.reverse();
        for pair in [&mut window.stride, &mut window.dilation, &mut window.padding_before, &mut window.padding_after] {
            pair.reverse();
        }
    }
    let x = b.transpose(x, &permutation)?;
    let within = pool(b, x, kernel, window, PoolKind::MaxIndex)?;
    let within = b.transpose(within, if columns_first { &[0, 3, 2, 1] } else { &[0, 3, 1, 2] })?;
    // What lies before the plane of an image's channel.
    let planes: Vec<i64> = (0..n * channels).map(|plane| (plane * height * width) as i64).collect();
    let planes = b.constant_of(&[n, channels, 1, 1], planes)?;
    let places = b.binary(BinaryKind::Add, within, planes)?;
    match (image.sizes.len(), b.shape(places)) {
        (1, shape) => b.reshape(places, &[shape[0], shape[1], shape[3]]),
        _ => Ok(places),
    }
}

/// GlobalAveragePool and GlobalMaxPool. Input: image `[N, C, …]`.
pub fn global_pool(b: &mut Builder<'_>, op: &Operator<'_>, kind: PoolKind) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let image = b.shape(x);
    let [n, channels, sizes @ ..] = &image[..] else { return invalid(format!("its image has the shape {image:?}")) };
    let x = b.channels_last(x)?;
    let rank = image.len();
    let y = if kind == PoolKind::Average {
        b.emit(Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: (1..rank - 1).collect(), keep_dims: true }), &[x])?
    } else {
        let pixels = sizes.iter().product();
        let x = b.reshape(x, &[*n, pixels, 1, *channels])?;
        let y = pool(b, x, [pixels, 1], Window::unit(), kind)?;
        let mut shape = vec![1; rank];
        (shape[0], shape[rank - 1]) = (*n, *channels);
        b.reshape(y, &shape)?
    };
    Ok(vec![b.channels_first(y)?])
}
