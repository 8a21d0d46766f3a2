//! The operators: what each one is, what it takes, and, in plain loops, what it computes.
//!
//! An operator is a variant of [`Op`] here and a file beside this one, which holds its attributes, the check of its
//! inputs and outputs, and its evaluation. Importers translate into these; operators of a file format that are only
//! another way to write one of these (squeeze, split, pack …) have no variant.

mod arg;
mod binary;
mod cast;
mod concat;
mod conv;
mod conv_transpose;
mod detection;
mod expand;
mod fully_connected;
mod gather;
mod gather_elements;
mod gather_nd;
mod mat_mul;
mod non_max_suppression;
mod operands;
mod pad;
mod pool;
mod prelu;
mod product;
mod reduce;
mod reinterpret;
mod reshape;
mod resize;
mod scatter_nd;
mod select;
mod slice;
mod softmax;
mod top_k;
mod transpose;
mod unary;
mod walk;

pub use arg::{Arg, ArgKind};
pub use binary::{Binary, BinaryKind};
pub use cast::Cast;
pub use concat::Concat;
pub use conv::{Conv2d, DepthwiseConv2d};
pub use conv_transpose::ConvTranspose2d;
pub use detection::DetectionPostprocess;
pub use expand::Expand;
pub use fully_connected::FullyConnected;
pub use gather::Gather;
pub use gather_elements::GatherElements;
pub use gather_nd::GatherNd;
pub use non_max_suppression::{BoxFormat, NonMaxSuppression};
pub use pad::{Pad, PadMode};
pub use pool::{Pool2d, PoolKind};
pub use reduce::{Reduce, ReduceKind};
pub use reshape::Reshape;
pub use resize::{CoordinateMode, Resize, ResizeKind};
pub use scatter_nd::{ScatterNd, Update};
pub use slice::Slice;
pub use softmax::Softmax;
pub use top_k::TopK;
pub use transpose::Transpose;
pub use unary::{Unary, unary_table};

use crate::{DType, GraphError, MAX_ELEMENTS, TensorMut, TensorRef, TensorType};

/// An operator with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// 2-D convolution. Inputs: NHWC image, OHWI weights, optional bias.
    Conv2d(Conv2d),
    /// 2-D depthwise convolution. Inputs: NHWC image, 1HWO weights (output channel o reads channel o / multiplier),
    /// optional bias.
    DepthwiseConv2d(DepthwiseConv2d),
    /// Transposed 2-D convolution. Inputs: NHWC image, OHWI weights, optional bias.
    ConvTranspose2d(ConvTranspose2d),
    /// Matrix product with constant-like weights. Inputs: [.., K], [N, K] weights, optional bias.
    FullyConnected(FullyConnected),
    /// Matrix product of stacks [.., M, K] and [.., K, N], the leading axes broadcast. Inputs: both.
    MatMul,
    /// Elementwise function of two tensors, with broadcasting.
    Binary(Binary),
    /// Elementwise function of one tensor.
    Unary(Unary),
    /// max(x, 0) + slope · min(x, 0), the slope a tensor that is broadcast. Inputs: x, slope.
    Prelu,
    /// Average or maximum over windows of an NHWC image.
    Pool2d(Pool2d),
    /// The mean, sum, product or an extreme over axes.
    Reduce(Reduce),
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
    /// Picks elements along an axis, each by an index of its own. Inputs: tensor, indices.
    GatherElements(GatherElements),
    /// Picks parts by index vectors. Inputs: tensor, indices.
    GatherNd(GatherNd),
    /// Updates the parts that index vectors lead to. Inputs: tensor, indices, updates.
    ScatterNd(ScatterNd),
    /// Repeats a tensor along axes of size 1.
    Expand(Expand),
    /// Each element from one of two tensors, with broadcasting. Inputs: truth values, tensor for true, tensor for
    /// false.
    Select,
    /// Another element type, the same numbers. The output's type says which.
    Cast(Cast),
    /// exp(x) over its sum along the last axis.
    Softmax(Softmax),
    /// Another height and width of an NHWC image.
    Resize(Resize),
    /// The same integers with another scale and zero point, or none; the output's type says which.
    Reinterpret,
    /// Real or quantized numbers to quantized ones; the output's type says to which.
    Quantize,
    /// Quantized numbers (or half floats) to real ones.
    Dequantize,
    /// The index of the largest or smallest element along an axis.
    Arg(Arg),
    /// The indices of the largest or smallest elements along an axis.
    TopK(TopK),
    /// The boxes that no better one overlaps. Inputs: boxes, scores.
    NonMaxSuppression(NonMaxSuppression),
    /// Decodes boxes and suppresses overlapping ones. Inputs: boxes, scores, anchors.
    DetectionPostprocess(DetectionPostprocess),
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
    /// min(max(x, min), max)
    Clip {
        /// The lower bound; minus infinity for none.
        min: f32,
        /// The upper bound, not below the lower one; infinity for none.
        max: f32,
    },
}

