//! From a picture to the objects in it: preprocess, run the model, decode its boxes, and keep the best of those that
//! overlap. [`Detector`] reuses its memory from picture to picture.

use std::sync::Arc;
use std::time::Instant;

use kinglet_runtime::{Session, SessionOptions};

use crate::classifier::{PreprocessOptions, Recipe, Times};
use crate::error::{Result, VisionError};
use crate::frame::Rgb;
use crate::network::{Network, normalize, picture_input};
use crate::postprocess::reading::{Reader, Reading};
use crate::postprocess::yolo::Best;
use crate::postprocess::{Candidate, Detection, Form, Keypoint, Task, bounds_in_picture, in_picture, nms};
use crate::preprocess::{ChannelOrder, Element, Input, Layout, Letterbox, Normalize, Placement, Preprocess, Resize};

/// Which of the boxes that a model gives are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectOptions {
    /// The least score, 0 to 1.
    pub threshold: f32,
    /// How much of the area that two boxes of a class cover together they may share: above this, the better one is
    /// kept.
    pub iou: f32,
    /// The most objects a picture.
    pub most: usize,
}

impl Default for DetectOptions {
    /// A score of 0.25, 0.45 shared, 300 objects: what YOLO models are usually run with.
    fn default() -> DetectOptions {
        DetectOptions { threshold: 0.25, iou: 0.45, most: 300 }
    }
}

/// Finds objects, and bodies with their keypoints, in pictures.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    options: DetectOptions,
    reading: Reading,
    names: Names,
    candidates: Vec<Candidate>,
    best: Best,
    scratch: [Vec<f32>; 4],
    sum: Vec<f32>,
    coefficients: Vec<f32>,
    detections: Vec<Detection>,
}

impl Detector {
    /// A detector with one thread, the best kernels and the usual options.
    ///
    /// # Errors
    /// When the model does not take one picture, its outputs have no known form of a detector's, or the labels are not
    /// as many as its classes.
    pub fn new<'a>(recipe: impl Into<Recipe<'a>>) -> Result<Detector> {
        Detector::with_options(recipe, DetectOptions::default(), &SessionOptions::default())
    }

    /// A detector with these options, whose session is made with those.
    ///
    /// # Errors
    /// As [`Detector::new`].
    pub fn with_options<'a>(
        recipe: impl Into<Recipe<'a>>,
        options: DetectOptions,
        session: &SessionOptions,
    ) -> Result<Detector> {
        let recipe = recipe.into();
        let input = picture_input(recipe.graph)?;
        let reading = Reading::for_task(recipe.graph, &input, recipe.form, Task::Detect)?;
        let preprocess = preprocess(&recipe.preprocess, input, reading.form)?;
        Ok(Detector {
            network: Network::new(recipe.graph, preprocess, input, session)?,
            options,
            names: Names::new(recipe.labels, &reading)?,
            reading,
            candidates: Vec::new(),
            best: Best::default(),
            scratch: Default::default(),
            sum: Vec::new(),
            coefficients: Vec::new(),
            detections: Vec::new(),
        })
    }

    /// Finds what is in a picture: the best scored first.
    ///
    /// # Errors
    /// When the picture is so long and narrow that it cannot be resized, or the model fails.
    pub fn detect(&mut self, image: &Rgb) -> Result<&[Detection]> {
        self.network.run(image)?;
        let start = Instant::now();
        let placement = self.network.placement(image)?;
        self.decode();
        self.read_detections(image, &placement);
        self.network.answered_since(start);
        Ok(&self.detections)
    }

    /// The last answer; nothing before the first.
    pub fn last(&self) -> &[Detection] {
        &self.detections
    }

    /// How long the parts of the last call took.
    pub fn times(&self) -> Times {
        self.network.times()
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        self.network.session()
    }

    /// The form of the model's outputs.
    pub fn form(&self) -> Form {
        self.reading.form
    }

    /// Fills `candidates` with the boxes that are told.
    fn decode(&mut self) {
        let DetectOptions { threshold, iou, most } = self.options;
        let outputs = self.network.some_outputs(&self.reading.outputs, &mut self.scratch);
        let candidates = &mut self.candidates;
        candidates.clear();
        match &self.reading.reader {
            Reader::BoxList(list) => list.candidates(outputs, threshold, candidates),
            Reader::ScoredBoxes(boxes) => boxes.candidates(outputs, self.names.background, threshold, candidates),
            Reader::Yolo(yolo, _) => yolo.candidates(outputs[0], threshold, &mut self.best, candidates),
            Reader::Bodies(bodies) => bodies.candidates(outputs[0], threshold, candidates),
            Reader::Heatmaps(heatmaps) => heatmaps.candidates(outputs, threshold, candidates),
            Reader::Scores(_) | Reader::ClassMap(_) => unreachable!("checked when the detector was made"),
        }
        candidates.retain(|candidate| candidate.bounds.is_finite());
        match self.reading.form {
            Form::ScoredBoxes | Form::YoloV5 | Form::YoloV8 | Form::YoloV8Pose | Form::YoloX => {
                nms::suppress(candidates, iou, most);
            }
            _ => nms::best(candidates, most),
        }
    }

    /// Makes detections of `candidates`, in pixels of the picture.
    fn read_detections(&mut self, image: &Rgb, placement: &Placement) {
        let outputs = self.network.some_outputs(&self.reading.outputs, &mut self.scratch);
        self.detections.truncate(self.candidates.len());
        self.detections.resize_with(self.candidates.len(), Detection::default);
        for (detection, candidate) in self.detections.iter_mut().zip(&self.candidates) {
            self.names.name(candidate.class, detection);
            detection.score = candidate.score;
            detection.bounds = bounds_in_picture(placement, &candidate.bounds, (image.width(), image.height()));
            detection.keypoints.clear();
            match &self.reading.reader {
                Reader::Yolo(yolo, prototypes) => {
                    yolo.keypoints(outputs[0], candidate.row, &mut detection.keypoints);
                    detection.outline = prototypes.as_ref().map(|prototypes| {
                        yolo.coefficients(outputs[0], candidate.row, &mut self.coefficients);
                        let (bounds, sum) = (&detection.bounds, &mut self.sum);
                        prototypes.outline(outputs[1], &self.coefficients, bounds, placement, sum)
                    });
                }
                Reader::Bodies(bodies) => bodies.keypoints(outputs[0], candidate.row, &mut detection.keypoints),
                Reader::Heatmaps(heatmaps) => heatmaps.keypoints(outputs, &mut detection.keypoints),
                _ => {}
            }
            for Keypoint { x, y, .. } in &mut detection.keypoints {
                (*x, *y) = in_picture(placement, *x, *y);
            }
        }
    }
}

