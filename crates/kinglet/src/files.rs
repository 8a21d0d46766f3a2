//! Reading files that may be anything: only regular ones, and never more than a limit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use kinglet_import::ExternalData;
use kinglet_vision::{decode, frame::Rgb};

use crate::Error;

/// The largest image file that is read: 100 megapixels without compression are 300 MB.
const LARGEST_IMAGE: u64 = 320 << 20;

/// Opens and decodes an image file: JPEG, PNG or BMP. What its EXIF says about its orientation is done.
///
/// # Errors
/// When the file cannot be read or is no whole image of these formats.
pub fn open_image(path: impl AsRef<Path>) -> Result<Rgb, Error> {
    let path = path.as_ref();
    let bytes = read(path, LARGEST_IMAGE, "give a JPEG, PNG or BMP file")?;
    decode::image(&bytes).map_err(|error| error.in_file(path).into())
}

/// The content of a regular file of at most `largest` bytes.
pub(crate) fn read(path: &Path, largest: u64, advice: &'static str) -> Result<Vec<u8>, Error> {
    let wrong = |problem: String| Error::File { path: path.to_owned(), problem, advice };
    let failed = |error| Error::file(path, &error, advice);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(wrong("this is a directory".to_owned()));
    }
    if !metadata.is_file() {
        return Err(wrong("this is not a regular file".to_owned()));
    }
    let too_large = |size: u64| wrong(format!("too large: {size} bytes, where {largest} are the limit"));
    if metadata.len() > largest {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path).and_then(|file| file.take(largest + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > largest {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// The files beside a model, which some models keep their weights in.
pub(crate) struct Beside<'a>(pub(crate) &'a Path);

impl ExternalData for Beside<'_> {
    fn read(&self, location: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, String> {
        let folder = self.0.parent().unwrap_or(Path::new(""));
        let path = folder.join(location);
        let wrong = |problem: String| format!("{}: {problem}; keep the file beside the model", path.display());
        let failed = |error: std::io::Error| wrong(error.to_string());
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(wrong("this is not a regular file".to_owned()));
        }
        let left = metadata.len().checked_sub(offset).filter(|left| length.is_none_or(|length| length <= *left));
        let Some(left) = left else {
            return Err(wrong(format!("it ends at {}, before what is to be read from {offset} on", metadata.len())));
        };
        let length = length.unwrap_or(left);
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|error| wrong(error.to_string()))?);
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read(&file, 5, "").unwrap(), b"12345");
        for (path, largest, problem) in [
            (file.as_path(), 4, "too large: 5 bytes"),
            (directory.path(), 9, "this is a directory"),
            (Path::new("/dev/zero"), 9, "not a regular file"),
            (&directory.path().join("absent"), 9, "no such file"),
        ] {
            let message = read(path, largest, "do this").unwrap_err().to_string();
            assert!(message.contains(problem) && message.ends_with("do this"), "{message}");
        }
    }
}