impl Activation {
    /// The interval that results are clamped to; infinite where there is no bound.
    pub fn bounds(self) -> (f32, f32) {
        match self {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::ReluN1To1 => (-1.0, 1.0),
            // A bound that is 0 is +0.
            Activation::Clip { min, max } => (min + 0.0, max + 0.0),
        }
    }

    /// Demands bounds that are numbers in order.
    fn check(self) -> Result<(), GraphError> {
        let (min, max) = self.bounds();
        if min <= max { Ok(()) } else { Err(GraphError::Attribute(format!("nothing lies between {min} and {max}"))) }
    }

    /// The activation that does what this one and then another one do.
    pub fn then(self, next: Activation) -> Activation {
        let ((low, high), (min, max)) = (self.bounds(), next.bounds());
        let bounds = (clamp(low, min, max), clamp(high, min, max));
        let named = [Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1];
        let same = named.into_iter().find(|activation| activation.bounds() == bounds);
        same.unwrap_or(Activation::Clip { min: bounds.0, max: bounds.1 })
    }

    /// The activation of a float.
    pub fn clamp(self, x: f32) -> f32 {
        let (min, max) = self.bounds();
        clamp(x, min, max)
    }
}

/// The nearest number between two bounds. NaN stays. (Comparisons, because CPUs disagree on which zero `f32::max` gives
/// for −0 and 0.)
fn clamp<T: PartialOrd>(x: T, min: T, max: T) -> T {
    if x <= min {
        min
    } else if x > max {
        max
    } else {
        x
    }
}

/// How windows lie over an image: shared by convolution, depthwise convolution and pooling. Pairs are (vertical,
/// horizontal).
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

impl Window {
    /// Windows that lie side by side, one step apart, without padding.
    pub fn unit() -> Window {
        Window { stride: [1, 1], dilation: [1, 1], padding_before: [0, 0], padding_after: [0, 0] }
    }

    /// How many windows of a kernel fit over an image, vertically and horizontally.
    pub fn output_size(&self, image: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2], GraphError> {
        let size = |axis: usize| {
            let (stride, dilation) = (self.stride[axis], self.dilation[axis]);
            let padding = self.padding_before[axis].checked_add(self.padding_after[axis])?;
            let padded = image[axis].checked_add(padding)?;
            let extent = kernel[axis].checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            let bounded = [stride, dilation, padded].iter().all(|size| (1..=MAX_ELEMENTS).contains(size));
            (bounded && image[axis] > 0).then_some((padded.checked_sub(extent)?) / stride.max(1) + 1)
        };
        let windows = size(0).zip(size(1)).map(|(height, width)| [height, width]);
        windows.ok_or_else(|| {
            GraphError::Attribute(format!("no {kernel:?} kernel fits an image of {image:?} with {self:?}"))
        })
    }
}

