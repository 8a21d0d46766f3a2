//! Class names: ImageNet's and CIFAR-10's built in, others from a text file with one name a line.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::{Error, files};

/// The 1000 classes of ImageNet (ILSVRC 2012) in their usual order, without a background class.
pub fn imagenet() -> Arc<[String]> {
    static LABELS: OnceLock<Arc<[String]>> = OnceLock::new();
    LABELS.get_or_init(|| include_str!("imagenet.txt").lines().map(str::to_owned).collect()).clone()
}

/// The ten classes of CIFAR-10, in alphabetical order.
pub fn cifar10() -> Arc<[String]> {
    const NAMES: [&str; 10] =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    static LABELS: OnceLock<Arc<[String]>> = OnceLock::new();
    LABELS.get_or_init(|| NAMES.iter().map(|name| (*name).to_owned()).collect()).clone()
}

/// Reads class names from a text file: line n names class n. Empty lines at the end do not count; a first line
/// `background` is taken off, since an index counts classes without it.
///
/// # Errors
/// When the file cannot be read, is no text or has control characters in it, is larger than a mebibyte, or names no class.
pub fn read(path: &Path) -> Result<Arc<[String]>, Error> {
    const LARGEST: u64 = 1 << 20;
    const ADVICE: &str = "give a text file with one class name a line";
    let wrong = |problem: &str| Error::File { path: path.to_owned(), problem: problem.to_owned(), advice: ADVICE };
    let bytes = files::read(path, LARGEST, ADVICE)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8 text"))?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let names = text.strip_prefix("background\n").or(text.strip_prefix("background\r\n")).unwrap_or(text);
    if names.is_empty() {
        return Err(wrong("no class name in it"));
    }
    // A name is shown as it is, and a terminal would obey these.
    if names.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(wrong("control characters in it"));
    }
    Ok(names.lines().map(|name| name.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_has_its_thousand_names_in_order() {
        let labels = imagenet();
        assert_eq!(labels.len(), 1000);
        for (index, name) in
            [(0, "tench, Tinca tinca"), (285, "Egyptian cat"), (999, "toilet tissue, toilet paper, bathroom tissue")]
        {
            assert_eq!(labels[index], name);
        }
        assert!(labels.iter().all(|name| !name.is_empty() && name.trim() == name));
    }

    #[test]
    fn a_file_names_a_class_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.txt");
        for (text, expected) in [
            ("cat\ndog\n", vec!["cat", "dog"]),
            ("background\r\ncat\r\ndog\r\n\r\n", vec!["cat", "dog"]),
            ("\u{feff}cat\n\ndog", vec!["cat", "", "dog"]),
            ("backgrounds\ncat", vec!["backgrounds", "cat"]),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(*read(&path).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_names_no_class_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.txt");
        for (bytes, problem) in [
            (&b"\n\n"[..], "no class name"),
            (&b"\xff\xfe\x00"[..], "not UTF-8"),
            (&b"cat\n\x1b[2Jdog"[..], "control characters"),
            (&vec![b'a'; (1 << 20) + 1][..], "too large"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
        let message = read(&directory.path().join("absent")).unwrap_err().to_string();
        assert!(message.contains("no such file"), "{message}");
    }
}
