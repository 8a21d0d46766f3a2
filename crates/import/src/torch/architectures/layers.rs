//! What architectures are built with: the layers of PyTorch's `torch.nn`, on feature maps whose channels come last.
//!
//! A builder names its parameters and says their shapes, but does not see their values. So that one run of it serves
//! three ends: to compare it with what a checkpoint has, to say what is missing, and, filled with the values, to be the
//! model.

use std::sync::Arc;

use kinglet_graph::ops::{
    Activation, Binary, BinaryKind, Concat, Conv2d, DepthwiseConv2d, FullyConnected, Pad, PadMode, Pool2d, PoolKind,
    Reduce, ReduceKind, Reshape, Slice, Transpose, Unary, Window,
};
use kinglet_graph::{DType, Graph, GraphError, Op, Tensor, TensorType, ValueId};

use super::super::state_dict::StateDict;

/// The value of a layer, or why there is none: sizes that do not fit each other, such as an image that is too small.
pub type Made = Result<ValueId, GraphError>;

/// A convolution's attributes: as `nn.Conv2d` has them.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    filters: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
    groups: usize,
    has_bias: bool,
}

impl Conv {
    /// A square kernel with an odd side, padded so that the size stays, without bias.
    pub fn new(filters: usize, side: usize) -> Conv {
        Conv::rectangular(filters, [side, side])
    }

    /// A kernel of this height and width, both odd, padded so that the size stays, without bias.
    pub fn rectangular(filters: usize, kernel: [usize; 2]) -> Conv {
        Conv { filters, kernel, stride: 1, padding: kernel.map(|side| side / 2), groups: 1, has_bias: false }
    }

    /// The same with this stride.
    pub fn stride(self, stride: usize) -> Conv {
        Conv { stride, ..self }
    }

    /// The same without padding.
    pub fn unpadded(self) -> Conv {
        Conv { padding: [0, 0], ..self }
    }

    /// The same in groups of channels; as many as input channels make a depthwise convolution.
    pub fn groups(self, groups: usize) -> Conv {
        Conv { groups, ..self }
    }

    /// The same with a bias.
    pub fn biased(self) -> Conv {
        Conv { has_bias: true, ..self }
    }
}

/// What `nn.MaxPool2d` does at the end of an image that its windows do not divide: its `ceil_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// A last window that does not fit is left out.
    Down,
    /// It is taken, if it begins inside the image or its padding.
    Up,
}

/// A function after a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x · min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// min(max(x + 3, 0), 6) / 6
    HardSigmoid,
    /// 1 / (1 + exp(−x))
    Sigmoid,
    /// x / (1 + exp(−x))
    Silu,
}

/// A parameter that an architecture has.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
}

/// Where a constant's elements come from.
#[derive(Clone, Debug)]
enum Source {
    /// A parameter with its axes in another order.
    Parameter { name: String, axes: &'static [usize] },
    /// The factor of a batch normalization: weight / √(variance + epsilon).
    Scale { name: String, epsilon: f64 },
    /// Its summand: bias − mean · factor.
    Shift { name: String, epsilon: f64 },
}

/// A network in the making.
#[derive(Debug)]
pub struct Layers<'a> {
    graph: Graph,
    checkpoint: &'a StateDict<'a>,
    parameters: Vec<Parameter>,
    constants: Vec<(ValueId, Source)>,
    epsilon: f64,
}

impl<'a> Layers<'a> {
    /// A network that takes RGB images of this many rows and columns as PyTorch has them, [1, 3, rows, columns], and
    /// the image with its channels last.
    pub(super) fn new(
        name: &str,
        [rows, columns]: [usize; 2],
        checkpoint: &'a StateDict<'a>,
    ) -> Result<(Layers<'a>, ValueId), GraphError> {
        let graph = Graph { name: name.to_owned(), ..Graph::default() };
        let mut net = Layers { graph, checkpoint, parameters: Vec::new(), constants: Vec::new(), epsilon: 1e-5 };
        let input = net.graph.add_value("input", TensorType::new(DType::F32, [1, 3, rows, columns]));
        net.graph.inputs.push(input);
        let image = net.node("image", Op::Transpose(Transpose { permutation: vec![0, 2, 3, 1] }), &[input])?;
        Ok((net, image))
    }

    /// Sets what batch normalizations from here on add to the variance; PyTorch's default is 1e-5.
    pub fn set_epsilon(&mut self, epsilon: f64) {
        self.epsilon = epsilon;
    }