/// The names of a model's classes, and how its numbers of classes become the labels'.
#[derive(Debug)]
struct Names {
    labels: Arc<[String]>,
    /// Classes before the first that has a label.
    background: usize,
    /// Labels before that of the first class.
    before: usize,
}

impl Names {
    fn new(labels: Arc<[String]>, reading: &Reading) -> Result<Names> {
        let (background, before) = match (labels.len(), reading.classes, reading.form) {
            (0, _, _) | (_, None, _) => (0, 0),
            (labels, Some(classes), _) if labels == classes => (0, 0),
            (labels, Some(classes), Form::ScoredBoxes) if labels + 1 == classes => (1, 0),
            // TensorFlow's lists begin with a name for the background, which the operator leaves out.
            (labels, Some(classes), Form::BoxList) if labels == classes + 1 => (0, 1),
            (labels, Some(classes), _) => return Err(VisionError::Labels { labels, classes }),
        };
        Ok(Names { labels, background, before })
    }

    fn name(&self, class: usize, detection: &mut Detection) {
        let index = class.saturating_add(self.before).saturating_sub(self.background);
        detection.index = index;
        detection.label.clear();
        match self.labels.get(index) {
            Some(label) => detection.label.push_str(label),
            None => detection.label = format!("class {index}"),
        }
    }
}

/// How pictures are prepared for models of this form, where the options do not say it.
fn preprocess(options: &PreprocessOptions, input: Input, form: Form) -> Result<Preprocess> {
    whole_picture(options)?;
    let fractions = Normalize::MeanStd { mean: [0.0; 3], std: [1.0; 3] };
    let letterbox = |gray, centered| Resize::Letterbox(Letterbox { gray, centered });
    let whole = Resize::Exact(input.width, input.height);
    let (resize, usual, order) = match form {
        Form::YoloX => (letterbox(114, false), Normalize::Bytes, ChannelOrder::Bgr),
        Form::YoloV5 | Form::YoloV8 | Form::YoloV8Pose | Form::YoloFinal => {
            (letterbox(114, true), fractions, ChannelOrder::Rgb)
        }
        Form::MoveNet => (letterbox(0, true), Normalize::Bytes, ChannelOrder::Rgb),
        _ => (whole, usual_of_layout(input, fractions, form), ChannelOrder::Rgb),
    };
    // Bytes without a scale are meant as they are.
    let plain_bytes = matches!(input.element, Element::I32 | Element::U8 { scale: 1.0, .. });
    let usual = if plain_bytes { Normalize::Bytes } else { usual };
    let normalize = normalize(options.mean, options.std, usual)?;
    Ok(Preprocess { resize, interpolation: options.interpolation.unwrap_or_default(), normalize, order })
}

/// TensorFlow's models take [−1, 1]; PyTorch's detectors take [0, 1] and normalize themselves; other models of PyTorch
/// take what ImageNet's do.
fn usual_of_layout(input: Input, fractions: Normalize, form: Form) -> Normalize {
    match (input.element, input.layout) {
        (Element::F32, Layout::Nhwc) => Normalize::SYMMETRIC,
        (Element::F32, Layout::Nchw) if form == Form::Heatmaps => Normalize::IMAGENET,
        (Element::F32, Layout::Nchw) => fractions,
        _ => Normalize::Bytes,
    }
}

/// Refuses to crop: what a classifier may leave out, others are to find.
pub(crate) fn whole_picture(options: &PreprocessOptions) -> Result<()> {
    match (options.resize, options.crop) {
        (None, None) => Ok(()),
        _ => Err(VisionError::Preprocess(
            "this model is shown whole pictures; resize and crop are for classifiers".into(),
        )),
    }
}
