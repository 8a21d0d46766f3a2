//! Every architecture with random weights against PyTorch's answers: checkpoints of both formats, safetensors, and half
//! floats. `KINGLET_TORCH_CASES` names the folder that `tools/make_torch_cases.py` made.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet::graph::{Data, passes};
use kinglet::import::{self, torch::architectures};
use kinglet::{Graph, Session, SessionOptions, Tensor};

/// How far an output may be from what PyTorch computes in double precision, as a part of the largest output. Random
/// weights magnify rounding: in single precision, PyTorch itself is up to 2e-4 away.
const ALLOWED: f32 = 5e-4;
/// The same where weights were rounded to half floats.
const ALLOWED_HALF: f32 = 0.1;

/// A file of numbers in single precision, as NumPy 1 and 2 write it.
fn read_npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(bytes.starts_with(b"\x93NUMPY\x01") && bytes[10..header].windows(3).any(|part| part == b"<f4"));
    bytes[header..].chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

fn open(path: &Path, architecture: &str) -> Graph {
    let bytes = fs::read(path).unwrap();
    let plain = architecture.ends_with("_plain");
    let architecture = plain.then(|| architectures::find(architecture).unwrap());
    let options = import::Options { architecture, ..import::Options::default() };
    let model =
        import::import_with(&bytes, "case", &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !plain {
        let expected = path.file_name().unwrap().to_str().unwrap().split('-').next();
        assert_eq!(model.architecture, expected, "{}", path.display());
    }
    model.graph
}

/// The largest distance from PyTorch's outputs, as a part of the largest of them.
fn error(mut graph: Graph, input: &Tensor, expected: &[f32]) -> f32 {
    passes::optimize(&mut graph).unwrap();
    let threads = kinglet::physical_cores();
    let mut session = Session::new(&graph, &SessionOptions { threads, ..SessionOptions::default() }).unwrap();
    let Data::F32(found) = session.run(std::slice::from_ref(input)).unwrap()[0].data().clone() else { panic!() };
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    found.iter().zip(expected).fold(0.0, |error: f32, (a, b)| error.max((a - b).abs())) / largest
}

fn constants(graph: &Graph) -> Vec<&Tensor> {
    graph.values.iter().filter_map(|value| value.constant.as_deref()).collect()
}

#[test]
fn answers_are_those_of_pytorch() {
    let Some(folder) = std::env::var_os("KINGLET_TORCH_CASES").map(PathBuf::from) else {
        eprintln!("skipped: KINGLET_TORCH_CASES is not set");
        return;
    };
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut cases: Vec<String> = files.filter_map(|name| Some(name.strip_suffix(".out.npy")?.to_owned())).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    let mut problems = Vec::new();
    for case in cases {
        let file = |ending: &str| folder.join(format!("{case}{ending}"));
        let architecture = case.split('-').next().unwrap();
        let side = architectures::find(architecture).unwrap().side;
        let input = Tensor::new([1, 3, side, side], read_npy(&file(".in.npy"))).unwrap();
        let expected = read_npy(&file(".out.npy"));
        let graph = open(&file(".pth"), architecture);
        for ending in [".legacy.pth", ".safetensors"] {
            assert!(constants(&open(&file(ending), architecture)) == constants(&graph), "{case}{ending}");
        }
        let half = error(open(&file(".half.pth"), architecture), &input, &expected);
        let error = error(graph, &input, &expected);
        println!("{case}: {error:.1e}, weights in half precision: {half:.1e}");
        if error.is_nan() || error > ALLOWED || half.is_nan() || half > ALLOWED_HALF {
            problems.push(case);
        }
    }
    assert!(problems.is_empty(), "too far from PyTorch: {}", problems.join(", "));
}
