//! Cameras, files, preprocessing, the live loop and its page: `Source → Frame → preprocess → … → Predictions`.
//! The hand-over between camera, model and viewers is a one-slot [`mailbox`]: a late frame is dropped, never queued.
#![deny(unsafe_code)]

pub mod board;
pub mod capture;
pub mod classifier;
pub mod color;
pub mod decode;
pub mod detector;
pub mod draw;
pub mod encode;
mod error;
pub mod frame;
pub mod jpeg;
pub mod live;
pub mod mailbox;
mod network;
#[cfg(feature = "page")]
pub mod page;
pub mod postprocess;
pub mod preprocess;
pub mod recognizer;
mod resample;
pub mod segmenter;
pub mod sources;
pub mod stats;

pub use error::{Result, VisionError};
