//! Rewrites of a graph into one that computes the same for less.
//!
//! A pass takes a graph that [`Graph::validate`] accepts, leaves one that it accepts, and says how often it rewrote
//! something. How much results may differ from those before, [`Precision`] says for each. [`optimize`] runs them all
//! until none finds anything. To add one: a file here, and a row in [`PASSES`].

mod affine;
mod budget;
mod dead_code;
mod flatten_into_weights;
mod fold_batch_norm;
mod fold_constants;
mod fuse_activations;
mod fuse_functions;
mod fuse_quantized;
mod layout;
mod pad_into_convolution;
mod remove_identities;

pub use dead_code::dead_code;
pub use flatten_into_weights::flatten_into_weights;
pub use fold_batch_norm::fold_batch_norm;
pub use fold_constants::fold_constants;
pub use fuse_activations::fuse_activations;
pub use fuse_functions::fuse_functions;
pub use fuse_quantized::fuse_quantized;
pub use layout::layout;
pub use pad_into_convolution::pad_into_convolution;
pub use remove_identities::remove_identities;

use crate::{Graph, GraphError};

/// Rewrites the graph in place and gives the number of rewrites.
pub type Rewrite = fn(&mut Graph) -> Result<usize, GraphError>;

/// How close the results after a pass are to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Bit for bit the same. (One NaN is as good as another.)
    Exact,
    /// The same in real numbers; floats are rounded at other places or summed in another order.
    Rounding,
    /// The same in real numbers; an operator between quantized tensors gives what [`qmath`](crate::qmath) defines
    /// instead of floats that are quantized, which is at most one step of its result's scale away.
    Step,
}

/// A pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name of its function and file.
    pub name: &'static str,
    /// What it does.
    pub rewrite: Rewrite,
    /// How close results stay.
    pub precision: Precision,
}

const fn pass(name: &'static str, rewrite: Rewrite, precision: Precision) -> Pass {
    Pass { name, rewrite, precision }
}

/// Every pass, in the order in which they run. Constants are folded after [`fuse_quantized`], which looks for quantized
/// weights that are dequantized, and after [`dead_code`] has removed what it left of them.
pub const PASSES: &[Pass] = &[
    pass("remove_identities", remove_identities, Precision::Exact),
    pass("layout", layout, Precision::Exact),
    pass("flatten_into_weights", flatten_into_weights, Precision::Rounding),
    pass("fuse_functions", fuse_functions, Precision::Rounding),
    pass("fuse_activations", fuse_activations, Precision::Exact),
    pass("fuse_quantized", fuse_quantized, Precision::Step),
    pass("pad_into_convolution", pad_into_convolution, Precision::Exact),
    pass("dead_code", dead_code, Precision::Exact),
    pass("fold_constants", fold_constants, Precision::Exact),
    pass("fold_batch_norm", fold_batch_norm, Precision::Rounding),
];

/// More rounds than any real model takes (three); a bound, since constant folding may double the constants in each.
const MAX_ROUNDS: usize = 4;

/// Validates the graph, then runs every pass until none rewrites anything. Gives the number of rewrites.
pub fn optimize(graph: &mut Graph) -> Result<usize, GraphError> {
    optimize_observed(graph, |_, _, _| ())
}

/// [`optimize`], which shows `observe` each pass that has run, how often it rewrote something, and the graph that it
/// left.
pub fn optimize_observed(
    graph: &mut Graph,
    mut observe: impl FnMut(&Pass, usize, &Graph),
) -> Result<usize, GraphError> {
    graph.validate()?;
    let mut total = 0;
    for _ in 0..MAX_ROUNDS {
        let mut rewrites = 0;
        for pass in PASSES {
            let count = (pass.rewrite)(graph)?;
            debug_assert_eq!(graph.validate(), Ok(()), "after {}", pass.name);
            observe(pass, count, graph);
            rewrites += count;
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
