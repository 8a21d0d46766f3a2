//! Where frames come from: a folder of images, a video file, a network stream, a camera. All look alike to the live
//! loop: one trait, and [`open`], which makes a source of what a user wrote.

mod folder;
mod http_mjpeg;
mod jpeg_pipe;
mod mjpeg_file;
mod pacing;
mod reopening;
mod rpicam;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod v4l2;
mod y4m;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use pacing::{Clock, SystemClock};

use crate::error::{Result, VisionError};
use crate::frame::Frame;

/// What a source can be, for messages.
pub(crate) const SOURCES: &str = "'camera' (the first one), /dev/videoN, 'rpicam' (a Raspberry Pi's own camera), a folder of images, a .y4m or .mjpeg \
     file, or an http:// MJPEG stream";

/// Frames a second where neither the user nor the source says how many.
const DEFAULT_FPS: f64 = 36.0;

/// Something that gives frames, one after another. An open set, hence a trait.
pub trait Source: Send {
    /// What it is, as it was negotiated.
    fn describe(&self) -> Description;

    /// Waits for the next frame, for about `timeout` and not much longer.
    ///
    /// # Errors
    /// When there will be no further frame: the source is then of no more use.
    fn next(&mut self, timeout: Duration) -> Result<Next>;

    /// Whether frames are coming at present.
    fn health(&self) -> Health {
        Health::Live
    }
}

/// What [`Source::next`] found.
#[derive(Debug)]
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// Nothing yet.
    Idle,
    /// Something that should have been a frame could not be used; said once, then passed over in silence.
    Skipped(VisionError),
    /// There are no more frames, as it should be.
    End,
}

/// Whether frames are coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// They are.
    Live,
    /// They stopped; the source is being opened again.
    Stale {
        /// When the last one came.
        since: Instant,
    },
    /// The source could not be opened again so far, and this is why; it is tried again and again.
    Lost {
        /// When the last one came.
        since: Instant,
        /// What the last attempt ran into.
        why: String,
    },
}

/// What a source is, as it was negotiated.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Name of the camera, the file, or the address.
    pub name: String,
    /// How its pictures are coded, in the source's own words.
    pub format: String,
    /// Width and height in pixels, where they are the same for all pictures and known before.
    pub size: Option<(u32, u32)>,
    /// Frames a second, where that is known before.
    pub fps: Option<f64>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.format)?;
        if let Some((width, height)) = self.size {
            write!(f, ", {width}x{height}")?;
        }
        if let Some(fps) = self.fps {
            write!(f, ", {} fps", (fps * 100.0).round() / 100.0)?;
        }
        write!(f, ")")
    }
}

/// What is asked of a source.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// The width that a camera is asked for; it gives the nearest that it has.
    pub width: u32,
    /// The height that a camera is asked for.
    pub height: u32,
    /// Frames a second. Where there is none, a video file keeps its own rate, and the others take 36.
    pub fps: Option<f64>,
    /// Begins a video file again when it ends. A folder of images always begins again.
    pub repeat: bool,
    /// What time it is, for sources that are paced.
    pub clock: Arc<dyn Clock>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        SourceOptions { width: 224, height: 224, fps: None, repeat: false, clock: Arc::new(SystemClock) }
    }
}

/// Opens what `spec` names: `camera`, `/dev/videoN`, `rpicam`, a folder of images, a `.y4m` or `.mjpeg` file, or an
/// `http://` MJPEG stream. A camera or stream that stalls or vanishes later is opened again by itself, which [`Source::health`]
/// tells.
///
/// # Errors
/// When `spec` names none of these, or what it names cannot be opened.
pub fn open(spec: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    if let Some(fps) = options.fps
        && !(0.01..=1000.0).contains(&fps)
    {
        let problem = format!("{fps} frames a second cannot be had; take 0.01 to 1000");
        return Err(VisionError::Video { format: "frame rate", problem });
    }
    if spec.starts_with("http://") {
        return http_mjpeg::open(spec, options);
    }
    if spec.starts_with("https://") {
        let problem = "encrypted streams are not supported; take the camera's http:// address".to_owned();
        return Err(VisionError::Stream { url: spec.to_owned(), problem });
    }
    if spec == "camera" || spec.starts_with("/dev/video") {
        return camera(spec, options);
    }
    if spec == "rpicam" {
        return rpicam::open(options);
    }
    let path = Path::new(spec);
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        _ if path.is_dir() => Ok(Box::new(folder::Folder::open(path, options)?)),
        Some("y4m") => Ok(Box::new(y4m::Y4m::open(path, options)?)),
        Some("mjpeg" | "mjpg") => Ok(Box::new(mjpeg_file::MjpegFile::open(path, options)?)),
        // What looks like a path is a path that does not exist, rather than a kind of source that does not.
        _ if spec.contains('/') && !path.exists() => {
            Err(VisionError::File { path: path.to_owned(), error: io::ErrorKind::NotFound.into() })
        }
        _ => Err(VisionError::UnknownSource(spec.to_owned())),
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn camera(spec: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    v4l2::open(spec, options)
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn camera(spec: &str, _options: &SourceOptions) -> Result<Box<dyn Source>> {
    let problem = "cameras are read through V4L2 on 64-bit Linux, and nowhere else".to_owned();
    Err(VisionError::Camera { device: spec.to_owned(), problem })
}
