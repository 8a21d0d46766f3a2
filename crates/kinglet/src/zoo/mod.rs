//! The model zoo: a table of models that are fetched by name, once, and checked by hash.
//!
//! [`Zoo::fetch`] gives the path of a whole, verified file: from the cache, or downloaded to a temporary file beside it
//! (`download.rs`) that takes its place only when its hash is right (`cache.rs`).

mod cache;
mod cifar;
mod coral;
mod download;
mod shared;
mod timm;
mod torchvision;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinglet_vision::classifier::PreprocessOptions;

use crate::Error;
use shared::SharedCaches;

/// A model of the zoo.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where it is published: `https://HOST/PATH/FILE`.
    pub address: &'static str,
    /// The SHA-256 of the file, in lower-case hexadecimal: its 64 digits, or as many of the first as are published,
    /// which are at least eight.
    pub sha256: &'static str,
    /// The size of the file in bytes; about, where not all of the hash is published.
    pub size: u64,
    /// The organization on the Hugging Face hub that has the same parameters under the same name.
    pub hub: Option<&'static str>,
    /// What it computes, where the file holds parameters alone.
    pub architecture: Option<&'static str>,
    /// The classes that it tells apart.
    pub labels: LabelSet,
    /// How its pictures are prepared, where that is not the usual for its input.
    pub preprocess: PreprocessOptions,
    /// Its licence, as an SPDX identifier.
    pub licence: &'static str,
}

/// A built-in list of class names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSet {
    /// [`labels::imagenet`](crate::labels::imagenet).
    ImageNet,
    /// [`labels::cifar10`](crate::labels::cifar10).
    Cifar10,
}

/// What the float models here were trained with, but for those that say otherwise.
const IMAGENET: PreprocessOptions = PreprocessOptions {
    resize: Some(256),
    crop: Some(224),
    mean: Some([0.485, 0.456, 0.406]),
    std: Some([0.229, 0.224, 0.225]),
    interpolation: None,
};

/// The name of the model that is used where nobody names one.
pub const DEFAULT: &str = coral::ENTRIES[0].name;

/// Every model of the zoo; the default is the first.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [coral::ENTRIES, torchvision::ENTRIES, timm::ENTRIES, cifar::ENTRIES].into_iter().flatten()
}

/// The model of this name.
///
/// # Errors
/// [`Error::UnknownModel`], with the names that begin like it.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    entries().find(|entry| entry.name == name).ok_or_else(|| {
        let start = name.get(..5).unwrap_or(name);
        let similar: Vec<_> = entries().map(|entry| entry.name).filter(|known| known.starts_with(start)).collect();
        let similar = if similar.is_empty() { String::new() } else { format!(" (similar: {})", similar.join(", ")) };
        Error::UnknownModel { name: name.to_owned(), similar }
    })
}

impl Entry {
    /// The name of its file, in the cache and at its address.
    pub fn file_name(&self) -> &'static str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }

    /// The sizes that its file may have.
    fn sizes(&self) -> RangeInclusive<u64> {
        let doubt = if self.sha256.len() == 64 { 0 } else { self.size / 32 };
        self.size - doubt..=self.size + doubt
    }

    /// Its address, with scheme and host replaced where `mirror` is given.
    fn address_at(&self, mirror: Option<&str>) -> String {
        let after_scheme = self.address.split_once("://").map_or(self.address, |(_, rest)| rest);
        let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
        mirror.map_or(self.address.to_owned(), |mirror| format!("{}/{path}", mirror.trim_end_matches('/')))
    }
}

