//! The passes: each one's rewrites as text before and after, and random graphs that must keep their answers bit for
//! bit.

mod batch_norm;
mod builder;
mod functions;
mod layout;
mod network;
mod quantized;

use builder::{Builder, quantized};
use kinglet_graph::ops::*;
use kinglet_graph::passes::{self, PASSES, Precision, Rewrite};
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Data, Execute, Graph, Op, Tensor, TensorType, ValueId, ViewMut};
use proptest::prelude::*;

/// Runs a pass, and compares what it rewrote, the text that it leaves and the answers of the graph.
fn check(builder: Builder, pass: Rewrite, rewrites: usize, expected: &str) {
    let before = builder.graph.clone();
    let after = check_text(builder, pass, rewrites, expected);
    assert_eq!(answers(&after), answers(&before));
}

/// Runs a pass, compares what it rewrote and the text that it leaves, and gives the graph.
fn check_text(builder: Builder, pass: Rewrite, rewrites: usize, expected: &str) -> Graph {
    let mut graph = builder.graph.clone();
    assert_eq!(pass(&mut graph), Ok(rewrites), "of\n{}", builder.graph);
    assert_eq!(graph.validate(), Ok(()));
    let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
    assert_eq!(graph.to_string(), lines.map(|line| format!("{line}\n")).collect::<String>());
    graph
}

/// What a graph gives, with every NaN the same, so that answers can be compared.
fn answers(graph: &Graph) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = graph.inputs.iter().map(|id| builder::filled(graph.value(*id).ty.clone(), 7)).collect();
    let mut answers = Reference::new(graph).unwrap().execute(&inputs).unwrap();
    for answer in &mut answers {
        if let ViewMut::F32(elements) = answer.data_mut() {
            elements.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 1234.5);
        }
    }
    answers
}

/// Compares floats that may be rounded differently.
fn assert_close(found: &[Tensor], expected: &[Tensor]) {
    for (found, expected) in found.iter().zip(expected) {
        let (Data::F32(found), Data::F32(expected)) = (found.data(), expected.data()) else { panic!("not of floats") };
        let largest = expected.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
        for (x, y) in found.iter().zip(expected) {
            assert!(x == y || (x - y).abs() <= 1e-4 * largest, "{x} instead of {y}, of at most {largest}");
        }
    }
}

#[test]
fn constants_are_folded_through_chains() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [2, 3]));
    let half = b.constant("half", TensorType::new(DType::F16, [3, 2]));
    let wide = b.node("wide", Op::Dequantize, &[half], TensorType::new(DType::F32, []));
    let turned = b.same("turned", Op::Transpose(Transpose { permutation: vec![1, 0] }), &[wide]);
    let sum = b.same("sum", builder::add(), &[x, turned]);
    b.output(sum);
    check(
        b,
        passes::fold_constants,
        2,
        "input x: float32[2, 3]
        sum: float32[2, 3] = Add (x, <turned: float32[2, 3]>)
        output sum",
    );
}

#[test]
fn an_activation_stays_where_its_producer_has_none() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F16, [2]));
    let joined = b.same("joined", Op::Concat(Concat { axis: 0, activation: Activation::None }), &[x, x]);
    let clip = b.same("clip", Op::Unary(Unary::Clip { min: -1.0, max: 2.0 }), &[joined]);
    let sum = b.same("sum", builder::add(), &[clip, clip]);
    let relu = b.same("relu", Op::Unary(Unary::Clip { min: 0.0, max: 2.0 }), &[sum]);
    b.output(relu);
    check(
        b,
        passes::fuse_activations,
        1,
        "input x: float16[2]
        joined: float16[4] = Concat axis 0 (x, x)
        clip: float16[4] = Clip min -1 max 2 (joined)
        relu: float16[4] = Add Clip { min: 0.0, max: 2.0 } (clip, clip)
        output relu",
    );
}

