//! `detect` and `segment` on models that see red and blue (`tools/make_color_models.py` makes them), and on what they
//! cannot use.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinglet::Rgb;
use kinglet::vision::encode;
use serde_json::Value;
use support::{LIVE_FIELDS, assert_fields, error_line, json, kinglet, stdout};

const DETECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/colors_detect.onnx");
const SEGMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/colors_segment.onnx");

fn command(arguments: &[&str]) -> Command {
    let mut command = kinglet(Path::new("/nonexistent"));
    command.args(arguments);
    command
}

/// A gray picture of 256 × 128 with a red square from (64, 32) to (128, 96), and a blue one from (192, 0) to (256, 64).
fn picture(folder: &Path) -> PathBuf {
    let color = |x: usize, y: usize| match (x / 64, y / 32) {
        (1, 1 | 2) => [255, 0, 0],
        (3, 0 | 1) => [0, 0, 255],
        _ => [128; 3],
    };
    let bytes = (0..128).flat_map(|y| (0..256).flat_map(move |x| color(x, y))).collect();
    let mut png = Vec::new();
    encode::png(&Rgb::from_bytes(256, 128, bytes).unwrap(), &mut png).unwrap();
    let path = folder.join("squares.png");
    fs::write(&path, png).unwrap();
    path
}

fn pixel(path: &Path, x: u32, y: u32) -> [u8; 3] {
    let image = kinglet::open_image(path).unwrap();
    image.bytes()[3 * (y * image.width() + x) as usize..][..3].try_into().unwrap()
}

#[test]
fn detect_says_what_is_where_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path());
    let drawn = folder.path().join("drawn.png");
    let arguments = ["detect", DETECT, picture.to_str().unwrap(), "--iou", "0.1", "-o", drawn.to_str().unwrap()];
    let answers = json(&mut command(&arguments));
    assert_eq!(answers.len(), 1);
    assert_fields(&answers[0], &["file", "detections", "preprocess_ms", "inference_ms", "postprocess_ms"]);
    let found = answers[0]["detections"].as_array().unwrap();
    assert_fields(&found[0], &["index", "label", "score", "box"]);
    // The input is a quarter as large: each square is four cells of 8 pixels, which are purer than those of 16.
    let of = |label: &str| -> Vec<&Value> { found.iter().filter(|one| one["label"] == label).collect() };
    let sides = |one: &Value| -> Vec<f64> {
        one["box"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect()
    };
    for (index, label, square) in [(0, "red", [64.0, 32.0, 128.0, 96.0]), (1, "blue", [192.0, 0.0, 256.0, 64.0])] {
        assert_eq!(of(label).len(), 4, "{found:?}");
        for one in of(label) {
            let sides = sides(one);
            let inside =
                sides[0] >= square[0] && sides[1] >= square[1] && sides[2] <= square[2] && sides[3] <= square[3];
            assert!(inside && sides[2] - sides[0] == 32.0, "{sides:?}");
            assert!(one["score"].as_f64().unwrap() > 0.9 && one["index"] == index, "{one}");
        }
    }
    let frame = sides(of("red")[0]);
    let color = kinglet::vision::draw::object_color(0);
    assert_eq!(pixel(&drawn, frame[0] as u32, frame[3] as u32 - 1), color, "the lower left corner of a box");
    assert_eq!(pixel(&drawn, 20, 120), [128; 3]);

    let text = stdout(&mut command(&["detect", DETECT, picture.to_str().unwrap()]));
    assert!(text.contains("%  red  at 64, ") && !text.contains('\x1b'), "{text}");
    let text = stdout(&mut command(&["detect", DETECT, picture.to_str().unwrap(), "--threshold", "1"]));
    assert!(text.contains("nothing"), "{text}");
}

