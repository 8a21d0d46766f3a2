//! Moves Transposes down through a graph until they meet their inverses.
//!
//! A file format of channels-first images is imported with a Transpose before and after each operator of images. What lies
//! between those is indifferent to the order of axes, once its attributes follow. The pass therefore walks through the
//! graph once and treats a Transpose as a view: a value is remembered as the permutation of another one, and operators that
//! can are applied to that other one, their results being permutations of what they give (`follow.rs`). Only where an
//! operator cannot, or at the graph's end, is a permutation carried out; a permutation of a permutation that comes to
//! nothing never is. What is left of a convolutional network is the Transpose of its input.

mod follow;
mod permutation;
mod regroup;
mod sweep;

pub(super) use permutation::{moves_nothing, permuted_tensor};

use crate::{Graph, GraphError, Op};

/// Moves Transposes down and cancels them, where the graph then moves fewer elements, or as many with fewer nodes.
///
/// Every operator computes each element from the same numbers in the same order as before. Gives the number of nodes that
/// became fewer, at least 1 where anything changed.
pub fn layout(graph: &mut Graph) -> Result<usize, GraphError> {
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Transpose(_))) {
        return Ok(0);
    }
    let mut swept = sweep::sweep(graph)?;
    super::remove_identities(&mut swept)?;
    super::dead_code(&mut swept)?;
    let (before, after) = (cost(graph), cost(&swept));
    if after >= before {
        return Ok(0);
    }
    *graph = swept;
    Ok(before.1.saturating_sub(after.1).max(1))
}

/// How many elements Transposes move when the graph runs, and how many nodes it has.
fn cost(graph: &Graph) -> (u64, usize) {
    let moves = graph.nodes.iter().filter(|node| match (&node.op, node.inputs.first()) {
        (Op::Transpose(op), Some(Some(input))) => !moves_nothing(&graph.value(*input).ty.shape, &op.permutation),
        _ => false,
    });
    let elements = moves.flat_map(|node| &node.outputs).map(|id| graph.value(*id).ty.len() as u64).sum();
    (elements, graph.nodes.len())
}