#[test]
fn folding_neither_grows_a_graph_nor_hides_an_error() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [1]));
    let seed = b.constant("seed", TensorType::new(DType::F32, [1]));
    let pad = Op::Pad(Pad { before: vec![1 << 20], after: vec![0], mode: PadMode::Constant(1.0) });
    let large = b.same("large", pad, &[seed]);
    let sum = b.same("sum", builder::add(), &[x, large]);
    let index = b.graph.add_constant("index", Tensor::new([1], vec![-2i32]).unwrap());
    let picked = b.same("picked", Op::Gather(Gather { axis: 0, batch_dims: 0 }), &[seed, index]);
    b.output(sum);
    b.output(picked);
    let before = b.graph.to_string();
    assert_eq!(passes::fold_constants(&mut b.graph), Ok(0));
    assert_eq!(b.graph.to_string(), before);
}

#[test]
fn activations_are_fused_where_that_changes_nothing() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([1, 4], 0.1, -3));
    let sum = b.node("sum", builder::add(), &[x, x], quantized([], 0.1, 5));
    let relu = b.same("relu", Op::Unary(Unary::Relu6), &[sum]);
    let twice = b.node("twice", builder::add(), &[relu, relu], quantized([], 0.1, 5));
    let other_scale = b.node("other scale", Op::Unary(Unary::Relu), &[twice], quantized([], 0.05, -128));
    let read_twice = b.node("read twice", builder::add(), &[other_scale, x], quantized([], 0.1, 0));
    let kept = b.same("kept", Op::Unary(Unary::Relu), &[read_twice]);
    let last = b.node("last", builder::add(), &[kept, read_twice], quantized([], 0.1, 0));
    b.output(last);
    check(
        b,
        passes::fuse_activations,
        1,
        "input x: int8[1, 4] scale 0.1 zero -3
        relu: int8[1, 4] scale 0.1 zero 5 = Add Relu6 (x, x)
        twice: int8[1, 4] scale 0.1 zero 5 = Add (relu, relu)
        other scale: int8[1, 4] scale 0.05 zero -128 = Relu (twice)
        read twice: int8[1, 4] scale 0.1 zero 0 = Add (other scale, x)
        kept: int8[1, 4] scale 0.1 zero 0 = Relu (read twice)
        last: int8[1, 4] scale 0.1 zero 0 = Add (kept, read twice)
        output last",
    );
}

/// As converters write ReLU6: a maximum and a minimum.
#[test]
fn clamps_of_clamps_are_one() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [1]));
    let clip = |min, max| Op::Unary(Unary::Clip { min, max });
    let above = b.same("above", clip(0.0, f32::INFINITY), &[x]);
    let within = b.same("within", clip(f32::NEG_INFINITY, 6.0), &[above]);
    let apart = b.same("apart", clip(7.0, 8.0), &[within]);
    let sum = b.same("sum", builder::add(), &[apart, x]);
    let raised = b.same("raised", clip(0.0, f32::INFINITY), &[sum]);
    b.output(raised);
    check(
        b,
        passes::fuse_activations,
        2,
        "input x: float32[1]
        within: float32[1] = Clip min 0 max 6 (x)
        apart: float32[1] = Clip min 7 max 8 (within)
        raised: float32[1] = Add Relu (apart, x)
        output raised",
    );
}

#[test]
fn zeros_around_an_image_become_the_convolutions_padding() {
    let pad =
        |value| Op::Pad(Pad { before: vec![0, 1, 0, 0], after: vec![0, 1, 2, 0], mode: PadMode::Constant(value) });
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [1, 4, 4, 2]));
    let zeros = b.same("zeros", pad(0.0), &[x]);
    let conv = b.conv("conv", zeros, 2, Window::unit());
    let ones = b.same("ones", pad(1.0), &[conv]);
    let depthwise = b.depthwise("depthwise", ones, Window::unit());
    let pooled_zeros = b.same("pooled zeros", pad(0.0), &[depthwise]);
    let pool = Pool2d { kind: PoolKind::Average, kernel: [2, 2], window: Window::unit(), activation: Activation::None };
    let pooled = b.same("pooled", Op::Pool2d(pool), &[pooled_zeros]);
    b.output(pooled);
    check(
        b,
        passes::pad_into_convolution,
        1,
        "input x: float32[1, 4, 4, 2]
        zeros: float32[1, 6, 6, 2] = Pad before [0, 1, 0, 0] after [0, 1, 2, 0] value 0 (x)
        conv: float32[1, 4, 4, 2] = Conv2d stride [1, 1] padding [1, 0] [1, 2] (x, <weights: float32[2, 3, 3, 2]>)
        ones: float32[1, 6, 6, 2] = Pad before [0, 1, 0, 0] after [0, 1, 2, 0] value 1 (conv)
        depthwise: float32[1, 4, 4, 2] = DepthwiseConv2d stride [1, 1] (ones, <weights: float32[1, 3, 3, 2]>)
        pooled zeros: float32[1, 6, 6, 2] = Pad before [0, 1, 0, 0] after [0, 1, 2, 0] value 0 (depthwise)
        pooled: float32[1, 5, 5, 2] = AveragePool2d kernel [2, 2] stride [1, 1] (pooled zeros)
        output pooled",
    );
}

