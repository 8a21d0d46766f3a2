//! What is refused, and how that is said: each message names what, where, and the operator's version.

mod common;

use common::file::*;

fn error(file: &File) -> String {
    kinglet_import::import(&file.bytes(), "model.tflite").expect_err("it should be refused").to_string()
}

/// `x` → RELU → `y`, of floats.
fn relu() -> File {
    let mut file = File::default();
    let (x, y) = (file.input("x", FLOAT32, &[2, 2]), file.output("y", FLOAT32, &[2, 2]));
    file.operator(RELU, &[x], &[y], &[]);
    file
}

#[test]
fn all_unsupported_operators_are_named() {
    let mut file = relu();
    let tensors: Vec<i32> = ["a", "b", "c"].iter().map(|name| file.tensor(name, FLOAT32, &[2, 2])).collect();
    file.operator(CUMSUM, &[0], &[tensors[0]], &[]).version = 3;
    file.operator(CUSTOM, &[0], &[tensors[1]], &[]).custom = Some("MediaPipe_Convolution".to_owned());
    file.operator(CUMSUM, &[0], &[tensors[2]], &[]).version = 3;
    assert_eq!(
        error(&file),
        "not supported: CUMSUM version 3 (node 1, \"a\" and 1 more); \
         custom operator \"MediaPipe_Convolution\" version 1 (node 2, \"b\")"
    );
}

#[test]
fn all_unsupported_uses_are_named() {
    let mut file = relu();
    let (axes, mean) = (file.input("axes", INT32, &[1]), file.tensor("mean", FLOAT32, &[2]));
    let sum = file.tensor("sum", FLOAT32, &[2, 2]);
    let last = file.output("last", FLOAT32, &[2]);
    file.operator(MEAN, &[0, axes], &[mean], &[]);
    file.operator(ADD, &[0, 0], &[sum], &[(0, Value::Byte(4))]).version = 2;
    file.operator(RELU, &[mean], &[last], &[]);
    let (quantized, cast) = (file.input("quantized", UINT8, &[3]), file.output("cast", FLOAT32, &[3]));
    file.quantize(quantized, 0.5, 10);
    file.operator(CAST, &[quantized], &[cast], &[]);
    assert_eq!(
        error(&file),
        "not supported: MEAN version 1, with axes that are not constant integers (node 1, \"mean\"); \
         ADD version 2, with the fused activation TANH (node 2, \"sum\"); \
         CAST version 1, of quantized numbers (node 4, \"cast\")"
    );
}

#[test]
fn what_does_not_fit_is_named_with_its_node() {
    let mut file = relu();
    let axes = file.integers("axes", &[2]);
    let y = file.output("z", FLOAT32, &[2]);
    file.operator(MEAN, &[0, axes], &[y], &[]);
    assert_eq!(error(&file), "node 1 (MEAN, \"z\"): axis 2 does not exist; there are 2");
    let mut file = relu();
    file.operators[0].inputs = vec![-1];
    assert_eq!(error(&file), "node 0 (RELU, \"y\"): input 0 is left out");
    let mut file = relu();
    file.tensors[1].shape = vec![2, 3];
    assert!(error(&file).starts_with("node y (Relu): "), "{}", error(&file));
}

#[test]
fn tensors_of_other_kinds_are_named() {
    let refused = |change: fn(&mut TensorSpec)| {
        let mut file = relu();
        change(&mut file.tensors[0]);
        let error = error(&file);
        assert!(error.starts_with("tensor \"x\": "), "{error}");
        error
    };
    assert!(refused(|x| x.code = INT16).contains("INT16 (7) is not supported; FLOAT32"));
    assert!(refused(|x| x.code = 99).contains("unknown (99)"));
    assert!(refused(|x| x.variable = true).contains("variable"));
    assert!(refused(|x| x.sparse = true).contains("sparse"));
    assert!(refused(|x| x.shape = vec![-2]).contains("negative"));
    assert!(refused(|x| x.shape = vec![1; 9]).contains("9 axes"));
    assert!(refused(|x| x.shape = vec![i32::MAX, i32::MAX, i32::MAX]).contains("larger than any"));
    assert!(refused(|x| x.shape = vec![0, 2]).contains("no elements"));
    assert!(refused(|x| x.data = Some(vec![0; 15])).contains("should take 16 bytes, but take 15"));
    assert!(refused(|x| (x.code, x.scales) = (INT8, vec![0.5; 3])).contains("3 scales"));
    assert!(refused(|x| (x.code, x.scales) = (INT8, vec![0.0])).contains("the scale 0"));
    assert!(refused(|x| (x.code, x.scales) = (INT8, vec![f32::NAN])).contains("the scale NaN"));
    assert!(refused(|x| (x.code, x.scales, x.zero_points) = (INT8, vec![1.0], vec![128])).contains("int8 cannot hold"));
    assert!(
        refused(|x| (x.code, x.scales, x.zero_points) = (UINT8, vec![1.0], vec![-1])).contains("uint8 cannot hold")
    );
    let per_channel = |x: &mut TensorSpec| (x.code, x.scales, x.zero_points) = (INT8, vec![1.0; 2], vec![0; 3]);
    assert!(refused(per_channel).contains("3 zero points"));
}

