//! Mean over axes.

/// The mean over some axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// The axes, ascending, each once.
    pub axes: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep_dims: bool,
}
