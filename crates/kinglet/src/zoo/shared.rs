//! The caches of PyTorch and of the Hugging Face hub, which may have a model already. They are only read.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Entry, cache};

/// Where other programs keep models.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SharedCaches {
    /// The folder `checkpoints` of `torch.hub`.
    pub(super) torch: Option<PathBuf>,
    /// The folder `hub` of the package `huggingface_hub`.
    pub(super) hub: Option<PathBuf>,
}

impl SharedCaches {
    /// Those that the environment names, as the two packages look for them.
    pub(super) fn from_env() -> SharedCaches {
        SharedCaches::from_variables(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>, user: Option<PathBuf>) -> SharedCaches {
        let path = |name: &str| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let general = path("XDG_CACHE_HOME").or_else(|| user.map(|user| user.join(".cache")));
        let in_general = |name: &str| general.as_ref().map(|general| general.join(name));
        let torch = path("TORCH_HOME").or_else(|| in_general("torch"));
        let hub = path("HF_HUB_CACHE")
            .or_else(|| path("HF_HOME").or_else(|| in_general("huggingface")).map(|home| home.join("hub")));
        SharedCaches { torch: torch.map(|torch| torch.join("hub/checkpoints")), hub }
    }

    /// A whole file of the model. What cannot be read is not there.
    pub(super) fn find(&self, entry: &Entry) -> Option<PathBuf> {
        let in_torch = self.torch.as_ref().map(|folder| folder.join(entry.file_name()));
        let in_torch = in_torch.filter(|path| cache::is_whole(path, entry).unwrap_or(false));
        in_torch.or_else(|| self.find_in_hub(entry))
    }

    /// `models--ORGANIZATION--NAME/snapshots/REVISION/FILE` is a link to `blobs/SHA256`, if the file is a large one:
    /// that its content has this hash says that it arrived whole.
    fn find_in_hub(&self, entry: &Entry) -> Option<PathBuf> {
        let model = self.hub.as_ref()?.join(format!("models--{}--{}", entry.hub?, entry.name));
        let revisions = fs::read_dir(model.join("snapshots")).ok()?;
        let mut files: Vec<PathBuf> =
            revisions.filter_map(|revision| Some(revision.ok()?.path().join("model.safetensors"))).collect();
        files.sort();
        files.into_iter().find(|path| is_its_blob(path).unwrap_or(false))
    }
}

/// Whether the link leads to a file whose name is its SHA-256.
fn is_its_blob(path: &Path) -> std::io::Result<bool> {
    let blob = fs::canonicalize(path)?;
    let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_hash = name.len() == 64 && blob.parent().is_some_and(|folder| folder.ends_with("blobs"));
    Ok(is_hash && blob.is_file() && cache::sha256(File::open(&blob)?)? == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_where_their_packages_look() {
        let caches = |variables: &[(&str, &str)]| {
            let value = |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.into());
            let caches = SharedCaches::from_variables(value, Some("/u".into()));
            [caches.torch, caches.hub].map(|path| path.unwrap().display().to_string())
        };
        assert_eq!(caches(&[]), ["/u/.cache/torch/hub/checkpoints", "/u/.cache/huggingface/hub"]);
        assert_eq!(caches(&[("XDG_CACHE_HOME", "/x")]), ["/x/torch/hub/checkpoints", "/x/huggingface/hub"]);
        assert_eq!(caches(&[("TORCH_HOME", "/t"), ("HF_HOME", "/h")]), ["/t/hub/checkpoints", "/h/hub"]);
        assert_eq!(caches(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")])[1], "/c");
        assert_eq!(SharedCaches::from_variables(|_| None, None), SharedCaches::default());
    }
}
