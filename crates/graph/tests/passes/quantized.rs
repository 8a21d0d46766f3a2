//! Operators between Dequantize and Quantize compute on integers.

use kinglet_graph::ops::*;
use kinglet_graph::passes::{self, fuse_quantized};
use kinglet_graph::{DType, Data, Op, Quantization, Tensor, TensorType, ValueId};
use proptest::prelude::*;

use super::builder::{self, Builder, quantized};
use super::network::{binary, float, reshape, transpose};
use super::{answers, check, check_text};

fn uint8(scale: f32, zero_point: i32) -> TensorType {
    TensorType::quantized(DType::U8, [], scale, zero_point)
}

/// A constant quantized and dequantized where it is read.
fn dequantized(b: &mut Builder, name: &str, ty: TensorType) -> ValueId {
    let constant = b.constant(&format!("{name}.q"), ty);
    b.node(name, Op::Dequantize, &[constant], float([]))
}

/// A value quantized and dequantized.
fn rounded(b: &mut Builder, name: &str, x: ValueId, ty: TensorType) -> ValueId {
    let q = b.node(&format!("{name}.q"), Op::Quantize, &[x], ty);
    b.node(name, Op::Dequantize, &[q], float([]))
}

fn by_channel(dtype: DType, shape: &[usize], axis: usize, zero_point: i32) -> TensorType {
    let channels = shape[axis];
    let scales = (1..=channels).map(|channel| channel as f32 * 0.01).collect();
    let quantization = Quantization { scales, zero_points: vec![zero_point; channels], axis: Some(axis) };
    TensorType { dtype, shape: shape.to_vec(), quantization: Some(quantization) }
}

fn conv(window: Window) -> Op {
    Op::Conv2d(Conv2d { window, groups: 1, activation: Activation::Relu })
}

#[test]
fn convolutions_of_every_form_become_quantized() {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 2]));
    let x = rounded(&mut b, "first", x, uint8(0.05, 120));
    let weights = dequantized(&mut b, "weights", by_channel(DType::I8, &[3, 2, 2, 2], 0, 0));
    let mut ty = by_channel(DType::I32, &[3], 0, 0);
    ty.quantization.as_mut().unwrap().scales.iter_mut().for_each(|scale| *scale *= 0.05);
    let bias = dequantized(&mut b, "bias", ty);
    let a = b.same("a", conv(Window::unit()), &[x, weights, bias]);
    let a = rounded(&mut b, "a.dq", a, uint8(0.1, 3));
    let unsigned = dequantized(&mut b, "unsigned", TensorType::quantized(DType::U8, [1, 2, 2, 3], 0.03, 121));
    let depthwise = DepthwiseConv2d { window: Window::unit(), multiplier: 1, activation: Activation::None };
    let c = b.same("c", Op::DepthwiseConv2d(depthwise), &[a, unsigned]);
    let c = rounded(&mut b, "c.dq", c, quantized([], 0.2, -5));
    let float_bias = b.graph.add_constant("float bias", Tensor::new([2], vec![1.0f32, -0.105]).unwrap());
    let dense = dequantized(&mut b, "dense weights", quantized([2, 3], 0.05, 0));
    let op = FullyConnected { activation: Activation::None };
    let d = b.same("d", Op::FullyConnected(op), &[c, dense, float_bias]);
    let d = rounded(&mut b, "d.dq", d, quantized([], 0.2, -5));
    b.output(d);
    let mut graph = b.graph.clone();
    passes::dead_code(&mut graph).unwrap();
    assert_eq!(fuse_quantized(&mut graph), Ok(3));
    passes::dead_code(&mut graph).unwrap();
    assert_eq!(graph.validate(), Ok(()));
    assert_eq!(
        graph.to_string(),
        "input x: float32[1, 4, 4, 2]\n\
         first.q: uint8[1, 4, 4, 2] scale 0.05 zero 120 = Quantize (x)\n\
         a.dq.q: uint8[1, 3, 3, 3] scale 0.1 zero 3 = Conv2d stride [1, 1] Relu \
         (first.q, <weights.q: int8[3, 2, 2, 2] 3 scales along axis 0>, <bias.q: int32[3] 3 scales along axis 0>)\n\
         c.dq.q: int8[1, 2, 2, 3] scale 0.2 zero -5 = DepthwiseConv2d stride [1, 1] \
         (a.dq.q, <unsigned.q: int8[1, 2, 2, 3] scale 0.03 zero -7>)\n\
         d.dq.q: int8[1, 2, 2, 2] scale 0.2 zero -5 = FullyConnected \
         (c.dq.q, <dense weights.q: int8[2, 3] scale 0.05 zero 0>, <float bias: int32[2]>)\n\
         d.dq: float32[1, 2, 2, 2] = Dequantize (d.dq.q)\n\
         output d.dq\n"
    );
    let bias = graph.constant(graph.nodes[3].inputs[2].unwrap()).unwrap();
    assert_eq!(bias.data(), &Data::I32(vec![100, -10]));
    assert_within(&answers(&graph)[0], &answers(&b.graph)[0], 3.0 * 0.2);
}

