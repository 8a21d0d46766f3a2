//! Makes quantized operators of float ones that stand between Dequantize and Quantize.
//!
//! So file formats write quantized models: each tensor is quantized, and dequantized again where it is read. Three
//! rewrites, in one walk from the inputs to the outputs, bring the integers back:
//!
//! - An operator that only moves elements moves the integers instead, and what it gave is dequantized after it. Nothing
//!   changes.
//! - Weights of unsigned bytes become signed ones, which kernels take.
//! - An operator that reads dequantized tensors, and whose result is quantized and nothing else, computes on integers,
//!   as [`qmath`](crate::qmath) defines it. That differs from rounding the float result, by one step at most.

mod operands;

use std::collections::HashMap;

use crate::ops::{Activation, PadMode, PoolKind, Reduce, ReduceKind, ResizeKind};
use crate::{DType, Graph, GraphError, Node, Op, TensorType, ValueId, qmath};

/// Makes operators between Dequantize and Quantize quantized ones. What has no quantized form stays as it is.
pub fn fuse_quantized(graph: &mut Graph) -> Result<usize, GraphError> {
    let read_once = super::read_once(graph);
    let old = std::mem::take(&mut graph.nodes);
    let mut fusion = Fusion {
        graph,
        read_once,
        dequantized: HashMap::new(),
        makers: HashMap::new(),
        signed: HashMap::new(),
        rewrites: 0,
    };
    for node in old {
        fusion.visit(node);
    }
    Ok(fusion.rewrites)
}

struct Fusion<'g> {
    graph: &'g mut Graph,
    /// Of the values of the old graph.
    read_once: Vec<bool>,
    /// For each float value, the quantized one, or the constant, that it is made of.
    dequantized: HashMap<ValueId, ValueId>,
    /// For each value, the place of the node that makes it.
    makers: HashMap<ValueId, usize>,
    /// Constants of unsigned bytes as signed ones.
    signed: HashMap<ValueId, ValueId>,
    rewrites: usize,
}

