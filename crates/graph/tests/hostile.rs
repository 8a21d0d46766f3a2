//! Attributes and types as a hostile file could hold them: an error, never a panic; and what a check accepts, an
//! evaluation computes.

mod cases;

use kinglet_graph::ops::*;
use kinglet_graph::{DType, Data, Graph, GraphError, MAX_ELEMENTS, Op, Quantization, Tensor, TensorType};
use proptest::prelude::*;
use serde_json::Value;

/// How many mutated operators are tried.
const TRIES: u32 = 6000;

const HUGE: usize = usize::MAX;

fn float(shape: impl Into<Vec<usize>>) -> TensorType {
    TensorType::new(DType::F32, shape)
}

fn int8(shape: impl Into<Vec<usize>>) -> TensorType {
    TensorType::quantized(DType::I8, shape, 0.1, 3)
}

fn window(stride: usize, dilation: usize, padding: usize) -> Window {
    Window { stride: [stride; 2], dilation: [dilation; 2], padding_before: [padding; 2], padding_after: [padding; 2] }
}

fn conv(window: Window) -> Op {
    Op::Conv2d(Conv2d { window, groups: 1, activation: Activation::None })
}

fn pool(kernel: usize, window: Window) -> Op {
    Op::Pool2d(Pool2d { kind: PoolKind::Average, kernel: [kernel; 2], window, activation: Activation::None })
}

fn infer(op: &Op, inputs: &[TensorType]) -> Result<Vec<Vec<usize>>, GraphError> {
    op.infer(&inputs.iter().map(Some).collect::<Vec<_>>())
}

