//! Graphs at the edge of what is valid: the runtime gives the reference's bytes, or refuses with a reason.

use kinglet_graph::ops::{
    Activation, Binary, BinaryKind, Conv2d, DepthwiseConv2d, FullyConnected, Pool2d, PoolKind, Reduce, ReduceKind,
    Reshape, Unary, Window,
};
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Data, Execute, Graph, Op, Tensor, TensorType, ValueId, View, ViewMut};
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::gemm::{HALF_TABLE, Half};
use kinglet_kernels::table::Choice;
use kinglet_runtime::{Arithmetic, RuntimeError, Session, SessionOptions};

mod common;
use common::Random;

/// Floats, or bytes with a scale.
fn ty(dtype: DType, shape: &[usize]) -> TensorType {
    if dtype == DType::F32 { TensorType::new(dtype, shape) } else { TensorType::quantized(dtype, shape, 0.05, 0) }
}

fn input(graph: &mut Graph, ty: TensorType) -> ValueId {
    let id = graph.add_value(format!("input{}", graph.inputs.len()), ty);
    graph.inputs.push(id);
    id
}

/// Adds a node, and its result as an output of the graph.
fn output(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let types: Vec<_> = inputs.iter().map(|id| Some(&graph.value(*id).ty)).collect();
    let shape = op.infer(&types).unwrap().remove(0);
    let result = ty(graph.value(inputs[0]).ty.dtype, &shape);
    let id = graph.add_value(format!("output{}", graph.outputs.len()), result);
    graph.add_node(op.name(), op, inputs.iter().copied().map(Some).collect(), vec![id]);
    graph.outputs.push(id);
    id
}

fn window(padding: usize) -> Window {
    Window { padding_before: [padding; 2], padding_after: [padding; 2], ..Window::unit() }
}

fn conv(padding: usize) -> Op {
    Op::Conv2d(Conv2d { window: window(padding), groups: 1, activation: Activation::Relu })
}

fn add() -> Op {
    Op::Binary(Binary { kind: BinaryKind::Add, activation: Activation::None })
}

/// The bytes of outputs, so that the signs of zeros count and every NaN is the same.
fn bytes(tensors: &[Tensor]) -> Vec<Vec<u8>> {
    let bytes = |tensor: &Tensor| match tensor.data().view() {
        View::F32(values) => values.iter().flat_map(|x| if x.is_nan() { f32::NAN } else { *x }.to_ne_bytes()).collect(),
        other => other.bytes().to_vec(),
    };
    tensors.iter().map(bytes).collect()
}

#[track_caller]
fn check(graph: &Graph, inputs: &[Tensor]) {
    let expected = Reference::new(graph).unwrap().execute(inputs).unwrap();
    for threads in [1, 2] {
        let mut session = Session::new(graph, &SessionOptions { threads, ..SessionOptions::default() }).unwrap();
        assert_eq!(bytes(session.run(inputs).unwrap()), bytes(&expected), "{threads} threads");
    }
}

#[track_caller]
fn check_at_random(graph: &Graph) {
    let mut random = Random::new(5);
    check(graph, &graph.inputs.iter().map(|id| random.tensor(&graph.value(*id).ty)).collect::<Vec<_>>());
}

#[test]
fn tensors_without_elements() {
    let fully_connected = || Op::FullyConnected(FullyConnected { activation: Activation::None });
    let depthwise =
        || Op::DepthwiseConv2d(DepthwiseConv2d { window: window(1), multiplier: 1, activation: Activation::None });
    let pool = Pool2d { kind: PoolKind::Average, kernel: [2, 2], window: window(0), activation: Activation::None };
    let cases = [
        (conv(1), vec![vec![1, 4, 5, 0], vec![3, 3, 3, 0]]),
        (conv(0), vec![vec![1, 4, 5, 0], vec![3, 1, 1, 0]]),
        (conv(1), vec![vec![1, 4, 5, 3], vec![0, 3, 3, 3]]),
        (conv(1), vec![vec![0, 4, 5, 3], vec![2, 3, 3, 3]]),
        (depthwise(), vec![vec![1, 4, 5, 0], vec![1, 3, 3, 0]]),
        (fully_connected(), vec![vec![4, 0], vec![3, 0]]),
        (fully_connected(), vec![vec![0, 4], vec![3, 4]]),
        (Op::Pool2d(pool), vec![vec![1, 4, 5, 0]]),
        (Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true }), vec![vec![2, 4, 5, 0]]),
        (add(), vec![vec![1, 0], vec![1, 0]]),
    ];
    for dtype in [DType::F32, DType::I8, DType::U8] {
        for (op, shapes) in &cases {
            let mut graph = Graph::default();
            let mut operands = vec![input(&mut graph, ty(dtype, &shapes[0]))];
            if let Some(shape) = shapes.get(1) {
                let dtype = if dtype == DType::F32 || *op == add() { dtype } else { DType::I8 };
                operands.push(graph.add_constant("weights", Tensor::zeroed(ty(dtype, shape))));
            }
            output(&mut graph, op.clone(), &operands);
            check_at_random(&graph);
        }
    }
}

