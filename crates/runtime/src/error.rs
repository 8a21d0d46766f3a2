//! What can go wrong between a graph and its session.

use kinglet_graph::GraphError;
use kinglet_kernels::gemm::Half;

/// An error in making or running a session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuntimeError {
    /// The graph is not valid, or the inputs do not fit it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph is valid, but the runtime has a limit that it exceeds.
    #[error("node {node} ({op}): {limit}")]
    Limit {
        /// The node's name.
        node: String,
        /// Its operator.
        op: &'static str,
        /// The limit, and what exceeds it.
        limit: String,
    },
    /// Half precision was asked for, and this CPU has no instructions for it that may be used.
    #[error(
        "this CPU, or the kernels that may be picked, cannot compute in half precision, which needs {}",
        Half::NEEDS
    )]
    NoHalf,
    /// All that must be in memory at once is too much.
    #[error("the model needs {needed} bytes for its activations, and at most {limit} are lent")]
    Memory {
        /// Bytes of the arena.
        needed: usize,
        /// The most that there may be.
        limit: usize,
    },
}