#[test]
fn order_is_checked() {
    let mut file = relu();
    file.inputs.clear();
    assert_eq!(error(&file), "tensor \"x\": is read before anything makes it");
    let mut file = relu();
    let again = file.operators[0].clone();
    file.operators.push(again);
    assert_eq!(error(&file), "tensor \"y\": is made twice");
    let mut file = relu();
    file.inputs.push(0);
    assert_eq!(error(&file), "tensor \"x\": is made twice");
    let mut file = relu();
    file.outputs = vec![7];
    assert_eq!(error(&file), "the file is damaged: it refers to tensor 7, but has only 2; fetch it again");
}

#[test]
fn size_is_bounded_by_the_file() {
    // A thousand constants of 64 KiB each, which all are one buffer.
    let mut file = File::default();
    let data = vec![0; 1 << 16];
    let mut joined = vec![file.constant("c", INT8, &[1 << 16], data)];
    let mut bytes = file.bytes();
    assert!(kinglet_import::import(&bytes, "one").is_ok());
    for index in 1..1000 {
        joined.push(file.tensor(&format!("c{index}"), INT8, &[1 << 16]));
    }
    let y = file.output("y", INT8, &[1000 << 16]);
    file.operator(CONCATENATION, &joined, &[y], &[]);
    let plain = error(&file);
    assert!(plain.contains("read before"), "{plain}");
    bytes = file.bytes_with_one_buffer();
    let error = kinglet_import::import(&bytes, "many").unwrap_err().to_string();
    assert_eq!(error, "the model is too large: it holds far less data than it describes");
    // Activations of more than 4 GiB.
    let mut file = relu();
    for tensor in &mut file.tensors {
        tensor.shape = vec![1 << 29];
    }
    file.tensors[0].shape = vec![1 << 30];
    file.tensors[1].shape = vec![1 << 30];
    let error = kinglet_import::import(&file.bytes(), "large").unwrap_err().to_string();
    assert_eq!(error, "the model is too large: its tensors take more than 4 GiB together");
}

#[test]
fn elements_beyond_the_flatbuffer_are_read_and_bounded() {
    let mut file = relu();
    let c = file.floats("c", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    file.tensors[c as usize].in_tail = true;
    let z = file.output("z", FLOAT32, &[2, 2]);
    file.operator(ADD, &[0, c], &[z], &[]);
    let bytes = file.bytes();
    let graph = kinglet_import::import(&bytes, "tail").unwrap().graph;
    let add = graph.nodes.last().unwrap();
    let constant = graph.constant(add.inputs[1].unwrap()).unwrap();
    assert_eq!(common::numbers(constant), [1.0, 2.0, 3.0, 4.0]);
    let error = kinglet_import::import(&bytes[..bytes.len() - 1], "cut").unwrap_err().to_string();
    assert_eq!(error, "tensor \"c\": its elements do not lie within the file; fetch it again");
}

#[test]
fn other_files_are_told_from_models() {
    let error = kinglet_import::import(b"just some words\n", "model.tflite").unwrap_err().to_string();
    let supported =
        "supported: ONNX (.onnx), TensorFlow Lite (.tflite), PyTorch's state dicts (.pth, .pt) and safetensors";
    assert_eq!(error, format!("model.tflite is not a model that can be read: it is text; {supported}"));
    let mut bytes = relu().bytes();
    bytes.truncate(bytes.len() / 2);
    let error = kinglet_import::import(&bytes, "model.tflite").unwrap_err().to_string();
    assert!(error.starts_with("the file is damaged: "), "{error}");
}
