//! Picks the kernel of a node: a fast one where types and attributes allow it, the operator's plain loops where not.

use kinglet_graph::ops::{
    Activation, BinaryKind, Conv2d, DepthwiseConv2d, FullyConnected, Pool2d, PoolKind, Reduce, ReduceKind, Softmax,
    Transpose, Unary, Window, unary_table,
};
use kinglet_graph::qmath::{self, AddParameters, MeanParameters, Requantization};
use kinglet_graph::{DType, Data, Graph, GraphError, Node, Op, Tensor, TensorType, ValueId};
use kinglet_kernels::gemm::{Element, Half};
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::qgemm::QConv2d;
use kinglet_kernels::quantized::{Addition, Output, Requantize, Weights};
use kinglet_kernels::qwinograd::QWinogradConv2d;
use kinglet_kernels::table::Choice;
use kinglet_kernels::{Activation as Stored, dwconv, eltwise, gemm, pooling, qdwconv, softmax, transpose, winograd};

use super::Selected;
use crate::step::Kernel;
use crate::storage::STORED;
use crate::{Arithmetic, SessionOptions};

/// What every selection looks at.
struct Context<'g> {
    graph: &'g Graph,
    node: &'g Node,
    choice: Choice,
    threads: usize,
    arithmetic: Arithmetic,
}

/// The kernel of `node`, which also does the addition `residual`, if there is one.
pub(super) fn kernel(
    graph: &Graph,
    node: &Node,
    residual: Option<&Node>,
    options: &SessionOptions,
) -> Result<Selected, GraphError> {
    let SessionOptions { threads, kernels: choice, arithmetic } = *options;
    let context = Context { graph, node, choice, threads, arithmetic };
    if context.is_empty() {
        return Ok(context.plain());
    }
    let selected = match &node.op {
        Op::Conv2d(op) => context.conv2d(op, residual)?,
        Op::DepthwiseConv2d(op) => context.depthwise_conv2d(op)?,
        Op::FullyConnected(op) => context.fully_connected(op)?,
        Op::MatMul => context.mat_mul(),
        Op::Pool2d(op) => context.pool2d(op)?,
        Op::Reduce(op) if op.kind == ReduceKind::Mean => context.mean(op)?,
        Op::Binary(_) => context.binary()?,
        Op::Unary(op) if context.all_8_bit() => {
            Some(context.lookup(&unary_table(op, context.input(0), context.output())?))
        }
        Op::Unary(op) => context.unary(*op),
        Op::Softmax(op) => context.softmax(op)?,
        Op::Transpose(op) => context.transpose(op),
        Op::Quantize => context.quantize()?,
        Op::Dequantize if context.input(0).dtype == STORED && context.output().dtype == DType::F32 => {
            let quantization = context.input(0).activation_quantization("input");
            quantization.ok().map(|q| {
                let kernel = eltwise::Dequantize::new(choice, q.scale(), stored(q.zero_point()));
                context.elementwise(Kernel::Dequantize(kernel))
            })
        }
        _ => None,
    };
    Ok(selected.unwrap_or_else(|| context.plain()))
}

/// The operands of an addition of two quantized activations or of two float tensors, as [`addition_of`].
pub(super) fn addition(graph: &Graph, node: &Node) -> Option<[ValueId; 2]> {
    quantized_addition(graph, node).or_else(|| float_addition(graph, node))
}

fn quantized_addition(graph: &Graph, node: &Node) -> Option<[ValueId; 2]> {
    addition_of(graph, node, is_stored)
}

fn float_addition(graph: &Graph, node: &Node) -> Option<[ValueId; 2]> {
    addition_of(graph, node, |ty| ty.dtype == DType::F32)
}

/// The operands of an addition of two tensors of such a type, of the same shape and neither constant.
fn addition_of(graph: &Graph, node: &Node, takes: impl Fn(&TensorType) -> bool) -> Option<[ValueId; 2]> {
    let (Op::Binary(op), [Some(a), Some(b)], [out]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
        return None;
    };
    let (ids, shape) = ([*a, *b, *out], &graph.value(*out).ty.shape);
    let ty = |id: &ValueId| &graph.value(*id).ty;
    let taken = ids.iter().all(|id| takes(ty(id)) && ty(id).shape == *shape && graph.constant(*id).is_none());
    (op.kind == BinaryKind::Add && taken).then_some([*a, *b])
}

