//! Turns a graph into a packed, planned, allocation-free session.
//!
//! [`Session::new`] lowers a [`Graph`](kinglet_graph::Graph) once: `storage` gives quantized activations the byte type
//! that this CPU's kernels want, `lower` picks a kernel for each node and packs its weights, and `arena` lays all
//! tensors into one buffer by when they are needed. [`Session::execute`] then walks the steps: no allocation, no lock.

#![forbid(unsafe_code)]

mod arena;
mod error;
mod lower;
mod session;
mod step;
mod storage;

pub use error::RuntimeError;
pub use kinglet_graph as graph;
pub use kinglet_kernels as kernels;
pub use session::{Arithmetic, Port, Session, SessionOptions, StepInfo};
