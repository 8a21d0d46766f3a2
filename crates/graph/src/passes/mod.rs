//! Rewrites of a graph into one that computes the same, bit for bit, for less.
//!
//! A pass takes a graph that [`Graph::validate`] accepts, leaves one that it accepts, and says how often it rewrote
//! something. [`optimize`] runs them all until none finds anything. To add one: a file here, and a row in [`PASSES`].

mod budget;
mod dead_code;
mod fold_constants;
mod fuse_activations;
mod layout;
mod pad_into_convolution;
mod remove_identities;

pub use dead_code::dead_code;
pub use fold_constants::fold_constants;
pub use fuse_activations::fuse_activations;
pub use layout::layout;
pub use pad_into_convolution::pad_into_convolution;
pub use remove_identities::remove_identities;

use crate::{Graph, GraphError};

/// A pass: rewrites the graph in place and gives the number of rewrites.
pub type Pass = fn(&mut Graph) -> Result<usize, GraphError>;

/// Every pass with its name, in the order in which they run.
pub const PASSES: &[(&str, Pass)] = &[
    ("layout", layout),
    ("fold_constants", fold_constants),
    ("remove_identities", remove_identities),
    ("fuse_activations", fuse_activations),
    ("pad_into_convolution", pad_into_convolution),
    ("dead_code", dead_code),
];

/// More rounds than any real model takes (two); a bound, since constant folding may double the constants in each.
const MAX_ROUNDS: usize = 4;

/// Validates the graph, then runs every pass until none rewrites anything. Gives the number of rewrites.
pub fn optimize(graph: &mut Graph) -> Result<usize, GraphError> {
    graph.validate()?;
    let mut total = 0;
    for _ in 0..MAX_ROUNDS {
        let mut rewrites = 0;
        for (name, pass) in PASSES {
            rewrites += pass(graph)?;
            debug_assert_eq!(graph.validate(), Ok(()), "after {name}");
        }
        total += rewrites;
        if rewrites == 0 {
            break;
        }
    }
    Ok(total)
}

/// For each value, whether it is read exactly once, by a node, and is no graph output: then its reader may change it.
fn read_once(graph: &Graph) -> Vec<bool> {
    let mut reads = vec![0usize; graph.values.len()];
    for id in graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()) {
        reads[id.0] += 1;
    }
    for id in &graph.outputs {
        reads[id.0] = usize::MAX;
    }
    reads.into_iter().map(|reads| reads == 1).collect()
}

/// Removes the nodes whose flag is set.
fn remove_nodes(graph: &mut Graph, remove: &[bool]) {
    let mut flags = remove.iter();
    graph.nodes.retain(|_| !flags.next().expect("one flag a node"));
}
