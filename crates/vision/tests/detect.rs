//! Detectors and segmenters on graphs that answer the same whatever they are shown: each form of outputs is decoded
//! into pixels of the picture, and what is no known form is refused with what was found. Suppression and interpolation
//! are compared with torchvision's and PyTorch's (`data/detection.json`, which `tools/make_detection_cases.py` makes).

use std::sync::Arc;

use kinglet_runtime::SessionOptions;
use kinglet_runtime::graph::ops::{Arg, ArgKind, DetectionPostprocess, Op, Reshape, Slice, Softmax};
use kinglet_runtime::graph::{DType, Graph, Tensor, TensorType};
use kinglet_vision::classifier::{Classifier, PreprocessOptions, Recipe};
use kinglet_vision::detector::{DetectOptions, Detector};
use kinglet_vision::draw;
use kinglet_vision::frame::Rgb;
use kinglet_vision::postprocess::{Bounds, Detection, Form, nms};
use kinglet_vision::segmenter::Segmenter;
use serde_json::Value;

/// A graph that takes a picture of this shape and gives these tensors.
fn graph(input: &[usize], outputs: &[(&str, Tensor)]) -> Graph {
    let mut graph = Graph::default();
    graph.inputs = vec![graph.add_value("picture", TensorType::new(DType::F32, input))];
    graph.outputs = outputs.iter().map(|(name, tensor)| graph.add_constant(*name, tensor.clone())).collect();
    graph
}

fn floats(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

/// Zeros of [`floats`] but for these places.
fn sparse(shape: &[usize], values: &[(usize, f32)]) -> Tensor {
    let mut all = vec![0.0; shape.iter().product()];
    values.iter().for_each(|&(place, value)| all[place] = value);
    floats(shape, all)
}

fn recipe<'a>(graph: &'a Graph, labels: &[&str]) -> Recipe<'a> {
    let labels: Arc<[String]> = labels.iter().map(|label| (*label).to_owned()).collect();
    Recipe { graph, labels, preprocess: PreprocessOptions::default(), form: None }
}

fn picture(width: u32, height: u32) -> Rgb {
    Rgb::from_bytes(width, height, vec![90; (width * height * 3) as usize]).unwrap()
}

fn detect(graph: &Graph, labels: &[&str], size: (u32, u32)) -> Vec<Detection> {
    let mut detector = Detector::new(recipe(graph, labels)).unwrap();
    detector.detect(&picture(size.0, size.1)).unwrap().to_vec()
}

#[track_caller]
fn assert_box(found: Bounds, expected: [f32; 4]) {
    let near = <[f32; 4]>::from(found).iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02);
    assert!(near, "{found:?} is not {expected:?}");
}

/// The input is 64 × 64, the picture 128 × 64: in a letterbox it is half as large and 16 pixels down.
const WIDE: (u32, u32) = (128, 64);
/// Cells of 8, 16 and 32 pixels of an input of 64 × 64.
const CELLS: usize = 64 + 16 + 4;

/// Two boxes of one class that overlap, one of another class at the same place, and one below the threshold.
const YOLO_ROWS: [[f32; 6]; 4] = [
    [32.0, 32.0, 16.0, 8.0, 0.9, 0.1],
    [33.0, 32.0, 16.0, 8.0, 0.8, 0.1],
    [32.0, 32.0, 16.0, 8.0, 0.1, 0.7],
    [10.0, 20.0, 4.0, 4.0, 0.2, 0.24],
];

#[track_caller]
fn assert_yolo(detections: &[Detection]) {
    assert_eq!(detections.len(), 2, "{detections:?}");
    assert_eq!((detections[0].index, &detections[0].label[..]), (0, "cat"));
    assert_eq!((detections[1].index, &detections[1].label[..]), (1, "dog"));
    // Input 24..40 and 28..36; the picture is twice as large and begins 16 pixels down.
    detections.iter().for_each(|detection| assert_box(detection.bounds, [48.0, 24.0, 80.0, 40.0]));
}

