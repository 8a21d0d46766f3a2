//! Random channels-first networks, as importers of such formats write them: a Transpose before and after each operator
//! of images, batch norm as two operators with constants, and, if asked for, numbers that are quantized and dequantized
//! after each operator.

use kinglet_graph::ops::*;
use kinglet_graph::{DType, Graph, Op, Quantization, Tensor, TensorType, ValueId};

use super::builder::{Builder, quantized};

/// A network of one step for each six bytes, over an image of [images, 4, 6, 5].
pub fn random(images: usize, qdq: bool, steps: &[[u8; 6]]) -> Graph {
    let mut b = Builder::default();
    let x = b.input("x", float([images, 4, 6, 5]));
    let mut network = Network { b: &mut b, qdq, images: vec![x] };
    for (index, step) in steps.iter().enumerate() {
        network.step(&index.to_string(), *step);
    }
    let last = network.images[network.images.len() - 1];
    let end = steps.first().map_or(0, |step| step[5]);
    network.end(last, end);
    b.graph
}

pub fn float(shape: impl Into<Vec<usize>>) -> TensorType {
    TensorType::new(DType::F32, shape)
}

pub fn transpose(permutation: &[usize]) -> Op {
    Op::Transpose(Transpose { permutation: permutation.to_vec() })
}

pub fn reshape(shape: &[usize]) -> Op {
    Op::Reshape(Reshape { shape: shape.to_vec() })
}

pub fn binary(kind: BinaryKind) -> Op {
    Op::Binary(Binary { kind, activation: Activation::None })
}

struct Network<'b> {
    b: &'b mut Builder,
    qdq: bool,
    /// Channels-first images made so far.
    images: Vec<ValueId>,
}