#[test]
fn a_constant_that_is_both_weights_and_an_activation() {
    for dtype in [DType::I8, DType::U8] {
        let mut graph = Graph::default();
        let x = input(&mut graph, ty(dtype, &[1, 2, 2, 4]));
        let weights = graph.add_constant("weights", Random::new(3).tensor(&ty(DType::I8, &[4, 1, 1, 4])));
        output(&mut graph, conv(0), &[x, weights]);
        let flat = output(&mut graph, Op::Reshape(Reshape { shape: vec![16] }), &[weights]);
        output(&mut graph, add(), &[flat, flat]);
        graph.outputs.push(weights);
        check_at_random(&graph);
    }
}

#[test]
fn outputs_that_are_other_names_of_inputs_constants_and_each_other() {
    let mut graph = Graph::default();
    let x = input(&mut graph, ty(DType::I8, &[2, 2, 2, 4]));
    let constant = graph.add_constant("constant", Random::new(3).tensor(&ty(DType::I8, &[2, 2, 2, 4])));
    let weights = graph.add_constant("weights", Random::new(4).tensor(&ty(DType::I8, &[4, 1, 1, 4])));
    let y = output(&mut graph, conv(0), &[x, weights]);
    // The sum's operand is an output itself, and read twice: nothing may be fused.
    let sum = output(&mut graph, add(), &[y, x]);
    output(&mut graph, add(), &[sum, sum]);
    for id in [x, constant, y] {
        let flat = output(&mut graph, Op::Reshape(Reshape { shape: vec![32] }), &[id]);
        output(&mut graph, Op::Reshape(Reshape { shape: vec![4, 8] }), &[flat]);
    }
    graph.outputs.extend([x, constant, y, y]);
    check_at_random(&graph);
}

#[test]
fn floats_that_are_no_numbers_and_zeros_of_either_sign() {
    let values = [0.0, -0.0, f32::NAN, -0.0, 0.0, f32::NEG_INFINITY, 1.0, f32::INFINITY, f32::NAN, -0.0, 3.0];
    let elements: Vec<f32> = values.into_iter().cycle().take(120).collect();
    for activation in [Activation::None, Activation::Relu, Activation::ReluN1To1] {
        let mut graph = Graph::default();
        let x = input(&mut graph, ty(DType::F32, &[1, 3, 2, 20]));
        let ones = Tensor::new([20, 3, 3, 20], vec![1.0f32; 3600]).unwrap();
        let ones = graph.add_constant("ones", ones);
        let op = Conv2d { window: window(1), groups: 1, activation };
        output(&mut graph, Op::Conv2d(op), &[x, ones]);
        for kind in [BinaryKind::Maximum, BinaryKind::Minimum] {
            let constant = graph.add_constant(kind.name(), Tensor::new([1], vec![0.5f32]).unwrap());
            output(&mut graph, Op::Binary(Binary { kind, activation }), &[x, constant]);
            output(&mut graph, Op::Binary(Binary { kind, activation }), &[constant, x]);
        }
        for kind in [ReduceKind::Max, ReduceKind::Min] {
            output(&mut graph, Op::Reduce(Reduce { kind, axes: vec![2], keep_dims: false }), &[x]);
        }
        output(&mut graph, Op::Unary(Unary::Clip { min: -0.5, max: 0.5 }), &[x]);
        let pool = |kind| Op::Pool2d(Pool2d { kind, kernel: [1, 2], window: window(0), activation });
        output(&mut graph, pool(PoolKind::Max), &[x]);
        output(&mut graph, pool(PoolKind::Average), &[x]);
        output(&mut graph, Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false }), &[x]);
        output(&mut graph, Op::Binary(Binary { kind: BinaryKind::Add, activation }), &[x, x]);
        let input = Tensor::new([1, 3, 2, 20], elements.clone()).unwrap();
        check(&graph, std::slice::from_ref(&input));
        let outputs = Reference::new(&graph).unwrap().execute(&[input]).unwrap();
        for (tensor, id) in outputs.iter().zip(&graph.outputs) {
            // A maximum pool takes the largest of the numbers that are there.
            let pooled = graph.nodes.iter().any(|node| {
                node.outputs[0] == *id && matches!(&node.op, Op::Pool2d(pool) if pool.kind == PoolKind::Max)
            });
            let View::F32(values) = tensor.data().view() else { panic!("floats") };
            assert_eq!(values.iter().any(|x| x.is_nan()), !pooled, "{activation:?}");
        }
    }
}

