//! What convolutions and matrix products share: the check of their element types, and sums of products over windows.

use super::operands::{
    Bytes, float_or_quantized, floats, floats_mut, one_of, operand, required, unchecked, unsupported,
};
use super::{Activation, Window};
use crate::qmath::{self, Requantization};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, ViewMut};

/// How the weights of a product lie: the axis of output channels, and how many products make one output.
pub(super) struct Weights {
    pub(super) channel_axis: usize,
    pub(super) depth: usize,
}

/// Checks inputs (x, weights, optional bias) and output of a product.
pub(super) fn check_types(
    inputs: &[Option<&TensorType>],
    output: &TensorType,
    weights: Weights,
    activation: Activation,
) -> Result<(), GraphError> {
    let (x, w) = (required(inputs, 0)?, required(inputs, 1)?);
    let bias = inputs.get(2).copied().flatten();
    if x.dtype == DType::I32 {
        for (what, ty) in [("weights", Some(w)), ("output", Some(output)), ("bias", bias)] {
            ty.map_or(Ok(()), |ty| one_of(ty, what, &[DType::I32], "the input is int32"))?;
        }
        return match activation {
            Activation::None => Ok(()),
            other => Err(GraphError::Attribute(format!("{other:?} has no integer form"))),
        };
    }
    float_or_quantized(&[("input", x), ("output", output)])?;
    if x.dtype == DType::F32 {
        one_of(w, "weights", &[DType::F32], "the input is float32")?;
        return bias.map_or(Ok(()), |bias| one_of(bias, "bias", &[DType::F32], "the input is float32"));
    }
    one_of(w, "weights", &[DType::I8, DType::U8], "the input is of 8 bits")?;
    if let Some(bias) = bias {
        one_of(bias, "bias", &[DType::I32], "with 8-bit inputs it is int32")?;
    }
    let quantization = w.quantization.as_ref();
    if quantization.is_some_and(|q| q.scales.len() > 1 && q.axis != Some(weights.channel_axis)) {
        let problem = format!("have one scale for each index of another axis than {}", weights.channel_axis);
        return Err(GraphError::Quantization { what: "weights".into(), problem });
    }
    Requantization::of_product(x, w, output, activation)?;
    check_depth(x, w, weights.depth)
}

/// Demands that no sum of products can leave `i32`, whatever the elements are. (A bias may wrap it around.)
fn check_depth(x: &TensorType, w: &TensorType, depth: usize) -> Result<(), GraphError> {
    let largest = |ty: &TensorType| {
        let (min, max) = ty.dtype.bounds_8_bit();
        let zero_points = ty.quantization.iter().flat_map(|q| &q.zero_points);
        zero_points.map(|zero_point| (zero_point - min).max(max - zero_point) as usize).max().unwrap_or(256)
    };
    let limit = i32::MAX as usize / (largest(x) * largest(w));
    if depth > limit {
        return Err(GraphError::Attribute(format!(
            "{depth} products make one output; at most {limit} of them fit 32 bits"
        )));
    }
    Ok(())
}

/// Checks that an image's channels, and the filters of `[filters, height, width, channels]`, fall into so many groups.
pub(super) fn check_groups(image: [usize; 4], weights: [usize; 4], groups: usize) -> Result<(), GraphError> {
    let ([_, _, _, channels], [filters, _, _, depth]) = (image, weights);
    if groups == 0 || depth.checked_mul(groups) != Some(channels) || filters % groups != 0 {
        return Err(GraphError::Attribute(format!(
            "weights {weights:?} do not fall into {groups} groups over an image {image:?}"
        )));
    }
    Ok(())
}

/// Checks that a bias, where there is one, has one element for each output channel.
pub(super) fn check_bias(inputs: &[Option<&TensorType>], channels: usize) -> Result<(), GraphError> {
    match inputs.get(2).copied().flatten() {
        Some(bias) if bias.shape != [channels] => {
            Err(GraphError::Shape { what: "bias".into(), expected: format!("[{channels}]"), found: bias.shape.clone() })
        }
        _ => Ok(()),
    }
}

/// Sizes of a product over windows. A depthwise convolution is one of as many groups as channels, the weights laid out
/// differently; a matrix product is one with a 1×1 window.
pub(super) struct Windows {
    /// Images, their height and width.
    pub(super) image: [usize; 3],
    /// Channels of a pixel of the input and of the output.
    pub(super) channels: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
    /// Height and width of the kernel.
    pub(super) kernel: [usize; 2],
    pub(super) window: Window,
    /// Input channels that one output channel reads, and output channels that read the same ones.
    pub(super) depth: usize,
    pub(super) group: usize,
    /// Distances in the weights of an output channel and of a tap.
    pub(super) weight_strides: [usize; 2],
}

impl Windows {
    /// The range of taps along an axis that fall inside the image, and where tap 0 lies.
    fn taps(&self, axis: usize, at: usize) -> (std::ops::Range<usize>, isize) {
        let (size, dilation) = (self.image[1 + axis] as isize, self.window.dilation[axis] as isize);
        let start = (at * self.window.stride[axis]) as isize - self.window.padding_before[axis] as isize;
        let first = if start < 0 { (-start + dilation - 1) / dilation } else { 0 };
        let end = if start < size { (size - start + dilation - 1) / dilation } else { 0 };
        let end = (end as usize).min(self.kernel[axis]);
        ((first as usize).min(end)..end, start)
    }

