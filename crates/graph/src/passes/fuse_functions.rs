//! Recognizes activation functions that are written with several operators.

use crate::ops::{Activation, Binary, BinaryKind, Unary};
use crate::{DType, Data, Graph, GraphError, Node, NodeId, Op, ValueId};

/// Makes one operator of each x · sigmoid(x) (SiLU), x · tanh(softplus(x)) (Mish), x · relu6(x + 3) / 6 (HardSwish) and
/// x / 2 · (1 + erf(x / √2)) (GELU), whatever the order of the factors. What lies between is read by nothing else.
pub fn fuse_functions(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once) = (graph.producers(), super::read_once(graph));
    let mut rewrites = 0;
    for index in 0..graph.nodes.len() {
        let pattern = Pattern { graph, producers: &producers, read_once: &read_once };
        let node = &graph.nodes[index];
        let Some((x, unary)) = pattern.gated(node).or_else(|| pattern.hard_swish(node)).or_else(|| pattern.gelu(node))
        else {
            continue;
        };
        let node = &mut graph.nodes[index];
        (node.op, node.inputs) = (Op::Unary(unary), vec![Some(x)]);
        rewrites += 1;
    }
    Ok(rewrites)
}

const SIXTH: f32 = 1.0 / 6.0;

/// Whether a positive number is another but for rounding: file formats write constants in several ways.
fn near(constant: f32, number: f32) -> bool {
    (constant - number).abs() <= 4.0 * f32::EPSILON * number
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
        let near = |id: ValueId, number: f32| self.number(id).is_some_and(|constant| near(constant, number));
        if let Some([a, b]) = self.operands(node, BinaryKind::Multiply) {
            return if near(b, number) { Some(a) } else { near(a, number).then_some(b) };
        }
        let [a, b] = self.operands(node, BinaryKind::Divide)?;
        near(b, 1.0 / number).then_some(a)
    }

    /// x times a function of x that is one operator, or two.
    fn gated(&self, node: &Node) -> Option<(ValueId, Unary)> {
        let [a, b] = self.operands(node, BinaryKind::Multiply)?;
        let gated = |x: ValueId, gate: ValueId| {
            let gate = self.maker(gate)?;
            let of_x = |node: &Node| node.inputs == [Some(x)];
            let inner = gate.inputs.first().copied().flatten().and_then(|id| self.maker(id));
            let unary = match gate.op {
                Op::Unary(Unary::Logistic) if of_x(gate) => Unary::Silu,
                Op::Unary(Unary::HardSigmoid { alpha, beta }) if of_x(gate) && beta == 0.5 && near(alpha, SIXTH) => {
                    Unary::HardSwish
                }
                Op::Unary(Unary::Tanh)
                    if inner.is_some_and(|node| node.op == Op::Unary(Unary::Softplus) && of_x(node)) =>
                {
                    Unary::Mish
                }
                _ => return None,
            };
            Some((x, unary))
        };
        gated(a, b).or_else(|| gated(b, a))
    }

    /// The two factors of a product, in both orders.
    fn factors(&self, node: &Node) -> impl Iterator<Item = [ValueId; 2]> {
        let operands = self.operands(node, BinaryKind::Multiply);
        operands.into_iter().flat_map(|[a, b]| [[a, b], [b, a]])
    }

    /// x · (1 + erf(x / √2)) / 2, the half multiplied by the product or by either factor.
    fn gelu(&self, node: &Node) -> Option<(ValueId, Unary)> {
        let half = |id: ValueId| self.maker(id).and_then(|node| self.scaled(node, 0.5));
        let is_gate = |gate: ValueId, x: ValueId| self.maker(gate).is_some_and(|gate| self.is_shifted_erf(gate, x));
        let whole = self.scaled(node, 0.5).and_then(|id| self.maker(id));
        let of_whole = whole.and_then(|node| self.factors(node).find(|[x, gate]| is_gate(*gate, *x))).map(|[x, _]| x);
        let x = of_whole.or_else(|| {
            self.factors(node).find_map(|[a, b]| {
                let halved = half(a).filter(|x| is_gate(b, *x));
                halved.or_else(|| half(b).filter(|gate| is_gate(*gate, a)).map(|_| a))
            })
        });
        x.map(|x| (x, Unary::Gelu))
    }

    /// Whether a node is 1 + erf(x / √2).
    fn is_shifted_erf(&self, node: &Node, x: ValueId) -> bool {
        let Some([a, b]) = self.operands(node, BinaryKind::Add) else { return false };
        let erf = if self.number(b) == Some(1.0) { a } else { b };
        let one = if erf == a { b } else { a };
        let scaled = match self.maker(erf) {
            Some(Node { op: Op::Unary(Unary::Erf), inputs, .. }) => inputs[0].and_then(|id| self.maker(id)),
            _ => None,
        };
        self.number(one) == Some(1.0)
            && scaled.and_then(|node| self.scaled(node, std::f32::consts::FRAC_1_SQRT_2)) == Some(x)
    }

    fn hard_swish(&self, node: &Node) -> Option<(ValueId, Unary)> {
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