#[test]
fn segment_says_how_much_there_is_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path());
    let drawings = folder.path().join("drawings");
    let arguments = ["segment", SEGMENT, picture.to_str().unwrap(), "-o", drawings.to_str().unwrap()];
    let answers = json(&mut command(&arguments));
    assert_fields(&answers[0], &["file", "classes", "preprocess_ms", "inference_ms", "postprocess_ms"]);
    let classes = answers[0]["classes"].as_array().unwrap();
    assert_fields(&classes[0], &["index", "label", "pixels", "share"]);
    let labels: Vec<_> = classes.iter().map(|class| class["label"].as_str().unwrap()).collect();
    assert_eq!(labels[0], "background");
    // Each square is an eighth of the picture; edges of cells are soft.
    for class in &classes[1..] {
        assert!((class["share"].as_f64().unwrap() - 0.125).abs() < 0.02, "{class}");
        assert!((class["pixels"].as_f64().unwrap() - 4096.0).abs() < 700.0, "{class}");
    }
    let drawn = drawings.join("squares.png");
    // Half of VOC's color for class 1 over red, none over gray.
    assert_eq!(pixel(&drawn, 96, 64), [191, 0, 0]);
    assert_eq!(pixel(&drawn, 20, 120), [128; 3]);
    let text = stdout(&mut command(&["segment", SEGMENT, picture.to_str().unwrap()]));
    assert!(text.contains("%  background") && text.contains("%  red"), "{text}");
}

#[test]
fn labels_and_the_form_can_be_overruled() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path());
    let labels = folder.path().join("labels.txt");
    fs::write(&labels, "ruby\nsapphire\n").unwrap();
    let arguments = ["detect", DETECT, picture.to_str().unwrap(), "--labels", labels.to_str().unwrap()];
    assert!(json(&mut command(&arguments))[0].to_string().contains("sapphire"));
    let line = error_line(&mut command(&["detect", DETECT, picture.to_str().unwrap(), "--decoder", "movenet"]));
    assert!(line.contains("output0 float32 [1, 6, 84]") && line.contains("not of the form movenet"), "{line}");
    let output = command(&["detect", DETECT, "a.jpg", "--decoder", "yolov99"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    fs::write(&labels, "one\ntwo\nthree\n").unwrap();
    assert!(error_line(&mut command(&arguments)).contains("3 labels for 2 classes"));
}

#[test]
fn models_for_something_else_are_sent_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path());
    for (command_name, model, other) in
        [("classify", DETECT, "detect"), ("segment", DETECT, "detect"), ("detect", SEGMENT, "segment")]
    {
        let line = error_line(&mut command(&[command_name, model, picture.to_str().unwrap()]));
        assert!(line.ends_with(&format!("use `kinglet {other}`")), "{line}");
    }
}

#[test]
fn one_bad_image_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path());
    let drawings = folder.path().join("drawings");
    let arguments =
        ["detect", DETECT, "absent.jpg", picture.to_str().unwrap(), "--json", "-o", drawings.to_str().unwrap()];
    let output = command(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("error: 1 of 2 images could not be looked through\n"));
    assert!(drawings.join("squares.png").exists());
    let line = error_line(&mut command(&["detect", DETECT, "a.png", "b.png", "-o", "one.png"]));
    assert!(line.contains("one file cannot hold 2 pictures"), "{line}");
}

#[test]
fn live_tells_objects_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    picture(folder.path());
    let source = folder.path().to_str().unwrap();
    for (model, field, parts) in [
        (DETECT, "detections", &["index", "label", "score", "box"]),
        (SEGMENT, "classes", &["index", "label", "pixels", "share"]),
    ] {
        let lines = json(&mut command(&["live", model, "--source", source, "--no-web", "--frames", "5"]));
        let last = lines.last().unwrap();
        assert_fields(last, &[&LIVE_FIELDS[..], &[field]].concat());
        assert_fields(&last[field][0], parts);
        let text = command(&["live", model, "--source", source, "--no-web", "--frames", "5"]).output().unwrap();
        assert!(String::from_utf8_lossy(&text.stdout).contains("  red "), "{text:?}");
    }
}
