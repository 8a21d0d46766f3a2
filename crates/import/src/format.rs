//! Recognizes what a file is by its content: the formats that are read, and those that people hand over by mistake.

use crate::onnx;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ONNX's protocol buffers.
    Onnx,
    /// TensorFlow Lite's FlatBuffers schema, third version.
    TfLite,
    /// A zip archive as `torch.save` writes it since version 1.6.
    TorchZip,
    /// The pickles and storages that it wrote before.
    TorchLegacy,
    /// Hugging Face's safetensors.
    Safetensors,
}

/// How a checkpoint of PyTorch before version 1.6 begins: a pickle of its magic number.
const TORCH_LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The format of these bytes, or what they look like instead.
pub fn recognize(bytes: &[u8]) -> Result<Format, &'static str> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(4, b"TFL3") {
        return Ok(Format::TfLite);
    }
    // torch.save begins with this record or with one of /data/; so does TorchScript, which gets an error of its own.
    if at(0, b"PK\x03\x04") && (contains(bytes, b"/data") || contains(tail(bytes), b"/data.pkl")) {
        return Ok(Format::TorchZip);
    }
    if at(0, TORCH_LEGACY) {
        return Ok(Format::TorchLegacy);
    }
    if is_safetensors(bytes) {
        return Ok(Format::Safetensors);
    }
    if onnx::is_model(bytes) {
        return Ok(Format::Onnx);
    }
    Err(match bytes {
        [] => "it is empty",
        _ if at(4, b"TFL") => "it is a TensorFlow Lite file of another schema version than 3",
        _ if at(0, b"version https://git-lfs") => {
            "it is a Git LFS pointer; run `git lfs pull` to fetch the model itself"
        }
        _ if at(0, b"GGUF") => "it looks like a GGUF language model",
        _ if at(0, b"\x89HDF\r\n\x1a\n") => "it looks like HDF5 (a Keras .h5 model); convert it to TensorFlow Lite",
        _ if at(0, b"PK\x03\x04") => "it is a ZIP archive; unpack it first",
        _ if at(0, b"\x1f\x8b") => "it is compressed with gzip; unpack it first",
        [0x80, 2..=5, ..] => "it is a Python pickle, but none of PyTorch's; save model.state_dict() with torch.save",
        _ if is_onnx_beginning(bytes) => "it looks like an ONNX file that was cut short; fetch it again",
        _ if at(0, b"\x89PNG") || at(0, b"\xff\xd8\xff") => "it is an image",
        _ if is_html(bytes) => "it is a web page: the download got a page instead of the model",
        _ if is_text(bytes) => "it is text",
        _ => "its content is of no known model format",
    })
}

/// Whether `needle` lies in the first kilobytes.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes[..bytes.len().min(4096)].windows(needle.len()).any(|window| window == needle)
}

/// The last kilobytes.
fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(4096)..]
}

/// A length that the file can hold, then a JSON object of it.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, header)) = bytes.split_first_chunk::<8>() else { return false };
    header.first() == Some(&b'{') && u64::from_le_bytes(*length) <= header.len() as u64
}

/// A protocol buffer that begins as ONNX's ModelProto: field 1, the small number of the IR version, then a field that
/// exists.
fn is_onnx_beginning(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=31, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42 | 0x72, ..])
}

fn is_html(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let starts_with = |tag: &[u8]| start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    starts_with(b"<!doctype") || starts_with(b"<html")
}

/// Whether the first bytes are UTF-8 without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may have split a character.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let mut safetensors = 2u64.to_le_bytes().to_vec();
        safetensors.extend(b"{}");
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\x1c\0\0\0TFL2", "schema version"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"PK\x03\x04........a.txt", "ZIP"),
            (b"\x80\x02}q\0", "pickle"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b" \n<!DOCTYPE html><title>404</title>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
            (b"hello\nthere \xc3", "text"),
            (b"\x89PNG\r\n", "image"),
            (b"\0\x01\x02\x03\xff\xfe", "no known"),
        ] {
            let found = recognize(bytes).unwrap_err();
            assert!(found.contains(word), "{bytes:?}: {found}");
        }
        for (bytes, format) in [
            (&b"PK\x03\x04........script/data/0"[..], Format::TorchZip),
            (b"\x1c\0\0\0TFL3", Format::TfLite),
            (b"PK\x03\x04........archive/data.pkl", Format::TorchZip),
            // A graph and the versions of operators, in either order.
            (b"\x08\x07\x42\x02\x10\x0d\x3a\0", Format::Onnx),
            (b"\x3a\0\x42\x02\x10\x0d\x08\x07", Format::Onnx),
            (TORCH_LEGACY, Format::TorchLegacy),
            (&safetensors, Format::Safetensors),
        ] {
            assert_eq!(recognize(bytes), Ok(format));
        }
    }
}
