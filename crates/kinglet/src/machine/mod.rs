//! What this machine has to offer: cores, and memory.

mod cores;
mod memory;

pub use cores::physical_cores;
pub use memory::Memory;
