//! Two-dimensional convolution and depthwise convolution.

use super::operands::{rank, required, unchecked};
use super::product::{self, Weights, Windows};
use super::{Activation, Window};
use crate::{GraphError, TensorMut, TensorRef, TensorType};

/// Two-dimensional convolution, plain or in groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// How the kernel moves over the image.
    pub window: Window,
    /// Output channels fall into this many groups of equal size; each reads its own part of the input channels.
    pub groups: usize,
    /// Applied to the result.
    pub activation: Activation,
}

/// Two-dimensional convolution of each channel on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthwiseConv2d {
    /// How the kernel moves over the image.
    pub window: Window,
    /// Output channels an input channel.
    pub multiplier: usize,
    /// Applied to the result.
    pub activation: Activation,
}

impl Conv2d {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x @ [images, height, width, _] = rank(required(inputs, 0)?, "input")?;
        let w @ [filters, kernel_height, kernel_width, _] = rank(required(inputs, 1)?, "weights")?;
        product::check_groups(x, w, self.groups)?;
        product::check_bias(inputs, filters)?;
        let [out_height, out_width] = self.window.output_size([height, width], [kernel_height, kernel_width])?;
        Ok(vec![images, out_height, out_width, filters])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let [_, kernel_height, kernel_width, depth] = rank(required(inputs, 1)?, "weights")?;
        let weights = Weights { channel_axis: 0, depth: kernel_height * kernel_width * depth };
        product::check_types(inputs, output, weights, self.activation)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (images, [filters, kernel_height, kernel_width, depth]) = shapes(inputs)?;
        let taps = kernel_height * kernel_width;
        let windows = Windows {
            image: [images[0], images[1], images[2]],
            channels: [images[3], filters],
            output: [output.ty.shape[1], output.ty.shape[2]],
            kernel: [kernel_height, kernel_width],
            window: self.window,
            depth,
            group: filters / self.groups,
            weight_strides: [taps * depth, depth],
        };
        windows.eval(inputs, output, self.activation)
    }
}

impl DepthwiseConv2d {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x @ [images, height, width, channels] = rank(required(inputs, 0)?, "input")?;
        let w @ [one, kernel_height, kernel_width, filters] = rank(required(inputs, 1)?, "weights")?;
        if one != 1 || self.multiplier == 0 || channels.checked_mul(self.multiplier) != Some(filters) {
            return Err(GraphError::Attribute(format!(
                "weights {w:?} do not have {} filters for each channel of an image {x:?}",
                self.multiplier
            )));
        }
        product::check_bias(inputs, filters)?;
        let [out_height, out_width] = self.window.output_size([height, width], [kernel_height, kernel_width])?;
        Ok(vec![images, out_height, out_width, filters])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let [_, kernel_height, kernel_width, _] = rank(required(inputs, 1)?, "weights")?;
        let weights = Weights { channel_axis: 3, depth: kernel_height * kernel_width };
        product::check_types(inputs, output, weights, self.activation)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (images, [_, kernel_height, kernel_width, filters]) = shapes(inputs)?;
        let windows = Windows {
            image: [images[0], images[1], images[2]],
            channels: [images[3], filters],
            output: [output.ty.shape[1], output.ty.shape[2]],
            kernel: [kernel_height, kernel_width],
            window: self.window,
            depth: 1,
            group: self.multiplier,
            weight_strides: [1, filters],
        };
        windows.eval(inputs, output, self.activation)
    }
}

/// The shapes of an image and of the weights.
fn shapes(inputs: &[Option<TensorRef<'_>>]) -> Result<([usize; 4], [usize; 4]), GraphError> {
    let shape = |index: usize| -> Result<[usize; 4], GraphError> {
        let tensor = super::operands::operand(inputs, index)?;
        tensor.ty.shape.as_slice().try_into().map_err(|_| unchecked())
    };
    Ok((shape(0)?, shape(1)?))
}