impl Op {
    /// The operator's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "Conv2d",
            Op::DepthwiseConv2d(_) => "DepthwiseConv2d",
            Op::ConvTranspose2d(_) => "ConvTranspose2d",
            Op::FullyConnected(_) => "FullyConnected",
            Op::MatMul => "MatMul",
            Op::Binary(op) => op.kind.name(),
            Op::Unary(op) => op.name(),
            Op::Prelu => "Prelu",
            Op::Pool2d(op) => op.kind.name(),
            Op::Reduce(op) => op.kind.name(),
            Op::Pad(_) => "Pad",
            Op::Reshape(_) => "Reshape",
            Op::Transpose(_) => "Transpose",
            Op::Concat(_) => "Concat",
            Op::Slice(_) => "Slice",
            Op::Gather(_) => "Gather",
            Op::GatherElements(_) => "GatherElements",
            Op::GatherNd(_) => "GatherNd",
            Op::ScatterNd(_) => "ScatterNd",
            Op::Expand(_) => "Expand",
            Op::Select => "Select",
            Op::Cast(_) => "Cast",
            Op::Softmax(_) => "Softmax",
            Op::Resize(op) => op.kind.name(),
            Op::Reinterpret => "Reinterpret",
            Op::Quantize => "Quantize",
            Op::Dequantize => "Dequantize",
            Op::Arg(Arg { kind: ArgKind::Max, .. }) => "ArgMax",
            Op::Arg(Arg { kind: ArgKind::Min, .. }) => "ArgMin",
            Op::TopK(_) => "TopK",
            Op::NonMaxSuppression(_) => "NonMaxSuppression",
            Op::DetectionPostprocess(_) => "DetectionPostprocess",
        }
    }

    /// The activation applied to its result, of an operator that has one.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Op::Conv2d(op) => Some(op.activation),
            Op::DepthwiseConv2d(op) => Some(op.activation),
            Op::ConvTranspose2d(op) => Some(op.activation),
            Op::FullyConnected(op) => Some(op.activation),
            Op::Binary(op) => Some(op.activation),
            Op::Pool2d(op) if op.kind != PoolKind::MaxIndex => Some(op.activation),
            Op::Concat(op) => Some(op.activation),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn activation_mut(&mut self) -> Option<&mut Activation> {
        match self {
            Op::Conv2d(op) => Some(&mut op.activation),
            Op::DepthwiseConv2d(op) => Some(&mut op.activation),
            Op::ConvTranspose2d(op) => Some(&mut op.activation),
            Op::FullyConnected(op) => Some(&mut op.activation),
            Op::Binary(op) => Some(&mut op.activation),
            Op::Pool2d(op) if op.kind != PoolKind::MaxIndex => Some(&mut op.activation),
            Op::Concat(op) => Some(&mut op.activation),
            _ => None,
        }
    }

    /// How many inputs it takes: at least and at most.
    fn arity(&self) -> (usize, usize) {
        match self {
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::ConvTranspose2d(_) | Op::FullyConnected(_) => (2, 3),
            Op::MatMul | Op::Binary(_) | Op::Prelu | Op::Gather(_) => (2, 2),
            Op::GatherElements(_) | Op::GatherNd(_) | Op::NonMaxSuppression(_) => (2, 2),
            Op::ScatterNd(_) | Op::Select => (3, 3),
            Op::Concat(_) => (1, usize::MAX),
            Op::Unary(_) | Op::Pool2d(_) | Op::Reduce(_) | Op::Pad(_) | Op::Reshape(_) | Op::Transpose(_) => (1, 1),
            Op::Slice(_) | Op::Cast(_) | Op::Softmax(_) | Op::Resize(_) | Op::Quantize | Op::Dequantize => (1, 1),
            Op::Reinterpret => (1, 1),
            Op::Arg(_) | Op::TopK(_) | Op::Expand(_) => (1, 1),
            Op::DetectionPostprocess(_) => (3, 3),
        }
    }

    /// The shapes of the results for inputs of these types: one, as every operator gives one result.
    pub fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<Vec<usize>>, GraphError> {
        let (least, most) = self.arity();
        if !(least..=most).contains(&inputs.len()) {
            let expected = if least == most { least.to_string() } else { format!("at least {least}") };
            return Err(GraphError::Arity { expected, found: inputs.len() });
        }
        for (index, ty) in inputs.iter().enumerate() {
            ty.map_or(Ok(()), |ty| ty.check(&format!("input {index}")))?;
        }
        self.activation().map_or(Ok(()), Activation::check)?;
        let shape = match self {
            Op::Conv2d(op) => op.infer(inputs),
            Op::DepthwiseConv2d(op) => op.infer(inputs),
            Op::ConvTranspose2d(op) => op.infer(inputs),
            Op::FullyConnected(op) => op.infer(inputs),
            Op::MatMul => mat_mul::infer(inputs),
            Op::Binary(op) => op.infer(inputs),
            Op::Unary(op) => op.infer(inputs),
            Op::Prelu => prelu::infer(inputs),
            Op::Pool2d(op) => op.infer(inputs),
            Op::Reduce(op) => op.infer(inputs),
            Op::Pad(op) => op.infer(inputs),
            Op::Reshape(op) => op.infer(inputs),
            Op::Transpose(op) => op.infer(inputs),
            Op::Concat(op) => op.infer(inputs),
            Op::Slice(op) => op.infer(inputs),
            Op::Gather(op) => op.infer(inputs),
            Op::GatherElements(op) => op.infer(inputs),
            Op::GatherNd(op) => op.infer(inputs),
            Op::ScatterNd(op) => op.infer(inputs),
            Op::Expand(op) => op.infer(inputs),
            Op::Select => select::infer(inputs),
            Op::Softmax(op) => op.infer(inputs),
            Op::Resize(op) => op.infer(inputs),
            Op::Arg(op) => op.infer(inputs),
            Op::TopK(op) => op.infer(inputs),
            Op::NonMaxSuppression(op) => op.infer(inputs),
            Op::DetectionPostprocess(op) => op.infer(inputs),
            Op::Cast(_) | Op::Reinterpret | Op::Quantize | Op::Dequantize => {
                Ok(operands::required(inputs, 0)?.shape.clone())
            }
        }?;
        let result = TensorType::new(DType::U8, shape);
        result.check("result")?;
        Ok(vec![result.shape])
    }

    /// Checks that the operator takes inputs of these types and gives outputs of these.
    pub fn check(&self, inputs: &[Option<&TensorType>], outputs: &[&TensorType]) -> Result<(), GraphError> {
        let shapes = self.infer(inputs)?;
        let (&[output], [shape]) = (outputs, shapes.as_slice()) else {
            return Err(GraphError::Structure(format!("an operator has one output, not {}", outputs.len())));
        };
        output.check("output")?;
        if output.shape != *shape {
            let (what, expected) = ("output".into(), format!("{shape:?}"));
            return Err(GraphError::Shape { what, expected, found: output.shape.clone() });
        }
        match self {
            Op::Conv2d(op) => op.check(inputs, output),
            Op::DepthwiseConv2d(op) => op.check(inputs, output),
            Op::ConvTranspose2d(op) => op.check(inputs, output),
            Op::FullyConnected(op) => op.check(inputs, output),
            Op::MatMul => mat_mul::check(inputs, output),
            Op::Binary(op) => op.check(inputs, output),
            Op::Unary(op) => op.check(inputs, output),
            Op::Prelu => prelu::check(inputs, output),
            Op::Pool2d(op) => op.check(inputs, output),
            Op::Reduce(op) => op.check(inputs, output),
            Op::Pad(op) => op.check(inputs, output),
            Op::Reshape(op) => op.check(inputs, output),
            Op::Transpose(op) => op.check(inputs, output),
            Op::Concat(op) => op.check(inputs, output),
            Op::Slice(op) => op.check(inputs, output),
            Op::Gather(op) => op.check(inputs, output),
            Op::GatherElements(op) => op.check(inputs, output),
            Op::GatherNd(op) => op.check(inputs, output),
            Op::ScatterNd(op) => op.check(inputs, output),
            Op::Expand(op) => op.check(inputs, output),
            Op::Select => select::check(inputs, output),
            Op::Cast(op) => op.check(inputs, output),
            Op::Softmax(op) => op.check(inputs, output),
            Op::Resize(op) => op.check(inputs, output),
            Op::Reinterpret => reinterpret::check(inputs, output),
            Op::Quantize => cast::check_quantize(inputs, output),
            Op::Dequantize => cast::check_dequantize(inputs, output),
            Op::Arg(op) => op.check(inputs, output),
            Op::TopK(op) => op.check(inputs, output),
            Op::NonMaxSuppression(op) => op.check(inputs, output),
            Op::DetectionPostprocess(op) => op.check(inputs, output),
        }
    }

    /// Computes the outputs, in plain loops and without allocating. The types must have passed [`Op::check`].
    pub fn eval(&self, inputs: &[Option<TensorRef<'_>>], outputs: &mut [TensorMut<'_>]) -> Result<(), GraphError> {
        let [output] = outputs else { return Err(operands::unchecked()) };
        match self {
            Op::Conv2d(op) => op.eval(inputs, output),
            Op::DepthwiseConv2d(op) => op.eval(inputs, output),
            Op::ConvTranspose2d(op) => op.eval(inputs, output),
            Op::FullyConnected(op) => op.eval(inputs, output),
            Op::MatMul => mat_mul::eval(inputs, output),
            Op::Binary(op) => op.eval(inputs, output),
            Op::Unary(op) => op.eval(inputs, output),
            Op::Prelu => prelu::eval(inputs, output),
            Op::Pool2d(op) => op.eval(inputs, output),
            Op::Reduce(op) => op.eval(inputs, output),
            Op::Pad(op) => op.eval(inputs, output),
            Op::Reshape(op) => op.eval(inputs, output),
            Op::Transpose(op) => op.eval(inputs, output),
            Op::Concat(op) => op.eval(inputs, output),
            Op::Slice(op) => op.eval(inputs, output),
            Op::Gather(op) => op.eval(inputs, output),
            Op::GatherElements(op) => op.eval(inputs, output),
            Op::GatherNd(op) => op.eval(inputs, output),
            Op::ScatterNd(op) => op.eval(inputs, output),
            Op::Expand(op) => op.eval(inputs, output),
            Op::Select => select::eval(inputs, output),
            Op::Cast(op) => op.eval(inputs, output),
            Op::Softmax(op) => op.eval(inputs, output),
            Op::Resize(op) => op.eval(inputs, output),
            Op::Reinterpret => reinterpret::eval(inputs, output),
            Op::Quantize => cast::eval_quantize(inputs, output),
            Op::Dequantize => cast::eval_dequantize(inputs, output),
            Op::Arg(op) => op.eval(inputs, output),
            Op::TopK(op) => op.eval(inputs, output),
            Op::NonMaxSuppression(op) => op.eval(inputs, output),
            Op::DetectionPostprocess(op) => op.eval(inputs, output),
        }
    }

    /// How many multiplications followed by an addition the operator takes, as papers count them; 0 where it takes
    /// none. The types must have passed [`Op::check`].
    pub fn multiply_adds(&self, inputs: &[Option<&TensorType>], outputs: &[&TensorType]) -> u64 {
        let (Some(Some(weights)), Some(output)) = (inputs.get(1), outputs.first()) else { return 0 };
        let depth: usize = match (self, weights.shape.as_slice()) {
            (Op::Conv2d(_), [_, depth @ ..]) | (Op::FullyConnected(_), [_, depth @ ..]) => depth.iter().product(),
            (Op::DepthwiseConv2d(_), [_, height, width, _]) => height * width,
            (Op::MatMul, [.., depth, _]) => *depth,
            (Op::ConvTranspose2d(_), [_, height, width, depth]) => {
                // Each pixel of the image meets each tap once; what padding cuts off is counted, as papers do.
                let pixels = inputs[0].map_or(0, |image| image.len() / image.shape.last().copied().unwrap_or(1).max(1));
                let filters = weights.shape[0] * height * width * depth;
                return (pixels as u64).saturating_mul(filters as u64);
            }
            _ => 0,
        };
        (output.len() as u64).saturating_mul(depth as u64)
    }
}

