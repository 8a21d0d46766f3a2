//! PyTorch's checkpoints and Hugging Face's safetensors, which hold a model's parameters but not what it computes.
//!
//! That is what [`architectures`] know: networks by name, recognized by the names and shapes of their parameters. Of a checkpoint
//! that `torch.save` wrote, no code is run: its pickle is read as data.

pub mod architectures;
mod checkpoint;
mod pickle;
mod reader;
mod safetensors;
mod state_dict;
mod zip;

pub use architectures::{Architecture, Builder, Layers};

use crate::{ImportError, Model};
use state_dict::StateDict;

/// What a file of parameters leaves open.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The network, which need not be one of [`architectures::ARCHITECTURES`]; else it is recognized.
    pub architecture: Option<Architecture>,
    /// Rows and columns of the image; else as many as the network was made for.
    pub size: Option<[usize; 2]>,
}

/// Reads a checkpoint in the zip format.
pub fn import_zip(bytes: &[u8], name: &str, options: &Options) -> Result<Model, ImportError> {
    model(checkpoint::from_zip(bytes)?, bytes.len(), name, options)
}

/// Reads a checkpoint in the format before version 1.6.
pub fn import_legacy(bytes: &[u8], name: &str, options: &Options) -> Result<Model, ImportError> {
    model(checkpoint::from_legacy(bytes)?, bytes.len(), name, options)
}

/// Reads safetensors.
pub fn import_safetensors(bytes: &[u8], name: &str, options: &Options) -> Result<Model, ImportError> {
    model(safetensors::read(bytes)?, bytes.len(), name, options)
}

fn model(tensors: StateDict<'_>, file: usize, name: &str, options: &Options) -> Result<Model, ImportError> {
    let tensors = state_dict::without_prefixes(tensors);
    let (mut graph, architecture) = architectures::assemble(&tensors, options.architecture, options.size, file)?;
    graph.name = name.to_owned();
    graph.validate()?;
    Ok(Model { graph, description: String::new(), architecture: Some(architecture.name) })
}