#[test]
fn absurd_attributes_are_refused() {
    let image = || float([1, 4, 4, 2]);
    let weights = || float([3, 3, 3, 2]);
    let pad = |size| Op::Pad(Pad { before: vec![size], after: vec![size], mode: PadMode::Constant(0.0) });
    let slice = |begin, step, size| Op::Slice(Slice { begin: vec![begin], step: vec![step], size: vec![size] });
    let mean = |axes| Op::Reduce(Reduce { kind: ReduceKind::Mean, axes, keep_dims: false });
    let cases: Vec<(&str, Op, Vec<TensorType>)> = vec![
        ("no stride", conv(window(0, 1, 0)), vec![image(), weights()]),
        ("no dilation", conv(window(1, 0, 0)), vec![image(), weights()]),
        ("huge dilation", conv(window(1, HUGE, 0)), vec![image(), weights()]),
        ("huge padding", conv(window(1, 1, HUGE)), vec![image(), weights()]),
        ("padding above the bound", conv(window(1, 1, MAX_ELEMENTS)), vec![image(), weights()]),
        ("large padding", conv(window(1, 1, 1 << 20)), vec![image(), weights()]),
        ("kernel above the image", conv(window(1, 2, 0)), vec![image(), weights()]),
        ("kernel of no size", conv(window(1, 1, 0)), vec![image(), float([3, 0, 3, 2])]),
        ("image of no size", conv(window(1, 1, 3)), vec![float([1, 0, 4, 2]), weights()]),
        ("no groups", Op::Conv2d(Conv2d { groups: 0, ..conv_attributes() }), vec![image(), weights()]),
        ("huge groups", Op::Conv2d(Conv2d { groups: HUGE, ..conv_attributes() }), vec![image(), weights()]),
        ("bias of another length", conv(window(1, 1, 0)), vec![image(), weights(), float([2])]),
        ("window in the padding", pool(2, window(1, 1, 2)), vec![image()]),
        ("huge pool", pool(HUGE, window(1, 1, 0)), vec![image()]),
        ("huge pad", pad(HUGE), vec![float([4])]),
        ("pad above the bound", pad(MAX_ELEMENTS), vec![float([4])]),
        ("step of nothing", slice(0, 0, 2), vec![float([4])]),
        ("slice beyond the end", slice(3, 1, 2), vec![float([4])]),
        ("slice below the start", slice(1, -1, 3), vec![float([4])]),
        ("huge slice", slice(1, isize::MIN, HUGE), vec![float([4])]),
        ("axis beyond the last", mean(vec![2]), vec![float([4, 4])]),
        ("axis listed twice", mean(vec![1, 1]), vec![float([4, 4])]),
        ("mean of nothing", mean(vec![1]), vec![float([4, 0])]),
        (
            "axis of ArgMax",
            Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: 1, keep_dims: true }),
            vec![float([4])],
        ),
        (
            "largest of nothing",
            Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: 0, keep_dims: true }),
            vec![float([0])],
        ),
        ("boxes without anchors", detection(3), vec![float([1, 5, 4]), float([1, 5, 3]), float([4, 4])]),
        ("boxes of too many classes", detection(7), vec![float([1, 5, 4]), float([1, 5, 3]), float([5, 4])]),
        ("boxes of no classes", detection(0), vec![float([1, 5, 4]), float([1, 5, 1]), float([5, 4])]),
        ("axis of Concat", Op::Concat(Concat { axis: HUGE, activation: Activation::None }), vec![float([4])]),
        ("axis of Gather", Op::Gather(Gather { axis: HUGE, batch_dims: HUGE }), vec![float([4]), float([4])]),
        ("bounds out of order", Op::Unary(Unary::Clip { min: 1.0, max: 0.0 }), vec![float([4])]),
        ("bounds that are none", Op::Unary(Unary::Clip { min: f32::NAN, max: 0.0 }), vec![float([4])]),
        ("an activation out of order", clipped(1.0, 0.0), vec![float([4]), float([4])]),
        ("axis of TopK", Op::TopK(TopK { axis: 1, k: 1, largest: true }), vec![float([4])]),
        ("more than there are", Op::TopK(TopK { axis: 0, k: 5, largest: true }), vec![float([4])]),
        ("axis of GatherElements", Op::GatherElements(GatherElements { axis: HUGE }), vec![float([4]), float([4])]),
        ("larger indices", Op::GatherElements(GatherElements { axis: 0 }), vec![float([4, 2]), float([4, 3])]),
        ("batches of GatherNd", Op::GatherNd(GatherNd { batch_dims: HUGE }), vec![float([4]), float([4, 1])]),
        ("long index vectors", Op::GatherNd(GatherNd { batch_dims: 0 }), vec![float([4]), float([4, 2])]),
        ("empty index vectors", Op::GatherNd(GatherNd { batch_dims: 0 }), vec![float([4]), float([4, 0])]),
        ("updates", scatter(), vec![float([4, 3]), float([2, 1]), float([2, 2])]),
        ("long scattered vectors", scatter(), vec![float([4]), float([2, 2]), float([2])]),
        ("huge expansion", Op::Expand(Expand { shape: vec![HUGE, HUGE] }), vec![float([1])]),
        ("reflected nothing", reflect(1), vec![float([0])]),
        ("huge reflection", reflect(HUGE), vec![float([4])]),
        ("three numbers a box", suppress(), vec![float([1, 4, 3]), float([1, 1, 4])]),
        ("scores of other boxes", suppress(), vec![float([1, 4, 4]), float([1, 1, 5])]),
        ("huge numbers of boxes", suppress(), vec![float([1 << 20, 1 << 8, 4]), float([1 << 20, 4, 1 << 8])]),
        ("permutation", Op::Transpose(Transpose { permutation: vec![0, 0] }), vec![float([4, 4])]),
        ("reshape", Op::Reshape(Reshape { shape: vec![HUGE, HUGE] }), vec![float([4])]),
        ("beta", Op::Softmax(Softmax { beta: f32::NAN }), vec![float([4])]),
        ("scalar softmax", Op::Softmax(Softmax { beta: 1.0 }), vec![float([])]),
        ("slope", Op::Unary(Unary::LeakyRelu { slope: f32::INFINITY }), vec![float([4])]),
        ("too many axes", Op::Unary(Unary::Relu), vec![float([1; 9])]),
        ("too many elements", Op::Unary(Unary::Relu), vec![float([MAX_ELEMENTS, 2])]),
        ("overflow beside nothing", Op::Unary(Unary::Relu), vec![float([0, HUGE, HUGE])]),
        ("huge broadcast", binary(), vec![float([1 << 20, 1]), float([1, 1 << 20])]),
        ("shapes that cannot be broadcast", binary(), vec![float([2, 3]), float([2])]),
        ("too few inputs", binary(), vec![float([2])]),
        ("too many inputs", Op::Cast(Cast::default()), vec![float([2]), float([2])]),
    ];
    for (what, op, inputs) in cases {
        assert!(infer(&op, &inputs).is_err(), "{what} is accepted");
    }
    let resize = Resize { kind: ResizeKind::Nearest, mode: CoordinateMode::AlignCorners, size: [0, HUGE] };
    assert!(infer(&Op::Resize(resize), &[image()]).is_err());
}

