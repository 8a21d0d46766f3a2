//! What every target asks of the importer.

/// Any bytes are read as a model or refused; what is read is sound before and after the passes, and no larger than its
/// file justifies.
pub fn import(bytes: &[u8]) {
    let Ok(mut model) = kinglet_import::import(bytes, "fuzzed") else { return };
    let constants = model.graph.values.iter().filter_map(|value| value.constant.as_ref());
    let taken: usize = constants.map(|constant| constant.ty().bytes()).sum();
    assert!(taken <= 4 * bytes.len() + (16 << 20), "{} bytes became {taken}", bytes.len());
    if kinglet_graph::passes::optimize(&mut model.graph).is_ok() {
        model.graph.validate().expect("an optimized graph is valid");
    }
}