/// Whether a node is a convolution whose kernel can add a residual: a quantized one, or one of floats that nothing
/// clamps before the addition.
pub(super) fn adds_residuals(graph: &Graph, node: &Node) -> bool {
    let context = Context { graph, node, choice: Choice::Best, threads: 1, arithmetic: Arithmetic::F32 };
    let Op::Conv2d(op) = &node.op else { return false };
    let float = || op.activation == Activation::None && context.convolution_weights().is_some();
    !context.is_empty() && (context.quantized_weights().is_some() || float())
}

/// Whether one operand of an elementwise function is of the result's shape, and the other one too or repeated over it:
/// a single element, an element for each index of the last axes, or one for each channel of an image. `true` where it
/// is the first that is repeated, which only functions allow whose operands may be exchanged.
fn repeats(a: &TensorType, b: &TensorType, output: &TensorType, kind: BinaryKind) -> Option<bool> {
    let repeated = |ty: &TensorType| {
        let shape = output.shape.as_slice();
        let missing = shape.len() - ty.shape.len();
        // The axes before those that are all there have size 1, but for the batch.
        let full = ty.shape.iter().rev().zip(shape.iter().rev()).take_while(|(own, size)| own == size).count();
        let batch = missing == 0 && full < shape.len() && ty.shape[0] == shape[0];
        let before = &ty.shape[usize::from(batch)..(ty.shape.len() - full).max(usize::from(batch))];
        before.iter().all(|size| *size == 1) && (full > 0 || ty.len() == 1 || batch)
    };
    let commutes = matches!(kind, BinaryKind::Add | BinaryKind::Multiply);
    if a.shape == output.shape && repeated(b) {
        Some(false)
    } else {
        (commutes && b.shape == output.shape && repeated(a)).then_some(true)
    }
}

/// Whether it is a quantized activation of the type that kernels take.
fn is_stored(ty: &TensorType) -> bool {
    ty.dtype == STORED && ty.quantization.as_ref().is_some_and(|q| q.scales.len() == 1)
}

impl<'g> Context<'g> {
    fn conv2d(&self, op: &Conv2d, residual: Option<&Node>) -> Result<Option<Selected>, GraphError> {
        let geometry = self.geometry(op.window, self.kernel_size(), op.groups);
        if let Some(weights) = self.quantized_weights() {
            return self.quantized_conv2d(geometry, &weights, op.activation, residual).map(Some);
        }
        let Some((values, bias)) = self.convolution_weights() else { return Ok(None) };
        let (activation, other) = match residual {
            Some(add) => self.float_residual(add).map(|(activation, other)| (activation, Some(other)))?,
            None => (op.activation, None),
        };
        let bounds = activation.bounds().into();
        let kernel = if let Some(filter) = winograd::Filter::of(&geometry) {
            let kernel = winograd::Conv2d::new(self.choice, &geometry, filter, values, bias, bounds, self.threads);
            Kernel::WinogradConv2d(kernel)
        } else {
            self.direct_conv2d(&geometry, values, bias, bounds)
        };
        let mut selected = self.image(kernel);
        selected.operands.extend(other.map(Some));
        Ok(Some(selected))
    }

    /// A convolution of floats by its definition, in half precision where that was asked for and pays: groups have too
    /// few channels each. Weights that are infinite in half precision stay as they are.
    fn direct_conv2d(&self, geometry: &Geometry, values: &[f32], bias: Option<&[f32]>, bounds: [f32; 2]) -> Kernel {
        let fits = || values.iter().all(|&weight| Half::of(weight).to_f32().is_finite());
        if self.arithmetic == Arithmetic::Half && geometry.groups == 1 && fits() {
            return Kernel::HalfConv2d(gemm::Conv2d::new(self.choice, geometry, values, bias, bounds, self.threads));
        }
        Kernel::Conv2d(gemm::Conv2d::new(self.choice, geometry, values, bias, bounds, self.threads))
    }

    /// What is applied to the sum of this node's result and another value, and that value.
    fn float_residual(&self, add: &Node) -> Result<(Activation, ValueId), GraphError> {
        let Op::Binary(op) = &add.op else { return Err(GraphError::Structure("a residual is an addition".into())) };
        let [a, b] = float_addition(self.graph, add)
            .ok_or_else(|| GraphError::Structure("a residual addition is of two float tensors".into()))?;
        Ok((op.activation, if a == self.node.outputs[0] { b } else { a }))
    }

