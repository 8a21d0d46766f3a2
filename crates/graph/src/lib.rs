//! Tensors, operators, the numeric contract, passes, and a slow plain reference executor.
//!
//! A [`Graph`] is what every importer makes and everything else reads. [`ops`] says what each operator means: the shape
//! that it gives and, in plain loops, the values. [`qmath`] is the only definition of quantized arithmetic: the
//! runtime's kernels are held to it bit for bit. [`passes`] rewrite a graph into an equivalent, cheaper one, and
//! [`reference::Reference`] executes any graph without regard to speed.

#![forbid(unsafe_code)]

pub mod element;
mod error;
pub mod fmath;
mod graph;
pub mod ops;
pub mod passes;
pub mod qmath;
mod quantization;
pub mod reference;
pub mod stats;
mod tensor;
mod tensor_type;
mod text;

pub use error::GraphError;
pub use graph::{Graph, Node, NodeId, Value, ValueId};
pub use ops::Op;
pub use quantization::Quantization;
pub use reference::Execute;
pub use tensor::{DType, Data, Tensor, TensorMut, TensorRef, View, ViewMut};
pub use tensor_type::{MAX_ELEMENTS, MAX_RANK, TensorType, checked_len};