fn conv_attributes() -> Conv2d {
    Conv2d { window: window(1, 1, 0), groups: 1, activation: Activation::None }
}

fn clipped(min: f32, max: f32) -> Op {
    Op::Binary(Binary { kind: BinaryKind::Add, activation: Activation::Clip { min, max } })
}

fn scatter() -> Op {
    Op::ScatterNd(ScatterNd { update: Update::Replace })
}

fn reflect(size: usize) -> Op {
    Op::Pad(Pad { before: vec![size], after: vec![size], mode: PadMode::Reflect })
}

fn suppress() -> Op {
    let format = BoxFormat::Corners;
    Op::NonMaxSuppression(NonMaxSuppression { format, most: HUGE, overlap: 0.5, score: None })
}

fn binary() -> Op {
    Op::Binary(Binary { kind: BinaryKind::Add, activation: Activation::None })
}

#[test]
fn absurd_quantization_is_refused() {
    let with = |scales: &[f32], zero_points: &[i32], axis| TensorType {
        quantization: Some(Quantization { scales: scales.to_vec(), zero_points: zero_points.to_vec(), axis }),
        ..int8([2, 4])
    };
    let cases = [
        ("no scales", with(&[], &[], None)),
        ("a scale of zero", with(&[0.0], &[0], None)),
        ("a negative scale", with(&[-1.0], &[0], None)),
        ("an infinite scale", with(&[f32::INFINITY], &[0], None)),
        ("no number", with(&[f32::NAN], &[0], None)),
        ("a zero point out of range", with(&[1.0], &[128], None)),
        ("fewer zero points than scales", with(&[1.0, 1.0], &[0], Some(0))),
        ("more scales than channels", with(&[1.0, 1.0], &[0, 0], Some(1))),
        ("an axis beyond the last", with(&[1.0, 1.0], &[0, 0], Some(2))),
        ("scales without an axis", with(&[1.0, 1.0], &[0, 0], None)),
        ("one scale a channel", with(&[1.0, 1.0], &[0, 0], Some(0))),
        ("none", TensorType::new(DType::I8, [2, 4])),
    ];
    let relu = Op::Unary(Unary::Relu);
    assert_eq!(relu.check(&[Some(&int8([2, 4]))], &[&int8([2, 4])]), Ok(()));
    for (what, ty) in cases {
        assert!(relu.check(&[Some(&ty)], &[&int8([2, 4])]).is_err(), "{what} is accepted");
        assert!(relu.check(&[Some(&int8([2, 4]))], &[&ty]).is_err(), "{what} is accepted of the output");
    }
    let (tiny, giant) = (with(&[1e-38], &[0], None), with(&[1e38], &[0], None));
    assert!(Op::Quantize.check(&[Some(&giant)], &[&tiny]).is_err(), "scales that no multiplier relates are accepted");
}

#[test]
fn sums_that_could_leave_32_bits_are_refused() {
    let check = |depth: usize, zero_point: i32| {
        let weights = TensorType::quantized(DType::I8, [1, depth], 0.1, zero_point);
        let x = TensorType::quantized(DType::I8, [1, depth], 0.1, -128);
        let fully_connected = Op::FullyConnected(FullyConnected { activation: Activation::None });
        fully_connected.check(&[Some(&x), Some(&weights)], &[&int8([1, 1])])
    };
    assert_eq!(check(i32::MAX as usize / (255 * 128), 0), Ok(()));
    assert!(check(i32::MAX as usize / (255 * 128) + 1, 0).is_err());
    assert!(check(i32::MAX as usize / (255 * 128), 1).is_err());
}

