//! Transposes are moved down and cancelled.

use kinglet_graph::ops::*;
use kinglet_graph::passes::{flatten_into_weights, layout, optimize};
use kinglet_graph::{DType, Op, TensorType, ValueId};

use super::builder::{self, Builder, quantized};
use super::network::{binary, float, reshape, transpose};
use super::{answers, assert_close, check};

/// A 3×3 convolution of a channels-first image, as an importer writes it.
fn conv(b: &mut Builder, name: &str, x: ValueId, filters: usize) -> ValueId {
    let last = b.same("to last", transpose(&[0, 2, 3, 1]), &[x]);
    let window = Window { padding_before: [1, 1], padding_after: [1, 1], ..Window::unit() };
    let conv = b.conv(name, last, filters, window);
    b.same("to first", transpose(&[0, 3, 1, 2]), &[conv])
}

#[test]
fn one_transpose_is_left_of_a_channels_first_network() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 3, 4, 4]));
    let first = conv(&mut b, "first", x, 8);
    let factor = b.constant("factor", float([8, 1, 1]));
    let scaled = b.same("scaled", binary(BinaryKind::Multiply), &[first, factor]);
    let bias = b.constant("bias", float([1, 8, 1, 1]));
    let shifted = b.same("shifted", builder::add(), &[scaled, bias]);
    let relu = b.same("relu", Op::Unary(Unary::Relu), &[shifted]);
    let second = conv(&mut b, "second", relu, 8);
    let sum = b.same("sum", builder::add(), &[relu, second]);
    let slope = b.constant("slope", float([8, 1, 1]));
    let prelu = b.same("prelu", Op::Prelu, &[sum, slope]);
    let pad = Pad { before: vec![0, 1, 2, 0], after: vec![0, 0, 0, 3], mode: PadMode::Constant(1.0) };
    let padded = b.same("padded", Op::Pad(pad), &[prelu]);
    let part = Slice { begin: vec![0, 1, 1, 2], step: vec![1, 2, 1, 1], size: vec![1, 4, 3, 4] };
    let part = b.same("part", Op::Slice(part), &[padded]);
    let joined = b.same("joined", Op::Concat(Concat { axis: 1, activation: Activation::None }), &[part, part]);
    let mean =
        b.same("mean", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: true }), &[joined]);
    let flat = b.same("flat", reshape(&[1, 8]), &[mean]);
    b.output(flat);
    check(
        b,
        layout,
        3,
        "input x: float32[1, 3, 4, 4]
        x:transposed: float32[1, 4, 4, 3] = Transpose permutation [0, 2, 3, 1] (x)
        first: float32[1, 4, 4, 8] = Conv2d stride [1, 1] padding [1, 1] [1, 1] (x:transposed, <weights: float32[8, 3, 3, 3]>)
        scaled: float32[1, 4, 4, 8] = Multiply (first, <factor: float32[8]>)
        shifted: float32[1, 4, 4, 8] = Add (scaled, <bias: float32[8]>)
        relu: float32[1, 4, 4, 8] = Relu (shifted)
        second: float32[1, 4, 4, 8] = Conv2d stride [1, 1] padding [1, 1] [1, 1] (relu, <weights: float32[8, 3, 3, 8]>)
        sum: float32[1, 4, 4, 8] = Add (relu, second)
        prelu: float32[1, 4, 4, 8] = Prelu (sum, <slope: float32[8]>)
        padded: float32[1, 6, 7, 9] = Pad before [0, 2, 0, 1] after [0, 0, 3, 0] value 1 (prelu)
        part: float32[1, 3, 4, 4] = Slice begin [0, 1, 2, 1] step [1, 1, 1, 2] (padded)
        joined: float32[1, 3, 4, 8] = Concat axis 3 (part, part)
        mean: float32[1, 1, 1, 8] = Mean axes [1, 2] kept (joined)
        flat: float32[1, 8] = Reshape (mean)
        output flat",
    );
}

