//! The node tests of the `onnx` package: models of one operator or a few, with inputs and the outputs that ONNX's
//! reference gives for them. `tools/onnx-node-tests` fetches them and runs this.
//!
//! `KINGLET_ONNX_NODES` names the folder of tests. What came of each becomes `docs/onnx-operators.md`, which must be up
//! to date; `KINGLET_ONNX_TABLE=write` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kinglet::graph::{Data, Execute, reference::Reference};
use kinglet::import::{ImportError, onnx};
use kinglet::{Error, Model, OpenOptions, SessionOptions, Tensor};

/// The operators of which every test must pass.
const SUPPORTED: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "DynamicQuantizeLinear",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "NonMaxSuppression",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "Range",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "ScatterND",
    "Shape",
    "Sigmoid",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Upsample",
    "Where",
];

/// Tests of supported operators that need not pass, and why.
const EXCEPTED: &[(&str, &str)] = &[
    ("test_equal_string", "strings are not supported"),
    ("test_equal_string_broadcast", "strings are not supported"),
    ("test_identity_opt", "optional values are not supported"),
    ("test_identity_sequence", "sequences are not supported"),
    ("test_training_dropout", "training, with NumPy's random numbers"),
    ("test_training_dropout_default", "training, with NumPy's random numbers"),
    ("test_training_dropout_default_mask", "training, with NumPy's random numbers"),
    ("test_training_dropout_mask", "training, with NumPy's random numbers"),
];

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Passed,
    Failed(String),
}

/// A test and what it uses.
struct Test {
    name: String,
    operators: BTreeSet<String>,
    outcome: Outcome,
}

#[test]
fn node_tests_of_supported_operators_pass() {
    let Some(folder) = std::env::var_os("KINGLET_ONNX_NODES").map(PathBuf::from) else {
        eprintln!("skipped: set KINGLET_ONNX_NODES to a folder of node tests, or run tools/onnx-node-tests");
        return;
    };
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("the folder of tests").map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("model.onnx").is_file());
    folders.sort();
    assert!(!folders.is_empty(), "{} has no tests", folder.display());
    std::panic::set_hook(Box::new(|_| ()));
    let tests: Vec<Test> = folders.iter().map(|path| run(path)).collect();
    let _ = std::panic::take_hook();

    let wrong: Vec<String> = tests.iter().filter_map(complaint).collect();
    let passed = tests.iter().filter(|test| test.outcome == Outcome::Passed).count();
    println!("{passed} of {} node tests pass", tests.len());
    let unknown = EXCEPTED.iter().filter(|(name, _)| tests.iter().all(|test| test.name != *name));
    assert_eq!(unknown.count(), 0, "exceptions are named after tests that there are");
    check_table(&table(&tests, std::fs::read_to_string(folder.join("version")).unwrap_or_default().trim()));
    assert!(wrong.is_empty(), "{} tests of supported operators fail:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong if a test that must pass does not, or one passes that is excepted.
fn complaint(test: &Test) -> Option<String> {
    let supported = test.operators.iter().all(|operator| SUPPORTED.contains(&operator.as_str()));
    let excepted = EXCEPTED.iter().any(|(name, _)| *name == test.name);
    match &test.outcome {
        Outcome::Passed => excepted.then(|| format!("{}: passes, though it is excepted", test.name)),
        Outcome::Failed(why) => (supported && !excepted).then(|| format!("{}: {why}", test.name)),
    }
}

fn run(folder: &Path) -> Test {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(folder.join("model.onnx")).expect("the test's model");
    let operators = onnx::operators(&bytes).expect("the test's model is one");
    let outcome = catch_unwind(AssertUnwindSafe(|| check(folder))).unwrap_or_else(|_| Err("it panics".to_owned()));
    let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed);
    Test { name, operators, outcome }
}

/// Runs every data set of a test, by the runtime and by the reference.
fn check(folder: &Path) -> Result<(), String> {
    let tolerance = std::fs::read_to_string(folder.join("tolerance")).unwrap_or_else(|_| "1e-3 1e-7".to_owned());
    let tolerance: Vec<f64> = tolerance.split_whitespace().map(|number| number.parse().unwrap()).collect();
    for number in 0.. {
        let data = folder.join(format!("test_data_set_{number}"));
        if !data.is_dir() {
            return if number > 0 { Ok(()) } else { Err("it has no data".to_owned()) };
        }
        let (inputs, outputs) = (tensors(&data, "input")?, tensors(&data, "output")?);
        let model = open(&folder.join("model.onnx"), &inputs)?;
        let graph = model.graph();
        let given: Vec<Tensor> = graph
            .inputs
            .iter()
            .map(|id| {
                let name = &graph.value(*id).name;
                let tensor = inputs.iter().find(|(given, _)| given == name);
                tensor.map(|(_, tensor)| tensor.clone()).ok_or_else(|| format!("no data for input {name}"))
            })
            .collect::<Result<_, _>>()?;
        let mut session = model.session(&SessionOptions::default()).map_err(|error| error.to_string())?;
        let results = session.run(&given).map_err(|error| error.to_string())?;
        compare(results, &outputs, &tolerance)?;
        let results = Reference::new(graph).and_then(|mut reference| reference.execute(&given));
        compare(&results.map_err(|error| error.to_string())?, &outputs, &tolerance)
            .map_err(|why| format!("by the reference: {why}"))?;
    }
    Ok(())
}