#[test]
fn what_moves_elements_moves_integers_and_what_needs_no_integers_stays() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([1, 2, 4, 2], 0.5, 3));
    let x = b.node("real", Op::Dequantize, &[x], float([]));
    let turned = b.same("turned", transpose(&[0, 3, 1, 2]), &[x]);
    let pad = Pad { before: vec![0; 4], after: vec![0, 0, 1, 0], mode: PadMode::Constant(-1.0) };
    let padded = b.same("padded", Op::Pad(pad), &[turned]);
    let between = Pad { before: vec![0; 4], after: vec![0, 0, 1, 0], mode: PadMode::Constant(0.3) };
    let between = b.same("between", Op::Pad(between), &[padded]);
    let exponential = b.same("exponential", Op::Unary(Unary::Exp), &[between]);
    b.output(exponential);
    let flat = b.same("flat", reshape(&[24]), &[padded]);
    let other = b.node("other", Op::Quantize, &[flat], quantized([], 0.25, 0));
    b.output(other);
    let largest = b.node(
        "largest",
        Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: 0, keep_dims: false }),
        &[flat],
        TensorType::new(DType::I64, []),
    );
    b.output(largest);
    check(
        b,
        |graph| {
            let rewrites = fuse_quantized(graph)?;
            passes::dead_code(graph).map(|_| rewrites)
        },
        5,
        "input x: int8[1, 2, 4, 2] scale 0.5 zero 3
        turned:quantized: int8[1, 2, 2, 4] scale 0.5 zero 3 = Transpose permutation [0, 3, 1, 2] (x)
        padded:quantized: int8[1, 2, 3, 4] scale 0.5 zero 3 = Pad before [0, 0, 0, 0] after [0, 0, 1, 0] value -1 (turned:quantized)
        padded: float32[1, 2, 3, 4] = Dequantize (padded:quantized)
        between: float32[1, 2, 4, 4] = Pad before [0, 0, 0, 0] after [0, 0, 1, 0] value 0.3 (padded)
        exponential: float32[1, 2, 4, 4] = Exp (between)
        flat:quantized: int8[24] scale 0.5 zero 3 = Reshape (padded:quantized)
        other: int8[24] scale 0.25 zero 0 = Quantize (flat:quantized)
        largest: int64[] = ArgMax axis 0 (flat:quantized)
        output exponential
        output other
        output largest",
    );
}

#[test]
fn what_others_read_or_is_not_quantized_stays_float() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([4], 0.5, 3));
    let y = b.input("y", float([4]));
    let real = b.node("real", Op::Dequantize, &[x], float([]));
    let read_twice = b.same("read twice", Op::Unary(Unary::Tanh), &[real]);
    let q = b.node("q", Op::Quantize, &[read_twice], quantized([], 0.01, 0));
    let mixed = b.same("mixed", builder::add(), &[real, y]);
    let mixed = b.node("mixed q", Op::Quantize, &[mixed], quantized([], 0.01, 0));
    let bias = b.graph.add_constant("bias", Tensor::new([1], vec![1e9f32]).unwrap());
    let weights = dequantized(&mut b, "weights", quantized([1, 4], 0.1, 0));
    let dense = Op::FullyConnected(FullyConnected { activation: Activation::None });
    let dense = b.same("dense", dense, &[real, weights, bias]);
    let dense = b.node("dense q", Op::Quantize, &[dense], quantized([], 1e7, 0));
    [read_twice, q, mixed, dense].into_iter().for_each(|id| b.output(id));
    let expected = b.graph.to_string();
    check_text(b, fuse_quantized, 0, &expected);
}

