//! Reads model files into Kinglet's graph.
//!
//! [`import`] takes the bytes of a file, recognizes the format by its content, and gives a [`Model`] whose graph is
//! valid; [`import_with`] also binds what an ONNX file leaves open. Nothing here opens files, and nothing trusts them:
//! whatever the bytes are, the answer is a model or an [`ImportError`], and the memory it takes is bounded by their
//! number. A new format is a module beside [`onnx`], [`tflite`] and [`torch`], and a line in `format`.

#![forbid(unsafe_code)]

mod budget;
mod error;
mod format;
pub mod onnx;
pub mod tflite;
pub mod torch;
mod unsupported;

pub use error::{ImportError, UnsupportedOperator};
pub use onnx::{ExternalData, Options};

use std::collections::BTreeMap;

use kinglet_graph::Graph;

use format::Format;

/// A model as its file describes it.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it computes.
    pub graph: Graph,
    /// What its maker wrote about it; empty where nothing.
    pub description: String,
    /// The architecture, of a file that holds parameters alone.
    pub architecture: Option<&'static str>,
    /// What else the file says of itself, by name: ONNX's `metadata_props`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads a model of any supported format. `name` is for messages and becomes the graph's name: the file's, usually.
pub fn import(bytes: &[u8], name: &str) -> Result<Model, ImportError> {
    import_with(bytes, name, &Options::default())
}

/// Reads a model of any supported format, with sizes, shapes and values bound as the caller says. Those are ONNX's; a
/// TensorFlow Lite file leaves nothing open but the batch, which is 1, and one of parameters the image's size and, if
/// need be, the architecture.
///
/// # Errors
/// Also when something is bound in a model that leaves nothing open.
pub fn import_with(bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    match format::recognize(bytes) {
        Ok(Format::TorchZip) => torch::import_zip(bytes, name, options),
        Ok(Format::TorchLegacy) => torch::import_legacy(bytes, name, options),
        Ok(Format::Safetensors) => torch::import_safetensors(bytes, name, options),
        Ok(_) if options.architecture.is_some() => {
            Err(ImportError::Version("its architecture is in the file, and no other one can be given".to_owned()))
        }
        Ok(Format::Onnx) => onnx::import(bytes, name, options),
        Ok(Format::TfLite) if options.binds_something() => {
            Err(ImportError::Version("a TensorFlow Lite model leaves no sizes open that could be given".to_owned()))
        }
        Ok(Format::TfLite) => tflite::import(bytes, name),
        Err(found) => Err(ImportError::Format { name: name.to_owned(), found: found.to_owned() }),
    }
}