    fn fully_connected(&self, op: &FullyConnected) -> Result<Option<Selected>, GraphError> {
        let depth = self.input(0).shape.last().copied().unwrap_or(1);
        let rows = self.input(0).len().checked_div(depth).unwrap_or(0);
        let columns = self.output().shape.last().copied().unwrap_or(1);
        let geometry = Geometry::matrix(rows, depth, columns);
        let mut selected = if let Some(weights) = self.quantized_weights() {
            self.quantized_conv2d(geometry, &weights, op.activation, None)?
        } else if let Some((values, bias)) = self.float_weights() {
            let bounds = op.activation.bounds().into();
            self.image(self.direct_conv2d(&geometry, values, bias, bounds))
        } else {
            return Ok(None);
        };
        selected.batch = 1;
        Ok(Some(selected))
    }

    /// A product of floats: of as many matrices by as many others, or of all rows of a stack by one.
    fn mat_mul(&self) -> Option<Selected> {
        let (first, second) = (self.input(0), self.input(1));
        let ([stack @ .., rows, depth], [others @ .., _, columns]) = (&first.shape[..], &second.shape[..]) else {
            return None;
        };
        let count = |stack: &[usize]| stack.iter().product::<usize>();
        let (batch, rows) = match count(others) {
            1 => (1, count(stack) * rows),
            _ if stack == others => (count(stack), *rows),
            _ => return None,
        };
        let kernel = || Kernel::MatMul(gemm::MatMul::new(self.choice, rows, *depth, *columns));
        let operands = || self.node.inputs.clone();
        self.is_of_floats().then(|| Selected { kernel: kernel(), operands: operands(), batch })
    }

    fn quantized_conv2d(
        &self,
        geometry: Geometry,
        weights: &Weights<'_>,
        activation: Activation,
        residual: Option<&Node>,
    ) -> Result<Selected, GraphError> {
        let requantization = Requantization::of_product(self.input(0), self.input(1), self.output(), activation)?;
        let input_zero_point = self.input(0).activation_quantization("input")?.zero_point();
        let addition = residual.map(|add| self.residual_addition(add)).transpose()?;
        let (choice, threads) = (self.choice, self.threads);
        let requantize = requantize(&requantization);
        let (residual, other) = addition.unzip();
        let kernel = if QWinogradConv2d::pays(choice, &geometry, weights) {
            Kernel::QWinogradConv2d(QWinogradConv2d::new(
                choice,
                geometry,
                weights,
                input_zero_point,
                &requantize,
                residual,
                threads,
            ))
        } else {
            Kernel::QConv2d(QConv2d::new(choice, geometry, weights, input_zero_point, &requantize, residual, threads))
        };
        let mut selected = self.image(kernel);
        selected.operands.extend(other.map(Some));
        Ok(selected)
    }

    /// The addition `add` of this node's result and another value, seen from this node.
    fn residual_addition(&self, add: &Node) -> Result<(Addition, ValueId), GraphError> {
        let Op::Binary(op) = &add.op else { return Err(GraphError::Structure("a residual is an addition".into())) };
        let [a, b] = quantized_addition(self.graph, add)
            .ok_or_else(|| GraphError::Structure("a residual addition is of two stored activations".into()))?;
        let ty = |id: ValueId| &self.graph.value(id).ty;
        let p = AddParameters::new(ty(a), ty(b), ty(add.outputs[0]), op.activation)?;
        let own = usize::from(b == self.node.outputs[0]);
        let other = 1 - own;
        let addition = Addition::new(
            [p.zero_points[own], p.zero_points[other]],
            [p.multipliers[own], p.multipliers[other]],
            p.shift,
            Output::new(p.zero_points[2], p.min, p.max),
        );
        Ok((addition, if own == 0 { b } else { a }))
    }

