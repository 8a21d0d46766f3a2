//! Commands on real models: their JSON, and answers that are known.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{assert_fields, data, error_line, json, kinglet, small_model, stdout};

/// The command in a folder without a cache; models are given as paths.
fn command(arguments: &[&str]) -> std::process::Command {
    let mut command = kinglet(Path::new("/nonexistent"));
    command.args(arguments);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn classify_names_what_is_in_images() {
    let Some(data) = data() else { return };
    let model = data.join("models/tf2_mobilenet_v2_1.0_224_ptq.tflite");
    let images = ["0000_tench.jpg", "0292_tiger.jpg"].map(|file| data.join("imagenet").join(file));
    let arguments = ["classify", text(&model), text(&images[0]), text(&images[1]), "--top", "3"];
    let answers = json(&mut command(&arguments));
    assert_eq!(answers.len(), 2);
    for (answer, (file, best)) in
        answers.iter().zip(images.iter().zip(["tench, Tinca tinca", "tiger, Panthera tigris"]))
    {
        assert_fields(answer, &["file", "predictions", "preprocess_ms", "inference_ms"]);
        assert_eq!(answer["file"], text(file));
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        assert_fields(&predictions[0], &["index", "label", "score"]);
        assert_eq!(predictions[0]["label"], best);
        let scores: Vec<f64> = predictions.iter().map(|one| one["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0] <= 1.0 && scores[2] >= 0.0, "{scores:?}");
        assert!(answer["preprocess_ms"].as_f64().unwrap() > 0.0 && answer["inference_ms"].as_f64().unwrap() > 0.0);
    }
    let shown = stdout(&mut command(&arguments));
    assert!(shown.contains("tiger, Panthera tigris") && !shown.contains('\x1b'), "{shown}");
}

#[test]
fn labels_and_preparation_can_be_overruled() {
    let Some(data) = data() else { return };
    let (model, image) = (small_model(&data), data.join("cat.bmp"));
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.txt");
    fs::write(&labels, (0..1000).map(|index| format!("thing {index}\n")).collect::<String>()).unwrap();
    let classify = |more: &[&str]| json(command(&["classify", text(&model), text(&image), "--top", "1"]).args(more));
    let usual = &classify(&[])[0]["predictions"][0];
    let named = &classify(&["--labels", text(&labels)])[0]["predictions"][0];
    assert_eq!(named["label"], format!("thing {}", usual["index"]).as_str());
    assert_eq!(named["index"], usual["index"]);
    // The model's input is [−1, 1] as bytes, so that this is what it does by itself.
    let same = &classify(&["--mean", "0.5", "--std", "0.5", "--resize", "146"])[0]["predictions"][0];
    assert_eq!(same["index"], usual["index"]);
    let other = &classify(&["--mean", "0.9,0.1,0.9", "--std", "0.1"])[0]["predictions"][0];
    assert_ne!(other["score"], usual["score"]);
    fs::write(&labels, "cat\ndog\n").unwrap();
    let line = error_line(command(&["classify", text(&model), text(&image), "--labels"]).arg(&labels));
    assert!(line.contains("2 labels for 1001 classes"), "{line}");
}

#[test]
fn one_bad_image_does_not_stop_the_others() {
    let Some(data) = data() else { return };
    let (model, image) = (small_model(&data), data.join("cat.bmp"));
    let output = command(&["classify", text(&model), "absent.jpg", text(&image), "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answers: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(answers.len(), 1);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("error: absent.jpg: no such file"), "{errors}");
    assert!(errors.ends_with("error: 1 of 2 images could not be classified\n"), "{errors}");
}

#[test]
fn eval_measures_accuracy() {
    let Some(data) = data() else { return };
    let (model, images) = (small_model(&data), data.join("imagenet"));
    let accuracy = &json(&mut command(&["eval", text(&model), "--data", text(&images)]))[0];
    assert_fields(accuracy, &["images", "top1", "top5", "median_ms"]);
    assert_eq!(accuracy["images"], 500);
    // The data's README: 45.2 and 71.4 percent.
    let percent = |field: &str| accuracy[field].as_f64().unwrap();
    assert!((percent("top1") - 45.2).abs() <= 0.4 && (percent("top5") - 71.4).abs() <= 0.4, "{accuracy}");
    assert!(percent("median_ms") > 0.0);
    let part = &json(&mut command(&["eval", text(&model), "--data", text(&images), "--limit", "7"]))[0];
    assert_eq!(part["images"], 7);
    assert!(stdout(&mut command(&["eval", text(&model), "--data", text(&images), "--limit", "7"])).contains("top-1"));
}

#[test]
fn eval_takes_one_folder_a_class() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (class, file) in [("tench, Tinca tinca", "0000_tench.jpg"), ("tiger, Panthera tigris", "0292_tiger.jpg")] {
        fs::create_dir(folder.path().join(class)).unwrap();
        fs::copy(data.join("imagenet").join(file), folder.path().join(class).join(file)).unwrap();
    }
    let model = data.join("models/tf2_mobilenet_v2_1.0_224_ptq.tflite");
    let accuracy = &json(&mut command(&["eval", text(&model), "--data", text(folder.path())]))[0];
    assert_eq!((&accuracy["images"], &accuracy["top1"]), (&2.into(), &100.0.into()));
}

/// The elements of a .npy file that this project wrote or numpy did: what follows the header.
fn elements(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + header..].to_vec()
}

#[test]
fn run_gives_what_litert_gave() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.npy");
    let mut models = 0;
    for golden in fs::read_dir(data.join("golden")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = golden.file_name().unwrap().to_string_lossy().into_owned();
        let model = data.join("models").join(&name);
        if model.extension().is_none_or(|ending| ending != "tflite") {
            continue;
        }
        models += 1;
        let input = golden.join("00.in.npy");
        let ran = &json(&mut command(&["run", text(&model), "--input", text(&input), "--output", text(&output)]))[0];
        assert_fields(ran, &["outputs"]);
        assert_fields(&ran["outputs"][0], &["name", "shape", "dtype"]);
        assert_eq!(ran["outputs"][0]["dtype"], "uint8");
        let expected = elements(&golden.join("00.out.npy"));
        let found = elements(&output);
        assert_eq!(found.len(), expected.len());
        let steps: Vec<u8> = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
        assert!(steps.iter().all(|steps| *steps <= 4), "{name}: {}", steps.iter().max().unwrap());
        let near = steps.iter().filter(|steps| **steps <= 1).count();
        assert!(near as f64 >= 0.995 * steps.len() as f64, "{name}: {near} of {}", steps.len());
    }
    assert_eq!(models, 3, "the golden values of three TFLite models");
}

#[test]
fn run_agrees_with_the_reference_on_every_kernel_and_thread_count() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let folder = tempfile::tempdir().unwrap();
    let input = data.join("golden").join(model.file_name().unwrap()).join("00.in.npy");
    let run = |arguments: &[&str]| {
        let output = folder.path().join("out.npy");
        stdout(command(&["run", text(&model), "--input", text(&input), "--output", text(&output)]).args(arguments));
        fs::read(output).unwrap()
    };
    let reference = run(&["--reference"]);
    assert!(run(&[]) == reference && run(&["--threads", "3"]) == reference);
    let kernels = &json(&mut command(&["kernels"]))[0];
    for set in kernels["instruction_sets"].as_array().unwrap().iter().filter(|set| set["available"] == true) {
        let name = set["name"].as_str().unwrap();
        assert!(run(&["--kernels", name]) == reference, "{name}");
    }
}

#[test]
fn run_writes_every_output_into_a_folder_and_nowhere_else() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.npy");
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 128, 128, 3), }\n";
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    fs::write(&input, [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &[100; 128 * 128 * 3]].concat()).unwrap();
    let results = folder.path().join("a/b");
    let ran = &json(&mut command(&["run", text(&model), "--input", text(&input), "--output-dir", text(&results)]))[0];
    let name = ran["outputs"][0]["name"].as_str().unwrap();
    assert!(name.contains('/'), "{name}: a name that is also a path");
    let files: Vec<_> = fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, [format!("{}.npy", name.replace('/', "_")).as_str()]);
}

