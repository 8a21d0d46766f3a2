//! Operators that no other test runs beside the reference executor: they stand between two that have kernels, with
//! floats and with bytes of both kinds, and the runtime gives the reference's very bytes.

use kinglet_graph::ops::*;
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Execute, Graph, Op, Tensor, TensorType, ValueId};
use kinglet_runtime::{Session, SessionOptions};

mod common;
use common::Random;

const ALL: [DType; 3] = [DType::F32, DType::I8, DType::U8];

/// Floats, or bytes with a scale.
fn ty(dtype: DType, shape: &[usize], scale: f32) -> TensorType {
    match dtype {
        DType::F32 => TensorType::new(dtype, shape),
        DType::U8 => TensorType::quantized(dtype, shape, scale, 131),
        _ => TensorType::quantized(dtype, shape, scale, -3),
    }
}

/// A graph that gives an operator clamped inputs, then constants, and clamps what it gives where that is of the inputs'
/// type.
struct Case {
    graph: Graph,
    operands: Vec<ValueId>,
}

impl Case {
    fn new(dtype: DType, shapes: &[&[usize]]) -> Case {
        let mut case = Case { graph: Graph::default(), operands: Vec::new() };
        for (index, shape) in shapes.iter().enumerate() {
            let ty = ty(dtype, shape, 0.05);
            let input = case.graph.add_value(format!("input{index}"), ty.clone());
            case.graph.inputs.push(input);
            let clamped = case.node(Op::Unary(Unary::Relu6), &[input], ty);
            case.operands.push(clamped);
        }
        case
    }

    fn constant(mut self, tensor: Tensor) -> Case {
        let constant = self.graph.add_constant(format!("constant{}", self.graph.values.len()), tensor);
        self.operands.push(constant);
        self
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], ty: TensorType) -> ValueId {
        let output = self.graph.add_value(format!("value{}", self.graph.values.len()), ty);
        self.graph.add_node(op.name(), op, inputs.iter().copied().map(Some).collect(), vec![output]);
        output
    }

    /// Runs the operator whose result is of this type, its shape left to the operator.
    #[track_caller]
    fn check(mut self, op: Op, result: TensorType) {
        let name = op.name();
        let types: Vec<_> = self.operands.iter().map(|id| Some(&self.graph.value(*id).ty)).collect();
        let shape = op.infer(&types).unwrap().remove(0);
        let ty = TensorType { shape, ..result };
        let operands = self.operands.clone();
        let mut last = self.node(op, &operands, ty.clone());
        if ty.dtype == DType::F32 || ty.quantization.is_some() {
            last = self.node(Op::Unary(Unary::Relu), &[last], ty);
        }
        self.graph.outputs = vec![last];
        let mut random = Random::new(7);
        let inputs: Vec<Tensor> = self.graph.inputs.iter().map(|id| random.tensor(&self.graph.value(*id).ty)).collect();
        let expected = Reference::new(&self.graph).unwrap().execute(&inputs).unwrap().to_vec();
        for threads in [1, 3] {
            let options = SessionOptions { threads, ..SessionOptions::default() };
            let mut session = Session::new(&self.graph, &options).unwrap();
            assert_eq!(session.run(&inputs).unwrap(), expected, "{name}, {threads} threads");
            // A second run finds the memory as the first one left it.
            assert_eq!(session.run(&inputs).unwrap(), expected, "{name} once more, {threads} threads");
        }
    }
}

/// Checks an operator that moves elements, or gives others of the same scale.
#[track_caller]
fn check_each(op: Op, shapes: &[&[usize]], constants: &[Tensor]) {
    for dtype in ALL {
        let case = constants.iter().cloned().fold(Case::new(dtype, shapes), Case::constant);
        case.check(op.clone(), ty(dtype, &[], 0.05));
    }
}

fn integers(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::new(shape, values.to_vec()).unwrap()
}

#[test]
fn products_of_matrices() {
    for shapes in [[[2, 3, 5, 7], [2, 3, 7, 4]], [[1, 3, 5, 17], [2, 1, 17, 33]], [[1, 1, 1, 64], [1, 1, 64, 16]]] {
        let [a, b] = &shapes;
        Case::new(DType::F32, &[a, b]).check(Op::MatMul, TensorType::new(DType::F32, []));
    }
}

#[test]
fn transposed_convolutions() {
    for (kernel, stride, padding, groups) in [([2, 2], [2, 2], 0, 1), ([3, 3], [2, 1], 1, 2), ([4, 3], [3, 3], 1, 4)] {
        let window = Window { stride, padding_before: [padding; 2], padding_after: [padding; 2], ..Window::unit() };
        let activation = Activation::Relu;
        let op = ConvTranspose2d { window, output_padding: [0, 0], groups, activation };
        let weights = Random::new(3).tensor(&TensorType::new(DType::F32, [8, kernel[0], kernel[1], 16 / groups]));
        let bias = Random::new(4).tensor(&TensorType::new(DType::F32, [8]));
        let case = Case::new(DType::F32, &[&[2, 5, 6, 16]]).constant(weights).constant(bias);
        case.check(Op::ConvTranspose2d(op), TensorType::new(DType::F32, []));
    }
}

