//! A folder of images as a source: sorted by name, paced, and begun again at its end. JPEGs are handed on as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::metadata::Orientation;

use super::pacing::Pacer;
use super::{DEFAULT_FPS, Description, Next, Source, SourceOptions};
use crate::decode::{self, ImageFormat};
use crate::error::{Result, VisionError};
use crate::frame::{Frame, Picture};

/// The endings that are looked for, in any case.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "bmp"];

/// The source.
#[derive(Debug)]
pub(super) struct Folder {
    folder: PathBuf,
    files: Vec<ImageFile>,
    at: usize,
    /// The picture that waits for its time.
    ready: Option<(Picture, Arc<str>)>,
    pacer: Pacer,
    sequence: u64,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    name: Arc<str>,
    /// It was said once that it cannot be read.
    broken: bool,
}

impl Folder {
    pub(super) fn open(folder: &Path, options: &SourceOptions) -> Result<Folder> {
        let unreadable = |error| VisionError::File { path: folder.to_owned(), error };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
            if let Some(name) = path.file_name()
                && ENDINGS.contains(&ending.as_str())
                && path.is_file()
            {
                files.push(ImageFile { name: name.to_string_lossy().into(), path, broken: false });
            }
        }
        if files.is_empty() {
            return Err(VisionError::NoImages { folder: folder.to_owned(), endings: ".jpg, .jpeg, .png, .bmp" });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let pacer = Pacer::new(options.clock.clone(), options.fps.unwrap_or(DEFAULT_FPS));
        Ok(Folder { folder: folder.to_owned(), files, at: 0, ready: None, pacer, sequence: 0 })
    }

    /// Gets the next picture that can be read; an error where a file is found broken for the first time.
    fn load(&mut self) -> Result<(Picture, Arc<str>)> {
        let files = self.files.len();
        let mut last = None;
        for _ in 0..files {
            let file = &mut self.files[self.at];
            self.at = (self.at + 1) % files;
            match load(&file.path) {
                Ok(picture) => {
                    file.broken = false;
                    return Ok((picture, file.name.clone()));
                }
                Err(error) if file.broken => last = Some(error),
                Err(error) => {
                    file.broken = true;
                    return Err(error);
                }
            }
        }
        let last = last.map_or_else(String::new, |error| error.to_string());
        let problem = format!("none of its {files} files can be read; the last: {last}");
        Err(VisionError::Video { format: "folder of images", problem }.in_file(&self.folder))
    }
}

/// A picture as the file has it. A JPEG that is to be turned is decoded, since nobody behind the source looks at its
/// tag.
fn load(path: &Path) -> Result<Picture> {
    let bytes = decode::read_file(path)?;
    let picture = || -> Result<Picture> {
        if ImageFormat::of(&bytes) == Some(ImageFormat::Jpeg)
            && decode::jpeg_header(&bytes)?.orientation == Orientation::NoTransforms
        {
            return Ok(Picture::Jpeg(bytes.as_slice().into()));
        }
        Ok(Picture::Pixels(decode::image(&bytes)?.into_pixels()))
    };
    picture().map_err(|problem| problem.in_file(path))
}

impl Source for Folder {
    fn describe(&self) -> Description {
        Description {
            name: self.folder.display().to_string(),
            format: format!("{} images", self.files.len()),
            size: None,
            fps: Some(self.pacer.fps()),
        }
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        if self.ready.is_none() {
            let all_known_broken = self.files.iter().all(|file| file.broken);
            match self.load() {
                Ok(loaded) => self.ready = Some(loaded),
                Err(error) if all_known_broken => return Err(error),
                Err(error) => return Ok(Next::Skipped(error)),
            }
        }
        let Some(captured) = self.pacer.wait(timeout) else { return Ok(Next::Idle) };
        let Some((picture, name)) = self.ready.take() else { return Ok(Next::Idle) };
        let sequence = self.sequence;
        self.sequence += 1;
        Ok(Next::Frame(Frame { sequence, captured, picture, name: Some(name) }))
    }
}