#[test]
fn infinite_weights_beside_padding() {
    let mut graph = Graph::default();
    let x = input(&mut graph, ty(DType::F32, &[1, 4, 4, 2]));
    let mut weights = Random::new(6).tensor(&ty(DType::F32, &[3, 3, 3, 2]));
    if let ViewMut::F32(values) = weights.data_mut() {
        values[0] = f32::INFINITY;
    }
    let weights = graph.add_constant("weights", weights);
    output(&mut graph, conv(1), &[x, weights]);
    check_at_random(&graph);
}

/// Convolutions and a matrix product in half precision, one with a residual, beside `f32`.
#[test]
fn half_precision_is_near_f32() {
    let mut graph = Graph::default();
    let mut random = Random::new(9);
    let x = input(&mut graph, ty(DType::F32, &[2, 9, 7, 5]));
    let mut constant =
        |graph: &mut Graph, shape: &[usize]| graph.add_constant("weights", random.tensor(&ty(DType::F32, shape)));
    let (wide, deep) = (constant(&mut graph, &[40, 3, 3, 5]), constant(&mut graph, &[40, 1, 1, 40]));
    let matrix = constant(&mut graph, &[17, 40]);
    let first = output(&mut graph, conv(1), &[x, wide]);
    let second = Conv2d { window: window(0), groups: 1, activation: Activation::None };
    let second = output(&mut graph, Op::Conv2d(second), &[first, deep]);
    graph.outputs.pop();
    let sum = output(&mut graph, add(), &[second, first]);
    output(&mut graph, Op::FullyConnected(FullyConnected { activation: Activation::None }), &[sum, matrix]);
    let inputs = [random.tensor(&graph.value(x).ty)];
    let exact = Session::new(&graph, &SessionOptions::default()).unwrap().run(&inputs).unwrap().to_vec();
    let half = SessionOptions { arithmetic: Arithmetic::Half, ..SessionOptions::default() };
    let plain = SessionOptions { kernels: Choice::UpTo(Isa::Scalar), ..half.clone() };
    assert_eq!(Session::new(&graph, &plain).unwrap_err(), RuntimeError::NoHalf);
    if !Half::is_supported(half.kernels) {
        eprintln!("skipped: this CPU has no half precision");
        assert_eq!(Session::new(&graph, &half).unwrap_err(), RuntimeError::NoHalf);
        return;
    }
    for threads in [1, 3] {
        let mut session = Session::new(&graph, &SessionOptions { threads, ..half.clone() }).unwrap();
        assert!(session.steps().all(|step| HALF_TABLE.rows.iter().any(|row| row.name == step.kernel)));
        for (found, expected) in session.run(&inputs).unwrap().iter().zip(&exact) {
            let (Data::F32(found), Data::F32(expected)) = (found.data(), expected.data()) else { unreachable!() };
            let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
            let apart = largest(&mut found.iter().zip(&expected[..]).map(|(a, b)| (a - b).abs()));
            let part = apart / largest(&mut expected.iter().map(|value| value.abs()));
            assert!(part > 0.0 && part < 0.02, "{part}");
        }
    }
}

#[test]
fn scratch_memory_has_a_limit() {
    let mut graph = Graph::default();
    let x = input(&mut graph, ty(DType::I8, &[1, 1, 1, 1]));
    let weights = graph.add_constant("weights", Tensor::zeroed(ty(DType::I8, &[1, 1, 2, 1])));
    let distance = 1 << 28;
    let window = Window { dilation: [1, distance], padding_after: [0, distance], ..Window::unit() };
    let op = DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
    output(&mut graph, Op::DepthwiseConv2d(op), &[x, weights]);
    let error = Session::new(&graph, &SessionOptions::default()).unwrap_err();
    assert!(matches!(&error, RuntimeError::Limit { limit, .. } if limit.contains("scratch")), "{error}");
}

#[test]
fn activations_have_a_limit() {
    let mut graph = Graph::default();
    let x = input(&mut graph, ty(DType::F32, &[1, 1 << 15, 1 << 15]));
    let exp = output(&mut graph, Op::Unary(Unary::Exp), &[x]);
    output(&mut graph, Op::Unary(Unary::Tanh), &[exp]);
    let error = Session::new(&graph, &SessionOptions::default()).unwrap_err();
    assert!(matches!(error, RuntimeError::Memory { .. }), "{error}");
}

#[test]
fn absurdly_many_threads_are_fewer() {
    let mut graph = Graph::default();
    let x = input(&mut graph, ty(DType::I8, &[1, 4, 4, 4]));
    let weights = graph.add_constant("weights", Random::new(4).tensor(&ty(DType::I8, &[4, 3, 3, 4])));
    output(&mut graph, conv(1), &[x, weights]);
    let session = Session::new(&graph, &SessionOptions { threads: usize::MAX, ..SessionOptions::default() }).unwrap();
    assert!(session.threads() <= 256);
}