#[test]
fn a_channel_shuffle_stays_channels_last() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 6]));
    let first = b.conv("first", x, 6, Window::unit());
    let channels_first = b.same("channels first", transpose(&[0, 3, 1, 2]), &[first]);
    let split = b.same("split", reshape(&[1, 2, 3, 2, 2]), &[channels_first]);
    let turned = b.same("turned", transpose(&[0, 2, 1, 3, 4]), &[split]);
    let merged = b.same("merged", reshape(&[1, 6, 2, 2]), &[turned]);
    let channels_last = b.same("channels last", transpose(&[0, 2, 3, 1]), &[merged]);
    let relu = b.same("relu", Op::Unary(Unary::Relu), &[channels_last]);
    b.output(relu);
    check(
        b,
        layout,
        2,
        "input x: float32[1, 4, 4, 6]
        first: float32[1, 2, 2, 6] = Conv2d stride [1, 1] (x, <weights: float32[6, 3, 3, 6]>)
        split: float32[1, 2, 2, 2, 3] = Reshape (first)
        split:transposed: float32[1, 2, 2, 3, 2] = Transpose permutation [0, 1, 2, 4, 3] (split)
        merged: float32[1, 2, 2, 6] = Reshape (split:transposed)
        relu: float32[1, 2, 2, 6] = Relu (merged)
        output relu",
    );
}

#[test]
fn squeeze_and_excitation_is_followed() {
    let mut b = Builder::default();
    let x = b.input("x", float([2, 4, 4, 3]));
    let image = b.same("image", transpose(&[0, 3, 1, 2]), &[x]);
    let mean =
        b.same("mean", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: false }), &[image]);
    let weights = b.constant("weights", float([3, 3]));
    let dense = Op::FullyConnected(FullyConnected { activation: Activation::None });
    let dense = b.same("dense", dense, &[mean, weights]);
    let gate = b.same("gate", Op::Unary(Unary::Logistic), &[dense]);
    let spread = b.same("spread", reshape(&[2, 3, 1, 1]), &[gate]);
    let gated = b.same("gated", binary(BinaryKind::Multiply), &[spread, image]);
    let last = b.same("last", transpose(&[0, 2, 3, 1]), &[gated]);
    b.output(last);
    check(
        b,
        layout,
        2,
        "input x: float32[2, 4, 4, 3]
        mean: float32[2, 3] = Mean axes [1, 2] (x)
        dense: float32[2, 3] = FullyConnected (mean, <weights: float32[3, 3]>)
        gate: float32[2, 3] = Logistic (dense)
        spread:reshaped: float32[2, 1, 1, 3] = Reshape (gate)
        last: float32[2, 4, 4, 3] = Multiply (spread:reshaped, x)
        output last",
    );
}

#[test]
fn dequantized_weights_are_permuted_before_they_are_dequantized() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 2]));
    let mut ty = quantized([5, 2, 3, 3], 0.5, 0);
    ty.quantization.as_mut().unwrap().scales = vec![0.1, 0.2, 0.3, 0.4, 0.5];
    ty.quantization.as_mut().unwrap().zero_points = vec![0; 5];
    ty.quantization.as_mut().unwrap().axis = Some(0);
    let weights = b.constant("w", ty);
    let real = b.node("real", Op::Dequantize, &[weights], float([]));
    let last = b.same("last", transpose(&[2, 3, 0, 1]), &[real]);
    let back = b.same("back", transpose(&[2, 0, 1, 3]), &[last]);
    let op = Conv2d { window: Window::unit(), groups: 1, activation: Activation::None };
    let conv = b.same("conv", Op::Conv2d(op), &[x, back]);
    b.output(conv);
    check(
        b,
        layout,
        2,
        "input x: float32[1, 4, 4, 2]
        real: float32[5, 3, 3, 2] = Dequantize (<w: int8[5, 3, 3, 2] 5 scales along axis 0>)
        conv: float32[1, 2, 2, 5] = Conv2d stride [1, 1] (x, real)
        output conv",
    );
}

