//! Convolution, depthwise convolution and the fully connected layer.

use kinglet_graph::ops::{Conv2d, DepthwiseConv2d, FullyConnected, Reshape, Window};
use kinglet_graph::{DType, Op, TensorType, ValueId};

use super::{Operator, Problem, invalid, positive, unsupported};
use crate::tflite::builder::{Builder, Form};
use crate::tflite::schema::{self, padding};

/// CONV_2D. Inputs: image, filter `[out, height, width, in]`, bias. Where the filter has fewer input channels than the
/// image, the convolution is in groups.
pub fn conv_2d(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    use schema::conv_2d as o;
    op.arity(2..=3, 1)?;
    let (image, filter) = (op.shape(b, 0)?, op.shape(b, 1)?);
    let ([_, height, width, channels], [_, kernel_h, kernel_w, filter_channels]) = (&image[..], &filter[..]) else {
        return invalid(format!("it has an image of shape {image:?} and a filter of shape {filter:?}"));
    };
    let groups = channels.checked_div(*filter_channels).filter(|groups| groups * filter_channels == *channels);
    let Some(groups) = groups.filter(|&groups| groups > 0) else {
        return invalid(format!("its filter is for {filter_channels} channels, but the image has {channels}"));
    };
    let grid = Grid {
        stride: [positive(op.option(o::STRIDE_H)?, "stride")?, positive(op.option(o::STRIDE_W)?, "stride")?],
        dilation: [positive(op.option(o::DILATION_H)?, "dilation")?, positive(op.option(o::DILATION_W)?, "dilation")?],
        padding: op.option(o::PADDING)?,
    };
    let window = grid.window([*height, *width], [*kernel_h, *kernel_w])?;
    let activation = op.activation(o::ACTIVATION)?;
    let inputs = with_weights(b, op)?;
    op.emit(b, Op::Conv2d(Conv2d { window, groups, activation }), inputs)
}

/// DEPTHWISE_CONV_2D. Inputs: image, filter `[1, height, width, out]`, bias.
pub fn depthwise_conv_2d(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    use schema::depthwise_conv_2d as o;
    op.arity(2..=3, 1)?;
    let (image, filter) = (op.shape(b, 0)?, op.shape(b, 1)?);
    let ([_, height, width, channels], [1, kernel_h, kernel_w, out]) = (&image[..], &filter[..]) else {
        return invalid(format!("it has an image of shape {image:?} and a filter of shape {filter:?}"));
    };
    let multiplier = out.checked_div(*channels).filter(|multiplier| multiplier * channels == *out);
    let Some(multiplier) = multiplier.filter(|&multiplier| multiplier > 0) else {
        return invalid(format!("its filter makes {out} channels of {channels}"));
    };
    let grid = Grid {
        stride: [positive(op.option(o::STRIDE_H)?, "stride")?, positive(op.option(o::STRIDE_W)?, "stride")?],
        dilation: [positive(op.option(o::DILATION_H)?, "dilation")?, positive(op.option(o::DILATION_W)?, "dilation")?],
        padding: op.option(o::PADDING)?,
    };
    let window = grid.window([*height, *width], [*kernel_h, *kernel_w])?;
    let activation = op.activation(o::ACTIVATION)?;
    let inputs = with_weights(b, op)?;
    op.emit(b, Op::DepthwiseConv2d(DepthwiseConv2d { window, multiplier, activation }), inputs)
}

/// How windows lie over an image, before the image's size is known.
pub struct Grid {
    /// Steps between windows, vertical first.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// The schema's code of what happens at the border.
    pub padding: i8,
}

impl Grid {
    /// The windows over an image of this size. SAME: as many windows as strides begin within the image; what these
    /// reach over it is split evenly, the odd one after it.
    /// (<https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2>)
    pub fn window(&self, image: [usize; 2], kernel: [usize; 2]) -> Result<Window, Problem> {
        let Grid { stride, dilation, padding } = *self;
        let mut window = Window { stride, dilation, padding_before: [0; 2], padding_after: [0; 2] };
        match padding {
            padding::VALID => {}
            padding::SAME => {
                for i in 0..2 {
                    let last = image[i].div_ceil(stride[i]).saturating_sub(1).saturating_mul(stride[i]);
                    let reach = kernel[i].saturating_sub(1).saturating_mul(dilation[i]).saturating_add(last + 1);
                    let total = reach.saturating_sub(image[i]);
                    window.padding_before[i] = total / 2;
                    window.padding_after[i] = total - total / 2;
                }
            }
            other => return invalid(format!("it has an unknown padding, {other}")),
        }
        Ok(window)
    }
}

/// The inputs of an operator with weights. Weights that are stored narrower than the activations are made real first.
fn with_weights(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<Option<ValueId>>, Problem> {
    let input = op.value(b, 0)?;
    let mut weights = op.value(b, 1)?;
    let ty = b.value_type(weights);
    if b.value_type(input).dtype == DType::F32 && matches!(ty.dtype, DType::I8 | DType::F16) {
        let real = TensorType::new(DType::F32, ty.shape.clone());
        weights = op.emit_between(b, "weights", Op::Dequantize, vec![Some(weights)], real)?;
    }
    let bias = op.optional(2)?.map(|bias| b.read(bias, Form::Signed)).transpose()?;
    Ok(vec![Some(input), Some(weights), bias])
}

/// FULLY_CONNECTED. Inputs: any shape whose elements divide into rows, weights `[units, depth]`, bias. The file's
/// operator flattens its input into rows; where that changes the leading axes, reshapes do it here.
pub fn fully_connected(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    use schema::fully_connected as o;
    op.arity(2..=3, 1)?;
    if op.option(o::WEIGHTS_FORMAT)? != 0 {
        return unsupported("with shuffled weights");
    }
    let weights = op.shape(b, 1)?;
    let [units, depth] = weights[..] else { return invalid(format!("its weights have the shape {weights:?}")) };
    let activation = op.activation(o::ACTIVATION)?;
    let mut inputs = with_weights(b, op)?;
    let input = b.value_type(inputs[0].expect("it has an input")).clone();
    let output = b.tensor(op.output(0)?)?.type_in(Form::Signed);
    let fully_connected = Op::FullyConnected(FullyConnected { activation });
    let leads = |ty: &TensorType, last: usize| {
        ty.shape.split_last().filter(|(size, _)| **size == last).map(|(_, lead)| lead.to_vec())
    };
    if let Some(lead) = leads(&input, depth)
        && leads(&output, units) == Some(lead)
    {
        return op.emit(b, fully_connected, inputs);
    }
    let rows = input.len().checked_div(depth).unwrap_or(0);
    if rows == 0 || rows * depth != input.len() || rows.checked_mul(units) != Some(output.len()) {
        let (input, output) = (&input.shape, &output.shape);
        return invalid(format!("weights of shape {weights:?} do not take {input:?} to {output:?}"));
    }
    let flat = |ty: &TensorType, last: usize| TensorType { shape: vec![rows, last], ..ty.clone() };
    let reshape = |ty: &TensorType| Op::Reshape(Reshape { shape: ty.shape.clone() });
    let flat_input = flat(&input, depth);
    if flat_input.shape != input.shape {
        inputs[0] = Some(op.emit_between(b, "rows", reshape(&flat_input), vec![inputs[0]], flat_input)?);
    }
    let flat_output = flat(&output, units);
    if flat_output.shape == output.shape {
        return op.emit(b, fully_connected, inputs);
    }
    let product = op.emit_between(b, "product", fully_connected, inputs, flat_output)?;
    op.emit(b, reshape(&output), vec![Some(product)])
}