impl Network<'_> {
    fn shape(&self, id: ValueId) -> [usize; 4] {
        self.b.graph.value(id).ty.shape.as_slice().try_into().unwrap()
    }

    /// `op` on a channels-last image.
    fn channels_last(&mut self, name: &str, x: ValueId, op: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> ValueId {
        let last = self.b.same("last", transpose(&[0, 2, 3, 1]), &[x]);
        let made = op(self.b, last);
        self.b.same(name, transpose(&[0, 3, 1, 2]), &[made])
    }

    /// Constant weights, the slices along an axis quantized each by itself where the network is.
    fn weights(&mut self, shape: &[usize], axis: usize) -> ValueId {
        if !self.qdq {
            return self.b.constant("weights", float(shape));
        }
        let channels = shape[axis];
        let quantization = Quantization {
            scales: (1..=channels).map(|channel| channel as f32 * 0.01).collect(),
            zero_points: vec![0; channels],
            axis: Some(axis),
        };
        let ty = TensorType { dtype: DType::I8, shape: shape.to_vec(), quantization: Some(quantization) };
        let weights = self.b.constant("weights", ty);
        self.b.node("weights", Op::Dequantize, &[weights], float([]))
    }

    /// Quantized and dequantized, where the network is.
    fn rounded(&mut self, x: ValueId, byte: u8) -> ValueId {
        if !self.qdq || byte.is_multiple_of(8) {
            return x;
        }
        let scale = [0.1, 0.5, 0.031][usize::from(byte % 3)];
        let ty = match byte % 2 {
            0 => quantized([], scale, i32::from(byte as i8)),
            _ => TensorType::quantized(DType::U8, [], scale, i32::from(byte)),
        };
        let q = self.b.node("q", Op::Quantize, &[x], ty);
        self.b.node("dq", Op::Dequantize, &[q], float([]))
    }

    fn step(&mut self, name: &str, [kind, p, q, r, rounding, extra]: [u8; 6]) {
        let x = self.images[self.images.len() - 1 - usize::from(extra) % self.images.len().min(3)];
        let made = self.operator(name, x, kind, [p, q, r].map(usize::from));
        let made = self.rounded(made, rounding);
        if extra > 230 {
            self.b.output(made);
        }
        self.images.push(made);
    }

    fn operator(&mut self, name: &str, x: ValueId, kind: u8, [p, q, r]: [usize; 3]) -> ValueId {
        let shape @ [images, channels, height, width] = self.shape(x);
        let small = channels * height * width < 400;
        let window = Window { padding_before: [1, 1], padding_after: [1, q % 2], ..Window::unit() };
        match kind % 18 {
            0 | 1 if width > 1 && height > 1 => {
                let weights = self.weights(&[1 + p % 6, 2, 2, channels], 0);
                let op = Conv2d { window, groups: 1, activation: Activation::None };
                self.channels_last(name, x, |b, x| b.same(name, Op::Conv2d(op), &[x, weights]))
            }
            2 if width > 1 && height > 1 => {
                let weights = self.weights(&[1, 2, 2, channels], 3);
                let op = DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
                self.channels_last(name, x, |b, x| b.same(name, Op::DepthwiseConv2d(op), &[x, weights]))
            }
            3 | 4 => {
                let constants = [vec![channels, 1, 1], vec![1, channels, 1, 1], vec![1], vec![]];
                let len = constants[q % 4].iter().product();
                let values: Vec<f32> = (0..len).map(|i| 0.4 + 0.3 * ((i + r) % 5) as f32).collect();
                let constant = Tensor::new(constants[q % 4].clone(), values).unwrap();
                let constant = self.b.graph.add_constant("constant", constant);
                let kinds = [BinaryKind::Multiply, BinaryKind::Add, BinaryKind::Subtract, BinaryKind::Divide];
                let operands = if r % 4 == 0 && p % 4 != 3 { [constant, x] } else { [x, constant] };
                self.b.node(name, binary(kinds[p % 4]), &operands, float([]))
            }
            5 => self.b.same(name, Op::Unary([Unary::Relu, Unary::Relu6, Unary::Tanh][p % 3]), &[x]),
            6 | 7 => {
                let others = self.images.iter().rev().copied();
                let other = others.clone().nth(p % self.images.len()).unwrap_or(x);
                let other = if self.shape(other) == shape { other } else { x };
                let kinds = [BinaryKind::Add, BinaryKind::Multiply, BinaryKind::Maximum];
                self.b.same(name, binary(kinds[q % 3]), &[x, other])
            }
            8 if small => {
                let other = self.images[p % self.images.len()];
                let other_shape = self.shape(other);
                let fits = (0..4).all(|axis| axis == 1 || other_shape[axis] == shape[axis]);
                let concat = Concat { axis: 1, activation: Activation::None };
                self.b.same(name, Op::Concat(concat), &[x, if fits && r % 2 == 0 { other } else { x }])
            }
            9 if small => {
                let pad = Pad {
                    before: vec![0, p % 2, q % 2, 0],
                    after: vec![0, 0, p % 2, r % 3],
                    mode: PadMode::Constant(0.25),
                };
                self.b.same(name, Op::Pad(pad), &[x])
            }
            10 => {
                let axis = 1 + p % 3;
                let (mut begin, mut size) = (vec![0; 4], shape.to_vec());
                begin[axis] = shape[axis] / 2;
                size[axis] -= shape[axis] / 2;
                self.b.same(name, Op::Slice(Slice { begin, step: vec![1; 4], size }), &[x])
            }
            11 => {
                let mean = self.b.same(
                    name,
                    Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: p % 2 == 0 }),
                    &[x],
                );
                let spread = self.b.same(name, reshape(&[images, channels, 1, 1]), &[mean]);
                let operands = if q % 2 == 0 { [x, spread] } else { [spread, x] };
                self.b.same(name, binary(BinaryKind::Multiply), &operands)
            }
            12 if channels % 2 == 0 => {
                let split = self.b.same("split", reshape(&[images, 2, channels / 2, height, width]), &[x]);
                let turned = self.b.same("turned", transpose(&[0, 2, 1, 3, 4]), &[split]);
                self.b.same(name, reshape(&shape), &[turned])
            }
            13 => {
                let turned = self.b.same("turned", transpose(&[0, 2, 3, 1]), &[x]);
                let softmax = self.b.same("softmax", Op::Softmax(Softmax { beta: 1.0 }), &[turned]);
                self.b.same(name, transpose(&[0, 3, 1, 2]), &[softmax])
            }
            14 => {
                let slope = self.b.constant("slope", float([channels, 1, 1]));
                self.b.same(name, Op::Prelu, &[x, slope])
            }
            15 => {
                let permutation = [[0, 1, 3, 2], [0, 3, 1, 2], [0, 2, 3, 1], [0, 3, 2, 1]][p % 4];
                self.b.same(name, transpose(&permutation), &[x])
            }
            16 => {
                let rows = self.b.same("rows", reshape(&[images, channels, height * width]), &[x]);
                let turned = self.b.same("turned", transpose(&[0, 2, 1]), &[rows]);
                let weights = self.weights(&[channels, channels], 0);
                let op = Op::FullyConnected(FullyConnected { activation: Activation::None });
                let dense = self.b.same("dense", op, &[turned, weights]);
                let back = self.b.same("back", transpose(&[0, 2, 1]), &[dense]);
                self.b.same(name, reshape(&shape), &[back])
            }
            _ => {
                let kind = if p % 2 == 0 { PoolKind::Average } else { PoolKind::Max };
                let pool = Pool2d { kind, kernel: [2, 2], window, activation: Activation::None };
                if width < 2 || height < 2 {
                    return self.b.same(name, Op::Unary(Unary::Relu), &[x]);
                }
                self.channels_last(name, x, |b, x| b.same(name, Op::Pool2d(pool), &[x]))
            }
        }
    }

    fn end(&mut self, x: ValueId, byte: u8) {
        let [images, channels, height, width] = self.shape(x);
        let end = match byte % 4 {
            0 => x,
            1 => {
                let op = Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: 1, keep_dims: byte < 128 });
                self.b.node("largest", op, &[x], TensorType::new(DType::I64, []))
            }
            _ => {
                let features = channels * height * width;
                let flat = self.b.same("flat", reshape(&[images, features]), &[x]);
                let flat = self.rounded(flat, byte / 4);
                let weights = self.weights(&[3, features], 0);
                let op = Op::FullyConnected(FullyConnected { activation: Activation::None });
                let dense = self.b.same("dense", op, &[flat, weights]);
                self.rounded(dense, byte / 2)
            }
        };
        self.b.output(end);
    }
}
