//! Rewrites of a graph into one that computes the same for less.
//!
//! A pass takes a graph and says how often it rewrote something. [`optimize`] runs them all until none finds anything.

use crate::{Graph, GraphError};

/// A pass: rewrites the graph in place and gives the number of rewrites.
pub type Pass = fn(&mut Graph) -> Result<usize, GraphError>;

/// Every pass with its name, in the order in which they run.
pub const PASSES: &[(&str, Pass)] = &[];

/// Runs every pass until none rewrites anything. Gives the number of rewrites.
pub fn optimize(graph: &mut Graph) -> Result<usize, GraphError> {
    let mut total = 0;
    for (_, pass) in PASSES {
        total += pass(graph)?;
    }
    Ok(total)
}
