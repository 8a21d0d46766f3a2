//! Any bytes as an ONNX model.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| kinglet_fuzz::import(bytes));
