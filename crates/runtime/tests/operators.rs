//! Every operator with a kernel, at random shapes and attributes: the runtime gives the reference executor's very
//! bytes, with every instruction set, for int8 and uint8 models and for floats.

use kinglet_graph::ops::{
    Activation, Binary, BinaryKind, Concat, Conv2d, DepthwiseConv2d, FullyConnected, Pool2d, PoolKind, Reduce,
    ReduceKind, Reshape, Softmax, Transpose, Unary, Window,
};
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Data, Execute, Graph, Op, Quantization, Tensor, TensorType, ValueId};
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::table::Choice;
use kinglet_runtime::{Session, SessionOptions};

mod common;
use common::Random;

const ROUNDS: u64 = 60;

/// A graph under construction, with a random 8-bit type or floats throughout.
struct Builder {
    random: Random,
    graph: Graph,
    dtype: DType,
}

impl Builder {
    fn new(seed: u64) -> Builder {
        let mut random = Random::new(seed);
        let dtype = [DType::I8, DType::U8, DType::F32][random.between(0, 2) as usize];
        Builder { random, graph: Graph::default(), dtype }
    }

    fn size(&mut self, low: usize, high: usize) -> usize {
        self.random.between(low as i64, high as i64) as usize
    }

    fn activation(&mut self) -> Activation {
        [Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1][self.size(0, 3)]
    }

    /// As [`Builder::activation`]; for floats without a bound from above, which would hide how large the sums are of
    /// which Winograd's error is a part.
    fn unbounded_activation(&mut self) -> Activation {
        if self.dtype == DType::F32 { [Activation::None, Activation::Relu][self.size(0, 1)] } else { self.activation() }
    }

    /// A tensor type of the graph's element type, with a random quantization.
    fn ty(&mut self, shape: Vec<usize>) -> TensorType {
        if self.dtype == DType::F32 {
            return TensorType::new(DType::F32, shape);
        }
        let (low, high) = self.dtype.bounds_8_bit();
        let zero_point = self.random.between(low.into(), high.into()) as i32;
        TensorType::quantized(self.dtype, shape, 0.02 + 0.05 * self.random.real().abs(), zero_point)
    }

    fn input(&mut self, shape: Vec<usize>) -> ValueId {
        let ty = self.ty(shape);
        let id = self.graph.add_value(format!("input{}", self.graph.inputs.len()), ty);
        self.graph.inputs.push(id);
        id
    }

    fn image(&mut self) -> ValueId {
        let shape = vec![self.size(1, 2), self.size(1, 13), self.size(1, 13), self.size(1, 40)];
        self.input(shape)
    }

    fn shape(&self, id: ValueId) -> Vec<usize> {
        self.graph.value(id).ty.shape.clone()
    }

    /// Adds a node whose output has the shape that the operator infers, and the type `like`, or a random quantization.
    fn node(&mut self, op: Op, inputs: Vec<ValueId>, like: Option<ValueId>) -> Option<ValueId> {
        let types: Vec<_> = inputs.iter().map(|id| Some(&self.graph.value(*id).ty)).collect();
        let shape = op.infer(&types).ok()?.remove(0);
        let ty = match like {
            Some(id) => TensorType { shape, ..self.graph.value(id).ty.clone() },
            None => self.ty(shape),
        };
        let output = self.graph.add_value(format!("value{}", self.graph.values.len()), ty);
        let name = format!("node{}", self.graph.nodes.len());
        self.graph.add_node(name, op, inputs.into_iter().map(Some).collect(), vec![output]);
        Some(output)
    }

