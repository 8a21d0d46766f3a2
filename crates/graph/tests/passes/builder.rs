//! Builds graphs for tests: by hand, output shapes inferred, and at random.

use kinglet_graph::ops::*;
use kinglet_graph::{DType, Data, Graph, Op, Tensor, TensorType, ValueId};

/// A graph in the making.
#[derive(Default)]
pub struct Builder {
    pub graph: Graph,
}

/// An int8 type; nodes fill in its shape.
pub fn quantized(shape: impl Into<Vec<usize>>, scale: f32, zero_point: i32) -> TensorType {
    TensorType::quantized(DType::I8, shape, scale, zero_point)
}

pub fn add() -> Op {
    Op::Binary(Binary { kind: BinaryKind::Add, activation: Activation::None })
}

/// Numbers without a pattern, some of them negative, from −4 to 4 or over the integer type's range; the same each time.
pub fn filled(ty: TensorType, seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2654435761).wrapping_add(ty.len() as u32);
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 16) as u8 as i8
    };
    let unit = if ty.dtype.is_float() { 32.0 } else { 1.0 };
    let values: Vec<f64> = (0..ty.len())
        .map(|_| next())
        .map(|x| if ty.dtype == DType::U8 { f64::from(x as u8) } else { f64::from(x) / unit })
        .collect();
    let data = Data::from_f64(ty.dtype, &values);
    Tensor::with_type(ty, data).unwrap()
}

impl Builder {
    pub fn input(&mut self, name: &str, ty: TensorType) -> ValueId {
        let id = self.graph.add_value(name, ty);
        self.graph.inputs.push(id);
        id
    }

    pub fn output(&mut self, id: ValueId) {
        self.graph.outputs.push(id);
    }

    pub fn constant(&mut self, name: &str, ty: TensorType) -> ValueId {
        let seed = self.graph.values.len() as u32;
        self.graph.add_constant(name, filled(ty, seed))
    }

    /// A node whose output is of this type, its shape inferred.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[ValueId], mut ty: TensorType) -> ValueId {
        let types: Vec<_> = inputs.iter().map(|id| Some(&self.graph.value(*id).ty)).collect();
        ty.shape = op.infer(&types).unwrap_or_else(|error| panic!("{name}: {error}")).remove(0);
        let id = self.graph.add_value(name, ty);
        self.graph.add_node(name, op, inputs.iter().copied().map(Some).collect(), vec![id]);
        id
    }

    /// A node whose output has its first input's element type and quantization.
    pub fn same(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        let ty = self.graph.value(inputs[0]).ty.clone();
        self.node(name, op, inputs, ty)
    }

    /// A 3×3 convolution with constant weights.
    pub fn conv(&mut self, name: &str, x: ValueId, filters: usize, window: Window) -> ValueId {
        let channels = self.graph.value(x).ty.shape[3];
        let weights = self.weights(x, [filters, 3, 3, channels]);
        let conv = Conv2d { window, groups: 1, activation: Activation::None };
        self.same(name, Op::Conv2d(conv), &[x, weights])
    }

    /// A 3×3 depthwise convolution with constant weights.
    pub fn depthwise(&mut self, name: &str, x: ValueId, window: Window) -> ValueId {
        let weights = self.weights(x, [1, 3, 3, self.graph.value(x).ty.shape[3]]);
        let conv = DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
        self.same(name, Op::DepthwiseConv2d(conv), &[x, weights])
    }

    fn weights(&mut self, x: ValueId, shape: [usize; 4]) -> ValueId {
        match self.graph.value(x).ty.dtype {
            DType::F32 => self.constant("weights", TensorType::new(DType::F32, shape)),
            _ => self.constant("weights", quantized(shape, 0.02, 0)),
        }
    }
}

