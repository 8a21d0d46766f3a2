//! Any bytes are read as a checkpoint or as safetensors of a small network, or refused; what is read is sound before
//! and after the passes, and no larger than its file justifies.
#![no_main]

use kinglet_graph::passes;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/import/tests/common/torch.rs"]
mod network;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut model) = kinglet_import::import_with(bytes, "fuzzed", &network::small()) else { return };
    let constants = model.graph.values.iter().filter_map(|value| value.constant.as_ref());
    let taken: usize = constants.map(|constant| constant.ty().bytes()).sum();
    assert!(taken <= 4 * bytes.len() + (16 << 20), "{} bytes became {taken}", bytes.len());
    if passes::optimize(&mut model.graph).is_ok() {
        model.graph.validate().expect("an optimized graph is valid");
    }
});