#[test]
fn infinite_weights_keep_their_padding() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [1, 1, 1, 1]));
    let pad = Pad { before: vec![0, 1, 1, 0], after: vec![0, 0, 0, 0], mode: PadMode::Constant(0.0) };
    let zeros = b.same("zeros", Op::Pad(pad), &[x]);
    let weights = b.graph.add_constant("weights", Tensor::new([1, 2, 2, 1], vec![f32::INFINITY; 4]).unwrap());
    let conv = Conv2d { window: Window::unit(), groups: 1, activation: Activation::None };
    let conv = b.same("conv", Op::Conv2d(conv), &[zeros, weights]);
    b.output(conv);
    assert_eq!(passes::pad_into_convolution(&mut b.graph), Ok(0));
}

#[test]
fn what_changes_nothing_is_removed() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([2, 6], 0.5, 1));
    let first = b.same("first", Op::Reshape(Reshape { shape: vec![3, 4] }), &[x]);
    let second = b.same("second", Op::Reshape(Reshape { shape: vec![2, 6] }), &[first]);
    let turned = b.same("turned", Op::Transpose(Transpose { permutation: vec![0, 1] }), &[second]);
    let same = b.same("same", Op::Quantize, &[turned]);
    let whole = b.same("whole", Op::Slice(Slice { begin: vec![0, 0], step: vec![1, 1], size: vec![2, 6] }), &[same]);
    let other = b.node("other", Op::Quantize, &[whole], quantized([], 0.25, 1));
    let nothing = b.same(
        "nothing",
        Op::Pad(Pad { before: vec![0, 0], after: vec![0, 0], mode: PadMode::Constant(3.0) }),
        &[other],
    );
    b.output(nothing);
    check(
        b,
        passes::remove_identities,
        6,
        "input x: int8[2, 6] scale 0.5 zero 1
        first: int8[3, 4] scale 0.5 zero 1 = Reshape (x)
        nothing: int8[2, 6] scale 0.25 zero 1 = Quantize (x)
        output nothing",
    );
}

#[test]
fn an_output_that_is_an_input_keeps_its_name() {
    let mut b = Builder::default();
    let x = b.input("x", TensorType::new(DType::F32, [3]));
    let copy = b.same("copy", Op::Reshape(Reshape { shape: vec![3] }), &[x]);
    b.output(copy);
    let before = b.graph.to_string();
    assert_eq!(passes::remove_identities(&mut b.graph), Ok(0));
    assert_eq!(b.graph.to_string(), before);
}

#[test]
fn what_no_output_needs_is_removed() {
    let mut b = Builder::default();
    let unused = b.input("unused", TensorType::new(DType::F32, [3]));
    let x = b.input("x", TensorType::new(DType::F32, [3]));
    let dead = b.same("dead", builder::add(), &[unused, x]);
    let dead_constant = b.constant("dead constant", TensorType::new(DType::F32, [3]));
    b.same("dead, too", builder::add(), &[dead, dead_constant]);
    let live = b.same("live", Op::Unary(Unary::Exp), &[x]);
    b.output(live);
    check(
        b,
        passes::dead_code,
        5,
        "input unused: float32[3]
        input x: float32[3]
        live: float32[3] = Exp (x)
        output live",
    );
}

