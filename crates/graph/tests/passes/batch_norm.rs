//! Multiplications and additions by constants become part of weights, and of each other.

use kinglet_graph::ops::*;
use kinglet_graph::passes::fold_batch_norm;
use kinglet_graph::{Data, Graph, Op, Tensor, ValueId};
use proptest::prelude::*;

use super::builder::{self, Builder};
use super::network::{binary, float};
use super::{answers, assert_close, check_text};

fn constant(b: &mut Builder, name: &str, values: &[f32]) -> ValueId {
    let shape = if values.len() == 1 { vec![] } else { vec![1, 1, 1, values.len()] };
    b.graph.add_constant(name, Tensor::new(shape, values.to_vec()).unwrap())
}

fn values(graph: &Graph, node: usize, input: usize) -> Vec<f32> {
    match graph.constant(graph.nodes[node].inputs[input].unwrap()).unwrap().data() {
        Data::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_norm_becomes_weights_and_bias() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 3, 3, 2]));
    let conv = b.conv("conv", x, 2, Window::unit());
    let weights = values(&b.graph, 0, 1);
    let factor = constant(&mut b, "factor", &[2.0, -0.5]);
    let scaled = b.same("scaled", binary(BinaryKind::Multiply), &[conv, factor]);
    let mean = constant(&mut b, "mean", &[0.25, 4.0]);
    let shifted = b.same("shifted", binary(BinaryKind::Subtract), &[mean, scaled]);
    let deviation = constant(&mut b, "deviation", &[4.0]);
    let op = Binary { kind: BinaryKind::Divide, activation: Activation::Relu };
    let divided = b.same("divided", Op::Binary(op), &[shifted, deviation]);
    b.output(divided);
    let graph = check_text(
        b,
        fold_batch_norm,
        3,
        "input x: float32[1, 3, 3, 2]
        divided: float32[1, 1, 1, 2] = Conv2d stride [1, 1] Relu (x, <weights: float32[2, 3, 3, 2]>, <conv:bias: float32[2]>)
        output divided",
    );
    assert_eq!(values(&graph, 0, 2), [0.0625, 1.0]);
    let expected = weights.iter().enumerate().map(|(i, w)| if i < 18 { w * -0.5 } else { w * 0.125 });
    assert_eq!(values(&graph, 0, 1), expected.collect::<Vec<_>>());
}

#[test]
fn a_run_alone_becomes_two_operators_or_none() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 3, 3, 2]));
    let mut current = x;
    for (kind, value) in [(BinaryKind::Divide, 4.0), (BinaryKind::Subtract, 0.5), (BinaryKind::Divide, 0.5)] {
        let value = constant(&mut b, "constant", &[value]);
        current = b.same("step", binary(kind), &[current, value]);
    }
    let root = b.same("root", Op::Unary(Unary::Sqrt), &[current]);
    let [double, half] = [2.0, 0.5].map(|value| constant(&mut b, "constant", &[value, value]));
    let doubled = b.same("doubled", binary(BinaryKind::Multiply), &[root, double]);
    let halved = b.same("halved", binary(BinaryKind::Multiply), &[doubled, half]);
    let exponential = b.same("exponential", Op::Unary(Unary::Exp), &[halved]);
    b.output(exponential);
    let graph = check_text(
        b,
        fold_batch_norm,
        3,
        "input x: float32[1, 3, 3, 2]
        step: float32[1, 3, 3, 2] = Multiply (x, <step:constant: float32[]>)
        step: float32[1, 3, 3, 2] = Add (step, <step:constant: float32[]>)
        root: float32[1, 3, 3, 2] = Sqrt (step)
        halved: float32[1, 3, 3, 2] = Reshape (root)
        exponential: float32[1, 3, 3, 2] = Exp (halved)
        output exponential",
    );
    assert_eq!([values(&graph, 0, 1), values(&graph, 1, 1)], [[0.5], [-1.0]]);
}

#[test]
fn a_run_alone_on_images_becomes_a_depthwise_convolution() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 3, 3, 2]));
    let root = b.same("root", Op::Unary(Unary::Sqrt), &[x]);
    let [factor, shift] = [[2.0, 3.0], [0.5, 0.0]].map(|values| constant(&mut b, "constant", &values));
    let scaled = b.same("scaled", binary(BinaryKind::Multiply), &[root, factor]);
    let op = Binary { kind: BinaryKind::Add, activation: Activation::Relu };
    let shifted = b.same("shifted", Op::Binary(op), &[scaled, shift]);
    b.output(shifted);
    let graph = check_text(
        b,
        fold_batch_norm,
        2,
        "input x: float32[1, 3, 3, 2]
        root: float32[1, 3, 3, 2] = Sqrt (x)
        shifted: float32[1, 3, 3, 2] = DepthwiseConv2d stride [1, 1] Relu \
        (root, <scaled:weights: float32[1, 1, 1, 2]>, <scaled:bias: float32[2]>)
        output shifted",
    );
    assert_eq!([values(&graph, 1, 1), values(&graph, 1, 2)], [[2.0, 3.0], [0.5, 0.0]]);
}