impl Fusion<'_> {
    fn visit(&mut self, node: Node) {
        let (&[output], Some(input)) = (&node.outputs[..], node.inputs.first().copied().flatten()) else {
            return self.push(node);
        };
        if let Op::Dequantize = node.op
            && self.ty(input).quantization.is_some()
        {
            self.dequantized.insert(output, input);
            return self.push(node);
        }
        let fused = match (&node.op, self.dequantized.get(&input).copied()) {
            (Op::Quantize, Some(source)) => self.requantize(&node, source),
            (Op::Quantize, None) => self.fuse(input, output),
            (op, Some(source)) if self.moves(op, source) => self.move_integers(&node, source),
            _ => false,
        };
        if fused {
            self.rewrites += 1;
        } else {
            let node = self.with_signed_weights(node);
            self.push(node);
        }
    }

    fn ty(&self, id: ValueId) -> &TensorType {
        &self.graph.value(id).ty
    }

    fn push(&mut self, node: Node) {
        let place = self.graph.nodes.len();
        self.makers.extend(node.outputs.iter().map(|output| (*output, place)));
        self.graph.nodes.push(node);
    }

    /// The node with signed weights, if it is quantized already and has unsigned ones.
    fn with_signed_weights(&mut self, mut node: Node) -> Node {
        let weighted = matches!(node.op, Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_));
        if let Some(&Some(weights)) = node.inputs.get(1).filter(|_| weighted)
            && self.graph.constant(weights).is_some_and(|weights| weights.ty().dtype == DType::U8)
            && let Some(signed) = self.signed(weights)
        {
            node.inputs[1] = Some(signed);
            self.rewrites += 1;
        }
        node
    }

    /// Whether an operator accepts inputs and an output of these types.
    fn accepts(&self, op: &Op, inputs: &[Option<ValueId>], output: &TensorType) -> bool {
        let inputs: Vec<_> = inputs.iter().map(|id| id.map(|id| self.ty(id))).collect();
        op.check(&inputs, &[output]).is_ok()
    }

    /// What was dequantized is quantized again: one change of the quantization.
    fn requantize(&mut self, node: &Node, source: ValueId) -> bool {
        let inputs = vec![Some(source)];
        let accepted =
            self.ty(source).dtype.is_8_bit() && self.accepts(&Op::Quantize, &inputs, self.ty(node.outputs[0]));
        if accepted {
            self.push(Node { inputs, ..node.clone() });
        }
        accepted
    }

    /// Whether an operator gives elements of its first input, of this quantized source, and no others.
    fn moves(&self, op: &Op, source: ValueId) -> bool {
        let ty = self.ty(source);
        let Ok(quantization) = ty.activation_quantization("") else { return false };
        match op {
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_) | Op::Arg(_) => true,
            Op::Pool2d(pool) => pool.kind == PoolKind::Max && pool.activation == Activation::None,
            Op::Resize(resize) => resize.kind == ResizeKind::Nearest,
            Op::Pad(pad) => {
                let (scale, zero_point) = (quantization.scale(), quantization.zero_point());
                let (min, max) = ty.dtype.bounds_8_bit();
                let PadMode::Constant(value) = pad.mode else { return true };
                let q = qmath::quantize(value as f32, scale, zero_point, min, max);
                f64::from(qmath::dequantize(q, scale, zero_point)) == value
            }
            _ => false,
        }
    }

    /// The node on integers, and what it gives dequantized. (An index of the largest needs no more.)
    fn move_integers(&mut self, node: &Node, source: ValueId) -> bool {
        let mut inputs = node.inputs.clone();
        inputs[0] = Some(source);
        let output = node.outputs[0];
        if let Op::Arg(_) = node.op {
            self.push(Node { inputs, ..node.clone() });
            return true;
        }
        let ty = TensorType { shape: self.ty(output).shape.clone(), ..self.ty(source).clone() };
        if !self.accepts(&node.op, &inputs, &ty) {
            return false;
        }
        let name = format!("{}:quantized", self.graph.value(output).name);
        let moved = self.graph.add_value(name, ty);
        self.push(Node { inputs, outputs: vec![moved], ..node.clone() });
        let name = format!("{}:dequantize", node.name);
        self.push(Node { name, op: Op::Dequantize, inputs: vec![Some(moved)], outputs: vec![output] });
        self.dequantized.insert(output, moved);
        true
    }

    /// Lets the node that makes the float value `real` make `quantized` on integers, if it can and nothing else reads
    /// `real`.
    fn fuse(&mut self, real: ValueId, quantized: ValueId) -> bool {
        let Some(&place) = self.makers.get(&real).filter(|_| self.read_once.get(real.0) == Some(&true)) else {
            return false;
        };
        let node = self.graph.nodes[place].clone();
        let Some(inputs) = self.quantized_inputs(&node, quantized) else { return false };
        if !self.accepts(&node.op, &inputs, self.ty(quantized)) {
            return false;
        }
        self.makers.insert(quantized, place);
        self.graph.nodes[place] = Node { inputs, outputs: vec![quantized], ..node };
        true
    }

    /// What a node reads, as integers, to make `output` of it.
    fn quantized_inputs(&mut self, node: &Node, output: ValueId) -> Option<Vec<Option<ValueId>>> {
        let whole = |fusion: &Fusion<'_>, id: ValueId| {
            let source = *fusion.dequantized.get(&id)?;
            fusion.ty(source).activation_quantization("").ok().map(|_| source)
        };
        match &node.op {
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_) => {
                let x = whole(self, node.inputs[0]?)?;
                let weights = self.quantized_weights(node.inputs[1]?)?;
                let channel_axis = if let Op::DepthwiseConv2d(_) = node.op { 3 } else { 0 };
                let bias = match node.inputs.get(2).copied().flatten() {
                    Some(bias) => Some(self.quantized_bias(bias, [x, weights, output], channel_axis)?),
                    None => None,
                };
                Some([Some(x), Some(weights)].into_iter().chain(bias.map(Some)).collect())
            }
            Op::Binary(_) | Op::Prelu | Op::Concat(_) => {
                let sources: Vec<_> = node.inputs.iter().map(|id| id.and_then(|id| whole(self, id))).collect();
                // A number alone makes nothing quantized.
                sources.iter().flatten().next()?;
                let mut operands = Vec::with_capacity(sources.len());
                for (id, source) in node.inputs.iter().zip(sources) {
                    operands.push(Some(source.or_else(|| self.quantized_number((*id)?))?));
                }
                Some(operands)
            }
            Op::Unary(_)
            | Op::Pool2d(_)
            | Op::Reduce(Reduce { kind: ReduceKind::Mean, .. })
            | Op::Resize(_)
            | Op::Softmax(_) => Some(vec![Some(whole(self, node.inputs[0]?)?)]),
            _ => None,
        }
    }
}
