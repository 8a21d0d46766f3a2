//! Files that are not what they claim to be: one clear line each, exit status 1, no panic, bounded memory.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{data, error_line, kinglet, small_model, stdout};

/// A folder with files to give to the command.
struct Rubbish(tempfile::TempDir);

impl Rubbish {
    fn new() -> Rubbish {
        Rubbish(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn error(&self, arguments: &[&Path]) -> String {
        error_line(kinglet(self.0.path()).args(arguments))
    }
}

/// The command under a limit of 512 MiB of address space, well below what a hostile size would ask for.
fn limited(home: &Path) -> Command {
    let mut command = Command::new("sh");
    let kinglet = kinglet(home);
    for (name, value) in kinglet.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-c", "ulimit -v 524288; exec \"$@\"", "sh"]).arg(kinglet.get_program());
    command
}

#[test]
fn no_rubbish_is_taken_for_a_model() {
    let rubbish = Rubbish::new();
    for (name, bytes, problem) in [
        ("text.tflite", &b"This is a text file.\n"[..], "it is text"),
        ("empty.tflite", b"", "it is empty"),
        ("page.tflite", b"<!DOCTYPE html><html></html>", "web page"),
        ("head.tflite", b"\x1c\0\0\0TFL3", ""),
        ("wild.tflite", b"\xff\xff\xff\x7fTFL3\xff\xff\xff\xff\xff\xff\xff\xff", ""),
        ("noise", &[0x5a; 4096], ""),
    ] {
        let file = rubbish.file(name, bytes);
        for command in ["inspect", "bench"] {
            let line = rubbish.error(&[Path::new(command), &file]);
            assert!(line.contains(name) && line.contains(problem), "{line}");
        }
    }
    for (path, problem) in
        [("./absent.tflite", "no such file"), ("/", "directory"), ("/dev/zero", "not a regular file")]
    {
        let line = rubbish.error(&[Path::new("inspect"), Path::new(path)]);
        assert!(line.contains(problem) && line.contains("kinglet models"), "{line}");
    }
}

#[test]
fn a_cut_model_is_said_to_be_damaged() {
    let Some(data) = data() else { return };
    let rubbish = Rubbish::new();
    let whole = fs::read(small_model(&data)).unwrap();
    for length in [8, 9, 100, 5_000, 100_000, whole.len() - 100_000] {
        let file = rubbish.file("cut.tflite", &whole[..length]);
        let line = error_line(limited(rubbish.0.path()).arg("inspect").arg(&file));
        assert!(line.contains("cut.tflite"), "{length} bytes: {line}");
    }
}

/// A PNG whose header speaks of 40,000 × 40,000 pixels: 4.8 GB.
#[test]
fn names_in_a_model_cannot_command_the_terminal() {
    let Some(data) = data() else { return };
    let rubbish = Rubbish::new();
    let mut bytes = fs::read(small_model(&data)).unwrap();
    let (name, evil) = (b"MobilenetV1/Predictions/Reshape_1", b"M\x1b[2J\x1b]0;title\x07/Predict\r\nReshape");
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at..at + evil.len()].copy_from_slice(evil);
    let file = rubbish.file("evil.tflite", &bytes);
    let shown = stdout(kinglet(rubbish.0.path()).arg("inspect").arg(&file));
    assert!(shown.contains("M [2J ]0;title /Predict  Reshape"), "{shown}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    png.extend(40_000u32.to_be_bytes());
    png.extend(40_000u32.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    let checksum = crc32(&png[12..]);
    png.extend(checksum.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png.extend(crc32(b"IDAT").to_be_bytes());
    png
}

/// The checksum of PNG's chunks (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[test]
fn no_rubbish_is_taken_for_an_image() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let rubbish = Rubbish::new();
    let jpeg = fs::read(data.join("imagenet/0000_tench.jpg")).unwrap();
    for (name, bytes, problem) in [
        ("huge.png", huge_png(), "40000x40000"),
        ("half.jpg", jpeg[..jpeg.len() / 2].to_vec(), "cut short"),
        ("head.jpg", jpeg[..20].to_vec(), "JPEG"),
        ("text.jpg", b"hello".to_vec(), "neither JPEG nor PNG nor BMP"),
        ("empty.jpg", Vec::new(), "no bytes"),
    ] {
        let image = rubbish.file(name, &bytes);
        let line = error_line(limited(rubbish.0.path()).arg("classify").args([&model, &image]));
        assert!(line.contains(name) && line.contains(problem), "{line}");
    }
    let line = rubbish.error(&[Path::new("classify"), &model, Path::new("absent.jpg")]);
    assert!(line.contains("absent.jpg: no such file"), "{line}");
    let line = rubbish.error(&[Path::new("classify"), &model, &data]);
    assert!(line.contains("this is a directory"), "{line}");
}

#[test]
fn data_to_evaluate_on_must_be_there() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let rubbish = Rubbish::new();
    let eval = |folder: &Path| rubbish.error(&[Path::new("eval"), &model, Path::new("--data"), folder]);
    assert!(eval(rubbish.0.path()).contains("no labelled images"), "{}", eval(rubbish.0.path()));
    assert!(eval(Path::new("/absent")).contains("no such folder"));
    rubbish.file("labels.csv", b"file,label\nabsent.jpg,0\n");
    assert!(eval(rubbish.0.path()).contains("absent.jpg: no such file"));
    rubbish.file("labels.csv", b"file,label\nabsent.jpg,1000\n");
    assert!(eval(rubbish.0.path()).contains("neither the index nor the name"));
}