#[test]
fn unsigned_weights_of_a_quantized_operator_become_signed() {
    let mut b = Builder::default();
    let x = b.input("x", quantized([2, 4], 0.5, 3));
    let weights = b.constant("weights", TensorType::quantized(DType::U8, [3, 4], 0.1, 130));
    let dense = Op::FullyConnected(FullyConnected { activation: Activation::None });
    let dense = b.same("dense", dense, &[x, weights]);
    b.output(dense);
    check(
        b,
        fuse_quantized,
        1,
        "input x: int8[2, 4] scale 0.5 zero 3
        dense: int8[2, 3] scale 0.5 zero 3 = FullyConnected (x, <weights: int8[3, 4] scale 0.1 zero 2>)
        output dense",
    );
}

/// A bias that fills 32 bits gives way to what products may add, 524 here, as long as that is an eighth of a step at
/// most.
#[test]
fn a_bias_is_shrunk_by_an_eighth_of_a_step_and_no_more() {
    let unit = 2f32.powi(-10);
    let eighth = 524.0 * unit;
    let fused = |bias: i32, step: f32| {
        let mut b = Builder::default();
        let x = b.input("x", quantized([1, 4], 0.5, 3));
        let x = b.node("real", Op::Dequantize, &[x], float([]));
        let constant = |b: &mut Builder, name: &str, ty: TensorType, data: Data| {
            let id = b.graph.add_constant(name, Tensor::with_type(ty, data).unwrap());
            b.node(name, Op::Dequantize, &[id], float([]))
        };
        let weights = constant(&mut b, "weights", quantized([1, 4], unit / 0.5, 0), vec![1i8, -1, 1, -1].into());
        let bias = constant(&mut b, "bias", TensorType::quantized(DType::I32, [1], unit, 0), vec![bias].into());
        let dense = Op::FullyConnected(FullyConnected { activation: Activation::None });
        let dense = b.same("dense", dense, &[x, weights, bias]);
        let dense = b.node("q", Op::Quantize, &[dense], quantized([], step, 0));
        b.output(dense);
        let rewrites = fuse_quantized(&mut b.graph).unwrap();
        let last = b.graph.nodes.last().unwrap();
        let bias = last.inputs.get(2).and_then(|bias| b.graph.constant(bias.unwrap()));
        (rewrites == 1).then(|| bias.map(|bias| bias.data().clone()))
    };
    let step = 8.0 * eighth;
    assert_eq!(fused(i32::MAX, step), Some(Some(Data::I32(vec![i32::MAX - 524]))));
    assert_eq!(fused(-i32::MAX, step), Some(Some(Data::I32(vec![524 - i32::MAX]))));
    assert_eq!(fused(i32::MAX - 524, step), Some(Some(Data::I32(vec![i32::MAX - 524]))));
    assert_eq!(fused(i32::MAX, step.next_down()), None);
    // One unit less to give up, and a step that is smaller by no more than that.
    assert_eq!(fused(i32::MAX - 1, step.next_down()), Some(Some(Data::I32(vec![i32::MAX - 524]))));
    assert_eq!(fused(i32::MIN, step), None, "a unit beyond");
}

