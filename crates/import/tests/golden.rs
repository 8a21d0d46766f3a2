//! Real models on real photographs: the reference executor answers what LiteRT answered, and for ONNX what ONNX Runtime
//! did.

mod common;

use std::path::Path;

use kinglet_graph::Execute;
use kinglet_graph::reference::Reference;

/// How many of the photographs are tried: without optimization the plain executor takes its time.
const IMAGES: usize = if cfg!(debug_assertions) { 1 } else { 8 };

#[test]
fn quantized_models_answer_as_litert_does() {
    let Some(data) = common::data() else { return };
    let models = [
        "tf2_mobilenet_v2_1.0_224_ptq.tflite",
        "mobilenet_v2_1.0_224_quant.tflite",
        "mobilenet_v1_0.25_128_quant.tflite",
    ];
    let far: Vec<String> = models.iter().flat_map(|model| too_far(&data, model)).collect();
    assert!(far.is_empty(), "{far:#?}");
}

/// The photographs on which a model's answer is further from LiteRT's than it may be.
fn too_far(data: &Path, name: &str) -> Vec<String> {
    let bytes = std::fs::read(data.join("models").join(name)).unwrap();
    let graph = kinglet_import::import(&bytes, name).unwrap().graph;
    let mut reference = Reference::new(&graph).unwrap();
    let mut far = Vec::new();
    for image in 0..IMAGES {
        let read = |end: &str| common::read_npy(&data.join("golden").join(name).join(format!("{image:02}.{end}.npy")));
        let input = common::typed(&read("in"), &graph.value(graph.inputs[0]).ty);
        let output = reference.execute(&[input]).unwrap().remove(0);
        let expected = common::typed(&read("out"), output.ty());
        let (output, expected) = (common::numbers(&output), common::numbers(&expected));
        let steps: Vec<f64> = output.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
        let furthest = steps.iter().copied().fold(0.0, f64::max);
        let share = |most: f64| steps.iter().filter(|&&steps| steps <= most).count() as f64 / steps.len() as f64;
        let (equal, close) = (share(0.0), share(1.0));
        println!("{name} {image:02}: {equal:.4} equal, {close:.4} within one step, furthest {furthest}");
        if close < 0.995 || furthest > 4.0 {
            far.push(format!("{name}, image {image:02}: {close:.4} within one step, furthest {furthest}"));
        }
    }
    far
}

#[test]
fn a_float_onnx_model_answers_as_onnx_runtime_does() {
    let Some(data) = common::data() else { return };
    let name = "mobilenet_v2_imagenet.onnx";
    let bytes = std::fs::read(data.join("models").join(name)).unwrap();
    let graph = kinglet_import::import(&bytes, name).unwrap().graph;
    let mut reference = Reference::new(&graph).unwrap();
    for image in 0..IMAGES {
        let read = |end: &str| common::read_npy(&data.join("golden").join(name).join(format!("{image:02}.{end}.npy")));
        let output = reference.execute(&[read("in")]).unwrap().remove(0);
        let (output, expected) = (common::numbers(&output), common::numbers(&read("out")));
        let largest = expected.iter().copied().fold(0.0, f64::max);
        let furthest = output.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{name} {image:02}: at most {:.1e} of the largest output apart", furthest / largest);
        assert!(furthest <= 1e-4 * largest, "image {image:02}: {furthest} of {largest}");
    }
}