#[test]
fn run_explains_what_does_not_fit() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.npy");
    let write = |descr: &str, shape: &str, bytes: usize| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        fs::write(&input, [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &vec![0; bytes]].concat()).unwrap();
    };
    let run = || error_line(&mut command(&["run", text(&model), "--input", text(&input)]));
    write("<f4", "(1, 128, 128, 3)", 4 * 128 * 128 * 3);
    assert!(run().contains("quantize it"), "{}", run());
    write("|u1", "(128, 128, 3)", 128 * 128 * 3);
    assert!(run().contains("array[None]"), "{}", run());
    write("|u1", "(1, 128, 128, 3)", 1000);
    assert!(run().contains("cut short"), "{}", run());
    fs::write(&input, "hello").unwrap();
    assert!(run().contains("no NumPy file"), "{}", run());
    fs::remove_file(&input).unwrap();
    assert!(run().contains("in.npy: no such file"), "{}", run());
}

#[test]
fn bench_measures() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let bench = |more: &[&str]| json(command(&["bench", text(&model), "--seconds", "0.05"]).args(more)).remove(0);
    let times = ["runs", "median_ms", "p99_ms", "min_ms"];
    let usual = [&["model", "threads", "kernels", "arithmetic", "arena_bytes", "weights_bytes"][..], &times].concat();
    let report = bench(&["--threads", "2", "--kernels", "scalar"]);
    assert_fields(&report, &usual);
    assert_eq!((&report["threads"], &report["kernels"]), (&2.into(), &"scalar".into()));
    let of = |field: &str| report[field].as_f64().unwrap();
    assert!(of("min_ms") > 0.0 && of("min_ms") <= of("median_ms") && of("median_ms") <= of("p99_ms"), "{report}");
    assert!(of("arena_bytes") > 0.0 && of("weights_bytes") > 400_000.0 && of("runs") >= 1.0);

    let report = bench(&["--profile"]);
    let rows = report["profile"].as_array().unwrap();
    assert_fields(&rows[0], &["node", "op", "kernel", "multiply_adds", "bytes", "ms", "gmacs", "peak_share", "share"]);
    assert!(report["peak_gmacs"].as_f64().unwrap() > 0.0 && report["memory_gb_s"].as_f64().unwrap() > 0.0, "{report}");
    // 3×3 weights for 3 channels on 64×64×8 values: input, output, and weights, however they are packed.
    assert_eq!(rows[0]["multiply_adds"], 64 * 64 * 8 * 27);
    let bytes = rows[0]["bytes"].as_u64().unwrap() - (128 * 128 * 3 + 64 * 64 * 8);
    assert!((8 * 27..8 * 1024).contains(&bytes), "{bytes} bytes of weights");
    let has_peak = |row: &Value| row["peak_share"].as_f64().is_some_and(|share| share > 0.0);
    assert!(rows.iter().all(|row| has_peak(row) == (row["multiply_adds"] != 0)), "{report}");
    assert!(rows.iter().any(|row| row["peak_share"].is_null()), "{report}");
    let share: f64 = rows.iter().map(|row| row["share"].as_f64().unwrap()).sum();
    assert!((share - 100.0).abs() < 1.0, "{share}");
    let shown = stdout(command(&["bench", text(&model), "--seconds", "0.05", "--profile"]).args(["--threads", "1"]));
    for words in ["GMAC/s", "of peak", "operators", "1 thread,", "median", "this machine's peak"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
}

