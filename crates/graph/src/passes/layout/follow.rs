//! How each operator works on tensors whose axes are permuted.

use super::permutation::{self, Permutation, is_identity, moves_nothing, order_between, permuted, without};
use super::regroup::{Regrouped, regroup};
use super::sweep::{Sweep, View};
use crate::ops::{Arg, Concat, Expand, Gather, Pad, Reduce, Slice};
use crate::{GraphError, Node, Op, TensorType, ValueId};

impl Sweep {
    /// Applies a node to the sources of its inputs, if it can be; its result is then a permutation of what that gives.
    pub(super) fn follow(&mut self, node: &Node, output: ValueId) -> Result<bool, GraphError> {
        let Some(x) = node.inputs.first().copied().flatten() else { return Ok(false) };
        let View { source, permutation } = self.view(x);
        if let Op::Transpose(transpose) = &node.op {
            let permutation = permuted(&permutation, &transpose.permutation);
            return self.define(output, View { source, permutation }).map(|()| true);
        }
        if node.inputs.iter().flatten().all(|id| self.is_plain(*id)) {
            return Ok(false);
        }
        match &node.op {
            Op::Reshape(_) => return self.follow_reshape(node, x, output),
            Op::Binary(_) | Op::Prelu | Op::Select => return self.follow_broadcast(node, output),
            Op::Concat(concat) => return self.follow_concat(node, concat),
            _ => {}
        }
        let Some((op, permutation)) = one_input(&node.op, &permutation, [&self.types[x.0], &self.types[output.0]])
        else {
            return Ok(false);
        };
        let mut inputs = node.inputs.clone();
        inputs[0] = Some(source);
        for input in inputs.iter_mut().skip(1).flatten() {
            *input = self.plain(*input)?;
        }
        self.push(node, op, inputs, permutation)?;
        Ok(true)
    }

    fn follow_reshape(&mut self, node: &Node, x: ValueId, output: ValueId) -> Result<bool, GraphError> {
        let View { source, permutation } = self.view(x);
        let regrouped = regroup(&self.types[x.0].shape, &permutation, &self.types[output.0].shape);
        let Some(Regrouped { before, shape, after }) = regrouped else { return Ok(false) };
        let source = match moves_nothing(self.shape(source), &before) {
            true => source,
            false => self.permuted(source, &before)?,
        };
        if shape == self.shape(source) {
            self.define(output, View { source, permutation: after })?;
        } else {
            self.push(node, Op::Reshape(crate::ops::Reshape { shape }), vec![Some(source)], after)?;
        }
        Ok(true)
    }

    /// An operator whose operands are broadcast to one shape.
    fn follow_broadcast(&mut self, node: &Node, output: ValueId) -> Result<bool, GraphError> {
        let rank = self.types[output.0].shape.len();
        let operands: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let Some(permutation) = self.cheapest_order(&operands, rank) else { return Ok(false) };
        let mut inputs = Vec::with_capacity(operands.len());
        for id in operands {
            inputs.push(Some(self.in_order_broadcast(id, &permutation)?));
        }
        self.push(node, node.op.clone(), inputs, permutation)?;
        Ok(true)
    }

    fn follow_concat(&mut self, node: &Node, concat: &Concat) -> Result<bool, GraphError> {
        let operands: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let rank = self.types[node.outputs[0].0].shape.len();
        let Some(permutation) = self.cheapest_order(&operands, rank) else { return Ok(false) };
        let mut inputs = Vec::with_capacity(operands.len());
        for id in operands {
            inputs.push(Some(self.in_order(id, &permutation)?));
        }
        let op = Op::Concat(Concat { axis: permutation[concat.axis], ..concat.clone() });
        self.push(node, op, inputs, permutation)?;
        Ok(true)
    }

    /// The order of an operand of this rank, no constant, in which the fewest elements of the others have to be moved.
    /// Of equals the first that is not the old order: what needed no order so far comes into the one that something
    /// needed.
    fn cheapest_order(&self, operands: &[ValueId], rank: usize) -> Option<Permutation> {
        let variable = |id: &&ValueId| self.graph.constant(**id).is_none() && self.types[id.0].shape.len() == rank;
        let variables: Vec<ValueId> = operands.iter().filter(variable).copied().collect();
        let orders = variables.iter().map(|id| self.view(*id).permutation);
        let cost = |order: &Permutation| -> usize {
            let moved = variables.iter().filter(|id| {
                let View { source, permutation } = self.view(**id);
                !moves_nothing(self.shape(source), &order_between(&permutation, order))
            });
            moved.map(|id| self.types[id.0].len()).sum()
        };
        orders.min_by_key(|order| (cost(order), is_identity(order)))
    }
}

/// The operator that does the same to a tensor of which `permutation` gives the input, and the permutation of its
/// result, from and to these types; `None` where the order of axes matters.
fn one_input(op: &Op, permutation: &[usize], [x, output]: [&TensorType; 2]) -> Option<(Op, Permutation)> {
    let same = permutation.to_vec();
    let last_stays = permutation.last() == Some(&(permutation.len().wrapping_sub(1)));
    let order = permutation::inverse(permutation);
    match op {
        Op::Unary(_) | Op::Cast(_) | Op::Quantize => Some((op.clone(), same)),
        Op::Dequantize | Op::Reinterpret => {
            let whole = |ty: &TensorType| ty.quantization.as_ref().is_none_or(|q| q.scales.len() == 1);
            (whole(x) && whole(output)).then(|| (op.clone(), same))
        }
        // They work along the last axis, on each row for itself.
        Op::Softmax(_) | Op::FullyConnected(_) => last_stays.then(|| (op.clone(), same)),
        Op::Pad(Pad { before, after, mode }) => {
            let pad = Pad { before: permuted(before, &order), after: permuted(after, &order), mode: *mode };
            Some((Op::Pad(pad), same))
        }
        Op::Slice(Slice { begin, step, size }) => {
            let [begin, size] = [begin, size].map(|indices| permuted(indices, &order));
            Some((Op::Slice(Slice { begin, step: permuted(step, &order), size }), same))
        }
        // A sum in another order could round otherwise.
        Op::Reduce(Reduce { kind, axes, keep_dims }) => {
            let moved = permuted(permutation, axes);
            let op = Op::Reduce(Reduce { kind: *kind, axes: moved.clone(), keep_dims: *keep_dims });
            let left = if *keep_dims { same } else { without(permutation, |axis| moved.contains(&axis)) };
            moved.is_sorted().then_some((op, left))
        }
        Op::Expand(Expand { shape }) if shape.len() == permutation.len() => {
            Some((Op::Expand(Expand { shape: permuted(shape, &order) }), same))
        }
        // With one axis of indices the axis stays, with none it goes.
        Op::Gather(Gather { axis, batch_dims: 0 }) => {
            let moved = permutation[*axis];
            let op = Op::Gather(Gather { axis: moved, batch_dims: 0 });
            match output.shape.len().checked_sub(x.shape.len()) {
                Some(0) => Some((op, same)),
                None => Some((op, without(permutation, |axis| axis == moved))),
                Some(_) => None,
            }
        }
        Op::Arg(arg) => {
            let moved = permutation[arg.axis];
            let op = Op::Arg(Arg { axis: moved, ..arg.clone() });
            Some((op, if arg.keep_dims { same } else { without(permutation, |axis| axis == moved) }))
        }
        _ => None,
    }
}