#[test]
fn a_transpose_that_nothing_undoes_stays_where_it_moves_least() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 3, 4, 5]));
    let turned = b.same("turned", transpose(&[0, 2, 3, 1]), &[x]);
    let pad = Pad { before: vec![0, 0, 0, 0], after: vec![0, 4, 4, 0], mode: PadMode::Constant(0.0) };
    let padded = b.same("padded", Op::Pad(pad), &[turned]);
    b.output(padded);
    let before = b.graph.to_string();
    assert_eq!(layout(&mut b.graph), Ok(0));
    assert_eq!(b.graph.to_string(), before);
}

#[test]
fn an_image_is_flattened_as_it_lies_and_weights_follow() {
    let mut b = Builder::default();
    let x = b.input("x", float([2, 4, 3, 5]));
    let first = b.same("first", transpose(&[0, 3, 1, 2]), &[x]);
    let flat = b.same("flat", reshape(&[2, 60]), &[first]);
    let q = b.node("q", Op::Quantize, &[flat], TensorType::quantized(DType::U8, [], 0.1, 100));
    let real = b.node("real", Op::Dequantize, &[q], float([]));
    let weights = b.constant("w", quantized([7, 60], 0.5, 0));
    let weights = b.node("weights", Op::Dequantize, &[weights], float([]));
    let dense = Op::FullyConnected(FullyConnected { activation: Activation::None });
    let dense = b.same("dense", dense, &[real, weights]);
    b.output(dense);
    let before = b.graph.clone();
    assert_eq!(flatten_into_weights(&mut b.graph), Ok(1));
    assert_eq!(flatten_into_weights(&mut b.graph), Ok(0));
    assert_close(&answers(&b.graph), &answers(&before));
    assert_ne!(
        b.graph.constant(b.graph.nodes[4].inputs[0].unwrap()),
        before.constant(before.nodes[4].inputs[0].unwrap())
    );
    assert_eq!(b.graph.nodes[1].inputs, [Some(x)]);
}

#[test]
fn a_transpose_that_moves_no_element_is_a_reshape() {
    let mut b = Builder::default();
    let x = b.input("x", float([2, 1, 3]));
    let moved = b.same("moved", transpose(&[1, 0, 2]), &[x]);
    let softmax = b.same("softmax", Op::Softmax(Softmax { beta: 1.0 }), &[moved]);
    b.output(softmax);
    let last = b.same("last", transpose(&[2, 1, 0]), &[x]);
    b.output(last);
    check(
        b,
        layout,
        1,
        "input x: float32[2, 1, 3]
        softmax:before: float32[2, 1, 3] = Softmax beta 1 (x)
        softmax: float32[1, 2, 3] = Reshape (softmax:before)
        last: float32[3, 1, 2] = Transpose permutation [2, 1, 0] (x)
        output softmax
        output last",
    );
}

#[test]
fn one_pixel_is_squeezed_and_excited_without_a_reshape() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 3]));
    let image = b.same("image", transpose(&[0, 3, 1, 2]), &[x]);
    let mean =
        b.same("mean", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: true }), &[image]);
    let pixel = b.same("pixel", transpose(&[0, 2, 3, 1]), &[mean]);
    let constant = b.constant("w", quantized([3, 3, 1, 1], 0.1, 0));
    let weights = b.node("weights", Op::Dequantize, &[constant], float([]));
    let weights = b.same("turned", transpose(&[0, 2, 3, 1]), &[weights]);
    let op = Conv2d { window: Window::unit(), groups: 1, activation: Activation::None };
    let conv = b.same("conv", Op::Conv2d(op), &[pixel, weights]);
    let gate = b.same("gate", transpose(&[0, 3, 1, 2]), &[conv]);
    let gated = b.same("gated", binary(BinaryKind::Multiply), &[image, gate]);
    let last = b.same("last", transpose(&[0, 2, 3, 1]), &[gated]);
    b.output(last);
    let mut graph = b.graph.clone();
    optimize(&mut graph).unwrap();
    let operators: Vec<_> = graph.nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(operators, ["Mean", "Conv2d", "Multiply"]);
}
