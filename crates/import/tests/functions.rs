//! ONNX files with functions of their own, written on the spot: what a call becomes, and what is refused.

use std::slice::from_ref;

use kinglet_graph::ops::{Activation, BinaryKind, Unary};
use kinglet_graph::{Execute, Graph, Op, Tensor, View, reference::Reference};
use kinglet_import::import;

#[path = "common/onnx.rs"]
mod file;
use file::{field, model, node, number, value};

/// A function's field 25 of the model: its nodes use ONNX's operators of this version, and its own.
fn function(version: u8, name: &str, [inputs, outputs]: [&[&str]; 2], nodes: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let names = |number: u8, names: &[&str]| names.iter().flat_map(|name| field(number, name)).collect::<Vec<u8>>();
    let nodes: Vec<u8> = nodes.iter().flat_map(|node| field(7, node)).collect();
    let opsets = [field(9, number(2, version)), field(9, [field(1, "own"), number(2, 1)].concat())].concat();
    let parts = [field(1, name), names(4, inputs), names(5, outputs), nodes, opsets, field(10, "own"), more.concat()];
    field(25, parts.concat())
}

/// A node that calls a function.
fn call(name: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes.iter().flat_map(|attribute| field(5, attribute)).collect();
    [node(name, inputs, output), attributes, field(7, "own")].concat()
}

/// An attribute that is a real number.
fn real(name: &str, value: f32) -> Vec<u8> {
    [field(1, name), vec![2 << 3 | 5], value.to_le_bytes().to_vec()].concat()
}

/// An attribute that has the value of one of the call.
fn reference(name: &str, of: &str) -> Vec<u8> {
    [field(1, name), field(21, of)].concat()
}

/// A node with attributes.
fn with(node: Vec<u8>, attributes: &[Vec<u8>]) -> Vec<u8> {
    [node, attributes.iter().flat_map(|attribute| field(5, attribute)).collect()].concat()
}

/// A model of version 13 of these nodes, of `x` with two elements, and functions.
fn file(nodes: &[Vec<u8>], functions: &[Vec<u8>]) -> Vec<u8> {
    let imports = field(8, [field(1, "own"), number(2, 1)].concat());
    [model(13, nodes, &[value("x", &["2"])], &[]), imports, functions.concat()].concat()
}

fn graph(nodes: &[Vec<u8>], functions: &[Vec<u8>]) -> Graph {
    import(&file(nodes, functions), "model.onnx").unwrap().graph
}

fn refusal(nodes: &[Vec<u8>], functions: &[Vec<u8>]) -> String {
    import(&file(nodes, functions), "model.onnx").unwrap_err().to_string()
}

/// What a graph makes of −1 and 2.
fn results(graph: &Graph) -> Vec<f32> {
    let x = Tensor::new([2], vec![-1f32, 2.0]).unwrap();
    let outputs = Reference::new(graph).unwrap().execute(&[x]).unwrap();
    let View::F32(values) = outputs[0].data().view() else { panic!("floats") };
    values.to_vec()
}

#[test]
fn calls_become_the_nodes_of_the_function() {
    // twice(a) = s with t = a + a; s = t + b; both calls have values of their own called t.
    let nodes = [node("Add", &["a", "a"], "t"), node("Add", &["t", "b"], "s")];
    let twice = function(13, "twice", [&["a", "b"], &["s"]], &nodes, &[]);
    let graph = graph(&[call("twice", &["x", "x"], "z", &[]), call("twice", &["z", "x"], "y", &[])], &[twice]);
    assert_eq!(graph.nodes.len(), 4);
    assert!(graph.nodes.iter().all(|node| matches!(&node.op, Op::Binary(op) if op.kind == BinaryKind::Add)));
    assert_eq!(graph.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["z/t", "z/s", "y/t", "y/s"]);
    assert_eq!(graph.value(graph.outputs[0]).name, "y");
    assert_eq!(results(&graph), [-7.0, 14.0]);
}

#[test]
fn attributes_come_from_the_call_or_are_defaults() {
    let leaky = with(node("LeakyRelu", &["a"], "b"), &[reference("alpha", "slope")]);
    let slope = |functions: &[Vec<u8>], attributes: &[Vec<u8>]| {
        let graph = graph(&[call("leaky", &["x"], "y", attributes)], functions);
        let Op::Unary(Unary::LeakyRelu { slope }) = graph.nodes[0].op else { panic!("{:?}", graph.nodes[0].op) };
        slope
    };
    let ends: [&[&str]; 2] = [&["a"], &["b"]];
    let plain = function(13, "leaky", ends, from_ref(&leaky), &[field(6, "slope")]);
    assert_eq!(slope(from_ref(&plain), &[real("slope", 0.25)]), 0.25);
    assert_eq!(slope(&[plain], &[]), 0.01, "the operator's own default");
    let with_default = function(13, "leaky", ends, &[leaky], &[field(11, real("slope", 0.5))]);
    assert_eq!(slope(from_ref(&with_default), &[real("slope", 0.25)]), 0.25);
    assert_eq!(slope(from_ref(&with_default), &[]), 0.5);
    // Through a function that passes its own on.
    let inner = with(call("leaky", &["a"], "b", &[]), &[reference("slope", "outer")]);
    let outer = function(13, "through", ends, &[inner], &[field(6, "outer")]);
    let graph = graph(&[call("through", &["x"], "y", &[real("outer", 0.125)])], &[with_default, outer]);
    assert_eq!(results(&graph), [-0.125, 2.0]);
    assert_eq!(graph.nodes[0].name, "y/b/b");
}