#[test]
fn an_index_out_of_range_is_an_error() {
    for index in [-4, 3, i32::MIN, i32::MAX] {
        let (x, indices) = (Tensor::new([3], vec![1.0f32; 3]).unwrap(), Tensor::new([1], vec![index]).unwrap());
        let mut output = Tensor::zeroed(float([1]));
        let gather = Op::Gather(Gather { axis: 0, batch_dims: 0 });
        let result = gather.eval(&[Some(x.as_ref()), Some(indices.as_ref())], &mut [output.as_mut()]);
        assert!(matches!(result, Err(GraphError::Attribute(_))), "{index} gives {result:?}");
    }
}

#[test]
fn broken_graphs_are_refused() {
    let mut graph = Graph::default();
    let x = graph.add_value("x", float([2]));
    let y = graph.add_value("y", float([2]));
    graph.inputs = vec![x];
    graph.outputs = vec![y];
    let relu = || Op::Unary(Unary::Relu);
    let node = |graph: &Graph, input, output| {
        let mut graph = graph.clone();
        graph.add_node("n", relu(), vec![input], vec![output]);
        graph
    };
    assert_eq!(node(&graph, Some(x), y).validate(), Ok(()));
    assert!(graph.validate().is_err(), "an output that nothing makes");
    assert!(node(&graph, Some(y), y).validate().is_err(), "a cycle");
    assert!(node(&graph, None, y).validate().is_err(), "a required input left out");
    assert!(node(&graph, Some(x), x).validate().is_err(), "a node that makes an input");
    assert!(node(&node(&graph, Some(x), y), Some(x), y).validate().is_err(), "two makers of one value");
    assert!(node(&graph, Some(kinglet_graph::ValueId(9)), y).validate().is_err(), "a value that does not exist");
}

/// Attributes and types of a case that a file could hold anything in: numbers, and names of types and activations.
fn mutable(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().flat_map(mutable).collect(),
        Value::Object(fields) => {
            let fields =
                fields.iter_mut().filter(|(name, _)| !["name", "kind", "mode", "values"].contains(&name.as_str()));
            fields.flat_map(|(_, field)| mutable(field)).collect()
        }
        Value::Number(_) | Value::String(_) => vec![value],
        Value::Null | Value::Bool(_) => vec![],
    }
}

fn mutate(value: &mut Value, pick: u8) {
    let pick = usize::from(pick);
    *value = match value {
        Value::String(name) if DType::ALL.iter().any(|dtype| dtype.name() == name) => {
            DType::ALL[pick % DType::ALL.len()].name().into()
        }
        Value::String(_) => ["None", "Relu", "Relu6"][pick % 3].into(),
        Value::Number(number) if number.is_f64() => {
            [0.0, -1.0, 1e-45, 1e-38, 0.3, 2.0, 1e38, 1e39, 1e300][pick % 9].into()
        }
        _ => [0, 1, 2, 3, 4, 5, 7, 100, 255, 1 << 20, 1 << 30, 1 << 31, i64::MAX, -1, -2, -128, i64::MIN][pick % 17]
            .into(),
    };
}

/// Elements of any bits: infinities and numbers that are none among them.
fn noise(ty: TensorType, bytes: &[u8]) -> Tensor {
    let mut tensor = Tensor::zeroed(ty);
    tensor.data_mut().bytes_mut().iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    tensor
}

/// Evaluates a case if its check accepts it. Says whether it did.
fn evaluate(case: &Value, infer_output: bool, bytes: &[u8]) -> bool {
    let op = cases::operator(&case["op"]);
    let inputs: Vec<_> =
        cases::list(&case["inputs"]).iter().map(|t| (!t.is_null()).then(|| cases::tensor_type(t))).collect();
    let types: Vec<_> = inputs.iter().map(Option::as_ref).collect();
    let mut output = cases::tensor_type(&case["output"]);
    match op.infer(&types) {
        Ok(shapes) if infer_output => output.shape.clone_from(&shapes[0]),
        _ => (),
    }
    let small = |ty: &TensorType| ty.len() < 100_000;
    if op.check(&types, &[&output]).is_err() || !small(&output) || !inputs.iter().flatten().all(small) {
        return false;
    }
    let tensors: Vec<_> = inputs.iter().map(|ty| ty.as_ref().map(|ty| noise(ty.clone(), bytes))).collect();
    let operands: Vec<_> = tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::as_ref)).collect();
    let mut result = Tensor::zeroed(output);
    let evaluated = op.eval(&operands, &mut [result.as_mut()]);
    // An index out of range is in the elements, not in the types.
    let indexed = matches!(op, Op::Gather(_) | Op::GatherElements(_) | Op::GatherNd(_) | Op::ScatterNd(_));
    assert!(evaluated.is_ok() || indexed, "{op} of {types:?} gives {evaluated:?}");
    true
}

