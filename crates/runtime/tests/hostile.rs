//! Damaged model files that can still be read become sessions that run, or are refused: no panic.

use kinglet_graph::{Graph, Tensor, passes, stats};
use kinglet_runtime::{Session, SessionOptions};

mod common;
use common::Random;

/// Bytes of activations and multiply-adds above which a damaged model is not run: it would only take time.
const MOST_BYTES: usize = 64 << 20;
const MOST_MULTIPLY_ADDS: u64 = 1 << 30;

fn read(bytes: &[u8]) -> Option<Graph> {
    let mut graph = kinglet_import::import(bytes, "damaged").ok()?.graph;
    passes::optimize(&mut graph).ok()?;
    let small = graph.values.iter().map(|value| value.ty.bytes()).sum::<usize>() < MOST_BYTES;
    (small && stats::multiply_adds(&graph) < MOST_MULTIPLY_ADDS).then_some(graph)
}

/// Changes a few bytes, most of them near those that describe the model: a file's constants are most of it, and say
/// little.
fn damage(bytes: &mut [u8], plain: &[usize], random: &mut Random) {
    for _ in 0..random.between(1, 4) {
        let place = plain[random.between(0, plain.len() as i64 - 1) as usize];
        bytes[place] = match random.between(0, 3) {
            0 => 0,
            1 => 255,
            2 => bytes[place] ^ (1 << random.between(0, 7)),
            _ => random.next() as u8,
        };
    }
}

#[test]
fn damaged_models_run_or_are_refused() {
    let Some(data) = std::env::var_os("KINGLET_DATA") else {
        eprintln!("skipped: KINGLET_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&data).join("models/mobilenet_v1_0.25_128_quant.tflite");
    let original = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Constants look like noise; what describes the model is mostly zeros and small numbers.
    let plain: Vec<usize> = (8..original.len() - 8)
        .filter(|&at| original[at - 8..at + 8].iter().filter(|&&byte| byte == 0).count() > 6)
        .collect();
    let mut random = Random::new(11);
    let cases =
        std::env::var("KINGLET_FUZZ_CASES").map_or(1500usize, |cases| cases.parse().expect("a number of cases"));
    let mut ran = 0;
    for _ in 0..cases {
        let mut bytes = original.clone();
        damage(&mut bytes, &plain, &mut random);
        let Some(graph) = read(&bytes) else { continue };
        let Ok(mut session) = Session::new(&graph, &SessionOptions::default()) else { continue };
        let inputs: Vec<Tensor> = graph.inputs.iter().map(|id| random.tensor(&graph.value(*id).ty)).collect();
        // Values may be refused, such as an index beyond the end.
        ran += usize::from(session.run(&inputs).is_ok());
    }
    assert!(ran > cases / 15, "only {ran} damaged models still ran: the damage is too great to test anything");
}