#[test]
fn yolov8_gives_a_column_a_box() {
    for scale in [1.0, 1.0 / 64.0] {
        let mut values = vec![0.0; 6 * CELLS];
        // Boxes are centred all over the picture, also those of no score.
        (0..CELLS).for_each(|row| (values[row], values[CELLS + row]) = (60.0 * scale, 60.0 * scale));
        for (row, numbers) in YOLO_ROWS.iter().enumerate() {
            for (column, number) in numbers.iter().enumerate() {
                values[column * CELLS + 7 * row] = number * if column < 4 { scale } else { 1.0 };
            }
        }
        let graph = graph(&[1, 3, 64, 64], &[("output0", floats(&[1, 6, CELLS], values))]);
        let found = detect(&graph, &["cat", "dog"], WIDE);
        assert_yolo(&found);
        assert_eq!((found[0].score, found[1].score), (0.9, 0.7));
    }
}

#[test]
fn yolov5_gives_a_row_a_box_with_objectness() {
    let mut values = [60.0, 60.0, 0.0, 0.0, 0.0, 0.0, 0.0].repeat(3 * CELLS);
    for (row, [x, y, width, height, a, b]) in YOLO_ROWS.into_iter().enumerate() {
        values[7 * 11 * row..][..7].copy_from_slice(&[x, y, width, height, 0.5, 2.0 * a * 0.9, 2.0 * b * 0.9]);
    }
    let graph = graph(&[1, 3, 64, 64], &[("output", floats(&[1, 3 * CELLS, 7], values))]);
    let found = detect(&graph, &["cat", "dog"], WIDE);
    assert_yolo(&found);
    assert!((found[0].score - 0.81).abs() < 1e-6, "objectness times class: {}", found[0].score);
}

#[test]
fn yolox_boxes_are_relative_to_their_cells() {
    let mut values = vec![0.0; CELLS * 7];
    // Cell (3, 2) of the grid of 16 pixels: a box of 16 × 8 centred on (56, 40).
    let row = 64 + 2 * 4 + 3;
    values[7 * row..][..7].copy_from_slice(&[0.5, 0.5, 0.0, 0.5f32.ln(), 0.9, 0.1, 0.8]);
    let graph = graph(&[1, 3, 64, 64], &[("output", floats(&[1, CELLS, 7], values))]);
    let found = detect(&graph, &["cat", "dog"], WIDE);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].label, "dog");
    // The picture lies at the input's top, half as large, so that lower boxes end at its lower side.
    assert_box(found[0].bounds, [96.0, 64.0, 128.0, 64.0]);
}

#[test]
fn yolov10_gives_what_is_left() {
    let mut values = vec![0.0; 300 * 6];
    values[..6].copy_from_slice(&[24.0, 28.0, 40.0, 36.0, 0.9, 1.0]);
    values[6..12].copy_from_slice(&[25.0, 28.0, 40.0, 36.0, 0.8, 1.0]);
    values[12..18].copy_from_slice(&[25.0, f32::NAN, 40.0, 36.0, 0.8, -3.0]);
    let graph = graph(&[1, 3, 64, 64], &[("output0", floats(&[1, 300, 6], values))]);
    let found = detect(&graph, &["cat", "dog"], WIDE);
    assert_eq!(found.iter().map(|one| &one.label[..]).collect::<Vec<_>>(), ["dog", "dog"], "both, as the model says");
    assert_box(found[0].bounds, [48.0, 24.0, 80.0, 40.0]);
}

#[test]
fn poses_have_keypoints_in_the_picture() {
    let mut values = vec![0.0; 56 * CELLS];
    (0..CELLS).for_each(|row| values[row] = 60.0);
    for (column, number) in [32.0, 32.0, 16.0, 8.0, 0.9].into_iter().enumerate() {
        values[column * CELLS + 5] = number;
    }
    for point in 0..17 {
        for (number, value) in [20.0 + point as f32, 30.0, 0.75].into_iter().enumerate() {
            values[(5 + 3 * point + number) * CELLS + 5] = value;
        }
    }
    let yolo = graph(&[1, 3, 64, 64], &[("output0", floats(&[1, 56, CELLS], values))]);
    let found = detect(&yolo, &["person"], WIDE);
    assert_eq!((found.len(), found[0].keypoints.len(), &found[0].label[..]), (1, 17, "person"));
    let last = found[0].keypoints[16];
    assert_eq!((last.x, last.y, last.score), (72.0, 28.0, 0.75));

    // MoveNet: y, x, score in fractions of the input.
    let values: Vec<f32> = (0..17).flat_map(|point| [0.5, 0.25 + point as f32 / 64.0, 0.8]).collect();
    let movenet = graph(&[1, 64, 64, 3], &[("output", floats(&[1, 1, 17, 3], values))]);
    let found = detect(&movenet, &[], WIDE);
    assert_eq!((found.len(), &found[0].label[..]), (1, "class 0"));
    assert_box(found[0].bounds, [32.0, 32.0, 64.0, 32.0]);
    assert_eq!((found[0].keypoints[0].x, found[0].keypoints[0].y), (32.0, 32.0));

    // A map a keypoint, its maximum in cell (4, 3) of 16 × 16 with more to the right and above.
    let maximum = |point: usize| {
        let cell = point * 256 + 3 * 16 + 4;
        [(cell, 0.9), (cell + 1, 0.5), (cell - 16, 0.5)]
    };
    let maps = sparse(&[1, 17, 16, 16], &(0..17).flat_map(maximum).collect::<Vec<_>>());
    let found = detect(&graph(&[1, 3, 64, 64], &[("maps", maps)]), &[], WIDE);
    // Stretched: a cell is 8 × 4 pixels of the picture.
    assert_eq!((found[0].keypoints[9].x, found[0].keypoints[9].y), (8.0 * 4.75, 4.0 * 3.25));
}