#[test]
fn all_passes_together_reach_a_fixed_point() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([1, 5, 5, 2], 0.1, -3));
    let pad = Pad { before: vec![0, 0, 0, 0], after: vec![0, 1, 1, 0], mode: PadMode::Constant(0.0) };
    let padded = b.same("padded", Op::Pad(pad), &[x]);
    let window = Window { stride: [2, 2], ..Window::unit() };
    let conv = b.conv("conv", padded, 3, window);
    let relu = b.same("relu", Op::Unary(Unary::Relu), &[conv]);
    let flat = b.same("flat", Op::Reshape(Reshape { shape: vec![1, 12] }), &[relu]);
    let same = b.same("same", Op::Reshape(Reshape { shape: vec![1, 12] }), &[flat]);
    b.output(same);
    let mut graph = b.graph;
    let before = answers(&graph);
    assert!(passes::optimize(&mut graph).unwrap() > 0);
    assert_eq!(
        graph.to_string(),
        "input x: int8[1, 5, 5, 2] scale 0.1 zero -3\n\
         relu: int8[1, 2, 2, 3] scale 0.1 zero -3 = \
         Conv2d stride [2, 2] padding [0, 0] [1, 1] Relu (x, <weights: int8[3, 3, 3, 2] scale 0.02 zero 0>)\n\
         same: int8[1, 12] scale 0.1 zero -3 = Reshape (relu)\n\
         output same\n"
    );
    assert_eq!(answers(&graph), before);
    assert_eq!(passes::optimize(&mut graph), Ok(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_keep_their_answers(is_float in any::<bool>(), steps in prop::collection::vec(any::<[u8; 4]>(), 1..14)) {
        let graph = builder::random_graph(is_float, &steps);
        let expected = answers(&graph);
        for pass in PASSES.iter().filter(|pass| pass.precision == Precision::Exact) {
            let mut rewritten = graph.clone();
            (pass.rewrite)(&mut rewritten).unwrap();
            prop_assert_eq!(&answers(&rewritten), &expected, "{} of\n{}gave\n{}", pass.name, graph, rewritten);
        }
        let mut optimized = graph.clone();
        passes::optimize(&mut optimized).unwrap();
        match is_float {
            true => assert_close(&answers(&optimized), &expected),
            false => prop_assert_eq!(&answers(&optimized), &expected, "optimize of\n{}gave\n{}", graph, optimized),
        }
    }

    #[test]
    fn random_networks_keep_their_answers(
        images in 1usize..3,
        qdq in any::<bool>(),
        steps in prop::collection::vec(any::<[u8; 6]>(), 1..12),
    ) {
        let graph = network::random(images, qdq, &steps);
        let expected = answers(&graph);
        let mut rewritten = graph.clone();
        passes::layout(&mut rewritten).unwrap();
        prop_assert_eq!(rewritten.validate(), Ok(()));
        prop_assert_eq!(&answers(&rewritten), &expected, "layout of\n{}gave\n{}", graph, rewritten);
        let again = (0..3).find(|_| passes::layout(&mut rewritten) == Ok(0));
        prop_assert!(again.is_some(), "does not end: {}", rewritten);
        // Rounding is followed by what rounding changes wholly, so that only the form of the result is compared here.
        let mut optimized = graph.clone();
        passes::optimize(&mut optimized).unwrap();
        prop_assert_eq!(optimized.validate(), Ok(()), "optimize of\n{}gave\n{}", graph, optimized);
        let port = |graph: &Graph, id: &ValueId| graph.value(*id).clone();
        for (before, after) in graph.outputs.iter().zip(&optimized.outputs) {
            let (before, after) = (port(&graph, before), port(&optimized, after));
            prop_assert_eq!((before.name, before.ty), (after.name, after.ty));
        }
        let moved = |graph: &Graph| -> usize {
            let transposes = graph.nodes.iter().filter(|node| matches!(node.op, Op::Transpose(_)));
            transposes.map(|node| graph.value(node.outputs[0]).ty.len()).sum()
        };
        prop_assert!(moved(&optimized) <= moved(&graph), "optimize of\n{}gave\n{}", graph, optimized);
        prop_assert_eq!(passes::optimize(&mut optimized), Ok(0), "again of\n{}", optimized);
    }
}
