//! Checkpoints and safetensors of a small network (`tools/make_torch_files.py`) against PyTorch's answers, and what is
//! refused.

mod common;

use std::path::{Path, PathBuf};

use common::torch::{SMALL, small};
use kinglet_graph::reference::Reference;
use kinglet_graph::{Execute, Tensor};
use kinglet_import::torch::architectures::{self, Architecture};
use kinglet_import::{ImportError, Model, Options, import, import_with};

fn path(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/torch")).join(file)
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(path(file)).unwrap()
}

fn open(file: &str) -> Result<Model, ImportError> {
    import_with(&bytes(file), file, &small())
}

/// The largest distance from PyTorch's answer.
fn error(file: &str) -> f64 {
    let model = open(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!((model.architecture, model.graph.name.as_str()), (Some("small"), file));
    let input: Tensor = common::read_npy(&path("in.npy"));
    let output = Reference::new(&model.graph).unwrap().execute(&[input]).unwrap().remove(0);
    let expected = common::numbers(&common::read_npy(&path("out.npy")));
    assert_eq!(output.shape(), [1, 5]);
    common::numbers(&output).iter().zip(&expected).fold(0.0, |error, (a, b)| error.max((a - b).abs()))
}

#[test]
fn answers_are_those_of_pytorch() {
    for file in [
        "zip.pth",
        "legacy.pth",
        "protocol-4.pth",
        "double.pth",
        "parameters.pth",
        "views.pth",
        "views.legacy.pth",
        "command.pth",
        "floats.safetensors",
    ] {
        assert!(error(file) < 2e-6, "{file}: {:e}", error(file));
    }
    assert!(error("half.pth") < 2e-3, "{:e}", error("half.pth"));
    assert!(error("bfloat16.safetensors") < 2e-2, "{:e}", error("bfloat16.safetensors"));
}

#[test]
fn what_holds_no_parameters_says_what_to_do() {
    for (file, problem) in [
        ("whole-model.pth", "an object of __main__.Small, which cannot be read without running its code"),
        ("torchscript.pt", "TorchScript"),
    ] {
        let message = open(file).unwrap_err().to_string();
        assert!(message.contains(problem) && message.contains("torch.save(model.state_dict(), PATH)"), "{message}");
    }
}

#[test]
fn an_architecture_that_is_not_known_is_compared() {
    let message = import(&bytes("zip.pth"), "zip.pth").unwrap_err().to_string();
    for word in ["no known architecture", "closest is", "missing: ", "not its own: ", "mobilenet_v2", "resnet110"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(message.len() < 1500, "{message}");
}

#[test]
fn another_architecture_than_the_file_s_is_refused() {
    let wanted = |architecture| Options { architecture: Some(architecture), ..Options::default() };
    let resnet20 = architectures::find("resnet20").unwrap();
    let message = import_with(&bytes("zip.pth"), "zip.pth", &wanted(resnet20)).unwrap_err().to_string();
    assert!(message.contains("not those of resnet20") && message.contains("conv1.weight is [8, 3, 3, 3]"), "{message}");
    let bigger = Architecture { builders: &[|net, x| net.classifier("no such layer", x)], ..SMALL };
    let message = import_with(&bytes("zip.pth"), "zip.pth", &wanted(bigger)).unwrap_err().to_string();
    assert!(message.contains("missing: no such layer.weight, no such layer.bias"), "{message}");
    let message = architectures::find("resnet21").unwrap_err().to_string();
    assert!(message.contains("\"resnet21\"") && message.contains("resnet20, resnet32"), "{message}");
}

#[test]
fn only_the_size_of_the_image_is_open() {
    let usual = Options { shapes: Default::default(), ..small() };
    let model = import_with(&bytes("zip.pth"), "zip.pth", &usual).unwrap();
    assert_eq!(model.graph.value(model.graph.inputs[0]).ty.shape, [1, 3, 32, 32]);
    for (input, shape) in [("x", vec![1, 3, 32, 32]), ("input", vec![2, 3, 32, 32]), ("input", vec![1, 3, 32])] {
        let options = Options { shapes: [(input.to_owned(), shape)].into(), ..small() };
        let message = import_with(&bytes("zip.pth"), "zip.pth", &options).unwrap_err().to_string();
        assert!(message.contains("input=1x3xROWSxCOLUMNS"), "{message}");
    }
    // No window fits an image of one pixel's size less; sizes that overflow are refused as well.
    for side in [0, 1 << 40, usize::MAX] {
        let options = Options { shapes: [("input".to_owned(), vec![1, 3, side, side])].into(), ..small() };
        assert!(matches!(import_with(&bytes("zip.pth"), "zip.pth", &options), Err(ImportError::Graph(_))), "{side}");
    }
    let named = Options { architecture: Some(SMALL), ..Options::default() };
    let message = import_with(b"\x1c\0\0\0TFL3", "a.tflite", &named).unwrap_err().to_string();
    assert!(message.contains("architecture is in the file"), "{message}");
}