/// Bytes that mean other numbers, and bytes that mean none: on x86-64 the runtime keeps the former as others.
#[test]
fn reinterpreted_bytes() {
    for (from, to) in [(DType::I8, 0.3), (DType::U8, 0.3)] {
        Case::new(from, &[&[2, 3, 20]]).check(Op::Reinterpret, ty(from, &[], to));
        Case::new(from, &[&[2, 3, 20]]).check(Op::Reinterpret, TensorType::new(from, []));
    }
}

#[test]
fn changes_of_the_quantization() {
    for (from, to) in [(DType::F32, DType::I8), (DType::F32, DType::U8), (DType::I8, DType::U8), (DType::U8, DType::I8)]
    {
        Case::new(from, &[&[2, 3, 20]]).check(Op::Quantize, ty(to, &[], 0.07));
        Case::new(to, &[&[2, 3, 20]]).check(Op::Dequantize, TensorType::new(DType::F32, []));
    }
}

#[test]
fn what_moves_elements() {
    let shape: &[usize] = &[2, 4, 5, 6];
    for mode in [PadMode::Constant(0.5), PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
        let pad = Pad { before: vec![0, 1, 2, 0], after: vec![0, 2, 1, 3], mode };
        check_each(Op::Pad(pad), &[shape], &[]);
    }
    let slice = Slice { begin: vec![0, 3, 1, 5], step: vec![1, -1, 2, -2], size: vec![2, 4, 2, 3] };
    check_each(Op::Slice(slice), &[shape], &[]);
    check_each(Op::Gather(Gather { axis: 2, batch_dims: 0 }), &[shape], &[integers(&[3], &[4, 0, 4])]);
    let indices = integers(&[2, 1, 5, 6], &(0..60).map(|i| i % 4).collect::<Vec<_>>());
    check_each(Op::GatherElements(GatherElements { axis: 1 }), &[shape], &[indices]);
    check_each(Op::GatherNd(GatherNd { batch_dims: 0 }), &[shape], &[integers(&[2, 2], &[1, 3, 0, 2])]);
    check_each(Op::Expand(Expand { shape: vec![3, 4, 5] }), &[&[3, 1, 5]], &[]);
    check_each(Op::Concat(Concat { axis: 1, activation: Activation::None }), &[shape, &[2, 1, 5, 6]], &[]);
    check_each(Op::Transpose(Transpose { permutation: vec![3, 1, 0, 2] }), &[shape], &[]);
}

#[test]
fn what_computes_of_the_same_scale() {
    let shape: &[usize] = &[2, 4, 5, 6];
    for kind in [ReduceKind::Max, ReduceKind::Min] {
        check_each(Op::Reduce(Reduce { kind, axes: vec![1, 3], keep_dims: true }), &[shape], &[]);
    }
    for (kind, mode) in [
        (ResizeKind::Nearest, CoordinateMode::Asymmetric),
        (ResizeKind::Bilinear, CoordinateMode::HalfPixel),
        (ResizeKind::Bilinear, CoordinateMode::AlignCorners),
    ] {
        check_each(Op::Resize(Resize { kind, mode, size: [7, 11] }), &[shape], &[]);
    }
    let prelu = |dtype| Case::new(dtype, &[shape, &[6]]).check(Op::Prelu, ty(dtype, &[], 0.05));
    ALL.into_iter().for_each(prelu);
}

#[test]
fn what_computes_of_floats_alone() {
    let float = TensorType::new(DType::F32, []);
    let shape: &[usize] = &[2, 4, 5, 6];
    for kind in [ReduceKind::Sum, ReduceKind::Product, ReduceKind::L2, ReduceKind::Mean] {
        let reduce = Op::Reduce(Reduce { kind, axes: vec![0, 2], keep_dims: false });
        Case::new(DType::F32, &[shape]).check(reduce, float.clone());
    }
    for kind in [BinaryKind::Power, BinaryKind::Subtract] {
        let binary = Op::Binary(Binary { kind, activation: Activation::None });
        Case::new(DType::F32, &[shape, &[5, 1]]).check(binary, float.clone());
    }
    for unary in [Unary::Gelu, Unary::Erf, Unary::Mish, Unary::Softplus, Unary::Sqrt, Unary::Floor, Unary::Negate] {
        Case::new(DType::F32, &[shape]).check(Op::Unary(unary), float.clone());
    }
}

#[test]
fn what_gives_another_type() {
    let shape: &[usize] = &[2, 4, 30];
    for dtype in ALL {
        let arg = Op::Arg(Arg { kind: ArgKind::Max, axis: 2, keep_dims: true, last: true });
        Case::new(dtype, &[shape]).check(arg, TensorType::new(DType::I64, []));
    }
    let top = Op::TopK(TopK { axis: 2, k: 7, largest: true });
    Case::new(DType::F32, &[shape]).check(top, TensorType::new(DType::I64, []));
    for to in [DType::I32, DType::F16, DType::Bool, DType::F64] {
        Case::new(DType::F32, &[shape]).check(Op::Cast(Cast::default()), TensorType::new(to, []));
    }
    let less = Op::Binary(Binary { kind: BinaryKind::Less, activation: Activation::None });
    Case::new(DType::F32, &[shape, &[30]]).check(less, TensorType::new(DType::Bool, []));
}