    /// For every output element, in order: from `start(channel)`, `product(sum, x index, weight index, channel)` over
    /// the taps inside the image, rows first, then columns, then channels; then `store(output index, channel, sum)`.
    fn each<A: Copy>(
        &self,
        start: impl Fn(usize) -> A,
        mut product: impl FnMut(A, usize, usize, usize) -> A,
        mut store: impl FnMut(usize, usize, A),
    ) {
        let [images, height, width] = self.image;
        let [in_channels, out_channels] = self.channels;
        let [channel_stride, tap_stride] = self.weight_strides;
        let mut index = 0;
        for (image, y, x) in cells([images, self.output[0], self.output[1]]) {
            let ((rows, top), (columns, left)) = (self.taps(0, y), self.taps(1, x));
            for channel in 0..out_channels {
                let mut sum = start(channel);
                for (ky, kx) in rows.clone().flat_map(|ky| columns.clone().map(move |kx| (ky, kx))) {
                    let row = (top + (ky * self.window.dilation[0]) as isize) as usize;
                    let column = (left + (kx * self.window.dilation[1]) as isize) as usize;
                    let pixel = ((image * height + row) * width + column) * in_channels;
                    let first = pixel + channel / self.group * self.depth;
                    let weight = channel * channel_stride + (ky * self.kernel[1] + kx) * tap_stride;
                    for k in 0..self.depth {
                        sum = product(sum, first + k, weight + k, channel);
                    }
                }
                store(index, channel, sum);
                index += 1;
            }
        }
    }

    /// Evaluates a product of float or of 8-bit tensors.
    pub(super) fn eval(
        &self,
        inputs: &[Option<TensorRef<'_>>],
        output: &mut TensorMut<'_>,
        activation: Activation,
    ) -> Result<(), GraphError> {
        let (x, w, bias) = (operand(inputs, 0)?, operand(inputs, 1)?, inputs.get(2).copied().flatten());
        match x.ty.dtype {
            DType::F32 => self.eval_float(x, w, bias, output, activation),
            DType::I32 => self.eval_integer(x, w, bias, output),
            DType::I8 | DType::U8 => self.eval_quantized(x, w, bias, output, activation),
            other => Err(unsupported("input", "the operator takes float32, int32 or 8-bit numbers", other)),
        }
    }

    /// Integers wrap around.
    fn eval_integer(
        &self,
        x: TensorRef<'_>,
        w: TensorRef<'_>,
        bias: Option<TensorRef<'_>>,
        output: &mut TensorMut<'_>,
    ) -> Result<(), GraphError> {
        let (View::I32(x), View::I32(w), ViewMut::I32(out)) = (x.view, w.view, &mut output.view) else {
            return Err(unchecked());
        };
        let bias = match bias.map(|bias| bias.view) {
            Some(View::I32(bias)) => Some(bias),
            _ => None,
        };
        self.each(
            |_| 0i32,
            |sum, i, j, _| sum.wrapping_add(x[i].wrapping_mul(w[j])),
            |index, channel, sum| out[index] = sum.wrapping_add(bias.map_or(0, |bias| bias[channel])),
        );
        Ok(())
    }

    /// A chain of fused multiply-adds from the bias on: kernels on every CPU give the same bits.
    fn eval_float(
        &self,
        x: TensorRef<'_>,
        w: TensorRef<'_>,
        bias: Option<TensorRef<'_>>,
        output: &mut TensorMut<'_>,
        activation: Activation,
    ) -> Result<(), GraphError> {
        let (x, w, bias) = (floats(&x)?, floats(&w)?, bias.as_ref().map(floats).transpose()?);
        let out = floats_mut(output)?;
        self.each(
            |channel| bias.map_or(0.0, |bias| bias[channel]),
            |sum, i, j, _| x[i].mul_add(w[j], sum),
            |index, _, sum| out[index] = activation.clamp(sum),
        );
        Ok(())
    }

    fn eval_quantized(
        &self,
        x: TensorRef<'_>,
        w: TensorRef<'_>,
        bias: Option<TensorRef<'_>>,
        output: &mut TensorMut<'_>,
        activation: Activation,
    ) -> Result<(), GraphError> {
        let qx = x.ty.activation_quantization("input")?;
        let qw = w.ty.quantization.as_ref().ok_or_else(unchecked)?;
        let qo = output.ty.activation_quantization("output")?;
        let (min, max) = qmath::activation_range(activation, output.ty.dtype, qo);
        let bias = match bias.map(|bias| bias.view) {
            Some(View::I32(bias)) => Some(bias),
            _ => None,
        };
        let (x, w, zero_point) = (Bytes::new(&x)?, Bytes::new(&w)?, qx.zero_point());
        let out = output.view.bytes_mut();
        self.each(
            |_| 0i32,
            |sum, i, j, channel| sum + (x.get(i) - zero_point) * (w.get(j) - qw.zero_point_at(channel)),
            |index, channel, sum| {
                let sum = sum.wrapping_add(bias.map_or(0, |bias| bias[channel]));
                let multiplier = qmath::product_multiplier(qx.scale(), qw.scale_at(channel), qo.scale());
                out[index] = qmath::requantize(sum, multiplier, qo.zero_point(), min, max) as u8;
            },
        );
        Ok(())
    }
}

/// Every index of three axes, in row-major order.
pub(super) fn cells([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}