#[test]
fn a_factor_before_a_padded_convolution_is_folded_but_a_shift_is_not() {
    for (kind, padding, folds) in
        [(BinaryKind::Multiply, 1, 1), (BinaryKind::Add, 1, 0), (BinaryKind::Add, 0, 1), (BinaryKind::Maximum, 0, 0)]
    {
        let mut b = Builder::default();
        let x = b.input("x", float([1, 4, 4, 2]));
        let value = constant(&mut b, "value", &[0.5, 3.0]);
        let changed = b.same("changed", binary(kind), &[x, value]);
        let window = Window { padding_before: [padding; 2], ..Window::unit() };
        let conv = b.depthwise("conv", changed, window);
        b.output(conv);
        let expected = answers(&b.graph);
        assert_eq!(fold_batch_norm(&mut b.graph), Ok(folds), "{kind:?} {padding}");
        assert_eq!(b.graph.nodes.len(), 2 - folds);
        assert_close(&answers(&b.graph), &expected);
    }
}

#[test]
fn what_others_read_or_a_clamp_lies_between_is_kept() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 2]));
    let conv = b.conv("conv", x, 2, Window::unit());
    let value = constant(&mut b, "value", &[0.5, 3.0]);
    let read_twice = b.same("read twice", binary(BinaryKind::Multiply), &[conv, value]);
    let sum = b.same("sum", builder::add(), &[read_twice, conv]);
    let relu = b.same("relu", Op::Unary(Unary::Relu), &[sum]);
    let infinite = constant(&mut b, "infinite", &[0.5, f32::INFINITY]);
    let last = b.same("last", binary(BinaryKind::Multiply), &[relu, infinite]);
    b.output(last);
    assert_eq!(fold_batch_norm(&mut b.graph), Ok(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_changes_answers_by_rounding_only(steps in prop::collection::vec(any::<[u8; 4]>(), 1..8)) {
        let mut b = Builder::default();
        let mut current = b.input("x", float([1, 8, 8, 4]));
        for [kind, p, q, r] in steps {
            let channels = b.graph.value(current).ty.shape[3];
            let window = Window { padding_before: [usize::from(q % 2); 2], ..Window::unit() };
            let small = b.graph.value(current).ty.shape[1] < 4;
            current = match kind % 6 {
                0 if !small => {
                    let groups = if p % 2 == 0 { 2 } else { 1 };
                    let weights = b.constant("weights", float([4, 3, 3, channels / groups]));
                    let conv = Conv2d { window, groups, activation: Activation::None };
                    b.same("conv", Op::Conv2d(conv), &[current, weights])
                }
                1 if !small => b.depthwise("depthwise", current, window),
                2 => {
                    let (weights, bias) = (b.constant("weights", float([4, channels])), b.constant("bias", float([4])));
                    let dense = FullyConnected { activation: Activation::None };
                    b.same("dense", Op::FullyConnected(dense), &[current, weights, bias])
                }
                _ => {
                    let count = if q % 3 == 0 { 1 } else { channels };
                    let values: Vec<f32> = (0..count).map(|i| 0.3 + 0.2 * ((i + usize::from(r)) % 5) as f32).collect();
                    let value = constant(&mut b, "value", &values);
                    let kinds = [BinaryKind::Multiply, BinaryKind::Add, BinaryKind::Subtract, BinaryKind::Divide];
                    let (kind, first) = (kinds[usize::from(p % 4)], r % 3 == 0 && p % 4 != 3);
                    let activation = if r % 5 == 0 { Activation::Relu } else { Activation::None };
                    let operands = if first { [value, current] } else { [current, value] };
                    b.node("step", Op::Binary(Binary { kind, activation }), &operands, float([]))
                }
            };
        }
        b.output(current);
        let expected = answers(&b.graph);
        let before = b.graph.to_string();
        let rewrites = fold_batch_norm(&mut b.graph).unwrap();
        prop_assert_eq!(b.graph.validate(), Ok(()), "{}", before);
        prop_assert_eq!(rewrites > 0, before != b.graph.to_string());
        assert_close(&answers(&b.graph), &expected);
    }
}