/// Half precision says what it costs, or that this CPU has none and which have it.
#[test]
fn bench_compares_half_precision_with_f32() {
    let Some(data) = data() else { return };
    let model = data.join("models/mobilenet_v2_imagenet.onnx");
    let bench = || command(&["bench", text(&model), "--seconds", "0.05", "--arithmetic", "half"]);
    let refused = error_line(bench().args(["--kernels", "scalar"]));
    assert!(refused.contains("AVX512_BF16") && refused.contains("FEAT_FP16"), "{refused}");
    if !kinglet::kernels::gemm::Half::is_supported(kinglet::kernels::table::Choice::Best) {
        assert_eq!(error_line(&mut bench()), refused);
        return;
    }
    let report = json(&mut bench()).remove(0);
    assert_eq!(report["arithmetic"], "half");
    assert_fields(&report["difference"], &["largest", "same_first"]);
    let largest = report["difference"]["largest"].as_f64().unwrap();
    assert!(largest > 0.0 && largest < 0.2, "{report}");
    assert!(stdout(&mut bench()).contains("away from f32"));
}

#[test]
fn inspect_shows_the_model() {
    let Some(data) = data() else { return };
    let model = small_model(&data);
    let report = &json(&mut command(&["inspect", text(&model)]))[0];
    let expected = [
        "model",
        "description",
        "architecture",
        "file_bytes",
        "inputs",
        "outputs",
        "nodes",
        "multiply_adds",
        "parameters",
        "arena_bytes",
        "weights_bytes",
    ];
    assert_fields(report, &expected);
    assert_eq!((&report["model"], &report["file_bytes"]), (&"mobilenet_v1_0.25_128_quant".into(), &525_598.into()));
    let input = &report["inputs"][0];
    assert_fields(input, &["name", "dtype", "shape", "scale", "zero_point"]);
    assert_eq!((&input["dtype"], &input["zero_point"]), (&"uint8".into(), &128.into()));
    assert_eq!(input["shape"], serde_json::json!([1, 128, 128, 3]));
    // MobileNets (Howard et al., 2017), table 7: 0.25 at 128 has 14 million multiply-adds and 0.5 million parameters.
    let million = |field: &str| report[field].as_f64().unwrap() / 1e6;
    assert!((13.0..15.0).contains(&million("multiply_adds")), "{}", report["multiply_adds"]);
    assert!((0.45..0.5).contains(&million("parameters")), "{}", report["parameters"]);
    let mut operators: BTreeMap<&str, usize> = BTreeMap::new();
    for node in report["nodes"].as_array().unwrap() {
        *operators.entry(node["op"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(operators["DepthwiseConv2d"], 13, "{operators:?}");
    let shown = stdout(&mut command(&["inspect", text(&model)]));
    assert!(shown.contains("1x128x128x3") && shown.contains("million multiply-adds"), "{shown}");
}

#[test]
fn inspect_shows_what_optimization_does() {
    let Some(data) = data() else { return };
    let model = data.join("models/mobilenet_v2_imagenet.int8.qdq.onnx");
    let report = &json(&mut command(&["inspect", text(&model), "--passes"]))[0];
    assert_fields(report, &["model", "before", "passes", "after"]);
    for graph in [&report["before"], &report["after"]] {
        assert_fields(graph, &["nodes", "operators", "text"]);
        assert!(graph["text"].as_str().unwrap().lines().count() > graph["nodes"].as_u64().unwrap() as usize);
    }
    let (before, after) = (&report["before"]["operators"], &report["after"]["operators"]);
    assert_eq!((&before["Transpose"], &after["Transpose"]), (&108.into(), &1.into()));
    assert_eq!((&after["Quantize"], &after["Dequantize"]), (&1.into(), &1.into()), "all of it runs on integers");
    let passes = report["passes"].as_array().unwrap();
    let layout = passes.iter().find(|pass| pass["pass"] == "layout").unwrap();
    assert_fields(layout, &["pass", "rewrites", "precision", "nodes", "operators"]);
    let expected = serde_json::json!({ "operator": "Transpose", "before": 108, "after": 1 });
    assert!(layout["operators"].as_array().unwrap().contains(&expected), "{layout}");
    let shown = stdout(&mut command(&["inspect", text(&model), "--passes"]));
    assert!(shown.starts_with("As imported: 467 nodes") && shown.contains("Transpose 108 to 1"), "{shown}");
}
