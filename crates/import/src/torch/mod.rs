//! PyTorch's checkpoints and Hugging Face's safetensors, which hold a model's parameters but not what it computes.
//!
//! That is what [`architectures`] know: networks by name, recognized by the names and shapes of their parameters. Of a
//! checkpoint that `torch.save` wrote, no code is run: its pickle is read as data.

pub mod architectures;
mod checkpoint;
mod pickle;
mod reader;
mod safetensors;
mod state_dict;
mod zip;

pub use architectures::{Architecture, Builder, Layers};

use crate::{ImportError, Model, Options};
use state_dict::StateDict;

/// Reads a checkpoint in the zip format.
pub fn import_zip(bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    model(checkpoint::from_zip(bytes)?, bytes.len(), name, options)
}

/// Reads a checkpoint in the format before version 1.6.
pub fn import_legacy(bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    model(checkpoint::from_legacy(bytes)?, bytes.len(), name, options)
}

/// Reads safetensors.
pub fn import_safetensors(bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    model(safetensors::read(bytes)?, bytes.len(), name, options)
}

fn model(tensors: StateDict<'_>, file: usize, name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    let tensors = state_dict::without_prefixes(tensors);
    let (mut graph, architecture) = architectures::assemble(&tensors, options.architecture, size(options)?, file)?;
    graph.name = name.to_owned();
    graph.validate()?;
    Ok(Model { graph, description: String::new(), metadata: Default::default(), architecture: Some(architecture.name) })
}

/// Rows and columns of the image, where they were given.
fn size(options: &Options<'_>) -> Result<Option<[usize; 2]>, ImportError> {
    if !options.binds_something() {
        return Ok(None);
    }
    let shapes: Vec<_> = options.shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    match shapes[..] {
        [("input", &[1, 3, rows, columns])] if options.sizes.is_empty() && options.values.is_empty() => {
            Ok(Some([rows, columns]))
        }
        _ => Err(ImportError::Version(
            "a checkpoint leaves open only the size of its image: input=1x3xROWSxCOLUMNS".to_owned(),
        )),
    }
}
