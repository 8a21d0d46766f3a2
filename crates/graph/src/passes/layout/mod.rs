//! Moves Transposes down through a graph until they meet their inverses.
//!
//! A file format of channels-first images is imported with a Transpose before and after each operator of images. What
//! lies between those is indifferent to the order of axes, once its attributes follow. The pass therefore walks through
//! the graph once and treats a Transpose as a view: a value is remembered as the permutation of another one, and
//! operators that can are applied to that other one, their results being permutations of what they give (`follow.rs`).
//! Only where an operator cannot, or at the graph's end, is a permutation carried out; a permutation of a permutation
//! that comes to nothing never is. What is left of a convolutional network is the Transpose of its input.

mod follow;
mod permutation;
mod regroup;
mod sweep;

use permutation::moves_nothing;
pub(super) use permutation::permuted_tensor;

use crate::ops::Reshape;
use crate::{Graph, GraphError, Op};

/// Moves Transposes down and cancels them, where the graph then moves fewer elements, or as many with fewer nodes. A
/// Transpose that is left and moves no element is a Reshape.
///
/// Every operator computes each element from the same numbers in the same order as before. Gives the number of nodes
/// that became fewer, at least 1 where anything changed.
pub fn layout(graph: &mut Graph) -> Result<usize, GraphError> {
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Transpose(_))) {
        return Ok(0);
    }
    let mut swept = sweep::sweep(graph)?;
    reshape_instead(&mut swept);
    super::remove_identities(&mut swept)?;
    super::dead_code(&mut swept)?;
    let (before, after) = (Cost::of(graph), Cost::of(&swept));
    if after >= before {
        return Ok(0);
    }
    *graph = swept;
    Ok(before.nodes.saturating_sub(after.nodes).max(1))
}

/// What a layout costs, the most important first.
#[derive(PartialEq, PartialOrd)]
struct Cost {
    /// Elements that Transposes move when the graph runs.
    moved: u64,
    nodes: usize,
    transposes: usize,
}

impl Cost {
    fn of(graph: &Graph) -> Cost {
        let mut cost = Cost { moved: 0, nodes: graph.nodes.len(), transposes: 0 };
        for node in &graph.nodes {
            if let (Op::Transpose(op), &[Some(input)]) = (&node.op, &node.inputs[..]) {
                let ty = &graph.value(input).ty;
                cost.moved += if moves_nothing(&ty.shape, &op.permutation) { 0 } else { ty.len() as u64 };
                cost.transposes += 1;
            }
        }
        cost
    }
}

/// Makes a Reshape of each Transpose that leaves all elements where they are.
fn reshape_instead(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        if let (Op::Transpose(transpose), &[Some(input)], &[output]) = (&node.op, &node.inputs[..], &node.outputs[..])
            && moves_nothing(&graph.value(input).ty.shape, &transpose.permutation)
        {
            let shape = graph.value(output).ty.shape.clone();
            graph.nodes[index].op = Op::Reshape(Reshape { shape });
        }
    }
}