    /// The channels of a value: the size of its last axis.
    pub fn channels(&self, x: ValueId) -> usize {
        self.graph.value(x).ty.shape.last().copied().unwrap_or(0)
    }

    /// The first size of a parameter in the checkpoint: how many filters, units or classes there are. `usual` where the
    /// checkpoint has no such parameter.
    pub fn rows(&self, parameter: &str, usual: usize) -> usize {
        self.checkpoint.get(parameter).and_then(|tensor| tensor.shape().first().copied()).unwrap_or(usual)
    }

    /// `nn.Conv2d`.
    pub fn conv(&mut self, name: &str, x: ValueId, conv: Conv) -> Made {
        let Conv { filters, kernel: [height, width], stride, padding, groups, has_bias } = conv;
        let channels = self.channels(x);
        let window = Window { stride: [stride; 2], dilation: [1, 1], padding_before: padding, padding_after: padding };
        let activation = Activation::None;
        let is_depthwise = groups == channels && groups > 1;
        let (op, axes): (_, &[usize]) = match is_depthwise {
            true => (
                Op::DepthwiseConv2d(DepthwiseConv2d { window, multiplier: filters / groups, activation }),
                &[1, 2, 3, 0],
            ),
            false => (Op::Conv2d(Conv2d { window, groups, activation }), &[0, 2, 3, 1]),
        };
        let shape = vec![filters, channels / groups.max(1), height, width];
        let mut inputs = vec![x, self.parameter(format!("{name}.weight"), shape, axes)];
        if has_bias {
            inputs.push(self.parameter(format!("{name}.bias"), vec![filters], &[0]));
        }
        self.node(name, op, &inputs)
    }

    /// `nn.BatchNorm2d` as it is after training: a factor and a summand for each channel.
    pub fn batch_norm(&mut self, name: &str, x: ValueId) -> Made {
        let channels = self.channels(x);
        for parameter in ["weight", "bias", "running_mean", "running_var"] {
            self.parameters.push(Parameter { name: format!("{name}.{parameter}"), shape: vec![channels] });
        }
        let (epsilon, owned) = (self.epsilon, || name.to_owned());
        let scale = self.constant(format!("{name}.scale"), vec![channels], Source::Scale { name: owned(), epsilon });
        let shift = self.constant(format!("{name}.shift"), vec![channels], Source::Shift { name: owned(), epsilon });
        let scaled = self.binary(&format!("{name}.multiply"), BinaryKind::Multiply, x, scale)?;
        self.binary(&format!("{name}.add"), BinaryKind::Add, scaled, shift)
    }

    /// A convolution, batch normalization and a function: what most networks are made of.
    pub fn conv_bn(&mut self, [conv_name, bn_name]: [&str; 2], x: ValueId, conv: Conv, function: Function) -> Made {
        let x = self.conv(conv_name, x, conv)?;
        let x = self.batch_norm(bn_name, x)?;
        self.function(function, x)
    }

    /// `nn.Linear`, on [1, inputs].
    pub fn linear(&mut self, name: &str, x: ValueId, outputs: usize) -> Made {
        let shape = vec![outputs, self.channels(x)];
        let weights = self.parameter(format!("{name}.weight"), shape, &[0, 1]);
        let bias = self.parameter(format!("{name}.bias"), vec![outputs], &[0]);
        self.node(name, Op::FullyConnected(FullyConnected { activation: Activation::None }), &[x, weights, bias])
    }

    /// The last layer, `nn.Linear` to as many classes as the checkpoint has.
    pub fn classifier(&mut self, name: &str, x: ValueId) -> Made {
        let classes = self.rows(&format!("{name}.weight"), 1000);
        self.linear(name, x, classes)
    }

    /// A function of each element.
    pub fn function(&mut self, function: Function, x: ValueId) -> Made {
        let unary = match function {
            Function::Identity => return Ok(x),
            Function::Relu => Unary::Relu,
            Function::Relu6 => Unary::Relu6,
            Function::HardSwish => Unary::HardSwish,
            Function::Sigmoid => Unary::Logistic,
            Function::HardSigmoid => Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
            Function::Silu => Unary::Silu,
        };
        self.node("", Op::Unary(unary), &[x])
    }

