//! The command `kinglet`.
fn main() {}