/// The tensors of a data set, by name.
fn tensors(data: &Path, kind: &str) -> Result<Vec<(String, Tensor)>, String> {
    let mut tensors = Vec::new();
    for index in 0.. {
        let Ok(bytes) = std::fs::read(data.join(format!("{kind}_{index}.pb"))) else { break };
        let tensor = onnx::read_tensor(&bytes);
        tensors.push(tensor.map_err(|error| format!("{kind} {index} of the test: {error}"))?);
    }
    Ok(tensors)
}

/// Opens a model with inputs of these shapes. An input that must be known when the model is read is bound then.
fn open(path: &Path, inputs: &[(String, Tensor)]) -> Result<Model, String> {
    let shapes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
    let mut options = OpenOptions { shapes, ..OpenOptions::default() };
    loop {
        match Model::open_with(path, &options) {
            Ok(model) => return Ok(model),
            Err(Error::Import { error: ImportError::Unbound { input, .. }, .. })
                if !options.values.contains_key(&input) =>
            {
                let Some((name, tensor)) = inputs.iter().find(|(name, _)| *name == input) else {
                    return Err(format!("no data for input {input}"));
                };
                options.shapes.remove(name);
                options.values.insert(name.clone(), tensor.clone());
            }
            Err(Error::Import { error, .. }) => return Err(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn compare(results: &[Tensor], expected: &[(String, Tensor)], tolerance: &[f64]) -> Result<(), String> {
    let [relative, absolute] = tolerance else { return Err("it has no tolerance".to_owned()) };
    if results.len() != expected.len() {
        return Err(format!("it gives {} outputs, not {}", results.len(), expected.len()));
    }
    for (result, (name, expected)) in results.iter().zip(expected) {
        let result = &without_unused_rows(result, expected);
        if result.ty().dtype != expected.ty().dtype || result.shape() != expected.shape() {
            let (found, wanted) = (result.ty(), expected.ty());
            let (from, to) = (found.dtype, wanted.dtype);
            return Err(format!("{name} is {from} {:?}, not {to} {:?}", found.shape, wanted.shape));
        }
        let close =
            |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs();
        let numbers = |tensor: &Tensor| tensor.as_ref().view.to_f64();
        let pairs = numbers(result).into_iter().zip(numbers(expected)).enumerate();
        if let Some((index, (a, b))) = pairs.into_iter().find(|(_, (a, b))| !close(*a, *b)) {
            return Err(format!("element {index} of {name} is {a}, not {b}"));
        }
    }
    Ok(())
}

/// The rows that NonMaxSuppression gives, of which those after the last selected box are −1: shapes are static, and how
/// many boxes are selected only a run tells.
fn without_unused_rows(result: &Tensor, expected: &Tensor) -> Tensor {
    let Data::I64(numbers) = result.data() else { return result.clone() };
    let (&[rows, 3], &[wanted, 3]) = (result.shape(), expected.shape()) else { return result.clone() };
    let used = numbers.len() - numbers.iter().rev().take_while(|number| **number == -1).count();
    if rows <= wanted || used > 3 * wanted {
        return result.clone();
    }
    Tensor::new([wanted, 3], numbers[..3 * wanted].to_vec()).expect("as many numbers")
}

/// The page about operators.
fn table(tests: &[Test], version: &str) -> String {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for test in tests {
        for operator in &test.operators {
            let count = counts.entry(operator).or_default();
            count.0 += usize::from(test.outcome == Outcome::Passed);
            count.1 += 1;
        }
    }
    let mut page = format!(
        "# ONNX operators\n\nWritten by `tools/onnx-node-tests --write` from the node tests of {version}; do not edit.\n\n\
         Of {} tests, {} pass. Tests are run by the runtime and by the reference executor, and compared within the tolerance\n\
         that the package gives. An operator counts in every test that uses it, alone or with others.\n\n",
        tests.len(),
        tests.iter().filter(|test| test.outcome == Outcome::Passed).count(),
    );
    page += "## Supported\n\n| operator | tests that pass |\n|---|---|\n";
    let (supported, others): (Vec<_>, Vec<_>) = counts.iter().partition(|(operator, _)| onnx::is_supported(operator));
    for (operator, (passed, all)) in supported {
        writeln!(page, "| {operator} | {passed} of {all} |").unwrap();
    }
    page += "\n## Not supported\n\n| operator | tests that use it |\n|---|---|\n";
    for (operator, (_, all)) in others {
        writeln!(page, "| {operator} | {all} |").unwrap();
    }
    page += "\n## Tests of supported operators that do not pass\n\n| test | why |\n|---|---|\n";
    let known = |test: &&Test| test.operators.iter().all(|operator| onnx::is_supported(operator));
    for test in tests.iter().filter(known) {
        if let Outcome::Failed(why) = &test.outcome {
            let excepted = EXCEPTED.iter().find(|(name, _)| *name == test.name).map(|(_, why)| *why);
            writeln!(page, "| {} | {} |", test.name, excepted.unwrap_or(why).replace('|', "\\|")).unwrap();
        }
    }
    page += "\n## Tests with operators that are not supported\n\n| test | operators |\n|---|---|\n";
    for test in tests.iter().filter(|test| !known(test)) {
        let missing: Vec<&str> =
            test.operators.iter().map(String::as_str).filter(|operator| !onnx::is_supported(operator)).collect();
        writeln!(page, "| {} | {} |", test.name, missing.join(", ")).unwrap();
    }
    page
}

fn check_table(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/onnx-operators.md");
    if std::env::var("KINGLET_ONNX_TABLE").is_ok_and(|what| what == "write") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of docs");
        std::fs::write(&path, page).expect("the table is written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/onnx-operators.md is not up to date: run tools/onnx-node-tests --write");
}