#[test]
fn lists_of_boxes_are_read_in_both_orders() {
    let boxes = [0.25, 0.5, 0.75, 1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 1.0, 1.0];
    let tensorflow = graph(
        &[1, 64, 64, 3],
        &[
            ("boxes", floats(&[1, 3, 4], boxes.to_vec())),
            ("a", floats(&[1, 3], vec![1.0, 0.0, 0.0])),
            ("b", floats(&[1, 3], vec![0.9, 0.6, 0.5])),
            ("c", floats(&[1], vec![2.0])),
        ],
    );
    let found = detect(&tensorflow, &["cat", "dog"], WIDE);
    assert_eq!(found.len(), 2, "as many as are counted");
    assert_eq!((&found[0].label[..], found[0].score), ("dog", 0.9));
    assert_box(found[0].bounds, [64.0, 16.0, 128.0, 48.0]);

    let torch = graph(
        &[1, 3, 64, 64],
        &[
            ("boxes", floats(&[1, 2, 4], vec![32.0, 16.0, 64.0, 48.0, 0.0, 0.0, 8.0, 8.0])),
            ("labels", Tensor::new([1, 2], vec![1i64, 0]).unwrap()),
            ("scores", floats(&[1, 2], vec![0.9, 0.1])),
        ],
    );
    let found = detect(&torch, &["cat", "dog"], WIDE);
    assert_eq!((found.len(), &found[0].label[..]), (1, "dog"));
    assert_box(found[0].bounds, [64.0, 16.0, 128.0, 48.0]);
}

/// As TensorFlow Lite's importer makes them of the operator that ends SSD models; TensorFlow 2 lists the parts in
/// another order.
#[test]
fn the_parts_of_an_ssd_model_are_found_in_any_order() {
    let mut graph = graph(&[1, 64, 64, 3], &[]);
    let mut operand = |name: &str, tensor: Tensor| Some(graph.add_constant(name, tensor));
    let operands = vec![
        operand("codes", floats(&[1, 2, 4], vec![0.0; 8])),
        operand("scores", floats(&[1, 2, 3], vec![0.0, 0.1, 0.9, 0.0, 0.6, 0.2])),
        operand("anchors", floats(&[2, 4], vec![0.5, 0.75, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5])),
    ];
    let op = DetectionPostprocess {
        most: 5,
        classes: 2,
        per_class: false,
        most_per_class: 100,
        score_threshold: 0.3,
        iou_threshold: 0.5,
        scale: [10.0, 10.0, 5.0, 5.0],
    };
    let all = graph.add_value("all", TensorType::new(DType::F32, [1, 6, 6]));
    graph.add_node("all", Op::DetectionPostprocess(op), operands, vec![all]);
    let part = |graph: &mut Graph, name: &str, begin: [usize; 3], size: [usize; 3], shape: &[usize]| {
        let slice = Op::Slice(Slice { begin: begin.to_vec(), step: vec![1; 3], size: size.to_vec() });
        let sliced = graph.add_value("part", TensorType::new(DType::F32, size));
        graph.add_node("slice", slice, vec![Some(all)], vec![sliced]);
        let shaped = graph.add_value(name, TensorType::new(DType::F32, shape));
        let reshape = Op::Reshape(Reshape { shape: shape.to_vec() });
        graph.add_node("reshape", reshape, vec![Some(sliced)], vec![shaped]);
        shaped
    };
    graph.outputs = vec![
        part(&mut graph, "StatefulPartitionedCall:1", [0, 0, 5], [1, 5, 1], &[1, 5]),
        part(&mut graph, "StatefulPartitionedCall:3", [0, 0, 0], [1, 5, 4], &[1, 5, 4]),
        part(&mut graph, "StatefulPartitionedCall:0", [0, 5, 0], [1, 1, 1], &[1]),
        part(&mut graph, "StatefulPartitionedCall:2", [0, 0, 4], [1, 5, 1], &[1, 5]),
    ];
    let found = detect(&graph, &["cat", "dog"], WIDE);
    assert_eq!(found.iter().map(|one| (&one.label[..], one.score)).collect::<Vec<_>>(), [("dog", 0.9), ("cat", 0.6)]);
    assert_box(found[0].bounds, [64.0, 16.0, 128.0, 48.0]);
    assert_box(found[1].bounds, [0.0, 0.0, 64.0, 32.0]);
    let found = detect(&graph, &["???", "cat", "dog"], WIDE);
    assert_eq!((found[0].index, &found[0].label[..]), (2, "dog"), "lists of names begin with the background");
    assert!(Detector::new(recipe(&graph, &["cat"])).is_err());
}