    /// `nn.MaxPool2d` with square windows.
    pub fn max_pool(&mut self, x: ValueId, side: usize, stride: usize, padding: usize, rounding: Rounding) -> Made {
        let size = |axis: usize| self.graph.value(x).ty.shape.get(axis).copied().unwrap_or(0);
        let past_end = |length: usize| {
            // Windows are counted as PyTorch does, and the padding that the last one needs is added.
            let steps = (length + 2 * padding).saturating_sub(side).div_ceil(stride);
            let steps = if steps * stride >= length + padding { steps.saturating_sub(1) } else { steps };
            (steps * stride + side).saturating_sub(length + padding)
        };
        let padding_after = match rounding {
            Rounding::Down => [padding; 2],
            Rounding::Up => [past_end(size(1)), past_end(size(2))],
        };
        let window = Window { stride: [stride; 2], dilation: [1, 1], padding_before: [padding; 2], padding_after };
        let activation = Activation::None;
        self.node("", Op::Pool2d(Pool2d { kind: PoolKind::Max, kernel: [side; 2], window, activation }), &[x])
    }

    /// `nn.AvgPool2d` with square windows one step apart, so padded that the size stays; zeros of the padding count.
    pub fn average_pool(&mut self, x: ValueId, side: usize) -> Made {
        let border = vec![0, side / 2, side / 2, 0];
        let x =
            self.node("", Op::Pad(Pad { before: border.clone(), after: border, mode: PadMode::Constant(0.0) }), &[x])?;
        let (window, activation) = (Window::unit(), Activation::None);
        self.node("", Op::Pool2d(Pool2d { kind: PoolKind::Average, kernel: [side; 2], window, activation }), &[x])
    }

