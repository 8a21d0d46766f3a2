//! Models from files: what is known of them, and what they answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinglet::{Classifier, DType, Model, OpenOptions, SessionOptions, Tensor, labels};

fn small_model() -> Option<PathBuf> {
    match std::env::var_os("KINGLET_DATA") {
        Some(data) => Some(Path::new(&data).join("models/mobilenet_v1_0.25_128_quant.tflite")),
        None => {
            eprintln!("skipped: KINGLET_DATA is not set");
            None
        }
    }
}

#[test]
fn a_file_is_known_by_its_name_and_its_classes() {
    let Some(path) = small_model() else { return };
    let model = Model::open(&path).unwrap();
    assert_eq!((model.name(), model.file_bytes()), ("mobilenet_v1_0.25_128_quant", 525_598));
    assert!(Arc::ptr_eq(model.labels(), &labels::imagenet()), "1001 scores are ImageNet's");
    assert_eq!(model.graph().name, model.name());
    // uint8 models are computed as int8.
    assert_eq!(model.dtype(), DType::I8);
}

#[test]
fn a_background_class_is_not_counted() {
    let Some(path) = small_model() else { return };
    let model = Model::open(&path).unwrap();
    let image = kinglet::open_image(path.parent().unwrap().with_file_name("imagenet/0000_tench.jpg")).unwrap();
    let mut named = Classifier::new(&model).unwrap();
    assert_eq!(named.classes(), 1000);
    let best = named.classify(&image).unwrap().top(1).remove(0);
    assert_eq!((best.index, best.label.as_str()), (0, "tench, Tinca tinca"));
    let mut unnamed = Classifier::new(&model.with_labels(Arc::default())).unwrap();
    let same = unnamed.classify(&image).unwrap().top(1).remove(0);
    assert_eq!((same.index, same.label.as_str(), same.score), (1, "class 1", best.score));
}

#[test]
fn raw_tensors_go_through_a_session() {
    let Some(path) = small_model() else { return };
    let model = Model::from_bytes(&std::fs::read(path).unwrap(), "small").unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let input = Tensor::zeroed(session.inputs()[0].ty.clone());
    assert_eq!(input.shape(), [1, 128, 128, 3]);
    let output = session.run(&[input]).unwrap()[0].clone();
    assert_eq!((output.shape(), output.ty().dtype), (&[1, 1001][..], DType::U8));
}

#[test]
fn names_and_paths_are_told_apart() {
    let load = |name: &str| Model::load(name, &OpenOptions::default(), &mut |_| ()).unwrap_err().to_string();
    let unknown = load("mobilenet_v9");
    assert!(unknown.contains("no model of the zoo has this name (similar: mobilenet_v2, "), "{unknown}");
    assert!(!load("nothing").contains("similar"), "{}", load("nothing"));
    for path in ["mobilenet_v9.tflite", "./mobilenet_v2"] {
        assert!(load(path).starts_with(&format!("{path}: no such file")), "{}", load(path));
    }
    let message = Model::from_bytes(b"hello", "greeting").unwrap_err().to_string();
    assert!(message.starts_with("greeting ") && message.contains("it is text"), "{message}");
}

#[test]
fn a_checkpoint_for_cifar10_brings_its_classes_and_pictures_as_they_are() {
    let Some(data) = small_model().map(|path| path.parent().unwrap().parent().unwrap().to_owned()) else { return };
    let open = |folder: PathBuf| {
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let folders = open(data.join("cifar10/test"));
    let labelled = folders.iter().flat_map(|folder| open(folder.clone()).into_iter().map(move |file| (folder, file)));
    let some: Vec<_> = labelled.step_by(10).collect();
    // How many of these 500 pictures PyTorch 2.15 gets right, which decodes and prepares them with Pillow and NumPy.
    for (file, architecture, right) in
        [("resnet20-12fca82f.th", "resnet20", 399), ("resnet56-4bfd9763.th", "resnet56", 422)]
    {
        let model = Model::open(data.join("models").join(file)).unwrap();
        assert_eq!(model.architecture(), Some(architecture));
        let mut classifier = Classifier::new(&model).unwrap();
        let is_right = |(folder, file): &(&PathBuf, PathBuf)| {
            let best = classifier.classify(&kinglet::open_image(file).unwrap()).unwrap().top(1).remove(0);
            folder.ends_with(best.label)
        };
        assert_eq!(some.iter().map(is_right).filter(|is_right| *is_right).count(), right, "{file}");
    }
}