/// Compares quantized results, which may be a step apart, or real ones with the scale of a step.
fn assert_within(found: &Tensor, expected: &Tensor, step: f32) {
    let values = |tensor: &Tensor| -> Vec<f32> {
        match tensor.data() {
            Data::F32(values) => values.clone(),
            Data::I8(values) => values.iter().map(|q| f32::from(*q)).collect(),
            Data::U8(values) => values.iter().map(|q| f32::from(*q)).collect(),
            other => panic!("{other:?}"),
        }
    };
    for (found, expected) in values(found).into_iter().zip(values(expected)) {
        assert!((found - expected).abs() <= step * 1.001, "{found} instead of {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_operator_on_integers_is_a_step_from_the_float_one_at_most(
        kind in 0usize..16,
        scales in [0.01f32..0.2, 0.01f32..0.2, 0.02f32..0.5],
        zero_points in [0i32..256, 0i32..256, 0i32..256],
        [signed, other_signed, relu] in any::<[bool; 3]>(),
    ) {
        let ty = |index: usize, shape: &[usize], signed: bool| {
            let zero_point = zero_points[index] - if signed { 128 } else { 0 };
            TensorType::quantized(if signed { DType::I8 } else { DType::U8 }, shape, scales[index], zero_point)
        };
        let activation = if relu { Activation::Relu } else { Activation::None };
        let mut b = Builder::default();
        let [x, y] = [("x", 0, signed), ("y", 1, other_signed)].map(|(name, index, signed)| {
            let x = b.input(name, ty(index, &[1, 4, 4, 3], signed));
            b.node(name, Op::Dequantize, &[x], float([]))
        });
        let window = Window { padding_before: [1, 0], ..Window::unit() };
        let pool = |kind| Op::Pool2d(Pool2d { kind, kernel: [2, 2], window, activation });
        let add_like = |kind| Op::Binary(Binary { kind, activation });
        let made = match kind {
            0 | 1 => {
                let weights = [by_channel(DType::I8, &[2, 3, 3, 3], 0, 0), TensorType::quantized(DType::U8, [2, 3, 3, 3], 0.02, 140)];
                let weights = dequantized(&mut b, "weights", weights[kind].clone());
                let bias = b.constant("bias", float([2]));
                b.same("conv", Op::Conv2d(Conv2d { window, groups: 1, activation }), &[x, weights, bias])
            }
            2 => {
                let weights = dequantized(&mut b, "weights", by_channel(DType::I8, &[1, 3, 3, 3], 3, 0));
                b.same("conv", Op::DepthwiseConv2d(DepthwiseConv2d { window, multiplier: 1, activation }), &[x, weights])
            }
            3 => {
                let weights = dequantized(&mut b, "weights", quantized([5, 3], 0.02, 0));
                b.same("dense", Op::FullyConnected(FullyConnected { activation }), &[x, weights])
            }
            4 => b.same("add", add_like(BinaryKind::Add), &[x, y]),
            5 => b.same("sub", add_like(BinaryKind::Subtract), &[x, y]),
            6 => b.same("mul", add_like(BinaryKind::Multiply), &[x, y]),
            7 => b.same("max", add_like(BinaryKind::Maximum), &[x, y]),
            8 => {
                let number = b.graph.add_constant("number", Tensor::new([], vec![-1.7f32]).unwrap());
                b.same("mul", binary(BinaryKind::Multiply), &[number, x])
            }
            9 => b.same("pool", pool(PoolKind::Average), &[x]),
            10 => b.same("pool", pool(PoolKind::Max), &[x]),
            11 => b.same("mean", Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: relu }), &[x]),
            12 => b.same("concat", Op::Concat(Concat { axis: 3, activation }), &[x, y]),
            13 => b.same("tanh", Op::Unary([Unary::Tanh, Unary::HardSwish, Unary::Logistic][zero_points[0] as usize % 3]), &[x]),
            14 => b.same("softmax", Op::Softmax(Softmax { beta: 1.0 }), &[x]),
            _ => {
                let resize = Resize { kind: ResizeKind::Bilinear, mode: CoordinateMode::HalfPixel, size: [7, 3] };
                b.same("resize", Op::Resize(resize), &[x])
            }
        };
        let q = b.node("q", Op::Quantize, &[made], ty(2, &[], other_signed));
        b.output(q);
        let expected = answers(&b.graph);
        let before = b.graph.to_string();
        let rewrites = fuse_quantized(&mut b.graph).unwrap();
        passes::dead_code(&mut b.graph).unwrap();
        prop_assert_eq!(b.graph.validate(), Ok(()));
        let floats = b.graph.nodes.iter().filter(|node| b.graph.value(node.outputs[0]).ty.dtype == DType::F32).count();
        let kept = kind == 10 && relu;
        prop_assert!(rewrites > 0 && floats == 0 || kept, "{}gave {}", before, b.graph);
        assert_within(&answers(&b.graph)[0], &expected[0], 1.0);
    }
}