    /// The mean of each channel: [1, channels].
    pub fn global_average(&mut self, x: ValueId) -> Made {
        self.node("", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false }), &[x])
    }

    /// The same as an image of one pixel: [1, 1, 1, channels].
    pub fn global_average_pixel(&mut self, x: ValueId) -> Made {
        self.node("", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true }), &[x])
    }

    /// An image of one pixel as a row: [1, channels].
    pub fn flatten(&mut self, x: ValueId) -> Made {
        let shape = vec![1, self.channels(x)];
        self.node("", Op::Reshape(Reshape { shape }), &[x])
    }

    /// Weighs channels by what a small network says of their means (Hu et al. 2018, Squeeze-and-Excitation Networks).
    pub fn squeeze_excite(&mut self, names: [&str; 2], x: ValueId, squeezed: usize, functions: [Function; 2]) -> Made {
        let mean = self.global_average_pixel(x)?;
        let reduced = self.conv(names[0], mean, Conv::new(squeezed, 1).biased())?;
        let reduced = self.function(functions[0], reduced)?;
        let expanded = self.conv(names[1], reduced, Conv::new(self.channels(x), 1).biased())?;
        let gate = self.function(functions[1], expanded)?;
        self.multiply(x, gate)
    }

    /// a + b
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Made {
        self.binary("", BinaryKind::Add, a, b)
    }

    /// a · b
    pub fn multiply(&mut self, a: ValueId, b: ValueId) -> Made {
        self.binary("", BinaryKind::Multiply, a, b)
    }

    /// Each channel times a number; one number is for all.
    pub fn scale(&mut self, x: ValueId, factors: Vec<f32>) -> Made {
        let factors = self.graph.add_constant("factors", Tensor::new([factors.len()], factors)?);
        self.multiply(x, factors)
    }

    /// Each channel plus a number; one number is for all.
    pub fn shift(&mut self, x: ValueId, summands: Vec<f32>) -> Made {
        let summands = self.graph.add_constant("summands", Tensor::new([summands.len()], summands)?);
        self.add(x, summands)
    }

    /// The channels of several images, one behind the other.
    pub fn concat(&mut self, images: &[ValueId]) -> Made {
        self.node("", Op::Concat(Concat { axis: 3, activation: Activation::None }), images)
    }

    /// `count` channels from `first` on.
    pub fn channel_range(&mut self, x: ValueId, first: usize, count: usize) -> Made {
        let mut size = self.graph.value(x).ty.shape.clone();
        let mut begin = vec![0; size.len()];
        if let (Some(begin), Some(size)) = (begin.last_mut(), size.last_mut()) {
            (*begin, *size) = (first, count);
        }
        let step = vec![1; size.len()];
        self.node("", Op::Slice(Slice { begin, step, size }), &[x])
    }

    /// Every second row and column, and zero channels before and after: an identity between feature maps of other sizes
    /// (option A of He et al. 2015, Deep Residual Learning for Image Recognition).
    pub fn subsample_and_pad(&mut self, x: ValueId, channels: usize) -> Made {
        let &[images, rows, columns, present] = &self.graph.value(x).ty.shape[..] else { return Ok(x) };
        let size = vec![images, rows.div_ceil(2), columns.div_ceil(2), present];
        let x = self.node("", Op::Slice(Slice { begin: vec![0; 4], step: vec![1, 2, 2, 1], size }), &[x])?;
        let border = vec![0, 0, 0, channels.saturating_sub(present) / 2];
        self.node("", Op::Pad(Pad { before: border.clone(), after: border, mode: PadMode::Constant(0.0) }), &[x])
    }

    /// Channel c of g groups of n becomes channel (c mod n) · g + ⌊c / n⌋ (Zhang et al. 2017, ShuffleNet).
    pub fn channel_shuffle(&mut self, x: ValueId, groups: usize) -> Made {
        let shape = self.graph.value(x).ty.shape.clone();
        let channels = self.channels(x);
        let split = [&shape[..shape.len() - 1], &[groups, channels / groups]].concat();
        let x = self.node("", Op::Reshape(Reshape { shape: split }), &[x])?;
        let x = self.node("", Op::Transpose(Transpose { permutation: vec![0, 1, 2, 4, 3] }), &[x])?;
        self.node("", Op::Reshape(Reshape { shape }), &[x])
    }

    /// Any operator of the graph on float values; its output's shape is inferred.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Made {
        let name = match name {
            "" => format!("{}_{}", op.name(), self.graph.nodes.len()),
            name => name.to_owned(),
        };
        let types: Vec<_> = inputs.iter().map(|id| Some(&self.graph.value(*id).ty)).collect();
        let shape = op.infer(&types).map_err(|error| error.at(&name, op.name()))?.remove(0);
        let output = self.graph.add_value(&name, TensorType::new(DType::F32, shape));
        self.graph.add_node(name, op, inputs.iter().copied().map(Some).collect(), vec![output]);
        Ok(output)
    }

    fn binary(&mut self, name: &str, kind: BinaryKind, a: ValueId, b: ValueId) -> Made {
        self.node(name, Op::Binary(Binary { kind, activation: Activation::None }), &[a, b])
    }

    /// A constant that is a parameter of this shape, its axes put into another order.
    fn parameter(&mut self, name: String, shape: Vec<usize>, axes: &'static [usize]) -> ValueId {
        let permuted = axes.iter().map(|axis| shape[*axis]).collect();
        self.parameters.push(Parameter { name: name.clone(), shape });
        self.constant(name.clone(), permuted, Source::Parameter { name, axes })
    }

    fn constant(&mut self, name: String, shape: Vec<usize>, source: Source) -> ValueId {
        let id = self.graph.add_value(name, TensorType::new(DType::F32, shape));
        self.constants.push((id, source));
        id
    }

    /// The parameters that were named so far.
    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The graph that gives `output`, its constants taken from the checkpoint, which must have all parameters in their
    /// shapes.
    pub(super) fn fill(mut self, output: ValueId) -> Result<Graph, GraphError> {
        self.graph.outputs.push(output);
        for (id, source) in &self.constants {
            let values = match source {
                Source::Parameter { name, axes } => self.checkpoint[name].permuted(axes).to_f32(),
                Source::Scale { name, epsilon } => batch_norm(self.checkpoint, name, *epsilon).0,
                Source::Shift { name, epsilon } => batch_norm(self.checkpoint, name, *epsilon).1,
            };
            let value = &mut self.graph.values[id.0];
            value.constant = Some(Arc::new(Tensor::with_type(value.ty.clone(), values)?));
        }
        Ok(self.graph)
    }
}

/// The factors and summands of a batch normalization, computed in double precision.
fn batch_norm(checkpoint: &StateDict<'_>, name: &str, epsilon: f64) -> (Vec<f32>, Vec<f32>) {
    let values = |parameter: &str| checkpoint[&format!("{name}.{parameter}")].to_f32().into_iter().map(f64::from);
    let scales =
        values("weight").zip(values("running_var")).map(|(weight, variance)| weight / (variance + epsilon).sqrt());
    let shifts = values("bias").zip(values("running_mean"));
    scales.zip(shifts).map(|(scale, (bias, mean))| (scale as f32, (bias - mean * scale) as f32)).unzip()
}