    /// Weights of `shape` with a scale for each index of `axis`, or one for all, and a bias of as many elements.
    fn weights(&mut self, shape: Vec<usize>, axis: usize, input: ValueId) -> [ValueId; 2] {
        let channels = shape[axis];
        if self.dtype == DType::F32 {
            let weights = self.random.tensor(&TensorType::new(DType::F32, shape));
            let bias = self.random.tensor(&TensorType::new(DType::F32, [channels]));
            return [self.graph.add_constant("weights", weights), self.graph.add_constant("bias", bias)];
        }
        let per_channel = self.size(0, 2) > 0;
        let count = if per_channel { channels } else { 1 };
        let scales: Vec<f32> = (0..count).map(|_| 0.001 + 0.01 * self.random.real().abs()).collect();
        let odd_zero_point = !per_channel && self.size(0, 1) == 0;
        let zero_points: Vec<i32> =
            (0..count).map(|_| if odd_zero_point { self.random.between(-128, 127) as i32 } else { 0 }).collect();
        let input_scale = self.graph.value(input).ty.quantization.as_ref().expect("8-bit types have one").scale();
        let bias_scales = scales.iter().map(|scale| scale * input_scale).collect();
        let axis = per_channel.then_some(axis);
        let quantization = Some(Quantization { scales, zero_points, axis });
        let ty = TensorType { dtype: DType::I8, shape, quantization };
        let mut weights = self.random.tensor(&ty);
        if !odd_zero_point && let kinglet_graph::ViewMut::I8(values) = weights.data_mut() {
            values.iter_mut().for_each(|value| *value = (*value).max(-127));
        }
        let values: Vec<i32> = (0..channels).map(|_| self.random.between(-3000, 3000) as i32).collect();
        let zeros = vec![0; count];
        let quantization =
            Some(Quantization { scales: bias_scales, zero_points: zeros, axis: per_channel.then_some(0) });
        let ty = TensorType { dtype: DType::I32, shape: vec![channels], quantization };
        let bias = Tensor::with_type(ty, Data::I32(values)).unwrap();
        [self.graph.add_constant("weights", weights), self.graph.add_constant("bias", bias)]
    }

    fn window(&mut self, kernel: [usize; 2], pads: bool) -> Window {
        let pad = |builder: &mut Builder, axis: usize| if pads { builder.size(0, kernel[axis] - 1) } else { 0 };
        Window {
            stride: [self.size(1, 3), self.size(1, 3)],
            dilation: [self.size(1, 2), self.size(1, 2)],
            padding_before: [pad(self, 0), pad(self, 1)],
            padding_after: [pad(self, 0), pad(self, 1)],
        }
    }

    fn conv2d(&mut self) -> Option<ValueId> {
        let mut groups = self.size(1, 4);
        let kernel = [self.size(1, 4), self.size(1, 4)];
        let x = self.image();
        let channels = self.shape(x)[3];
        if !channels.is_multiple_of(groups) {
            groups = 1;
        }
        let filters = groups * self.size(1, 20);
        let [weights, bias] = self.weights(vec![filters, kernel[0], kernel[1], channels / groups], 0, x);
        let op = Conv2d { window: self.window(kernel, true), groups, activation: self.activation() };
        self.node(Op::Conv2d(op), vec![x, weights, bias], None)
    }

    /// A convolution that Winograd's algorithm is chosen for where it is of floats, sometimes with a residual.
    fn winograd(&mut self) -> Option<ValueId> {
        let shape = vec![self.size(1, 2), self.size(11, 20), self.size(11, 20), self.size(32, 40)];
        let x = self.input(shape.clone());
        let [weights, bias] = self.weights(vec![shape[3], 3, 3, shape[3]], 0, x);
        let window = Window { stride: [1, 1], dilation: [1, 1], padding_before: [1, 1], padding_after: [1, 1] };
        let activation = self.unbounded_activation();
        let op = Conv2d { window, groups: 1, activation };
        let y = self.node(Op::Conv2d(op), vec![x, weights, bias], None)?;
        if self.size(0, 1) == 0 {
            return Some(y);
        }
        let add = Binary { kind: BinaryKind::Add, activation };
        self.node(Op::Binary(add), vec![y, x], None)
    }

    /// A pointwise convolution, the addition of something made before, and a second use of neither.
    fn residual(&mut self) -> Option<ValueId> {
        let x = self.image();
        let shape = self.shape(x);
        let other = self.input(shape.clone());
        let [weights, bias] = self.weights(vec![shape[3], 1, 1, shape[3]], 0, x);
        let window = Window { stride: [1, 1], dilation: [1, 1], padding_before: [0, 0], padding_after: [0, 0] };
        let op = Conv2d { window, groups: 1, activation: self.activation() };
        let y = self.node(Op::Conv2d(op), vec![x, weights, bias], None)?;
        let operands = if self.size(0, 1) == 0 { vec![y, other] } else { vec![other, y] };
        let add = Binary { kind: BinaryKind::Add, activation: self.activation() };
        self.node(Op::Binary(add), operands, None)
    }

    /// A block of a residual network: two convolutions of 3×3 windows that keep the size, and what goes in is added.
    fn basic_block(&mut self) -> Option<ValueId> {
        // Floats differ by more after two convolutions than after the one of `winograd`.
        if self.dtype == DType::F32 {
            return None;
        }
        let channels = 16 * self.size(1, 3);
        let shape = vec![self.size(1, 2), self.size(5, 13), self.size(5, 13), channels];
        let x = self.input(shape);
        let window = Window { padding_before: [1, 1], padding_after: [1, 1], ..Window::unit() };
        let mut last = x;
        for activation in [self.unbounded_activation(), Activation::None] {
            let [weights, bias] = self.weights(vec![channels, 3, 3, channels], 0, last);
            let op = Conv2d { window, groups: 1, activation };
            last = self.node(Op::Conv2d(op), vec![last, weights, bias], None)?;
        }
        let add = Binary { kind: BinaryKind::Add, activation: self.unbounded_activation() };
        self.node(Op::Binary(add), vec![last, x], None)
    }