impl Op {
    /// About how many steps the plain loops take beyond reading the inputs and writing the output once. The types must
    /// have passed [`Op::check`].
    pub fn steps(&self, inputs: &[Option<&TensorType>], outputs: &[&TensorType]) -> u64 {
        let made = outputs.first().map_or(0, |output| output.len() as u64);
        let first = inputs.first().copied().flatten().map_or(&[][..], |ty| &ty.shape);
        match self {
            Op::Pool2d(op) => made.saturating_mul(op.kernel.iter().product::<usize>() as u64),
            // Each of the results is looked for among all elements.
            Op::TopK(op) => made.saturating_mul(first[op.axis] as u64),
            // Each box is looked for among all, and compared with those that were kept.
            Op::NonMaxSuppression(_) => {
                let classes = inputs.get(1).copied().flatten().map_or(0, |scores| scores.shape[1] as u64);
                let boxes = first[1] as u64;
                (first[0] as u64).saturating_mul(classes).saturating_mul(boxes.saturating_mul(boxes).saturating_mul(2))
            }
            op => op.multiply_adds(inputs, outputs),
        }
    }
}

/// Demands that the sum of this many 8-bit numbers, their zero point subtracted from each, fits `i32`.
fn check_count(count: usize) -> Result<(), GraphError> {
    let limit = i32::MAX as usize / 255;
    if count > limit {
        return Err(GraphError::Attribute(format!("{count} elements make one; at most {limit} of them fit 32 bits")));
    }
    Ok(())
}
