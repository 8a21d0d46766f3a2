//! What can be wrong with a model file, said so that its owner knows what to do.

use kinglet_graph::GraphError;

/// Why a model file could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// The content is of no format that is read.
    #[error(
        "{name} is not a model that can be read: {found}; supported: ONNX (.onnx), TensorFlow Lite (.tflite), PyTorch's state \
         dicts (.pth, .pt) and safetensors"
    )]
    Format {
        /// What the file is called.
        name: String,
        /// What it looks like.
        found: String,
    },
    /// The file contradicts its own format: cut short, overwritten, or made by something broken.
    #[error("the file is damaged: {0}; fetch it again")]
    Damaged(String),
    /// A tensor is of a kind that is not supported, or its parts do not fit each other.
    #[error("tensor {tensor:?}: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An operator's inputs, outputs or options make no sense.
    #[error("node {node} ({operator}, {name:?}): {problem}")]
    Operator {
        /// Its place in the file.
        node: usize,
        /// What it is.
        operator: String,
        /// The name of its first output.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is of a version of its format that is not read.
    #[error("{0}")]
    Version(String),
    /// An operator must know one of the model's inputs when the model is read.
    #[error("node {node} ({operator}) needs {what} when the model is read: bind the input {input:?} to its value")]
    Unbound {
        /// The input's name.
        input: String,
        /// The node's place in the file.
        node: usize,
        /// What it is.
        operator: String,
        /// What it needs.
        what: String,
    },
    /// Operators that are not supported: all of the file's.
    #[error("not supported: {}", list(.0))]
    Unsupported(Vec<UnsupportedOperator>),
    /// A file of parameters is of a kind that is not supported, or holds none.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(String),
    /// The parameters are those of no architecture that is known.
    #[error(
        "its parameters are those of no known architecture; closest is {closest} ({problem}); known: {known}; another one has \
         to be exported to ONNX"
    )]
    UnknownArchitecture {
        /// The architecture with the fewest differences.
        closest: String,
        /// What they are.
        problem: String,
        /// The names of all.
        known: String,
    },
    /// The parameters are not those of the architecture that was asked for.
    #[error("its parameters are not those of {architecture} ({problem})")]
    Parameters {
        /// What was asked for.
        architecture: String,
        /// The differences.
        problem: String,
    },
    /// There is no architecture of this name.
    #[error("no architecture {name:?} is known; known: {known}")]
    NoArchitecture {
        /// What was asked for.
        name: String,
        /// The names of all.
        known: String,
    },
    /// The file asks for more memory than its size, or a small computer, justifies.
    #[error("the model is too large: {0}")]
    TooLarge(String),
    /// The operators do not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// An operator that is not supported, or not in the way that the file uses it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{operator} version {version}{} (node {node}, {name:?}{})", with_reason(.reason), and_more(*.more))]
pub struct UnsupportedOperator {
    /// The file format's name of it.
    pub operator: String,
    /// The version of it that the file asks for.
    pub version: i32,
    /// What about it is not supported; empty where nothing is.
    pub reason: String,
    /// The place of the first such node in the file.
    pub node: usize,
    /// The name of that node's first output.
    pub name: String,
    /// How many more there are.
    pub more: usize,
}

fn list(operators: &[UnsupportedOperator]) -> String {
    let only = if matches!(operators, [one] if one.more == 0) { "; it is the only one" } else { "" };
    operators.iter().map(UnsupportedOperator::to_string).collect::<Vec<_>>().join("; ") + only
}

fn with_reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(", {reason}") }
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}