#[test]
fn scored_boxes_are_suppressed_and_their_background_is_none() {
    let boxes = vec![0.25, 0.25, 0.5, 0.5, 0.25, 0.25, 0.5, 0.51, 0.7, 0.7, 0.9, 0.9];
    let scores = vec![0.1, 0.9, 0.0, 0.1, 0.8, 0.3, 0.99, 0.0, 0.01];
    let graph = graph(&[1, 3, 64, 64], &[("boxes", floats(&[1, 3, 4], boxes)), ("scores", floats(&[1, 3, 3], scores))]);
    let found = detect(&graph, &["cat", "dog"], WIDE);
    assert_eq!(found.iter().map(|one| (&one.label[..], one.score)).collect::<Vec<_>>(), [("cat", 0.9), ("dog", 0.3)]);
    assert_box(found[0].bounds, [32.0, 16.0, 64.0, 32.0]);
}

#[test]
fn prototypes_outline_objects() {
    // One box of the middle, whose mask is the first prototype less the second: right of the middle.
    let mut values = vec![0.0; 7 * CELLS];
    (0..CELLS).for_each(|row| values[row] = 60.0);
    for (column, number) in [32.0, 32.0, 32.0, 32.0, 0.9, 1.0, -1.0].into_iter().enumerate() {
        values[column * CELLS] = number;
    }
    let map = |of: fn(usize) -> f32| (0..256).map(move |cell| of(cell % 16));
    let prototypes: Vec<f32> = map(|x| x as f32).chain(map(|_| 7.5)).collect();
    let graph = graph(
        &[1, 3, 64, 64],
        &[("output0", floats(&[1, 7, CELLS], values)), ("output1", floats(&[1, 2, 16, 16], prototypes))],
    );
    let found = detect(&graph, &["cat"], WIDE);
    let outline = found[0].outline.as_ref().unwrap();
    assert_box(found[0].bounds, [32.0, 0.0, 96.0, 64.0]);
    assert_eq!((outline.left, outline.top, outline.width, outline.inside.len()), (32, 0, 64, 64 * 64));
    for (place, inside) in outline.inside.iter().enumerate() {
        assert_eq!(*inside, place % 64 >= 32, "column {}", place % 64);
    }
}

#[test]
fn suppression_is_torchvisions() {
    let cases: Value = serde_json::from_str(include_str!("data/detection.json")).unwrap();
    for case in cases["suppression"].as_array().unwrap() {
        let (boxes, scores) = (numbers(&case["boxes"]), numbers(&case["scores"]));
        let bounds: Vec<Bounds> =
            boxes.chunks_exact(4).map(|b| Bounds { x0: b[0], y0: b[1], x1: b[2], y1: b[3] }).collect();
        let classes: Vec<usize> = numbers(&case["classes"]).iter().map(|class| *class as usize).collect();
        for (iou, kept) in case["kept"].as_object().unwrap() {
            let expected: Vec<usize> = numbers(kept).iter().map(|place| *place as usize).collect();
            assert!(expected.len() < bounds.len());
            assert_eq!(nms::keep(&bounds, &scores, &classes, iou.parse().unwrap()), expected, "at {iou}");
        }
    }
}

