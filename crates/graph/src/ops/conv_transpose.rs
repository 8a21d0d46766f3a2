//! Transposed two-dimensional convolution.

use super::operands::{floats, floats_mut, one_of, operand, rank, required, unchecked};
use super::product::{cells, check_bias, check_groups};
use super::{Activation, Window};
use crate::{DType, GraphError, MAX_ELEMENTS, TensorMut, TensorRef, TensorType};

/// Transposed convolution, as Zeiler et al. use it ("Deconvolutional Networks", 2010): each input pixel adds its
/// channels times the kernel to a window of the output. Input pixel y lies at row `y · stride − padding_before` of the
/// output, so that the padding cuts rows off the result, which has `(height − 1) · stride + extent − padding +
/// output_padding` of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// How the kernel moves over the output.
    pub window: Window,
    /// Rows below and columns right of what the windows reach: they hold the bias alone. Less than the larger of stride
    /// and dilation.
    pub output_padding: [usize; 2],
    /// Channels fall into this many groups of equal size; each output channel reads those of its own group.
    pub groups: usize,
    /// Applied to the result.
    pub activation: Activation,
}

impl ConvTranspose2d {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x @ [images, height, width, _] = rank(required(inputs, 0)?, "input")?;
        let w @ [filters, kernel_height, kernel_width, _] = rank(required(inputs, 1)?, "weights")?;
        check_groups(x, w, self.groups)?;
        check_bias(inputs, filters)?;
        let size = |axis: usize, image: usize, kernel: usize| {
            let Window { stride, dilation, padding_before, padding_after } = self.window;
            let bounded = [stride[axis], dilation[axis]].iter().all(|step| (1..=MAX_ELEMENTS).contains(step));
            let moved = image.checked_sub(1).filter(|_| bounded)?.checked_mul(stride[axis])?;
            let extent = kernel.checked_sub(1)?.checked_mul(dilation[axis])?.checked_add(1)?;
            let reached = moved.checked_add(extent)?.checked_add(self.output_padding[axis])?;
            reached.checked_sub(padding_before[axis].checked_add(padding_after[axis])?).filter(|size| *size > 0)
        };
        match (size(0, height, kernel_height), size(1, width, kernel_width)) {
            (Some(out_height), Some(out_width)) => Ok(vec![images, out_height, out_width, filters]),
            _ => Err(GraphError::Attribute(format!("a kernel {w:?} makes nothing of an image {x:?} with {self:?}"))),
        }
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let bias = inputs.get(2).copied().flatten();
        for (what, ty) in [("input", required(inputs, 0)?), ("weights", required(inputs, 1)?), ("output", output)] {
            one_of(ty, what, &[DType::F32], "the operator takes float32")?;
        }
        bias.map_or(Ok(()), |bias| one_of(bias, "bias", &[DType::F32], "the operator takes float32"))
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (x, w) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let bias = inputs.get(2).copied().flatten();
        let bias = bias.as_ref().map(floats).transpose()?;
        let &[images, height, width, channels] = x.ty.shape.as_slice() else { return Err(unchecked()) };
        let &[filters, kernel_height, kernel_width, depth] = w.ty.shape.as_slice() else { return Err(unchecked()) };
        let &[_, out_height, out_width, _] = output.ty.shape.as_slice() else { return Err(unchecked()) };
        let (x, w, out) = (floats(&x)?, floats(&w)?, floats_mut(output)?);
        let group = filters / self.groups.max(1);
        let mut index = 0;
        for (image, y, column) in cells([images, out_height, out_width]) {
            for channel in 0..filters {
                let mut sum = bias.map_or(0.0, |bias| bias[channel]);
                let first = channel / group * depth;
                for (ky, row) in self.sources(0, y, kernel_height, height) {
                    for (kx, at) in self.sources(1, column, kernel_width, width) {
                        let pixel = ((image * height + row) * width + at) * channels + first;
                        let tap = ((channel * kernel_height + ky) * kernel_width + kx) * depth;
                        for k in 0..depth {
                            sum += x[pixel + k] * w[tap + k];
                        }
                    }
                }
                out[index] = self.activation.clamp(sum);
                index += 1;
            }
        }
        Ok(())
    }

    /// The taps that reach row (or column) `at` of the output, each with the row of the image that it comes from.
    fn sources(&self, axis: usize, at: usize, kernel: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
        let (stride, dilation) = (self.window.stride[axis], self.window.dilation[axis]);
        let place = at + self.window.padding_before[axis];
        (0..kernel).filter_map(move |tap| {
            let moved = place.checked_sub(tap * dilation)?;
            (moved % stride == 0 && moved / stride < size).then(|| (tap, moved / stride))
        })
    }
}
