//! The model zoo: a table of models that are fetched by name, once, and checked by hash.
//!
//! [`Zoo::fetch`] gives the path of a whole, verified file: from the cache, or downloaded to a temporary file beside it
//! (`download.rs`) that takes its place only when its hash is right (`cache.rs`).

mod cache;
mod download;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinglet_vision::classifier::PreprocessOptions;

use crate::Error;

/// A model of the zoo.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where it is published: `https://HOST/PATH/FILE`.
    pub address: &'static str,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: &'static str,
    /// The size of the file in bytes.
    pub size: u64,
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

/// Google's test data for the Edge TPU, at a pinned commit.
macro_rules! coral {
    ($file:literal) => {
        concat!(
            "https://raw.githubusercontent.com/google-coral/test_data/104342d2d3480b3e66203073dac24f4e2dbb4c41/",
            $file
        )
    };
}

/// Shorter side to 256 / 224 of the input, its centre, and the range that the input's quantization says.
const USUAL: PreprocessOptions = PreprocessOptions { resize: None, crop: None, mean: None, std: None };

/// Every model of the zoo; the first is the default.
pub const ENTRIES: &[Entry] = &[
    Entry {
        // Post-training quantization, a scale a channel: 86.2 % top-1 on 500 photographs, one of each second class.
        name: "mobilenet_v2",
        description: "MobileNetV2, 224x224, int8",
        address: coral!("tf2_mobilenet_v2_1.0_224_ptq.tflite"),
        sha256: "5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c",
        size: 4_070_174,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
    Entry {
        // Quantization-aware training, a scale a tensor, weight zero points that are not 0: 88.2 % there.
        name: "mobilenet_v2_uint8",
        description: "MobileNetV2, 224x224, uint8",
        address: coral!("mobilenet_v2_1.0_224_quant.tflite"),
        sha256: "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
        size: 3_610_798,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
    Entry {
        // Very small and fast, far less accurate: 45.2 % there.
        name: "mobilenet_v1_0.25_128",
        description: "MobileNetV1 0.25, 128x128, uint8",
        address: coral!("mobilenet_v1_0.25_128_quant.tflite"),
        sha256: "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
        size: 525_598,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: USUAL,
        licence: "Apache-2.0",
    },
];

/// The model of this name.
///
/// # Errors
/// [`Error::UnknownModel`], which lists the names.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownModel {
        name: name.to_owned(),
        known: ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", "),
    })
}

impl Entry {
    /// The name of its file, in the cache and at its address.
    pub fn file_name(&self) -> &'static str {
        self.address.rsplit('/').next().unwrap_or(self.address)
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
}

impl Zoo {
    /// The zoo as the environment sets it: models are kept in `models` under `KINGLET_HOME`, else under
    /// `$XDG_CACHE_HOME/kinglet`, else under `~/.cache/kinglet`; `KINGLET_ZOO_URL` replaces scheme and host of every address.
    ///
    /// # Errors
    /// [`Error::NoHome`] when none of these directories is known.
    pub fn from_env() -> Result<Zoo, Error> {
        let mirror = std::env::var("KINGLET_ZOO_URL").ok().filter(|url| !url.is_empty());
        let zoo = Zoo::in_directory(cache::home()?.join("models"));
        Ok(Zoo { mirror, ..zoo })
    }

    /// A zoo that keeps its models in this directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Zoo {
        Zoo { directory: directory.into(), mirror: None, pause: Duration::from_secs(1) }
    }

    /// The same zoo with scheme and host of every address replaced: `http://127.0.0.1:8000`, `https://mirror.example/kinglet`.
    pub fn with_mirror(self, mirror: impl Into<String>) -> Zoo {
        Zoo { mirror: Some(mirror.into()), ..self }
    }

    /// The same zoo with another first pause between attempts; it doubles with each failure in a row. One second by default.
    pub fn with_pause(self, pause: Duration) -> Zoo {
        Zoo { pause, ..self }
    }

    /// Where the model's file is, or will be.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.directory.join(entry.file_name())
    }

    /// Where the model is fetched from.
    pub fn address(&self, entry: &Entry) -> String {
        entry.address_at(self.mirror.as_deref())
    }

    /// Whether the model is there, whole: size and hash are right.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn has(&self, entry: &Entry) -> Result<bool, Error> {
        cache::is_whole(&self.path(entry), entry)
    }

    /// The path of the model's file, downloaded now if it is not there whole. Without a network this works for every
    /// model that was fetched before. Any number of processes may do it at once: one downloads, the others wait.
    ///
    /// # Errors
    /// When it cannot be downloaded or kept; the message says what to do. What has arrived is kept, and the next call goes
    /// on from there, unless its hash is wrong.
    pub fn fetch(&self, entry: &Entry, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, Error> {
        let path = self.path(entry);
        if self.has(entry)? {
            return Ok(path);
        }
        let _lock = cache::lock(&self.directory, entry, || progress(Progress::Waiting))?;
        if !self.has(entry)? {
            self.download(entry, &path, progress)?;
        }
        Ok(path)
    }

    /// Downloads to a temporary file, checks it and puts it in place. The caller holds the lock.
    fn download(&self, entry: &Entry, path: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), Error> {
        let part = self.directory.join(format!("{}.part", entry.file_name()));
        let download =
            download::Download { address: self.address(entry), size: entry.size, part: &part, path, pause: self.pause };
        loop {
            let resumed = download.run(progress)?;
            if cache::is_whole(&part, entry)? {
                return cache::put_in_place(&part, path);
            }
            cache::remove(&part)?;
            // What lay there before may have begun another file: the server is to blame only for one fetched whole.
            if !resumed {
                let problem = format!("the file there is not the model, its SHA-256 is not {}: deleted", entry.sha256);
                return Err(download.failed(problem, "try again from another network"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert!(entry.address.starts_with("https://"), "{}", entry.name);
            assert!(entry.sha256.len() == 64 && entry.sha256.bytes().all(|b| b"0123456789abcdef".contains(&b)));
            assert!(!entry.file_name().is_empty() && entry.size > 0);
            for other in &ENTRIES[..index] {
                assert!(entry.name != other.name && entry.file_name() != other.file_name(), "{}", entry.name);
            }
        }
    }

    #[test]
    fn a_mirror_replaces_scheme_and_host() {
        let entry = &ENTRIES[0];
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