/// What happens while a model is fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress<'a> {
    /// Another process fetches the same model; this one waits for it.
    Waiting,
    /// Of `total` bytes, `done` have arrived.
    Bytes {
        /// Bytes that are on the disk.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// The connection failed; another attempt follows after a pause.
    Retrying {
        /// What happened.
        problem: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
}

/// Where models are kept and fetched from.
#[derive(Clone, Debug)]
pub struct Zoo {
    directory: PathBuf,
    mirror: Option<String>,
    pause: Duration,
    shared: SharedCaches,
}

impl Zoo {
    /// The zoo as the environment sets it: models are kept in `models` under `KINGLET_HOME`, else under
    /// `$XDG_CACHE_HOME/kinglet`, else under `~/.cache/kinglet`; `KINGLET_ZOO_URL` replaces scheme and host of every
    /// address. What PyTorch's and Hugging Face's caches have is used from there.
    ///
    /// # Errors
    /// [`Error::NoHome`] when none of these directories is known.
    pub fn from_env() -> Result<Zoo, Error> {
        let mirror = std::env::var("KINGLET_ZOO_URL").ok().filter(|url| !url.is_empty());
        let zoo = Zoo::in_directory(cache::home()?.join("models"));
        Ok(Zoo { mirror, shared: SharedCaches::from_env(), ..zoo })
    }

    /// A zoo that keeps its models in this directory, and knows no other cache.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Zoo {
        Zoo {
            directory: directory.into(),
            mirror: None,
            pause: Duration::from_secs(1),
            shared: SharedCaches::default(),
        }
    }

    /// The same zoo with scheme and host of every address replaced: `http://127.0.0.1:8000`,
    /// `https://mirror.example/kinglet`.
    pub fn with_mirror(self, mirror: impl Into<String>) -> Zoo {
        Zoo { mirror: Some(mirror.into()), ..self }
    }

    /// The same zoo, which also looks into `torch`, the folder where PyTorch keeps checkpoints
    /// (`~/.cache/torch/hub/checkpoints`), and into `hub`, where Hugging Face's packages do
    /// (`~/.cache/huggingface/hub`). It never writes there.
    pub fn with_shared_caches(self, torch: impl Into<PathBuf>, hub: impl Into<PathBuf>) -> Zoo {
        Zoo { shared: SharedCaches { torch: Some(torch.into()), hub: Some(hub.into()) }, ..self }
    }

    /// The same zoo with another first pause between attempts; it doubles with each failure in a row. One second by
    /// default.
    pub fn with_pause(self, pause: Duration) -> Zoo {
        Zoo { pause, ..self }
    }

    /// Where it keeps its models; made when the first one is fetched.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the model's file will be when it is fetched.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.directory.join(entry.file_name())
    }

    /// Where the model is fetched from.
    pub fn address(&self, entry: &Entry) -> String {
        entry.address_at(self.mirror.as_deref())
    }

    /// Where the model's file is, whole: size and hash are right.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn find(&self, entry: &Entry) -> Result<Option<PathBuf>, Error> {
        let path = self.path(entry);
        Ok(if cache::is_whole(&path, entry)? { Some(path) } else { self.shared.find(entry) })
    }

    /// The path of the model's file, downloaded now if it is not there whole. Without a network this works for every
    /// model that was fetched before. Any number of processes may do it at once: one downloads, the others wait.
    ///
    /// # Errors
    /// When it cannot be downloaded or kept; the message says what to do. What has arrived is kept, and the next call
    /// goes on from there, unless its hash is wrong.
    pub fn fetch(&self, entry: &Entry, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, Error> {
        if let Some(path) = self.find(entry)? {
            return Ok(path);
        }
        let path = self.path(entry);
        let _lock = cache::lock(&self.directory, entry, || progress(Progress::Waiting))?;
        if !cache::is_whole(&path, entry)? {
            self.download(entry, &path, progress)?;
        }
        Ok(path)
    }

    /// Downloads to a temporary file, checks it and puts it in place. The caller holds the lock.
    fn download(&self, entry: &Entry, path: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), Error> {
        let part = self.directory.join(format!("{}.part", entry.file_name()));
        let download = download::Download {
            address: self.address(entry),
            sizes: entry.sizes(),
            part: &part,
            path,
            pause: self.pause,
        };
        loop {
            let resumed = download.run(progress)?;
            if cache::is_whole(&part, entry)? {
                return cache::put_in_place(&part, path);
            }
            cache::remove(&part)?;
            // What lay there before may have begun another file: the server is to blame only for one fetched whole.
            if !resumed {
                let problem = format!(
                    "the file there is not the model, its SHA-256 is not {}{}: deleted",
                    entry.sha256,
                    if entry.sha256.len() < 64 { "…" } else { "" }
                );
                return Err(download.failed(problem, "try again from another network"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kinglet_import::torch::architectures;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let entries: Vec<&Entry> = entries().collect();
        for (index, entry) in entries.iter().enumerate() {
            assert!(entry.address.starts_with("https://"), "{}", entry.name);
            assert!(matches!(entry.sha256.len(), 8..=10 | 64), "{}", entry.name);
            assert!(entry.sha256.bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{}", entry.name);
            assert!(!entry.file_name().is_empty() && entry.size > 0);
            let named = entry.file_name().contains(&entry.sha256[..8]);
            assert!(named || entry.architecture.is_none(), "{}: its file's name has its hash", entry.name);
            let known = entry.architecture.is_none_or(|name| architectures::find(name).is_ok());
            assert!(known, "{}: {:?}", entry.name, entry.architecture);
            for other in &entries[..index] {
                assert!(entry.name != other.name && entry.file_name() != other.file_name(), "{}", entry.name);
            }
        }
        assert_eq!(entries[0].name, DEFAULT);
    }

    #[test]
    fn a_mirror_replaces_scheme_and_host() {
        let entry = &coral::ENTRIES[0];
        let path = entry.address.strip_prefix("https://raw.githubusercontent.com/").unwrap();
        assert_eq!(entry.address_at(None), entry.address);
        assert_eq!(entry.address_at(Some("http://127.0.0.1:8000")), format!("http://127.0.0.1:8000/{path}"));
        assert_eq!(entry.address_at(Some("http://mirror/a/b/")), format!("http://mirror/a/b/{path}"));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = find("mobilenet_v9").unwrap_err().to_string();
        assert!(message.starts_with("mobilenet_v9: ") && message.contains("mobilenet_v2_uint8"), "{message}");
        assert_eq!(find("mobilenet_v2").unwrap().size, 4_070_174);
    }
}