#[test]
fn scores_are_interpolated_as_pytorch_does() {
    let cases: Value = serde_json::from_str(include_str!("data/detection.json")).unwrap();
    for case in cases["interpolation"].as_array().unwrap() {
        let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|size| *size as usize).collect();
        let [classes, height, width, to_height, to_width] = shape[..] else { panic!("{shape:?}") };
        let planar = numbers(&case["scores"]);
        let last: Vec<f32> =
            (0..planar.len()).map(|place| planar[place % classes * height * width + place / classes]).collect();
        // The input has the grid's proportions.
        let (rows, columns) = (8 * height, 8 * width);
        for (input, output) in [
            ([1, 3, rows, columns], floats(&[1, classes, height, width], planar.clone())),
            ([1, rows, columns, 3], floats(&[1, height, width, classes], last)),
        ] {
            let graph = graph(&input, &[("out", output)]);
            let mut segmenter = Segmenter::new(recipe(&graph, &[])).unwrap();
            let mask = segmenter.segment(&picture(to_width as u32, to_height as u32)).unwrap();
            for (place, (found, expected)) in mask.classes().iter().zip(numbers(&case["classes"])).enumerate() {
                assert!(expected < 0.0 || f32::from(*found) == expected, "pixel {place}: {found}, not {expected}");
            }
        }
    }
}

