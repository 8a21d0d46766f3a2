//! Reads model files into Kinglet's graph.
//!
//! [`import`] takes the bytes of a file, recognizes the format by its content, and gives a [`Model`] whose graph is valid.
//! Nothing here opens files, and nothing trusts them: whatever the bytes are, the answer is a model or an [`ImportError`],
//! and the memory it takes is bounded by their number. A new format is a module beside [`tflite`] and a line in `format`.

#![forbid(unsafe_code)]

mod error;
mod format;
pub mod tflite;
pub mod torch;

pub use error::{ImportError, UnsupportedOperator};

use kinglet_graph::Graph;

/// A model as its file describes it.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it computes.
    pub graph: Graph,
    /// What its maker wrote about it; empty where nothing.
    pub description: String,
    /// The architecture, of a file that holds parameters alone.
    pub architecture: Option<&'static str>,
}

/// Reads a model of any supported format. `name` is for messages and becomes the graph's name: the file's, usually.
pub fn import(bytes: &[u8], name: &str) -> Result<Model, ImportError> {
    match format::recognize(bytes) {
        Ok(format::Format::TfLite) => tflite::import(bytes, name),
        Ok(format::Format::TorchZip) => torch::import_zip(bytes, name, &torch::Options::default()),
        Ok(format::Format::TorchLegacy) => torch::import_legacy(bytes, name, &torch::Options::default()),
        Ok(format::Format::Safetensors) => torch::import_safetensors(bytes, name, &torch::Options::default()),
        Err(found) => Err(ImportError::Format { name: name.to_owned(), found: found.to_owned() }),
    }
}
