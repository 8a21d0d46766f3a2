//! Class names: those of ImageNet, CIFAR-10, COCO and PASCAL VOC built in, others from a text file with one name a
//! line, or from what a model file says of itself.

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

/// The 80 classes of COCO's detection task in their usual order, as YOLO models count them.
pub fn coco() -> Arc<[String]> {
    include_str!("coco.txt").lines().map(str::to_owned).collect()
}

/// Numbers from 1 to 90 that COCO gave no class of its detection task.
const COCO_GAPS: [usize; 10] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];

/// COCO's 90 numbers, 1 first, as TensorFlow's models count them and torchvision's after a background class; ten of
/// them have no name.
pub fn coco_90() -> Arc<[String]> {
    let mut names = include_str!("coco.txt").lines();
    let name = |number: usize| if COCO_GAPS.contains(&number) { "" } else { names.next().unwrap_or_default() };
    (1..=90).map(name).map(str::to_owned).collect()
}

/// The 20 classes of PASCAL VOC in their usual order, without the background.
pub fn voc() -> Arc<[String]> {
    include_str!("voc.txt").lines().map(str::to_owned).collect()
}

/// The names that Ultralytics writes into its exports: a Python dictionary from number to name, in the numbers' order
/// from 0. `None` where it is something else, or has control characters in it.
pub(crate) fn from_dictionary(text: &str) -> Option<Arc<[String]>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut names = Vec::new();
    while !rest.trim().is_empty() {
        let (number, after) = rest.split_once(':')?;
        if number.trim().parse() != Ok(names.len()) {
            return None;
        }
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
        let (name, after) = after[1..].split_once(quote)?;
        names.push(name.to_owned());
        rest = after.trim_start().strip_prefix(',').unwrap_or(after);
    }
    let plain = !names.is_empty() && names.iter().all(|name| !name.contains(char::is_control));
    plain.then(|| names.into())
}

/// Reads class names from a text file: line n names class n. Empty lines at the end do not count; a first line
/// `background` is taken off, since an index counts classes without it.
///
/// # Errors
/// When the file cannot be read, is no text or has control characters in it, is larger than a mebibyte, or names no
/// class.
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
    fn coco_and_voc_have_their_names_in_order() {
        assert_eq!((coco().len(), &coco()[0][..], &coco()[79][..]), (80, "person", "toothbrush"));
        let with_gaps = coco_90();
        assert_eq!(with_gaps.len(), 90);
        // The numbers that COCO's annotations have.
        for (number, name) in
            [(1, "person"), (13, "stop sign"), (44, "bottle"), (67, "dining table"), (90, "toothbrush")]
        {
            assert_eq!(with_gaps[number - 1], name);
        }
        assert_eq!((voc().len(), &voc()[14][..]), (20, "person"));
    }

    #[test]
    fn a_dictionary_names_classes() {
        let names = from_dictionary(r#"{0: 'person', 1: "dog's bowl", 2: 'a: b, c'}"#).unwrap();
        assert_eq!(*names, ["person", "dog's bowl", "a: b, c"]);
        for wrong in
            ["", "{}", "{1: 'a'}", "{0: 'a', 0: 'b'}", "{0: a}", "{0: 'a", "{0: 'a\u{1b}'}", "['a']", "{0: 'a' 1}"]
        {
            assert!(from_dictionary(wrong).is_none(), "{wrong}");
        }
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
