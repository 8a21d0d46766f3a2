//! Convolutions. The graph's are two-dimensional: one axis is made two by an axis of size 1, and over three axes the
//! results of the kernel's slices are added.

use kinglet_graph::ops::{Activation, BinaryKind, Conv2d, DepthwiseConv2d, Pad, PadMode, Slice};
use kinglet_graph::{DType, Op, Quantization, ValueId};

use super::spatial::Spatial;
use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// Conv. Inputs: image `[N, C, …]`, weights `[M, C / group, …]`, optional bias `[M]`.
pub fn conv(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, weights, bias) = (op.input(b, 0)?, op.input(b, 1)?, op.optional(b, 2)?);
    let convolution = Convolution { x, weights, bias, dtype: b.dtype(x), quantization: None };
    Ok(vec![convolve(b, op, &convolution)?])
}

/// What is convolved, and the type of the result.
#[derive(Clone)]
pub struct Convolution {
    /// The image.
    pub x: ValueId,
    /// Output channels first.
    pub weights: ValueId,
    /// One number an output channel.
    pub bias: Option<ValueId>,
    /// The result's element type.
    pub dtype: DType,
    /// The result's scale and zero point.
    pub quantization: Option<Quantization>,
}

/// A convolution with the attributes of this operator, of an image `[N, C, …]`.
pub fn convolve(b: &mut Builder<'_>, op: &Operator<'_>, convolution: &Convolution) -> Result<ValueId, Problem> {
    let &Convolution { x, weights, .. } = convolution;
    let (image, filter) = (b.shape(x), b.shape(weights));
    let ([_, channels, sizes @ ..], [_, depth, kernel @ ..]) = (&image[..], &filter[..]) else {
        return invalid(format!("it has an image of shape {image:?} and weights of shape {filter:?}"));
    };
    if sizes.len() != kernel.len() || sizes.is_empty() {
        return invalid(format!("it has an image of shape {image:?} and weights of shape {filter:?}"));
    }
    let groups = op.int_or("group", 1)?;
    let Some(groups) = usize::try_from(groups).ok().filter(|groups| depth.checked_mul(*groups) == Some(*channels))
    else {
        return invalid(format!("{groups} groups of {depth} channels do not make the image's {channels}"));
    };
    let spatial = Spatial::of(op, sizes.len(), Some(kernel))?.padded(op, sizes)?;
    match sizes.len() {
        1 => {
            let x = b.reshape(x, &[image[0], *channels, 1, sizes[0]])?;
            let weights = b.reshape(weights, &[filter[0], *depth, 1, kernel[0]])?;
            let y = planar(b, &Convolution { x, weights, ..convolution.clone() }, &spatial, groups)?;
            let [n, c, _, width] = b.shape(y)[..] else { return invalid("it has no result") };
            b.reshape(y, &[n, c, width])
        }
        2 => planar(b, convolution, &spatial, groups),
        3 => volumetric(b, convolution, &spatial, groups),
        axes => unsupported(format!("over {axes} spatial axes")),
    }
}

/// A convolution of NCHW images.
fn planar(
    b: &mut Builder<'_>,
    convolution: &Convolution,
    spatial: &Spatial,
    groups: usize,
) -> Result<ValueId, Problem> {
    let x = b.channels_last(convolution.x)?;
    let y = channels_last(b, &Convolution { x, ..convolution.clone() }, spatial, groups)?;
    b.channels_first(y)
}

/// A convolution of NHWC images with weights OIHW.
fn channels_last(
    b: &mut Builder<'_>,
    convolution: &Convolution,
    spatial: &Spatial,
    groups: usize,
) -> Result<ValueId, Problem> {
    let &Convolution { x, weights, bias, dtype, .. } = convolution;
    let (_, window) = spatial.window();
    let filters = b.ty(weights).shape[0];
    let activation = Activation::None;
    let depthwise = groups > 1 && b.ty(x).shape[3] == groups && filters.is_multiple_of(groups);
    let (op, weights) = if depthwise {
        let multiplier = filters / groups;
        let weights = b.transpose(weights, &[1, 2, 3, 0])?;
        (Op::DepthwiseConv2d(DepthwiseConv2d { window, multiplier, activation }), weights)
    } else {
        let weights = b.transpose(weights, &[0, 2, 3, 1])?;
        (Op::Conv2d(Conv2d { window, groups, activation }), weights)
    };
    let inputs: Vec<Option<ValueId>> = [x, weights].into_iter().chain(bias).map(Some).collect();
    b.emit_as(op, &inputs, dtype, convolution.quantization.clone())
}

/// A convolution of NCDHW images: the sum, over the kernel's depth, of convolutions of the image's planes.
fn volumetric(
    b: &mut Builder<'_>,
    convolution: &Convolution,
    spatial: &Spatial,
    groups: usize,
) -> Result<ValueId, Problem> {
    if convolution.quantization.is_some() {
        return unsupported("of quantized numbers over three axes");
    }
    let &Convolution { weights, bias, .. } = convolution;
    let x = b.channels_last(convolution.x)?;
    let padding = |depth: usize| vec![0, depth, 0, 0, 0];
    let (before, after) = (padding(spatial.before[0]), padding(spatial.after[0]));
    let x = if before == after && before[1] == 0 {
        x
    } else {
        b.emit(Op::Pad(Pad { before, after, mode: PadMode::Constant(0.0) }), &[x])?
    };
    let [n, depth, height, width, channels] = b.shape(x)[..] else { return invalid("its image has not five axes") };
    let Some(planes) = depth.checked_sub(spatial.extent(0)).map(|last| last / spatial.stride[0] + 1) else {
        return invalid(format!("a kernel of {:?} does not fit the image", spatial.kernel));
    };
    let [filters, filter_depth, taps, kernel_height, kernel_width] = b.shape(weights)[..] else {
        return invalid("its weights have not five axes");
    };
    let mut sum: Option<ValueId> = None;
    for tap in 0..taps {
        let mut begin = vec![0; 5];
        begin[1] = tap * spatial.dilation[0];
        let step = vec![1, spatial.stride[0] as isize, 1, 1, 1];
        let slice = Slice { begin, step, size: vec![n, planes, height, width, channels] };
        let image = b.emit(Op::Slice(slice), &[x])?;
        let image = b.reshape(image, &[n * planes, height, width, channels])?;
        let slice = Slice {
            begin: vec![0, 0, tap, 0, 0],
            step: vec![1; 5],
            size: vec![filters, filter_depth, 1, kernel_height, kernel_width],
        };
        let filter = b.emit(Op::Slice(slice), &[weights])?;
        let filter = b.reshape(filter, &[filters, filter_depth, kernel_height, kernel_width])?;
        let bias = bias.filter(|_| tap == 0);
        let part = Convolution { x: image, weights: filter, bias, ..convolution.clone() };
        let part = channels_last(b, &part, spatial, groups)?;
        sum = Some(match sum {
            Some(sum) => b.binary(BinaryKind::Add, sum, part)?,
            None => part,
        });
    }
    let Some(sum) = sum else { return invalid("its kernel is empty") };
    let [_, height, width, filters] = b.shape(sum)[..] else { return invalid("it has no result") };
    let y = b.reshape(sum, &[n, planes, height, width, filters])?;
    b.channels_first(y)
}