#[test]
fn outputs_may_be_inputs_and_inputs_may_be_left_out() {
    let swap = function(13, "second", [&["a", "b"], &["b"]], &[], &[]);
    let nodes = [node("Neg", &["x"], "n"), call("second", &["x", "n"], "y", &[])];
    assert_eq!(results(&graph(&nodes, &[swap])), [1.0, -2.0]);
    // Clip takes its bounds or none.
    let clip = function(13, "clip", [&["a", "min", "max"], &["b"]], &[node("Clip", &["a", "min", "max"], "b")], &[]);
    let bound = [number(2, 1), field(9, 0.5f32.to_le_bytes()), field(8, "max")].concat();
    let nodes = [call("clip", &["x", "", "max"], "y", &[])];
    let file =
        [model(13, &nodes, &[value("x", &["2"])], &[bound]), field(8, [field(1, "own"), number(2, 1)].concat()), clip];
    let graph = import(&file.concat(), "model.onnx").unwrap().graph;
    assert_eq!(results(&graph), [-1.0, 0.5]);
}

#[test]
fn a_function_has_versions_of_its_own() {
    // The bounds of Clip are attributes before version 11.
    let clip = with(node("Clip", &["a"], "b"), &[real("min", 0.0), real("max", 6.0)]);
    let relu6 = function(7, "relu6", [&["a"], &["b"]], &[clip], &[]);
    let graph = graph(&[call("relu6", &["x"], "y", &[])], &[relu6]);
    let Op::Unary(clip) = graph.nodes[0].op else { panic!("{:?}", graph.nodes[0].op) };
    assert_eq!(clip.as_activation().map(Activation::bounds), Some((0.0, 6.0)));
    let future = function(99, "relu6", [&["a"], &["b"]], &[node("Relu", &["a"], "b")], &[]);
    let error = refusal(&[call("relu6", &["x"], "y", &[])], &[future]);
    assert!(error.starts_with("it uses version 99 of ONNX's operators; "), "{error}");
}

#[test]
fn missing_operators_in_functions_are_named_by_call_and_node() {
    let ends: [&[&str]; 2] = [&["a"], &["b"]];
    let inner = function(13, "inner", ends, &[node("Fancy", &["a"], "b")], &[]);
    let outer = function(12, "outer", ends, &[call("inner", &["a"], "c", &[]), node("Odd", &["c"], "b")], &[]);
    let calls = [node("Relu", &["x"], "r"), call("outer", &["r"], "y", &[])];
    let error = refusal(&calls, &[inner.clone(), outer]);
    assert_eq!(error, "not supported: Fancy version 13 (node 1, \"y/c/b\"); Odd version 12 (node 1, \"y/b\")");
    let error = refusal(&[call("inner", &["x"], "y", &[])], &[inner]);
    assert_eq!(error, "not supported: Fancy version 13 (node 0, \"y/b\"); it is the only one");
    let error = refusal(&[call("unknown", &["x"], "y", &[])], &[]);
    assert_eq!(error, "not supported: own.unknown version 1 (node 0, \"y\"); it is the only one");
}

#[test]
fn recursion_and_wrong_calls_are_refused() {
    let ends: [&[&str]; 2] = [&["a"], &["b"]];
    let calls = |name: &str, other: &str| function(13, name, ends, &[call(other, &["a"], "b", &[])], &[]);
    let error = refusal(&[call("f", &["x"], "y", &[])], &[calls("f", "f")]);
    assert_eq!(error, "the file is damaged: its function \"f\" calls itself; fetch it again");
    let error = refusal(&[call("f", &["x"], "y", &[])], &[calls("f", "g"), calls("g", "f")]);
    assert_eq!(error, "the file is damaged: its function \"f\" calls itself; fetch it again");
    let chain: Vec<Vec<u8>> = (0..100).map(|i| calls(&format!("f{i}"), &format!("f{}", i + 1))).collect();
    let error = refusal(&[call("f0", &["x"], "y", &[])], &chain);
    assert_eq!(error, "the file is damaged: more than 64 calls of its functions lie in each other; fetch it again");
    let relu = function(13, "relu", ends, &[node("Relu", &["a"], "b")], &[]);
    let error = refusal(&[call("relu", &["x", "x"], "y", &[])], &[relu]);
    assert_eq!(error, "node 0 (own.relu, \"y\"): it has 2 inputs, but the function takes 1");
}

/// Each function calls the next one twice: two to the power of forty nodes.
#[test]
fn a_small_file_cannot_become_a_large_graph() {
    let ends: [&[&str]; 2] = [&["a"], &["b"]];
    let doubling = |i: usize, last: &str| {
        let next = if i == 39 { last.to_owned() } else { format!("f{}", i + 1) };
        function(13, &format!("f{i}"), ends, &[call(&next, &["a"], "c", &[]), call(&next, &["c"], "b", &[])], &[])
    };
    for (last, body) in [("relu", vec![node("Relu", &["a"], "b")]), ("nothing", vec![])] {
        let last_function = function(13, last, ends, &body, &[]);
        let functions: Vec<Vec<u8>> = (0..40).map(|i| doubling(i, last)).chain([last_function]).collect();
        let error = refusal(&[call("f0", &["x"], "y", &[])], &functions);
        assert_eq!(error, "the model is too large: it holds far less data than it describes");
    }
}