fn numbers(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn masks_say_how_much_there_is_of_what() {
    // Indices, left half 1, of the lower right quarter 2.
    let classes: Vec<i64> = (0..64).map(|cell| if cell % 8 < 4 { 1 } else { 2 * (cell / 32) }).collect();
    let graph = graph(&[1, 64, 64, 3], &[("classes", Tensor::new([1, 8, 8], classes).unwrap())]);
    let mut segmenter = Segmenter::new(recipe(&graph, &["background", "cat", "dog"])).unwrap();
    let image = picture(32, 16);
    let mask = segmenter.segment(&image).unwrap().clone();
    let shares: Vec<_> = mask.shares().into_iter().map(|one| (one.index, one.label, one.pixels, one.share)).collect();
    assert_eq!(shares[0], (1, "cat".to_owned(), 256, 0.5));
    assert_eq!(shares[1..], [(0, "background".to_owned(), 128, 0.25), (2, "dog".to_owned(), 128, 0.25)]);
    let coarse = segmenter.segment_coarsely(&image, 8).unwrap();
    assert_eq!((coarse.width(), coarse.height(), coarse.shares()[0].pixels), (8, 4, 256));
}

#[test]
fn indices_are_of_as_many_classes_as_were_searched() {
    let mut graph = graph(&[1, 64, 64, 3], &[]);
    // Class 2 of 3 everywhere.
    let scores = graph.add_constant("scores", floats(&[1, 8, 8, 3], [0.1, 0.2, 0.3].repeat(64)));
    let classes = graph.add_value("classes", TensorType::new(DType::I64, [1, 8, 8]));
    let search = Op::Arg(Arg { kind: ArgKind::Max, axis: 3, keep_dims: false, last: false });
    graph.add_node("search", search, vec![Some(scores)], vec![classes]);
    graph.outputs = vec![classes];
    let mut segmenter = Segmenter::new(recipe(&graph, &["cat", "dog"])).unwrap();
    let mask = segmenter.segment(&picture(20, 10)).unwrap();
    assert!(mask.has_background());
    assert_eq!(mask.shares()[0].label, "dog", "one label fewer: class 0 is the background");
    assert!(Segmenter::new(recipe(&graph, &["cat"])).is_err());
}

#[test]
fn what_has_no_known_form_is_said() {
    let graph = graph(&[1, 3, 64, 64], &[("a", sparse(&[1, 255, 8, 8], &[])), ("b", sparse(&[1, 255, 4, 4], &[]))]);
    let message = Detector::new(recipe(&graph, &[])).unwrap_err().to_string();
    for part in ["a float32 [1, 255, 8, 8], b float32 [1, 255, 4, 4]", "yolov8, ", "class-map", "--decoder"] {
        assert!(message.contains(part), "{message}");
    }
    let recipe = Recipe { form: Some(Form::YoloV5), ..recipe(&graph, &[]) };
    let message = Detector::new(recipe).unwrap_err().to_string();
    assert!(message.contains("the form yolov5, which is [1, N, 5 + C]") && !message.contains("yolox"), "{message}");
}

#[test]
fn a_model_for_something_else_is_said_to_be_that() {
    let mut classifier = graph(&[1, 8, 8, 3], &[]);
    let logits = classifier.add_constant("logits", sparse(&[1, 5], &[]));
    let scores = classifier.add_value("scores", TensorType::new(DType::F32, [1, 5]));
    classifier.add_node("softmax", Op::Softmax(Softmax { beta: 1.0 }), vec![Some(logits)], vec![scores]);
    classifier.outputs = vec![scores];
    let message = Detector::new(recipe(&classifier, &[])).unwrap_err().to_string();
    assert_eq!(message, "this is a classification model, not a detection model: use `kinglet classify`");
    let detector = graph(&[1, 3, 64, 64], &[("out", sparse(&[1, 300, 6], &[]))]);
    let message = Classifier::new(recipe(&detector, &[])).unwrap_err().to_string();
    assert!(message.contains("use `kinglet detect`"), "{message}");
    let message = Segmenter::new(recipe(&detector, &[])).unwrap_err().to_string();
    assert!(message.contains("a detection model, not a segmentation model"), "{message}");
    let message = Detector::new(recipe(&graph(&[1, 3, 64, 64], &[("out", sparse(&[1, 6, CELLS], &[]))]), &["one"]));
    assert!(message.unwrap_err().to_string().contains("1 labels for 2 classes"));
}

#[test]
fn options_decide_what_is_told() {
    let mut values = vec![0.0; 6 * CELLS];
    (0..CELLS).for_each(|row| (values[row], values[CELLS + row]) = (60.0, 60.0));
    for (row, numbers) in YOLO_ROWS.iter().enumerate() {
        numbers.iter().enumerate().for_each(|(column, number)| values[column * CELLS + row] = *number);
    }
    let graph = graph(&[1, 3, 64, 64], &[("output0", floats(&[1, 6, CELLS], values))]);
    let count = |options: DetectOptions| {
        let mut detector = Detector::with_options(recipe(&graph, &[]), options, &SessionOptions::default()).unwrap();
        detector.detect(&picture(64, 64)).unwrap().len()
    };
    let usual = DetectOptions::default();
    assert_eq!(count(usual), 2);
    assert_eq!(count(DetectOptions { threshold: 0.2, ..usual }), 3);
    assert_eq!(count(DetectOptions { iou: 0.95, ..usual }), 3);
    assert_eq!(count(DetectOptions { most: 1, ..usual }), 1);
    assert_eq!(count(DetectOptions { threshold: 0.95, ..usual }), 0);
}

#[test]
fn what_is_drawn_stays_in_the_picture() {
    let mut image = picture(60, 40);
    let far = |x: f32, y: f32| kinglet_vision::postprocess::Keypoint { x, y, score: 1.0 };
    let detection = Detection {
        label: "a label that is longer than the picture is wide: Zürich".into(),
        score: 0.5,
        bounds: Bounds { x0: -5.0, y0: 10.0, x1: 80.0, y1: 38.0 },
        keypoints: [far(1e30, f32::NEG_INFINITY), far(30.0, 20.0), far(f32::NAN, 3.0)].repeat(6)[..17].to_vec(),
        ..Detection::default()
    };
    draw::detections(&mut image, &[detection]);
    let at = |x: usize, y: usize| &image.bytes()[3 * (60 * y + x)..][..3];
    assert_eq!(at(2, 11), draw::object_color(0), "the box's upper side");
    assert_eq!(at(2, 30), [90; 3], "within the box");
    assert_eq!(at(30, 20), [255; 3], "a keypoint");
}

#[test]
fn voc_colors_are_those_of_the_challenge() {
    // From the colormap of PASCAL VOC's development kit: aeroplane, bicycle, bird, person, tv monitor.
    for (class, color) in
        [(1, [128, 0, 0]), (2, [0, 128, 0]), (3, [128, 128, 0]), (15, [192, 128, 128]), (20, [0, 64, 128])]
    {
        assert_eq!(draw::class_color(class), color, "{class}");
    }
}
