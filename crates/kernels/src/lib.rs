//! Kinglet's CPU kernels: slices in, slices out.
//!
//! Each folder is one family of kernels. Its `mod.rs` is the safe door: it checks sizes, splits the work over the
//! [`threads::ThreadPool`] and holds the [`table::Table`] of rows; `scalar.rs` is the plain row that every other one
//! must equal bit for bit; then comes one file an instruction set, or `vector.rs`, one for all of them over the sixteen
//! lanes of `simd`. This crate holds nearly all of the project's `unsafe` code.
//!
//! Quantized activations are stored as [`Activation`]: `u8` on x86-64, because its 8-bit dot product multiplies
//! unsigned by signed bytes, and `i8` elsewhere. Zero points and clamping bounds given to a kernel are in that domain.

pub mod cpu;
pub mod depth_first;
pub mod dwconv;
pub mod eltwise;
pub mod gemm;
pub mod geometry;
mod im2col;
pub mod memory;
pub mod peak;
pub mod pooling;
pub mod qdwconv;
pub mod qgemm;
pub mod quantized;
pub mod qwinograd;
mod simd;
pub mod softmax;
pub mod table;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod transpose;
pub mod winograd;

/// The type that quantized activations are stored in on this architecture.
#[cfg(target_arch = "x86_64")]
pub type Activation = u8;
/// The type that quantized activations are stored in on this architecture.
#[cfg(not(target_arch = "x86_64"))]
pub type Activation = i8;
