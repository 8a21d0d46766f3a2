//! What the caller says about a model besides its file.

use std::collections::BTreeMap;

use kinglet_graph::Tensor;

use crate::torch::Architecture;

/// Reads the elements of tensors that lie in other files than the model. The importer opens none itself.
pub trait ExternalData {
    /// The bytes of the file `location`, a relative path without `..`, from `offset` on: `length` of them, or all that
    /// follow.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    fn read(&self, location: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, String>;
}

/// What is bound when a model is read. A size that nobody gives is 1 for the first axis (the batch) and an error for
/// others.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// Sizes of axes that the file leaves open, by the axis's name or as `input:axis`.
    pub sizes: BTreeMap<String, usize>,
    /// Shapes of inputs, by name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that are constants from now on, by name. Some operators need one: a shape, or the axes of a reduction.
    pub values: BTreeMap<String, Tensor>,
    /// The architecture of a file that holds parameters alone; it is recognized where none is given. Any will do, not
    /// only those of [`ARCHITECTURES`](crate::torch::architectures::ARCHITECTURES).
    pub architecture: Option<Architecture>,
    /// Where tensors are read that lie in other files.
    pub external: Option<&'a dyn ExternalData>,
}

impl Options<'_> {
    /// Whether any size, shape or value is bound.
    pub fn binds_something(&self) -> bool {
        !(self.sizes.is_empty() && self.shapes.is_empty() && self.values.is_empty())
    }
}
