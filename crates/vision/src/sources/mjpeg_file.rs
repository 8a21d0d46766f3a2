//! JPEGs one behind the other in a file, as `.mjpeg` files have them: cut apart by their own structure, and paced.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pacing::Pacer;
use super::{DEFAULT_FPS, Description, Next, Source, SourceOptions};
use crate::error::{Result, VisionError};
use crate::frame::{Frame, Picture};
use crate::jpeg::JpegStream;

/// The source.
#[derive(Debug)]
pub(super) struct MjpegFile {
    path: PathBuf,
    jpegs: JpegStream<File>,
    pacer: Pacer,
    repeat: bool,
    sequence: u64,
}

impl MjpegFile {
    pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<MjpegFile> {
        let pacer = Pacer::new(options.clock.clone(), options.fps.unwrap_or(DEFAULT_FPS));
        Ok(MjpegFile { path: path.to_owned(), jpegs: begin(path)?, pacer, repeat: options.repeat, sequence: 0 })
    }

    fn read_frame(&mut self) -> Result<Option<Vec<u8>>> {
        self.jpegs.next_jpeg().map_err(|error| VisionError::File { path: self.path.clone(), error })
    }
}

fn begin(path: &Path) -> Result<JpegStream<File>> {
    let file = File::open(path).map_err(|error| VisionError::File { path: path.to_owned(), error })?;
    Ok(JpegStream::new(file))
}

impl Source for MjpegFile {
    fn describe(&self) -> Description {
        let name = self.path.display().to_string();
        Description { name, format: "MJPEG".to_owned(), size: None, fps: Some(self.pacer.fps()) }
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        let Some(captured) = self.pacer.wait(timeout) else { return Ok(Next::Idle) };
        let mut jpeg = self.read_frame()?;
        if jpeg.is_none() && self.repeat && self.sequence > 0 {
            self.jpegs = begin(&self.path)?;
            jpeg = self.read_frame()?;
        }
        let Some(jpeg) = jpeg else {
            if self.sequence == 0 {
                let problem = "there is not one whole JPEG in it".to_owned();
                return Err(VisionError::Video { format: "MJPEG", problem }.in_file(&self.path));
            }
            return Ok(Next::End);
        };
        let sequence = self.sequence;
        self.sequence += 1;
        Ok(Next::Frame(Frame { sequence, captured, picture: Picture::Jpeg(jpeg.into()), name: None }))
    }
}
