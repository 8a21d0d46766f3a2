//! Any bytes as a TensorFlow Lite model.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Bytes without the format's identifier are refused at once, which would teach the fuzzer nothing.
    let mut bytes = bytes.to_vec();
    if let Some(identifier) = bytes.get_mut(4..8) {
        identifier.copy_from_slice(b"TFL3");
    }
    kinglet_fuzz::import(&bytes);
});
