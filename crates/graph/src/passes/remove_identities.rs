//! Removes nodes that change nothing.

use crate::ops::{Activation, Pad, Slice};
use crate::{Graph, GraphError, Node, Op, ValueId};

/// Removes nodes whose output is their input, and lets a reshape of a reshape read the first one's input.
pub fn remove_identities(graph: &mut Graph) -> Result<usize, GraphError> {
    let rewrites = merge_reshapes(graph);
    let producers = graph.producers();
    let mut is_output = vec![false; graph.values.len()];
    for id in &graph.outputs {
        is_output[id.0] = true;
    }
    // What stands for each value; at most two steps lead to what finally does.
    let mut stand_ins: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    let mut removed = vec![false; graph.nodes.len()];
    for (node, removed) in graph.nodes.iter().zip(&mut removed) {
        let (Some(input), &[output]) = (node.inputs.first().copied().flatten(), &node.outputs[..]) else { continue };
        let input = resolve(&stand_ins, input);
        if !is_identity(graph, node) {
            continue;
        }
        if !is_output[output.0] {
            stand_ins[output.0] = input;
        } else if producers[input.0].is_some() && !is_output[input.0] {
            // The name of a graph's output stays: what makes the input makes the output instead.
            stand_ins[input.0] = output;
        } else {
            continue;
        }
        *removed = true;
    }
    super::remove_nodes(graph, &removed);
    for id in graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten().chain(&mut node.outputs)) {
        *id = resolve(&stand_ins, *id);
    }
    Ok(rewrites + removed.iter().filter(|removed| **removed).count())
}

fn resolve(stand_ins: &[ValueId], mut id: ValueId) -> ValueId {
    while stand_ins[id.0] != id {
        id = stand_ins[id.0];
    }
    id
}

/// Whether a node's output is its first input, bit for bit.
fn is_identity(graph: &Graph, node: &Node) -> bool {
    let (Some(input), Some(output)) = (node.inputs.first().copied().flatten(), node.outputs.first()) else {
        return false;
    };
    let (from, to) = (&graph.value(input).ty, &graph.value(*output).ty);
    let unchanged = match &node.op {
        Op::Reshape(_) | Op::Reinterpret | Op::Quantize | Op::Cast(_) => true,
        Op::Transpose(transpose) => transpose.permutation.is_sorted(),
        Op::Pad(Pad { before, after, .. }) => before.iter().chain(after).all(|size| *size == 0),
        Op::Slice(Slice { begin, step, size }) => {
            begin.iter().all(|begin| *begin == 0)
                && *size == from.shape
                && step.iter().zip(size).all(|(step, size)| *step == 1 || *size == 1)
        }
        Op::Concat(concat) => node.inputs.len() == 1 && concat.activation == Activation::None,
        _ => false,
    };
    unchanged && from.shape == to.shape && from.means_same(to)
}

/// Lets each reshape that reads a reshape read that one's input. The first may then be dead.
fn merge_reshapes(graph: &mut Graph) -> usize {
    let producers = graph.producers();
    let mut merged = 0;
    for index in 0..graph.nodes.len() {
        let reshaped = |node: &Node| match node.op {
            Op::Reshape(_) => node.inputs[0],
            _ => None,
        };
        let Some(input) = reshaped(&graph.nodes[index]) else { continue };
        if let Some(source) = producers[input.0].and_then(|producer| reshaped(&graph.nodes[producer.0])) {
            graph.nodes[index].inputs[0] = Some(source);
            merged += 1;
        }
    }
    merged
}
