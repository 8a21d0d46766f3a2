//! What can be wrong with a graph, said with the node it is wrong at.

use crate::DType;

/// An error in a graph or in the tensors that it is executed with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// A tensor has another shape than the operator or the graph asks for.
    #[error("{what}: expected shape {expected}, found {found:?}")]
    Shape {
        /// Which tensor.
        what: String,
        /// What was asked for.
        expected: String,
        /// What was there.
        found: Vec<usize>,
    },
    /// A tensor has an element type that the operator does not take.
    #[error("{what}: element type {found} is not supported here; {expected}")]
    Type {
        /// Which tensor.
        what: String,
        /// What would be.
        expected: String,
        /// What was there.
        found: DType,
    },
    /// A quantized operator was given a tensor without scale and zero point, or with ones that make no sense.
    #[error("{what}: {problem}")]
    Quantization {
        /// Which tensor.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// An attribute makes no sense for the tensors at hand.
    #[error("{0}")]
    Attribute(String),
    /// The number of inputs is not the operator's.
    #[error("expected {expected} inputs, found {found}")]
    Arity {
        /// How many the operator takes.
        expected: String,
        /// How many there were.
        found: usize,
    },
    /// The error happened at this node.
    #[error("node {node} ({op}): {source}")]
    AtNode {
        /// The node's name.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What happened.
        source: Box<GraphError>,
    },
    /// The graph's structure is broken: a value used before it is made, two makers of one value, a cycle.
    #[error("graph structure: {0}")]
    Structure(String),
}

impl GraphError {
    /// The same error, with the node that it happened at.
    pub fn at(self, node: &str, op: &'static str) -> GraphError {
        match self {
            at @ GraphError::AtNode { .. } => at,
            source => GraphError::AtNode { node: node.to_owned(), op, source: Box::new(source) },
        }
    }
}
