//! The operators: what each one is, what it takes, and, in plain loops, what it computes.
//!
//! An operator is a variant of [`Op`] here and a file beside this one, which holds its attributes, the check of its inputs
//! and outputs, and its evaluation. Importers translate into these; operators of a file format that are only another way
//! to write one of these (squeeze, split, pack …) have no variant.

mod arg_max;
mod binary;
mod cast;
mod concat;
mod conv;
mod fully_connected;
mod gather;
mod pad;
mod pool;
mod prelu;
mod reduce;
mod reshape;
mod resize;
mod slice;
mod softmax;
mod transpose;
mod unary;

pub use arg_max::ArgMax;
pub use binary::{Binary, BinaryKind};
pub use concat::Concat;
pub use conv::{Conv2d, DepthwiseConv2d};
pub use fully_connected::FullyConnected;
pub use gather::Gather;
pub use pad::Pad;
pub use pool::{Pool2d, PoolKind};
pub use reduce::Mean;
pub use reshape::Reshape;
pub use resize::{CoordinateMode, Resize, ResizeKind};
pub use slice::Slice;
pub use softmax::Softmax;
pub use transpose::Transpose;
pub use unary::{Unary, unary_table};

use crate::{GraphError, TensorMut, TensorRef, TensorType};

/// An operator with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// 2-D convolution. Inputs: NHWC image, OHWI weights, optional bias.
    Conv2d(Conv2d),
    /// 2-D depthwise convolution. Inputs: NHWC image, 1HWO weights (output channel o reads channel o / multiplier), optional bias.
    DepthwiseConv2d(DepthwiseConv2d),
    /// Matrix product with constant-like weights. Inputs: [.., K], [N, K] weights, optional bias.
    FullyConnected(FullyConnected),
    /// Elementwise function of two tensors, with broadcasting.
    Binary(Binary),
    /// Elementwise function of one tensor.
    Unary(Unary),
    /// max(x, 0) + slope · min(x, 0), the slope a tensor that is broadcast. Inputs: x, slope.
    Prelu,
    /// Average or maximum over windows of an NHWC image.
    Pool2d(Pool2d),
    /// Mean over axes.
    Mean(Mean),
    /// Adds elements around a tensor.
    Pad(Pad),
    /// The same elements in another shape.
    Reshape(Reshape),
    /// Permutes axes.
    Transpose(Transpose),
    /// Joins tensors along an axis.
    Concat(Concat),
    /// A strided part of a tensor.
    Slice(Slice),
    /// Picks slices along an axis by index. Inputs: tensor, indices.
    Gather(Gather),
    /// Another element type, the same numbers. The output's type says which.
    Cast,
    /// exp(x) over its sum along the last axis.
    Softmax(Softmax),
    /// Another height and width of an NHWC image.
    Resize(Resize),
    /// Real or quantized numbers to quantized ones; the output's type says to which.
    Quantize,
    /// Quantized numbers (or half floats) to real ones.
    Dequantize,
    /// The index of the largest element along an axis.
    ArgMax(ArgMax),
}

/// A function applied to an operator's result before it is stored: a clamp of the real value.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Activation {
    /// The result as it is.
    #[default]
    None,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// min(max(x, −1), 1)
    ReluN1To1,
}

impl Activation {
    /// The interval that results are clamped to; infinite where there is no bound.
    pub fn bounds(self) -> (f32, f32) {
        match self {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::ReluN1To1 => (-1.0, 1.0),
        }
    }
}

/// How windows lie over an image: shared by convolution, depthwise convolution and pooling. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Steps between windows; at least 1.
    pub stride: [usize; 2],
    /// Steps between taps; at least 1.
    pub dilation: [usize; 2],
    /// Rows above and columns left of the image.
    pub padding_before: [usize; 2],
    /// Rows below and columns right of it.
    pub padding_after: [usize; 2],
}

impl Op {
    /// The operator's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "Conv2d",
            Op::DepthwiseConv2d(_) => "DepthwiseConv2d",
            Op::FullyConnected(_) => "FullyConnected",
            Op::Binary(op) => op.kind.name(),
            Op::Unary(op) => op.name(),
            Op::Prelu => "Prelu",
            Op::Pool2d(op) => op.kind.name(),
            Op::Mean(_) => "Mean",
            Op::Pad(_) => "Pad",
            Op::Reshape(_) => "Reshape",
            Op::Transpose(_) => "Transpose",
            Op::Concat(_) => "Concat",
            Op::Slice(_) => "Slice",
            Op::Gather(_) => "Gather",
            Op::Cast => "Cast",
            Op::Softmax(_) => "Softmax",
            Op::Resize(op) => op.kind.name(),
            Op::Quantize => "Quantize",
            Op::Dequantize => "Dequantize",
            Op::ArgMax(_) => "ArgMax",
        }
    }

    /// The shapes of the results for inputs of these types.
    pub fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<Vec<usize>>, GraphError> {
        let _ = inputs;
        Err(GraphError::Structure(format!("{} is not written", self.name())))
    }

    /// Checks that the operator takes inputs of these types and gives outputs of these.
    pub fn check(&self, inputs: &[Option<&TensorType>], outputs: &[&TensorType]) -> Result<(), GraphError> {
        let _ = (inputs, outputs);
        Err(GraphError::Structure(format!("{} is not written", self.name())))
    }

    /// Computes the outputs, in plain loops and without allocating. The types must have passed [`Op::check`].
    pub fn eval(&self, inputs: &[Option<TensorRef<'_>>], outputs: &mut [TensorMut<'_>]) -> Result<(), GraphError> {
        let _ = (inputs, outputs);
        Err(GraphError::Structure(format!("{} is not written", self.name())))
    }

    /// How many multiplications with an addition the operator takes, as papers count them; 0 where it takes none.
    pub fn multiply_adds(&self, inputs: &[Option<&TensorType>], outputs: &[&TensorType]) -> u64 {
        let _ = (inputs, outputs);
        0
    }
}
