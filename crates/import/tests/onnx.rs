//! ONNX files written on the spot: what is bound when they are read, and what is refused with which words.

use std::collections::BTreeMap;

use kinglet_graph::{DType, Tensor};
use kinglet_import::{ExternalData, ImportError, Options, import, import_with};

#[path = "common/onnx.rs"]
mod file;
use file::{field, model, node, number, value};

fn relu(sizes: &[&str]) -> Vec<u8> {
    model(13, &[node("Relu", &["x"], "y")], &[value("x", sizes)], &[])
}

fn message(bytes: &[u8], options: &Options<'_>) -> String {
    import_with(bytes, "model.onnx", options).unwrap_err().to_string()
}

fn input_shape(bytes: &[u8], options: &Options<'_>) -> Vec<usize> {
    let graph = import_with(bytes, "model.onnx", options).unwrap().graph;
    graph.value(graph.inputs[0]).ty.shape.clone()
}

#[test]
fn open_sizes_are_bound() {
    let file = relu(&["N", "3", "height", "width"]);
    let sizes = |sizes: &[(&str, usize)]| Options {
        sizes: sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
        ..Options::default()
    };
    assert_eq!(input_shape(&file, &sizes(&[("height", 4), ("width", 5)])), [1, 3, 4, 5]);
    assert_eq!(input_shape(&file, &sizes(&[("N", 2), ("x:2", 4), ("x:3", 5)])), [2, 3, 4, 5]);
    assert_eq!(input_shape(&file, &sizes(&[("x:1", 3), ("height", 4), ("width", 5)])), [1, 3, 4, 5]);
    let error = message(&file, &sizes(&[("height", 4), ("depth", 5)]));
    assert_eq!(error, "no axis is called \"depth\"; open are N, height, width");
    let error = message(&file, &sizes(&[("x:1", 4)]));
    assert_eq!(error, "tensor \"x\": axis 1 has the size 3, and no other one can be given");
    let error = message(&relu(&["1", "3"]), &sizes(&[("N", 1)]));
    assert_eq!(error, "the size of \"N\" cannot be given: the file leaves none open");
    let error = message(&file, &sizes(&[("height", 4)]));
    assert_eq!(error, "tensor \"x\": the file leaves the size of axis 3 open; give it (--dim width=SIZE)");
    let shapes =
        |shape: &[usize]| Options { shapes: BTreeMap::from([("x".to_owned(), shape.to_vec())]), ..Options::default() };
    assert_eq!(input_shape(&file, &shapes(&[2, 3, 6, 7])), [2, 3, 6, 7]);
    let error = message(&file, &shapes(&[2, 4, 6, 7]));
    assert!(error.contains("it cannot have the shape [2, 4, 6, 7], as it has [N, 3, height, width]"), "{error}");
    // One name is one size throughout the model.
    let two = model(13, &[node("Add", &["x", "z"], "y")], &[value("x", &["N", "2"]), value("z", &["2", "N"])], &[]);
    let graph = import(&two, "model.onnx").unwrap().graph;
    let shapes: Vec<_> = graph.inputs.iter().map(|id| graph.value(*id).ty.shape.as_slice()).collect();
    assert_eq!(shapes, [[1, 2], [2, 1]]);
    let unknown = Options { shapes: BTreeMap::from([("image".to_owned(), vec![1])]), ..Options::default() };
    assert_eq!(message(&file, &unknown), "tensor \"image\": is no input of the model, which has x");
}

#[test]
fn an_input_that_must_be_known_is_asked_for_and_bound() {
    let shape =
        [field(1, "shape"), field(2, field(1, [number(1, 7), field(2, field(1, number(1, 2)))].concat()))].concat();
    let file = model(13, &[node("Reshape", &["x", "shape"], "y")], &[value("x", &["2", "3"]), shape], &[]);
    match import(&file, "model.onnx") {
        Err(ImportError::Unbound { input, .. }) => assert_eq!(input, "shape"),
        other => panic!("{other:?}"),
    }
    let value = Tensor::new([2], vec![3i64, -1]).unwrap();
    let options = Options { values: BTreeMap::from([("shape".to_owned(), value)]), ..Options::default() };
    let graph = import_with(&file, "model.onnx", &options).unwrap().graph;
    assert_eq!(graph.value(graph.outputs[0]).ty.shape, [3, 2]);
    assert_eq!(graph.inputs.len(), 1);
}

