//! How large a graph is and how much it computes, as papers count.

use crate::{Graph, Node};

/// The multiplications followed by an addition that one run of a node takes.
pub fn node_multiply_adds(graph: &Graph, node: &Node) -> u64 {
    let inputs: Vec<_> = node.inputs.iter().map(|id| id.map(|id| &graph.value(id).ty)).collect();
    let outputs: Vec<_> = node.outputs.iter().map(|id| &graph.value(*id).ty).collect();
    node.op.multiply_adds(&inputs, &outputs)
}

/// The multiplications followed by an addition that one run of a graph takes.
pub fn multiply_adds(graph: &Graph) -> u64 {
    graph.nodes.iter().map(|node| node_multiply_adds(graph, node)).fold(0, u64::saturating_add)
}

/// The size of a graph's constants in bytes. A constant that several values share counts for each.
pub fn parameter_bytes(graph: &Graph) -> u64 {
    let constants = graph.values.iter().filter(|value| value.constant.is_some());
    constants.map(|value| value.ty.bytes() as u64).sum()
}

/// The number of a graph's constants' elements.
pub fn parameters(graph: &Graph) -> u64 {
    let constants = graph.values.iter().filter(|value| value.constant.is_some());
    constants.map(|value| value.ty.len() as u64).sum()
}