/// A graph of a chain of operators with side branches, each chosen by four bytes. Some nodes do nothing, some are dead,
/// some have constant inputs only: work for every pass.
pub fn random_graph(is_float: bool, steps: &[[u8; 4]]) -> Graph {
    let mut b = Builder::default();
    let shape = [1, 6, 5, 4];
    let ty = if is_float { TensorType::new(DType::F32, shape) } else { quantized(shape, 0.1, -3) };
    let mut current = b.input("x", ty);
    for (index, step) in steps.iter().enumerate() {
        current = random_step(&mut b, current, &index.to_string(), *step);
    }
    b.output(current);
    b.graph
}

fn random_step(b: &mut Builder, x: ValueId, name: &str, [kind, p, q, extra]: [u8; 4]) -> ValueId {
    let ty = b.graph.value(x).ty.clone();
    let shape = ty.shape.clone();
    let fits = |kernel: usize| shape[1] >= kernel && shape[2] >= kernel;
    let (odd, axis) = (q % 2, usize::from(p % 4));
    let window = Window { padding_before: [usize::from(odd); 2], ..Window::unit() };
    let made = match kind % 16 {
        0 if shape[1].max(shape[2]) < 12 => {
            let value = if odd == 0 { 0.0 } else { 0.5 };
            let border = vec![0, usize::from(p % 3), usize::from(q % 2), 0];
            b.same(name, Op::Pad(Pad { before: border.clone(), after: border, mode: PadMode::Constant(value) }), &[x])
        }
        1 if fits(3) => b.conv(name, x, 1 + axis, window),
        2 if fits(3) => b.depthwise(name, x, window),
        3 | 4 => b.same(name, Op::Unary([Unary::Relu, Unary::Relu6, Unary::ReluN1To1][usize::from(p % 3)]), &[x]),
        5 => b.same(
            name,
            Op::Unary([Unary::Tanh, Unary::HardSwish, Unary::LeakyRelu { slope: 0.1 }][usize::from(p % 3)]),
            &[x],
        ),
        6 => b.same(name, add(), &[x, x]),
        7 => {
            let constant = b.constant("", TensorType { shape: vec![shape[3]], ..ty.clone() });
            let exponentials = b.same("", Op::Unary(Unary::Tanh), &[constant]);
            b.same(name, add(), &[x, exponentials])
        }
        8 | 9 => {
            let flat = b.same("flat", Op::Reshape(Reshape { shape: vec![ty.len()] }), &[x]);
            b.same(name, Op::Reshape(Reshape { shape: shape.clone() }), &[flat])
        }
        10 => {
            let permutation = if odd == 0 { vec![0, 1, 2, 3] } else { vec![0, 2, 1, 3] };
            b.same(name, Op::Transpose(Transpose { permutation }), &[x])
        }
        11 => {
            let mut size = shape.clone();
            let backwards = shape[axis] > 1 && odd == 1;
            size[axis] -= usize::from(backwards);
            let (mut begin, mut step) = (vec![0; 4], vec![1; 4]);
            (begin[axis], step[axis]) = if backwards { (shape[axis] - 1, -1) } else { (0, 1) };
            b.same(name, Op::Slice(Slice { begin, step, size }), &[x])
        }
        12 if ty.dtype == DType::I8 && odd == 0 => b.same(name, Op::Quantize, &[x]),
        12 if ty.dtype == DType::I8 => b.node(name, Op::Quantize, &[x], quantized([], 0.05, i32::from(p as i8))),
        13 if shape[3] < 9 => b.same(name, Op::Concat(Concat { axis: 3, activation: Activation::None }), &[x, x]),
        14 if fits(2) => {
            let kind = if odd == 0 { PoolKind::Average } else { PoolKind::Max };
            let pool = Pool2d { kind, kernel: [2, 2], window, activation: Activation::None };
            b.same(name, Op::Pool2d(pool), &[x])
        }
        _ => b.same(name, Op::Binary(Binary { kind: BinaryKind::Maximum, activation: Activation::None }), &[x, x]),
    };
    match extra {
        0..40 => drop(b.same("dead", Op::Unary(Unary::Exp), &[made])),
        40..60 => b.output(made),
        _ => (),
    }
    made
}
