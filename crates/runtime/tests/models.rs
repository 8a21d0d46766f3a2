//! Real models: the runtime gives the very bytes of the plain reference executor, with every kernel row and thread
//! count.

use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Execute, Graph, Tensor, passes};
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::table::Choice;
use kinglet_runtime::{Session, SessionOptions};

mod common;
use common::Random;

fn model(file: &str) -> Option<Graph> {
    let Some(data) = std::env::var_os("KINGLET_DATA") else {
        eprintln!("skipped: KINGLET_DATA is not set");
        return None;
    };
    let path = std::path::Path::new(&data).join("models").join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut graph = kinglet_import::import(&bytes, file).unwrap().graph;
    passes::optimize(&mut graph).unwrap();
    Some(graph)
}

fn random_inputs(graph: &Graph, random: &mut Random) -> Vec<Tensor> {
    graph.inputs.iter().map(|id| random.tensor(&graph.value(*id).ty)).collect()
}

#[track_caller]
fn runtime_equals_reference(file: &str) {
    let Some(graph) = model(file) else { return };
    let mut random = Random::new(7);
    let inputs = random_inputs(&graph, &mut random);
    let expected = Reference::new(&graph).unwrap().execute(&inputs).unwrap();
    assert!(expected.iter().all(|tensor| tensor.ty().dtype == DType::U8));
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for threads in [1, 2, 3] {
            let options = SessionOptions { threads, kernels: Choice::UpTo(isa), ..SessionOptions::default() };
            let mut session = Session::new(&graph, &options).unwrap();
            for round in 0..2 {
                let found = session.run(&inputs).unwrap();
                assert!(found == expected, "{file}, {}, {threads} threads, round {round}", isa.name());
            }
        }
    }
}

#[test]
fn mobilenet_v2_int8() {
    runtime_equals_reference("tf2_mobilenet_v2_1.0_224_ptq.tflite");
}

#[test]
fn mobilenet_v2_uint8() {
    runtime_equals_reference("mobilenet_v2_1.0_224_quant.tflite");
}

#[test]
fn mobilenet_v1_uint8() {
    runtime_equals_reference("mobilenet_v1_0.25_128_quant.tflite");
}
