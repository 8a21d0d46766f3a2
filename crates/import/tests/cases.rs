//! Small models of every operator, made by TensorFlow's converter (`tools/make_tflite_cases.py`), against the answers
//! of its interpreter, and ONNX models (`tools/make_onnx_cases.py`) against those of ONNX Runtime.
//! `KINGLET_TFLITE_CASES` may name a directory of more such cases.

mod common;

use std::path::{Path, PathBuf};

use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Execute, Tensor};

#[test]
fn answers_are_those_of_other_engines() {
    let mut directories = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"))];
    directories.extend(std::env::var_os("KINGLET_TFLITE_CASES").map(PathBuf::from));
    let mut models: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| std::fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tflite" || extension == "onnx"))
        .collect();
    models.sort();
    assert!(!models.is_empty());
    let problems: Vec<String> = models.iter().flat_map(|model| problems(model)).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn problems(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let model = match kinglet_import::import(&std::fs::read(path).unwrap(), &name) {
        Ok(model) => model,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let input = common::read_npy(&path.with_extension("in.npy"));
    let input = common::typed(&input, &model.graph.value(model.graph.inputs[0]).ty);
    let outputs = match Reference::new(&model.graph).and_then(|mut reference| reference.execute(&[input])) {
        Ok(outputs) => outputs,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let expected = common::numbers(&common::read_npy(&path.with_extension("out.npy")));
    let lengths: usize = outputs.iter().map(|output| output.ty().len()).sum();
    if lengths != expected.len() {
        return vec![format!("{name}: its outputs have {lengths} elements instead of {}", expected.len())];
    }
    let mut expected = expected.into_iter();
    let mut problems = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let wanted: Vec<f64> = expected.by_ref().take(output.ty().len()).collect();
        if let Some(problem) = difference(output, &wanted, name.contains("dynamic")) {
            problems.push(format!("{name}, output {index}: {problem}"));
        }
    }
    problems
}

/// Quantized answers may be a step apart, as rounding differs; where float activations meet int8 weights, TensorFlow
/// rounds the activations to int8 as well, and Kinglet does not.
fn difference(output: &Tensor, wanted: &[f64], dynamic: bool) -> Option<String> {
    let largest = wanted.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let allowed = match output.ty().dtype {
        DType::F32 if dynamic => 0.03 * largest,
        DType::F32 => 1e-5 * largest.max(1.0),
        DType::I8 | DType::U8 => 1.0,
        _ => 0.0,
    };
    let found = common::numbers(output);
    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
    let (place, furthest) = apart.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (found, wanted) = (found[place], wanted[place]);
    (furthest.is_nan() || furthest > allowed)
        .then(|| format!("element {place} is {found}, not {wanted}; at most {allowed} apart are allowed"))
}