    /// Axes in another order, two runs of them exchanged more often than not.
    fn transpose(&mut self) -> Option<ValueId> {
        let x = self.image();
        let permutation = [[0, 3, 1, 2], [0, 2, 3, 1], [2, 3, 0, 1], [3, 0, 1, 2], [0, 1, 3, 2], [1, 0, 3, 2]];
        let permutation = permutation[self.size(0, 5)].to_vec();
        self.node(Op::Transpose(Transpose { permutation }), vec![x], Some(x))
    }

    fn depthwise_conv2d(&mut self) -> Option<ValueId> {
        let kernel = [self.size(1, 5), self.size(1, 5)];
        let multiplier = self.size(1, 4).saturating_sub(2).max(1);
        let x = self.image();
        let channels = self.shape(x)[3] * multiplier;
        let [weights, bias] = self.weights(vec![1, kernel[0], kernel[1], channels], 3, x);
        let op = DepthwiseConv2d { window: self.window(kernel, true), multiplier, activation: self.activation() };
        self.node(Op::DepthwiseConv2d(op), vec![x, weights, bias], None)
    }

    fn fully_connected(&mut self) -> Option<ValueId> {
        let (rows, depth, columns) = (self.size(1, 9), self.size(1, 90), self.size(1, 40));
        let x = self.input(vec![rows, depth]);
        let [weights, bias] = self.weights(vec![columns, depth], 0, x);
        let op = FullyConnected { activation: self.activation() };
        self.node(Op::FullyConnected(op), vec![x, weights, bias], None)
    }

    /// Matrices by as many others, by one for all, or by one for each of several.
    fn mat_mul(&mut self) -> Option<ValueId> {
        self.dtype = DType::F32;
        let (rows, depth, columns) = (self.size(1, 30), self.size(0, 70), self.size(1, 70));
        let stacks = [[vec![2, 3], vec![2, 3]], [vec![3], vec![]], [vec![2, 3], vec![1, 3]], [vec![], vec![2]]];
        let [first, second] = stacks[self.size(0, 3)].clone();
        let a = self.input([first, vec![rows, depth]].concat());
        let b = self.input([second, vec![depth, columns]].concat());
        self.node(Op::MatMul, vec![a, b], None)
    }

    fn pool(&mut self) -> Option<ValueId> {
        let kernel = [self.size(1, 4), self.size(1, 4)];
        let kind = [PoolKind::Average, PoolKind::Max][self.size(0, 1)];
        let x = self.image();
        let mut window = self.window(kernel, true);
        window.dilation = [1, 1];
        let op = Pool2d { kind, kernel, window, activation: self.activation() };
        self.node(Op::Pool2d(op), vec![x], (kind == PoolKind::Max).then_some(x))
    }

    fn mean(&mut self) -> Option<ValueId> {
        let x = self.image();
        let axes = [vec![1, 2], vec![1], vec![3], vec![1, 2, 3]][self.size(0, 3)].clone();
        let keep_dims = self.size(0, 1) == 0;
        self.node(Op::Reduce(Reduce { kind: ReduceKind::Mean, axes, keep_dims }), vec![x], None)
    }

    fn binary(&mut self) -> Option<ValueId> {
        use BinaryKind::{Add, Divide, Maximum, Minimum, Multiply, Subtract};
        let kind = [Add, Subtract, Multiply, Maximum, Minimum, Divide][self.size(0, 5)];
        let a = self.image();
        let mut shape = self.shape(a);
        match self.size(0, 5) {
            0 => {
                let axis = self.size(0, 3);
                shape[axis] = 1;
            }
            1 => shape[1..3].fill(1),
            2 => shape = vec![shape[3]],
            3 => shape = [vec![], vec![1], vec![1, 1, 1, 1]][self.size(0, 2)].clone(),
            _ => {}
        }
        let b = self.input(shape);
        let op = Binary { kind, activation: self.activation() };
        let operands = if self.size(0, 2) == 0 { vec![b, a] } else { vec![a, b] };
        self.node(Op::Binary(op), operands, None)
    }

