//! Recognizes activation functions that are written with several operators.

use crate::ops::{Activation, Binary, BinaryKind, Unary};
use crate::{DType, Data, Graph, GraphError, Node, NodeId, Op, ValueId};

/// Makes one operator of each x · sigmoid(x) (SiLU) and x · relu6(x + 3) / 6 (HardSwish), in the order in which file
/// formats write their factors. What lies between is read by nothing else.
pub fn fuse_functions(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once) = (graph.producers(), super::read_once(graph));
    let mut rewrites = 0;
    for index in 0..graph.nodes.len() {
        let pattern = Pattern { graph, producers: &producers, read_once: &read_once };
        let node = &graph.nodes[index];
        let Some((x, unary)) = pattern.silu(node).or_else(|| pattern.hard_swish(node)) else { continue };
        let node = &mut graph.nodes[index];
        (node.op, node.inputs) = (Op::Unary(unary), vec![Some(x)]);
        rewrites += 1;
    }
    Ok(rewrites)
}

struct Pattern<'g> {
    graph: &'g Graph,
    producers: &'g [Option<NodeId>],
    read_once: &'g [bool],
}

impl<'g> Pattern<'g> {
    /// The node that makes a value which only the pattern reads.
    fn maker(&self, id: ValueId) -> Option<&'g Node> {
        self.producers[id.0].filter(|_| self.read_once[id.0]).map(|node| &self.graph.nodes[node.0])
    }

    /// The operands of a binary float operator of this kind, without an activation.
    fn operands(&self, node: &Node, kind: BinaryKind) -> Option<[ValueId; 2]> {
        let &[Some(a), Some(b)] = &node.inputs[..] else { return None };
        let is_float = self.graph.value(*node.outputs.first()?).ty.dtype == DType::F32;
        (node.op == Op::Binary(Binary { kind, activation: Activation::None }) && is_float).then_some([a, b])
    }

    /// The number that a constant of one element is.
    fn number(&self, id: ValueId) -> Option<f32> {
        match self.graph.constant(id)?.data() {
            Data::F32(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// What a node multiplies by this number or divides by its inverse.
    fn scaled(&self, node: &Node, number: f32) -> Option<ValueId> {
        let near = |id: ValueId, number: f32| {
            self.number(id).is_some_and(|constant| (constant - number).abs() <= number * f32::EPSILON)
        };
        if let Some([a, b]) = self.operands(node, BinaryKind::Multiply) {
            return if near(b, number) { Some(a) } else { near(a, number).then_some(b) };
        }
        let [a, b] = self.operands(node, BinaryKind::Divide)?;
        near(b, 1.0 / number).then_some(a)
    }

    fn silu(&self, node: &Node) -> Option<(ValueId, Unary)> {
        let [a, b] = self.operands(node, BinaryKind::Multiply)?;
        let gates = |x: ValueId, gate: ValueId| {
            let gate = self.maker(gate);
            gate.is_some_and(|gate| gate.op == Op::Unary(Unary::Logistic) && gate.inputs == [Some(x)])
        };
        let x = if gates(a, b) { Some(a) } else { gates(b, a).then_some(b) };
        x.map(|x| (x, Unary::Silu))
    }

    fn hard_swish(&self, node: &Node) -> Option<(ValueId, Unary)> {
        const SIXTH: f32 = 1.0 / 6.0;
        let product = |node: &Node, is_gate: &dyn Fn(ValueId, ValueId) -> bool| {
            let [a, b] = self.operands(node, BinaryKind::Multiply)?;
            if is_gate(b, a) { Some(a) } else { is_gate(a, b).then_some(b) }
        };
        let relu6 = |gate: ValueId, x: ValueId| self.maker(gate).is_some_and(|gate| self.is_shifted_relu6(gate, x));
        let sixth_of_relu6 = |gate: ValueId, x: ValueId| {
            self.maker(gate).and_then(|gate| self.scaled(gate, SIXTH)).is_some_and(|gate| relu6(gate, x))
        };
        // (x · relu6(x + 3)) / 6, or x · (relu6(x + 3) / 6), or (x / 6) · relu6(x + 3)
        let whole = self.scaled(node, SIXTH).and_then(|id| self.maker(id)).and_then(|made| product(made, &relu6));
        let x = whole.or_else(|| product(node, &sixth_of_relu6)).or_else(|| {
            let [a, b] = self.operands(node, BinaryKind::Multiply)?;
            let x = |scaled: ValueId| self.maker(scaled).and_then(|scaled| self.scaled(scaled, SIXTH));
            let with_gate = |scaled: ValueId, gate: ValueId| x(scaled).filter(|x| relu6(gate, *x));
            with_gate(a, b).or_else(|| with_gate(b, a))
        });
        x.map(|x| (x, Unary::HardSwish))
    }

    /// Whether a node is relu6(x + 3).
    fn is_shifted_relu6(&self, node: &Node, x: ValueId) -> bool {
        let sum = match (&node.op, &node.inputs[..]) {
            (Op::Unary(Unary::Relu6), &[Some(sum)]) => self.maker(sum),
            _ => None,
        };
        let operands = sum.and_then(|sum| self.operands(sum, BinaryKind::Add));
        operands.is_some_and(|[a, b]| a == x && self.number(b) == Some(3.0) || b == x && self.number(a) == Some(3.0))
    }
}