    fn depthwise_conv2d(&self, op: &DepthwiseConv2d) -> Result<Option<Selected>, GraphError> {
        let geometry = self.geometry(op.window, self.kernel_size(), 1);
        if let Some(weights) = self.quantized_weights() {
            let r = Requantization::of_product(self.input(0), self.input(1), self.output(), op.activation)?;
            let input_zero_point = self.input(0).activation_quantization("input")?.zero_point();
            let kernel = qdwconv::QDepthwiseConv2d::new(
                self.choice,
                &geometry,
                &weights,
                input_zero_point,
                &requantize(&r),
                self.threads,
            );
            return Ok(Some(self.image(Kernel::QDepthwiseConv2d(kernel))));
        }
        Ok(self.float_weights().map(|(values, bias)| {
            let bounds = op.activation.bounds().into();
            let kernel = dwconv::DepthwiseConv2d::new(self.choice, &geometry, values, bias, bounds);
            self.image(Kernel::DepthwiseConv2d(kernel))
        }))
    }

    fn pool2d(&self, op: &Pool2d) -> Result<Option<Selected>, GraphError> {
        if op.window.dilation != [1, 1] {
            return Ok(None);
        }
        let geometry = self.geometry(op.window, op.kernel, 1);
        let (input, output) = (self.input(0), self.output());
        if is_stored(input) && is_stored(output) {
            return match op.kind {
                PoolKind::Average => {
                    let mean = MeanParameters::of_pool(input, output, op.activation)?;
                    Ok(Some(self.quantized_average(&geometry, &mean)))
                }
                PoolKind::Max => {
                    let quantization = output.activation_quantization("output")?;
                    let (min, max) = qmath::activation_range(op.activation, output.dtype, quantization);
                    let kernel = pooling::QMaxPool::new(self.choice, &geometry, stored(min), stored(max));
                    Ok(Some(self.image(Kernel::QMaxPool(kernel))))
                }
                PoolKind::MaxIndex => Ok(None),
            };
        }
        let (min, max) = op.activation.bounds();
        let kernel = match op.kind {
            _ if !self.is_of_floats() => return Ok(None),
            PoolKind::Average => Kernel::AveragePool(pooling::AveragePool::new(self.choice, &geometry, min, max)),
            PoolKind::Max => Kernel::MaxPool(pooling::MaxPool::new(self.choice, &geometry, min, max)),
            PoolKind::MaxIndex => return Ok(None),
        };
        Ok(Some(self.image(kernel)))
    }