    fn unary(&mut self) -> Option<ValueId> {
        let op = [
            Unary::Relu,
            Unary::Relu6,
            Unary::ReluN1To1,
            Unary::LeakyRelu { slope: 0.1 },
            Unary::Logistic,
            Unary::Tanh,
            Unary::HardSwish,
            Unary::Exp,
            Unary::Silu,
        ][self.size(0, 8)];
        let x = self.image();
        self.node(Op::Unary(op), vec![x], None)
    }

    /// Several operators in a row, one value read by two, a reshape in between.
    fn chain(&mut self) -> Option<ValueId> {
        let x = self.image();
        let channels = self.shape(x)[3];
        let [weights, bias] = self.weights(vec![1, 3, 3, channels], 3, x);
        let window = Window { stride: [1, 1], dilation: [1, 1], padding_before: [1, 1], padding_after: [1, 1] };
        let depthwise = DepthwiseConv2d { window, multiplier: 1, activation: self.activation() };
        let y = self.node(Op::DepthwiseConv2d(depthwise), vec![x, weights, bias], None)?;
        let joined = self.node(Op::Concat(Concat { axis: 3, activation: Activation::None }), vec![x, y, x], None)?;
        let mean = self.node(
            Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true }),
            vec![joined],
            None,
        )?;
        let [images, .., channels] = self.shape(mean)[..] else { return None };
        let reshape = Op::Reshape(Reshape { shape: vec![images, channels] });
        let flat = self.node(reshape, vec![mean], Some(mean))?;
        self.node(Op::Softmax(Softmax { beta: 1.0 }), vec![flat], None)
    }
}

#[track_caller]
fn check(name: &str, build: fn(&mut Builder) -> Option<ValueId>) {
    let mut tested = 0;
    for seed in 1..=ROUNDS {
        let mut builder = Builder::new(seed);
        let Some(output) = build(&mut builder) else { continue };
        builder.graph.outputs = vec![output];
        let Builder { graph, mut random, .. } = builder;
        // A random combination may be one that the operator refuses, such as a window larger than its image.
        let Ok(mut reference) = Reference::new(&graph) else { continue };
        let inputs: Vec<Tensor> = graph.inputs.iter().map(|id| random.tensor(&graph.value(*id).ty)).collect();
        let mut expected = reference.execute(&inputs).unwrap().to_vec();
        let mut exact = true;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for threads in [1, 3] {
                let options = SessionOptions { threads, kernels: Choice::UpTo(isa), ..SessionOptions::default() };
                let mut session = Session::new(&graph, &options).unwrap();
                let winograd = session.steps().any(|step| step.kernel.starts_with("winograd"));
                let found = session.run(&inputs).unwrap();
                if winograd && exact {
                    // Another formula than the reference's, but the same one for every instruction set.
                    assert!(are_near(found, &expected), "{name} {seed}, {}:\n{:#?}", isa.name(), graph.nodes);
                    (expected, exact) = (found.to_vec(), false);
                }
                assert!(found == expected, "{name} {seed}, {}, {threads} threads:\n{:#?}", isa.name(), graph.nodes);
            }
        }
        tested += 1;
    }
    assert!(tested > ROUNDS / 2, "{name}: only {tested} of {ROUNDS} random graphs were valid");
}

/// Whether floats differ by no more than a hundred-thousandth of the largest.
fn are_near(found: &[Tensor], expected: &[Tensor]) -> bool {
    found.iter().zip(expected).all(|(found, expected)| {
        let (Data::F32(found), Data::F32(expected)) = (found.data(), expected.data()) else { return false };
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
    })
}

#[test]
fn winograd() {
    check("winograd", Builder::winograd);
}

#[test]
fn conv2d() {
    check("conv2d", Builder::conv2d);
}

#[test]
fn residual() {
    check("residual", Builder::residual);
}

#[test]
fn basic_block() {
    check("basic block", Builder::basic_block);
}

#[test]
fn transpose() {
    check("transpose", Builder::transpose);
}

#[test]
fn depthwise_conv2d() {
    check("depthwise_conv2d", Builder::depthwise_conv2d);
}

#[test]
fn fully_connected() {
    check("fully_connected", Builder::fully_connected);
}

#[test]
fn mat_mul() {
    check("mat_mul", Builder::mat_mul);
}

#[test]
fn pool() {
    check("pool", Builder::pool);
}

#[test]
fn mean() {
    check("mean", Builder::mean);
}

#[test]
fn binary() {
    check("binary", Builder::binary);
}

#[test]
fn unary() {
    check("unary", Builder::unary);
}

#[test]
fn chain() {
    check("chain", Builder::chain);
}