#[test]
fn unsupported_operators_are_all_named() {
    let nodes = [node("Relu", &["x"], "a"), node("Fancy", &["a"], "b"), node("Fancy", &["b"], "y")];
    let file = model(13, &nodes, &[value("x", &["2"])], &[]);
    let error = message(&file, &Options::default());
    assert_eq!(error, "not supported: Fancy version 13 (node 1, \"b\" and 1 more)");
    let file = model(13, &[node("Fancy", &["x"], "y")], &[value("x", &["2"])], &[]);
    let error = message(&file, &Options::default());
    assert_eq!(error, "not supported: Fancy version 13 (node 0, \"y\"); it is the only one");
    let file = model(99, &[node("Relu", &["x"], "y")], &[value("x", &["2"])], &[]);
    assert!(message(&file, &Options::default()).starts_with("it uses version 99 of ONNX's operators; "));
}

/// A file beside the model.
struct Beside(Vec<u8>);

impl ExternalData for Beside {
    fn read(&self, location: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, String> {
        assert_eq!(location, "weights/w.bin");
        let (offset, length) = (offset as usize, length.unwrap() as usize);
        self.0.get(offset..offset + length).map(<[u8]>::to_vec).ok_or_else(|| "it is too short".to_owned())
    }
}

#[test]
fn weights_in_other_files_are_read_from_beside_the_model_only() {
    let entry = |key: &str, value: &str| field(13, [field(1, key), field(2, value)].concat());
    let external = |location: &str, offset: &str| {
        let tensor = [number(1, 2), number(2, 1), field(8, "w"), entry("location", location), entry("offset", offset)];
        let tensor = [tensor.concat(), entry("length", "8"), number(14, 1)].concat();
        model(13, &[node("Add", &["x", "w"], "y")], &[value("x", &["2"])], &[tensor])
    };
    let beside = Beside([0f32, 1.5, 2.5].iter().flat_map(|x| x.to_le_bytes()).collect());
    let options = Options { external: Some(&beside), ..Options::default() };
    let graph = import_with(&external("weights/w.bin", "4"), "model.onnx", &options).unwrap().graph;
    let constant = graph.values.iter().find_map(|value| value.constant.as_ref()).unwrap();
    assert_eq!((constant.ty().dtype, constant.as_ref().as_ref().view.to_f64()), (DType::F32, vec![1.5, 2.5]));
    assert!(message(&external("weights/w.bin", "8"), &options).contains("too short"));
    assert!(message(&external("weights/w.bin", "4"), &Options::default()).contains("open the model as a file"));
    for outside in ["/etc/passwd", "../w.bin", "weights/../../w.bin", "C:\\w.bin", "", "a//b"] {
        let error = message(&external(outside, "0"), &options);
        assert!(error.contains("only files beside the model are read"), "{outside}: {error}");
    }
}

#[test]
fn small_files_cannot_ask_for_much_memory() {
    // Two bytes of an empty node become hundreds.
    let nodes: Vec<u8> = (0..4 << 20).flat_map(|_| [0x0a, 0]).collect();
    let file = [number(1, 8), field(7, nodes), field(8, number(2, 13))].concat();
    let error = message(&file, &Options::default());
    assert_eq!(error, "the model is too large: it holds far less data than it describes");
    // A tensor whose shape promises more than its bytes.
    let huge = [vec![0x08, 0xff, 0xff, 0xff, 0xff, 0x01], number(2, 1), field(8, "w"), field(9, [0; 8])].concat();
    let file = model(13, &[node("Add", &["x", "w"], "y")], &[value("x", &["2"])], &[huge]);
    let error = message(&file, &Options::default());
    assert_eq!(error, "the model is too large: it holds far less data than it describes");
}
