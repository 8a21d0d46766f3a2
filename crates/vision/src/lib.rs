//! Cameras, files, preprocessing, the live loop and its page: `Source → Frame → preprocess → … → Predictions`.
//! The hand-over between camera, model and viewers is a one-slot [`mailbox`]: a late frame is dropped, never queued.
#![deny(unsafe_code)]

pub mod capture;
pub mod classifier;
pub mod color;
pub mod decode;
mod error;
pub mod frame;
pub mod jpeg;
pub mod live;
pub mod mailbox;
#[cfg(feature = "page")]
pub mod page;
pub mod preprocess;
mod resample;
pub mod sources;
pub mod stats;
pub mod thermometer;

pub use error::{Result, VisionError};
