//! Real models of the public test data: what the importer makes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinglet_graph::{DType, Graph, Node, Op, TensorType, stats};
use kinglet_import::Model;

/// The test data's directory, where there is one.
fn data() -> Option<PathBuf> {
    let data = std::env::var_os("KINGLET_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: KINGLET_DATA is not set");
    }
    data
}

fn import(data: &Path, name: &str) -> Model {
    let bytes = std::fs::read(data.join("models").join(name)).expect("the test data has this file");
    kinglet_import::import(&bytes, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// How many nodes there are of each operator, in alphabetical order.
fn census(graph: &Graph) -> Vec<(&'static str, usize)> {
    let mut counts = BTreeMap::new();
    for node in &graph.nodes {
        *counts.entry(node.op.name()).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// The only input and the only output.
fn ends(graph: &Graph) -> [&TensorType; 2] {
    assert_eq!((graph.inputs.len(), graph.outputs.len()), (1, 1));
    [&graph.value(graph.inputs[0]).ty, &graph.value(graph.outputs[0]).ty]
}

/// Operators work on int8 throughout, whatever the file's own type is.
fn assert_int8_inside(graph: &Graph) {
    for node in graph.nodes.iter().filter(|node| node.op != Op::Quantize) {
        for id in node.inputs.iter().flatten().chain(&node.outputs) {
            let dtype = graph.value(*id).ty.dtype;
            assert!(matches!(dtype, DType::I8 | DType::I32), "{} has a tensor of type {dtype}", node.name);
        }
    }
}

#[test]
fn mobilenet_v2_int8() {
    let Some(data) = data() else { return };
    let graph = import(&data, "tf2_mobilenet_v2_1.0_224_ptq.tflite").graph;
    let [input, output] = ends(&graph);
    assert_eq!(*input, TensorType::quantized(DType::U8, [1, 224, 224, 3], 0.007843138, 127));
    assert_eq!(*output, TensorType::quantized(DType::U8, [1, 1001], 0.00390625, 0));
    assert_eq!(
        census(&graph),
        [
            ("Add", 10),
            ("Conv2d", 36),
            ("DepthwiseConv2d", 17),
            ("Mean", 1),
            ("Quantize", 2),
            ("Reshape", 1),
            ("Softmax", 1)
        ]
    );
    assert_int8_inside(&graph);
    assert_eq!(stats::multiply_adds(&graph), 300_775_552);
}

#[test]
fn mobilenet_v2_uint8() {
    let Some(data) = data() else { return };
    let graph = import(&data, "mobilenet_v2_1.0_224_quant.tflite").graph;
    let [input, output] = ends(&graph);
    assert_eq!(*input, TensorType::quantized(DType::U8, [1, 224, 224, 3], 0.0078125, 128));
    assert_eq!(*output, TensorType::quantized(DType::U8, [1, 1001], 0.00390625, 0));
    assert_eq!(
        census(&graph),
        [
            ("Add", 10),
            ("AveragePool2d", 1),
            ("Conv2d", 36),
            ("DepthwiseConv2d", 17),
            ("Quantize", 2),
            ("Reshape", 1),
            ("Softmax", 1),
        ]
    );
    assert_int8_inside(&graph);
    assert_eq!(stats::multiply_adds(&graph), 300_775_552);
    let weights = graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv2d(_) | Op::DepthwiseConv2d(_)));
    let shifted =
        |node: &Node| graph.value(node.inputs[1].unwrap()).ty.quantization.as_ref().unwrap().zero_point() != 0;
    assert!(weights.filter(|node| shifted(node)).count() > 40, "its weights' zero points are not in the middle");
}

#[test]
fn mobilenet_v1_uint8() {
    let Some(data) = data() else { return };
    let graph = import(&data, "mobilenet_v1_0.25_128_quant.tflite").graph;
    let [input, output] = ends(&graph);
    assert_eq!(*input, TensorType::quantized(DType::U8, [1, 128, 128, 3], 0.0078125, 128));
    assert_eq!(*output, TensorType::quantized(DType::U8, [1, 1001], 0.00390625, 0));
    assert_eq!(
        census(&graph),
        [
            ("AveragePool2d", 1),
            ("Conv2d", 15),
            ("DepthwiseConv2d", 13),
            ("Quantize", 2),
            ("Reshape", 1),
            ("Softmax", 1),
        ]
    );
    assert_int8_inside(&graph);
}