#[test]
fn any_bits_are_computed_with() {
    for case in cases::all() {
        assert!(evaluate(&case, false, &[0xff, 0x80, 0x7f, 0x01, 0x00, 0xff, 0x55]), "{}", case["name"]);
    }
}

#[test]
fn what_a_check_accepts_an_evaluation_computes() {
    let cases = cases::all();
    let accepted = std::cell::Cell::new(0);
    let mutations = prop::collection::vec(any::<(u16, u8)>(), 1..4);
    let strategy = (0..cases.len(), mutations, any::<bool>(), prop::collection::vec(any::<u8>(), 1..40));
    let config = ProptestConfig { cases: TRIES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&strategy, |(case, mutations, infer_output, bytes)| {
        let mut case = cases[case].clone();
        for (place, pick) in mutations {
            let mut places = mutable(&mut case);
            let place = usize::from(place) % places.len();
            mutate(places[place], pick);
        }
        accepted.set(accepted.get() + u32::from(evaluate(&case, infer_output, &bytes)));
        Ok(())
    });
    assert_eq!(result, Ok(()));
    // Some mutations must leave an operator that is sound, or nothing is tested.
    assert!(accepted.get() > TRIES / 20, "only {} of {TRIES} were accepted", accepted.get());
}

fn detection(classes: usize) -> Op {
    Op::DetectionPostprocess(DetectionPostprocess {
        most: 10,
        classes,
        per_class: false,
        most_per_class: 100,
        score_threshold: 0.0,
        iou_threshold: 0.5,
        scale: [10.0, 10.0, 5.0, 5.0],
    })
}

/// More boxes than are sorted at a time, all of one score, infinite and unordered ones among them.
#[test]
fn any_numbers_make_detections() {
    let Op::DetectionPostprocess(op) = detection(2) else { unreachable!() };
    for per_class in [false, true] {
        let op =
            Op::DetectionPostprocess(DetectionPostprocess { per_class, most: 400, most_per_class: 400, ..op.clone() });
        let mut boxes = vec![0.0; 300 * 4];
        (boxes[9], boxes[400], boxes[401]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        let mut scores = vec![0.5; 300 * 2];
        (scores[7], scores[8], scores[9]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        // Anchors side by side: no two boxes overlap.
        let anchors: Vec<f32> = (0..300).flat_map(|place| [place as f32, 0.0, 0.5, 0.5]).collect();
        let operands = [
            Tensor::new([1, 300, 4], boxes).unwrap(),
            Tensor::new([1, 300, 2], scores).unwrap(),
            Tensor::new([300, 4], anchors).unwrap(),
        ];
        let types: Vec<_> = operands.iter().map(|operand| Some(operand.ty())).collect();
        let shape = op.infer(&types).unwrap().remove(0);
        let mut output = Tensor::zeroed(TensorType::new(DType::F32, shape));
        let operands: Vec<_> = operands.iter().map(|operand| Some(operand.as_ref())).collect();
        op.eval(&operands, &mut [output.as_mut()]).unwrap();
        let Data::F32(rows) = output.data() else { unreachable!() };
        let count = rows[400 * 6];
        // Each box once, or each class of each box once, as far as there is room, but for what is no number or too
        // small.
        assert_eq!(count, if per_class { 400.0 } else { 300.0 });
        let scores: Vec<f32> = rows.chunks_exact(6).take(count as usize).map(|row| row[5]).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0].is_infinite(), "{scores:?}");
    }
}
