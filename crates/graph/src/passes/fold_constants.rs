//! Computes nodes whose inputs are all known, once and for all: for example the widening of float16 weights.

use std::sync::Arc;

use super::budget::Budget;
use crate::{Graph, GraphError, Node, Tensor, TensorRef, TensorType, ValueId};

/// Evaluates nodes whose inputs are all constant and makes their outputs constants.
///
/// It makes no more elements than the graph's constants have already, and takes a few steps for each of them. A node
/// that fails (an index out of range) is left, to fail when it is run.
pub fn fold_constants(graph: &mut Graph) -> Result<usize, GraphError> {
    let mut budget = Budget::new(graph);
    let mut folded = vec![false; graph.nodes.len()];
    for (index, folded) in folded.iter_mut().enumerate() {
        let node = &graph.nodes[index];
        let known = |id: &ValueId| graph.constant(*id).is_some();
        if !node.inputs.iter().flatten().all(known) {
            continue;
        }
        let (elements, steps) = cost(graph, node);
        if !budget.take(elements, steps) {
            continue;
        }
        if let Ok(tensors) = evaluate(graph, node) {
            *folded = true;
            for (id, tensor) in node.outputs.clone().into_iter().zip(tensors) {
                graph.values[id.0].constant = Some(Arc::new(tensor));
            }
        }
    }
    super::remove_nodes(graph, &folded);
    Ok(folded.iter().filter(|folded| **folded).count())
}

/// How many elements a node makes, and how many steps that takes.
fn cost(graph: &Graph, node: &Node) -> (u64, u64) {
    let ty = |id: ValueId| &graph.value(id).ty;
    let inputs: Vec<Option<&TensorType>> = node.inputs.iter().map(|id| id.map(ty)).collect();
    let outputs: Vec<&TensorType> = node.outputs.iter().map(|id| ty(*id)).collect();
    let made: u64 = outputs.iter().map(|ty| ty.len() as u64).sum();
    let read: u64 = inputs.iter().flatten().map(|ty| ty.len() as u64).sum();
    (made, made.saturating_add(read).saturating_add(node.op.steps(&inputs, &outputs)))
}

fn evaluate(graph: &Graph, node: &Node) -> Result<Vec<Tensor>, GraphError> {
    let known = |id| graph.constant(id).map(Tensor::as_ref);
    let inputs: Vec<Option<TensorRef<'_>>> = node.inputs.iter().map(|id| id.and_then(known)).collect();
    let mut outputs: Vec<Tensor> = node.outputs.iter().map(|id| Tensor::zeroed(graph.value(*id).ty.clone())).collect();
    let mut views: Vec<_> = outputs.iter_mut().map(Tensor::as_mut).collect();
    node.op.eval(&inputs, &mut views)?;
    Ok(outputs)
}
