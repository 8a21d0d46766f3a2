//! Deep-learning models in real time on small computers.

#![forbid(unsafe_code)]

mod error;
pub mod labels;
pub mod zoo;

pub use error::Error;