    /// The mean over height and width is an average pool with one window.
    fn mean(&self, op: &Reduce) -> Result<Option<Selected>, GraphError> {
        let input = self.input(0);
        if input.shape.len() != 4 || op.axes != [1, 2] {
            return Ok(None);
        }
        let [height, width, channels] = [input.shape[1], input.shape[2], input.shape[3]];
        let geometry = Geometry {
            input: [height, width, channels],
            output: [1, 1, channels],
            kernel: [height, width],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0, 0],
            groups: 1,
        };
        if is_stored(input) && is_stored(self.output()) {
            let mean = MeanParameters::new(input, self.output(), Activation::None)?;
            return Ok(Some(self.quantized_average(&geometry, &mean)));
        }
        let (min, max) = Activation::None.bounds();
        let kernel = || pooling::AveragePool::new(self.choice, &geometry, min, max);
        Ok(self.is_of_floats().then(|| self.image(Kernel::AveragePool(kernel()))))
    }

    fn quantized_average(&self, geometry: &Geometry, mean: &MeanParameters) -> Selected {
        let output = Output::new(mean.zero_points[1], mean.min, mean.max);
        let (choice, zero_point) = (self.choice, mean.zero_points[0]);
        let kernel = pooling::QAveragePool::new(choice, geometry, zero_point, mean.scales, mean.bias, output);
        self.image(Kernel::QAveragePool(kernel))
    }

    fn binary(&self) -> Result<Option<Selected>, GraphError> {
        let Op::Binary(op) = &self.node.op else { return Ok(None) };
        if quantized_addition(self.graph, self.node).is_some() {
            let p = AddParameters::new(self.input(0), self.input(1), self.output(), op.activation)?;
            let [za, zb, zo] = p.zero_points;
            let addition = Addition::new([za, zb], p.multipliers, p.shift, Output::new(zo, p.min, p.max));
            let kernel = eltwise::QAdd::new(self.choice, addition);
            return Ok(Some(self.elementwise(Kernel::QAdd(kernel))));
        }
        let types = [self.input(0), self.input(1), self.output()];
        let Some(swapped) = repeats(types[0], types[1], types[2], op.kind) else { return Ok(None) };
        if !types.iter().all(|ty| ty.dtype == DType::F32) {
            return Ok(None);
        }
        let operation = match op.kind {
            BinaryKind::Add => eltwise::Operation::Add,
            BinaryKind::Subtract => eltwise::Operation::Subtract,
            BinaryKind::Multiply => eltwise::Operation::Multiply,
            BinaryKind::Divide => eltwise::Operation::Divide,
            BinaryKind::Maximum => eltwise::Operation::Maximum,
            BinaryKind::Minimum => eltwise::Operation::Minimum,
            _ => return Ok(None),
        };
        let (min, max) = op.activation.bounds();
        let kernel = Kernel::Binary(eltwise::Binary::new(self.choice, operation, min, max));
        let mut selected = self.elementwise(kernel);
        if swapped {
            selected.operands.swap(0, 1);
        }
        // Each image of a batch has channels of its own to be combined with.
        let second = if swapped { types[0] } else { types[1] };
        let own = second.shape.len() == self.output().shape.len() && second.len() > 1 && second.len() < types[2].len();
        selected.batch = if own { second.shape[0] } else { 1 };
        Ok(Some(selected))
    }

    /// A function of one float that has a kernel.
    fn unary(&self, op: Unary) -> Option<Selected> {
        let function = match op {
            Unary::LeakyRelu { slope } if (-1.0..=1.0).contains(&slope) && slope != 0.0 => {
                eltwise::Function::LeakyRelu { slope }
            }
            Unary::HardSigmoid { alpha, beta } => eltwise::Function::HardSigmoid { alpha, beta },
            Unary::HardSwish => eltwise::Function::HardSwish,
            Unary::Logistic => eltwise::Function::Logistic,
            Unary::Silu => eltwise::Function::Silu,
            _ => return None,
        };
        let kernel = || Kernel::Unary(eltwise::Unary::new(self.choice, function));
        self.is_of_floats().then(|| self.elementwise(kernel()))
    }

    fn softmax(&self, op: &Softmax) -> Result<Option<Selected>, GraphError> {
        let (input, output) = (self.input(0), self.output());
        if !is_stored(input) || !is_stored(output) {
            return Ok(None);
        }
        let exponentials = qmath::softmax_table(input.activation_quantization("input")?.scale(), op.beta);
        let to = output.activation_quantization("output")?;
        let (min, max) = output.dtype.bounds_8_bit();
        let kernel = softmax::QSoftmax::new(exponentials, to.scale(), Output::new(to.zero_point(), min, max));
        Ok(Some(self.elementwise(Kernel::QSoftmax(kernel))))
    }

    fn transpose(&self, op: &Transpose) -> Option<Selected> {
        let transpose = transpose::Transpose::of_axes(&self.input(0).shape, &op.permutation)?;
        Some(self.elementwise(Kernel::Transpose(transpose)))
    }

    fn quantize(&self) -> Result<Option<Selected>, GraphError> {
        let (input, output) = (self.input(0), self.output());
        if self.all_8_bit() {
            let rescale = qmath::Rescale::new(input, output, Activation::None)?;
            let (min, max) = input.dtype.bounds_8_bit();
            let mut table = [0; 256];
            (min..=max).for_each(|q| table[usize::from(q as u8)] = rescale.apply(q) as u8);
            return Ok(Some(self.lookup(&table)));
        }
        if input.dtype == DType::F32 && is_stored(output) {
            let q = output.activation_quantization("output")?;
            let kernel = eltwise::Quantize::new(self.choice, q.scale(), stored(q.zero_point()));
            return Ok(Some(self.elementwise(Kernel::Quantize(kernel))));
        }
        Ok(None)
    }

    /// A table of 256 bytes, indexed by the bytes of the first input.
    fn lookup(&self, table: &[u8; 256]) -> Selected {
        let kernel = eltwise::Lookup::new(self.choice, table.map(|byte| byte as Stored));
        Selected { kernel: Kernel::Lookup(kernel), operands: vec![self.node.inputs[0]], batch: 1 }
    }

    fn plain(&self) -> Selected {
        Selected { kernel: Kernel::Plain(self.node.op.clone()), operands: self.node.inputs.clone(), batch: 1 }
    }

    /// A kernel that reads the first operand image by image.
    fn image(&self, kernel: Kernel) -> Selected {
        Selected {
            kernel,
            operands: vec![self.node.inputs[0]],
            batch: self.input(0).shape.first().copied().unwrap_or(1),
        }
    }

    /// A kernel that reads all operands element by element.
    fn elementwise(&self, kernel: Kernel) -> Selected {
        Selected { kernel, operands: self.node.inputs.clone(), batch: 1 }
    }

    /// The type of an input that the graph's validation has found to be there.
    fn input(&self, index: usize) -> &'g TensorType {
        let id = self.node.inputs[index].expect("validated: the operator needs this input");
        &self.graph.value(id).ty
    }

    fn output(&self) -> &'g TensorType {
        &self.graph.value(self.node.outputs[0]).ty
    }

    /// Whether a tensor of the node has no elements, which the plain loops take and kernels do not.
    fn is_empty(&self) -> bool {
        let mut ids = self.node.inputs.iter().flatten().chain(&self.node.outputs);
        ids.any(|id| self.graph.value(*id).ty.is_empty())
    }

    /// Whether the first input and the output are 8-bit activations, of whichever sign.
    fn all_8_bit(&self) -> bool {
        [self.input(0), self.output()]
            .iter()
            .all(|ty| ty.dtype.is_8_bit() && ty.quantization.as_ref().is_some_and(|q| q.scales.len() == 1))
    }

    /// Height and width of the window of OHWI or 1HWO weights.
    fn kernel_size(&self) -> [usize; 2] {
        let shape = &self.input(1).shape;
        [shape[1], shape[2]]
    }

    fn geometry(&self, window: Window, kernel: [usize; 2], groups: usize) -> Geometry {
        let size = |shape: &[usize]| [shape[1], shape[2], shape[3]];
        Geometry {
            input: size(&self.input(0).shape),
            output: size(&self.output().shape),
            kernel,
            stride: window.stride,
            dilation: window.dilation,
            padding: window.padding_before,
            groups,
        }
    }

    fn constant(&self, index: usize) -> Option<&'g Tensor> {
        self.graph.constant((*self.node.inputs.get(index)?)?)
    }

    /// Whether there is no bias, or one that is known.
    fn bias_is_known(&self) -> bool {
        self.node.inputs.get(2).copied().flatten().is_none() || self.constant(2).is_some()
    }

    /// Weights and bias, where the operator is quantized and they are known.
    fn quantized_weights(&self) -> Option<Weights<'g>> {
        if !is_stored(self.input(0)) || !is_stored(self.output()) || !self.bias_is_known() {
            return None;
        }
        let weights = self.constant(1)?;
        let Data::I8(values) = weights.data() else { return None };
        let bias = match self.constant(2).map(Tensor::data) {
            None => None,
            Some(Data::I32(bias)) => Some(&bias[..]),
            Some(_) => return None,
        };
        let zero_points = &self.input(1).quantization.as_ref()?.zero_points;
        Some(Weights { values, zero_points, bias })
    }

    /// Whether the first input and the output are floats.
    fn is_of_floats(&self) -> bool {
        self.input(0).dtype == DType::F32 && self.output().dtype == DType::F32
    }

    /// Weights and bias of a convolution of floats whose kernel multiplies padding, too: zero times infinity is not
    /// zero.
    fn convolution_weights(&self) -> Option<(&'g [f32], Option<&'g [f32]>)> {
        self.float_weights().filter(|(values, _)| values.iter().all(|weight| weight.is_finite()))
    }

    /// Weights and bias, where the operator is of floats and they are known.
    fn float_weights(&self) -> Option<(&'g [f32], Option<&'g [f32]>)> {
        if !self.is_of_floats() || !self.bias_is_known() {
            return None;
        }
        let Data::F32(values) = self.constant(1)?.data() else { return None };
        let bias = match self.constant(2).map(Tensor::data) {
            None => None,
            Some(Data::F32(bias)) => Some(&bias[..]),
            Some(_) => return None,
        };
        Some((values, bias))
    }
}

fn requantize(requantization: &Requantization) -> Requantize<'_> {
    Requantize {
        multipliers: &requantization.multipliers,
        zero_point: requantization.zero_point,
        min: requantization.min,
        max: requantization.max,
    }
}

/// A value of a checked activation type as the kernels store it.
fn stored(value: i32) -> Stored {
    value as Stored
}
