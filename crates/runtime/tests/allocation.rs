//! `Session::execute` allocates nothing: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinglet_graph::ops::{
    Activation, Binary, BinaryKind, Conv2d, DepthwiseConv2d, Reduce, ReduceKind, Reshape, Softmax, Window,
};
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Execute, Graph, Op, Quantization, Tensor, TensorType};
use kinglet_runtime::{Session, SessionOptions};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An inverted residual with a classifier behind it: expand, depthwise, project, add, mean, reshape, softmax.
fn inverted_residual(size: usize) -> Graph {
    let mut graph = Graph { name: "inverted residual".into(), ..Graph::default() };
    let image = |channels: usize, zero_point: i32| {
        TensorType::quantized(DType::I8, [1, size, size, channels], 0.05, zero_point)
    };
    let weights = |graph: &mut Graph, shape: [usize; 4], axis: usize| {
        let len = shape.iter().product::<usize>();
        let values: Vec<i8> = (0..len).map(|i| ((i * 37 + 11) % 255) as i32 - 127).map(|v| v as i8).collect();
        let scales = (0..shape[axis]).map(|i| 0.001 + 0.0001 * i as f32).collect();
        let zero_points = vec![0; shape[axis]];
        let quantization = Some(Quantization { scales, zero_points, axis: Some(axis) });
        let ty = TensorType { dtype: DType::I8, shape: shape.to_vec(), quantization };
        graph.add_constant("weights", Tensor::with_type(ty, values).unwrap())
    };
    let window = |padding: usize| Window {
        stride: [1, 1],
        dilation: [1, 1],
        padding_before: [padding, padding],
        padding_after: [padding, padding],
    };
    let x = graph.add_value("x", image(16, -3));
    let expanded = graph.add_value("expanded", image(48, -128));
    let filtered = graph.add_value("filtered", image(48, -128));
    let projected = graph.add_value("projected", image(16, 5));
    let sum = graph.add_value("sum", image(16, 2));
    let mean = graph.add_value("mean", TensorType::quantized(DType::I8, [1, 1, 1, 16], 0.05, 2));
    let flat = graph.add_value("flat", TensorType::quantized(DType::I8, [1, 16], 0.05, 2));
    let probabilities = graph.add_value("probabilities", TensorType::quantized(DType::I8, [1, 16], 1.0 / 256.0, -128));
    let w = [
        weights(&mut graph, [48, 1, 1, 16], 0),
        weights(&mut graph, [1, 3, 3, 48], 3),
        weights(&mut graph, [16, 1, 1, 48], 0),
    ];
    let conv = |activation| Op::Conv2d(Conv2d { window: window(0), groups: 1, activation });
    let depthwise = DepthwiseConv2d { window: window(1), multiplier: 1, activation: Activation::Relu6 };
    graph.add_node("expand", conv(Activation::Relu6), vec![Some(x), Some(w[0])], vec![expanded]);
    graph.add_node("filter", Op::DepthwiseConv2d(depthwise), vec![Some(expanded), Some(w[1])], vec![filtered]);
    graph.add_node("project", conv(Activation::None), vec![Some(filtered), Some(w[2])], vec![projected]);
    let add = Binary { kind: BinaryKind::Add, activation: Activation::None };
    graph.add_node("add", Op::Binary(add), vec![Some(x), Some(projected)], vec![sum]);
    graph.add_node(
        "mean",
        Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true }),
        vec![Some(sum)],
        vec![mean],
    );
    graph.add_node("flatten", Op::Reshape(Reshape { shape: vec![1, 16] }), vec![Some(mean)], vec![flat]);
    graph.add_node("softmax", Op::Softmax(Softmax { beta: 1.0 }), vec![Some(flat)], vec![probabilities]);
    graph.inputs = vec![x];
    graph.outputs = vec![probabilities];
    graph
}

#[test]
fn a_run_allocates_nothing() {
    // A large one runs depth first.
    for (size, threads, op) in [9, 72].into_iter().flat_map(|size| {
        let op = if size == 9 { "Conv2d+Add" } else { "Conv2d+DepthwiseConv2d+Conv2d+Add" };
        [(size, 1, op), (size, 2, op)]
    }) {
        let graph = inverted_residual(size);
        let mut session = Session::new(&graph, &SessionOptions { threads, ..SessionOptions::default() }).unwrap();
        assert!(session.steps().any(|step| step.op == op), "{op} is one step");
        // A worker allocates when it starts, which the system may do late, and when it first sleeps.
        for _ in 0..20 {
            session.execute().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let values: Vec<i8> = (0..size * size * 16).map(|i| ((i * i * 31) >> 5) as i8).collect();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..20 {
            session.input_mut(0).bytes_mut().iter_mut().zip(&values).for_each(|(to, &value)| *to = value as u8);
            session.execute().unwrap();
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "{threads} threads");
        let input = Tensor::with_type(session.inputs()[0].ty.clone(), values).unwrap();
        let expected = Reference::new(&graph).unwrap().execute(&[input]).unwrap();
        assert_eq!(session.output(0).bytes(), expected[0].data().view().bytes(), "as the reference executor");
    }
}
