//! What can go wrong between a model's name and its answers: what, where, and what to do, in one line each.

use std::path::PathBuf;

use kinglet_import::ImportError;
use kinglet_runtime::RuntimeError;
use kinglet_vision::VisionError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is neither a file's nor one of the zoo's.
    #[error("{name}: no such file, and no model of the zoo has this name{similar}; `kinglet models` lists all")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The names that begin like it, in words.
        similar: String,
    },
    /// There is nowhere to keep downloaded models.
    #[error("no home directory to keep models in: set KINGLET_HOME to a directory that you may write")]
    NoHome,
    /// A file could not be read or written.
    #[error("{}: {problem}; {advice}", path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// What happened.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// A model could not be downloaded.
    #[error("{address}: {problem}; {advice}, or download that address elsewhere and put the file at {}", path.display())]
    Download {
        /// The address that was asked.
        address: String,
        /// What happened.
        problem: String,
        /// What to do.
        advice: &'static str,
        /// Where the file is looked for.
        path: PathBuf,
    },
    /// Loading a model would take more memory than there is.
    #[error(
        "{}: loading this model takes about {} MB of memory, and {} MB are free; close other programs, add swap space, \
         raise the control group's limit, or take a smaller model",
        path.display(), needed.div_ceil(1_000_000), free / 1_000_000
    )]
    Memory {
        /// The model's file.
        path: PathBuf,
        /// Bytes that loading it takes, about.
        needed: u64,
        /// Bytes that this process can still have.
        free: u64,
    },
    /// A model file could not be understood.
    #[error("{}", import_message(model, error))]
    Import {
        /// The model's path or name.
        model: String,
        /// What is wrong with it.
        error: ImportError,
    },
    /// A picture, a source of pictures or a classifier is not what it should be.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// A session could not be made or run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// An error of a format names the file itself; others are about something in it.
fn import_message(model: &str, error: &ImportError) -> String {
    match error {
        ImportError::Format { .. } => error.to_string(),
        error => format!("{model}: {error}"),
    }
}

impl Error {
    /// The error of an operation on a file, with advice that fits its cause.
    pub(crate) fn file(path: impl Into<PathBuf>, error: &std::io::Error, otherwise: &'static str) -> Error {
        use std::io::ErrorKind;
        let (problem, advice) = match error.kind() {
            ErrorKind::NotFound => ("no such file".to_owned(), otherwise),
            ErrorKind::IsADirectory => ("this is a directory, not a file".to_owned(), otherwise),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                ("no space left".to_owned(), "free some, or set KINGLET_HOME to a directory on a disk that has room")
            }
            ErrorKind::PermissionDenied => ("permission denied".to_owned(), otherwise),
            ErrorKind::ReadOnlyFilesystem => ("the file system is read-only".to_owned(), otherwise),
            _ => (error.to_string(), otherwise),
        };
        Error::File { path: path.into(), problem, advice }
    }
}
