//! What can go wrong between a camera or a file and the model: one enum, and each message says what, where and what to
//! do about it.

use std::io;
use std::path::PathBuf;

use crate::postprocess::{Form, Task};
use crate::sources::SOURCES;

/// The result of everything in this crate that can fail.
pub type Result<T, E = VisionError> = std::result::Result<T, E>;

/// An error of a source, a decoder or the preprocessing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// The text names no kind of source.
    #[error("'{0}' is no source that Kinglet knows; it can be {SOURCES}")]
    UnknownSource(String),
    /// A file or a folder could not be opened or read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A folder has no file that ends like an image.
    #[error("{}: no images in this folder (looked for files ending in {endings})", folder.display())]
    NoImages {
        /// The folder.
        folder: PathBuf,
        /// The endings that were looked for.
        endings: &'static str,
    },
    /// Bytes that should be a picture are none, or are damaged.
    #[error("{format} image: {problem}")]
    Picture {
        /// What it was taken for: JPEG, PNG, …
        format: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A picture has more pixels than are decoded.
    #[error(
        "{format} image of {width}x{height} pixels is too large: \
         the limit is {max_side} a side and {max_megapixels} megapixels in all"
    )]
    TooLarge {
        /// What kind of picture.
        format: &'static str,
        /// Its width in pixels, as its header says.
        width: u64,
        /// Its height in pixels, as its header says.
        height: u64,
        /// The limit for either side.
        max_side: u32,
        /// The limit for width times height, in millions.
        max_megapixels: u64,
    },
    /// Something is wrong with what a named file contains.
    #[error("{}: {problem}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: Box<VisionError>,
    },
    /// A video file's header or frame is not what the format allows, or not what is supported here.
    #[error("{format}: {problem}")]
    Video {
        /// Which format.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A network stream could not be opened, or broke.
    #[error("{url}: {problem}")]
    Stream {
        /// Where the stream was asked for.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// A camera could not be opened or set up, or failed while it ran.
    #[error("{device}: {problem}")]
    Camera {
        /// The device file.
        device: String,
        /// What went wrong, and what to do.
        problem: String,
    },
    /// No device of this machine captures video.
    #[error("no camera found: {0}")]
    NoCamera(String),
    /// The system gave no thread.
    #[error("a thread could not be started: {0}")]
    Thread(io::Error),
    /// The model does not take one picture.
    #[error("the model cannot be shown pictures: {0}")]
    Model(String),
    /// There are not as many class names as classes.
    #[error("{labels} labels for {classes} classes: give a file of as many names, one a line (--labels FILE)")]
    Labels {
        /// The names that there are.
        labels: usize,
        /// The classes that the model tells apart.
        classes: usize,
    },
    /// What the model gives has the shapes of no form that is recognized.
    #[error(
        "the model's outputs have no known form: {found}; where it is one of {}, say which (--decoder FORM)",
        forms()
    )]
    UnknownOutputs {
        /// The outputs: name, type, shape.
        found: String,
    },
    /// The model's outputs cannot be read in the form that was asked for.
    #[error("the model's outputs are not of the form {form}, which is {shapes}: {found}")]
    OtherOutputs {
        /// The outputs: name, type, shape.
        found: String,
        /// What was asked for.
        form: Form,
        /// The shapes that it has.
        shapes: &'static str,
    },
    /// The model is for something else than was asked of it.
    #[error("this is a {found} model, not a {wanted} model: use `kinglet {}`", found.command())]
    OtherTask {
        /// What it is for.
        found: Task,
        /// What was asked of it.
        wanted: Task,
    },
    /// The model could not be made ready, or failed while it ran.
    #[error(transparent)]
    Runtime(#[from] kinglet_runtime::RuntimeError),
    /// Preprocessing was set up for something that the model does not take.
    #[error("preprocessing: {0}")]
    Preprocess(String),
}

impl VisionError {
    /// Says which file this error is about.
    pub fn in_file(self, path: impl Into<PathBuf>) -> VisionError {
        VisionError::In { path: path.into(), problem: Box::new(self) }
    }
}

/// The names of the forms that outputs can have.
fn forms() -> String {
    Form::ALL.iter().map(|form| form.name()).collect::<Vec<_>>().join(", ")
}
