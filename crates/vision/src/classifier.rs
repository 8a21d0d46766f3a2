//! From a picture to named answers: preprocess, run the model, read its scores.
//! [`Classifier`] holds a session and everything around it, and reuses its memory from picture to picture.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinglet_runtime::graph::{DType, Graph, Op, TensorType, ValueId, View, ViewMut, qmath};
use kinglet_runtime::{Session, SessionOptions};

use crate::error::{Result, VisionError};
use crate::frame::Rgb;
use crate::preprocess::{Element, Input, Interpolation, Layout, Normalize, Output, Preprocess, Preprocessor, Resize};

/// Classes of a model that was trained on ImageNet with a background class before the thousand real ones.
const IMAGENET_WITH_BACKGROUND: usize = 1001;

/// How pictures are prepared, where it differs from what the model's input says. Sizes are in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreprocessOptions {
    /// The picture's shorter side becomes this long. Default: 256 / 224 of the crop.
    pub resize: Option<u32>,
    /// Side of the square in the middle that the model is shown. Default: the model's own input size.
    pub crop: Option<u32>,
    /// Mean of R, G, B in 0 to 1; goes with `std`.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of R, G, B in 0 to 1; goes with `mean`.
    pub std: Option<[f32; 3]>,
    /// How the picture is resized. Default: bilinear.
    pub interpolation: Option<Interpolation>,
}

/// What a classifier is made of: a graph, and what is known of its classes and pictures.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// A name for each class; empty where they are not known.
    pub labels: Arc<[String]>,
    /// How pictures are prepared.
    pub preprocess: PreprocessOptions,
}

/// One class of an answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// The class, counted as the labels are.
    pub index: usize,
    /// Its name, or `class N` where the model has no names.
    pub label: String,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// Names what is in pictures.
#[derive(Debug)]
pub struct Classifier {
    session: Session,
    preprocessor: Preprocessor,
    labels: Arc<[String]>,
    /// Outputs before the first class: 1 where the model has a background class that the labels have not.
    background: usize,
    /// Whether the model's outputs are logits, so that their softmax is taken here.
    logits: bool,
    scores: Vec<f32>,
    times: Times,
}

/// How long the parts of the last [`Classifier::classify`] took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Resize, crop, normalize, quantize.
    pub preprocess: Duration,
    /// The model itself.
    pub inference: Duration,
}

impl Classifier {
    /// A classifier with one thread and the best kernels.
    ///
    /// # Errors
    /// When the model does not take one picture and give one score a class, or the labels are not as many as its classes.
    pub fn new<'a>(recipe: impl Into<Recipe<'a>>) -> Result<Classifier> {
        Classifier::with_options(recipe, &SessionOptions::default())
    }

    /// A classifier whose session is made with these options.
    ///
    /// # Errors
    /// As [`Classifier::new`].
    pub fn with_options<'a>(recipe: impl Into<Recipe<'a>>, options: &SessionOptions) -> Result<Classifier> {
        let recipe = recipe.into();
        let classes = class_count(recipe.graph)?;
        let background = background(classes, recipe.labels.len())?;
        let input = picture_input(recipe.graph)?;
        let preprocess = preprocess(&recipe.preprocess, input, classes)?;
        Ok(Classifier {
            session: Session::new(recipe.graph, options)?,
            preprocessor: Preprocessor::new(preprocess, input)?,
            labels: recipe.labels,
            background,
            logits: !gives_probabilities(recipe.graph),
            scores: vec![0.0; classes],
            times: Times::default(),
        })
    }

    /// Names what is in a picture.
    ///
    /// # Errors
    /// When the picture is so long and narrow that it cannot be resized.
    pub fn classify(&mut self, image: &Rgb) -> Result<Predictions<'_>> {
        let start = Instant::now();
        let out = match self.session.input_mut(0) {
            ViewMut::U8(values) => Output::U8(values),
            ViewMut::I8(values) => Output::I8(values),
            ViewMut::F32(values) => Output::F32(values),
            other => return Err(VisionError::Model(format!("the input is {}, which no picture is", other.dtype()))),
        };
        self.preprocessor.run(image, out)?;
        let ready = Instant::now();
        self.session.execute()?;
        self.times = Times { preprocess: ready - start, inference: ready.elapsed() };
        self.read_scores();
        Ok(Predictions { scores: &self.scores[self.background..], labels: &self.labels })
    }

    /// How long the parts of the last call took.
    pub fn times(&self) -> Times {
        self.times
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How many classes are told apart; a background class is not counted.
    pub fn classes(&self) -> usize {
        self.scores.len() - self.background
    }

    fn read_scores(&mut self) {
        let quantization = self.session.outputs()[0].ty.quantization.as_ref();
        let real = |q: i32| quantization.map_or(q as f32, |p| qmath::dequantize(q, p.scale(), p.zero_point()));
        match self.session.output(0) {
            View::F32(values) => self.scores.copy_from_slice(values),
            View::U8(values) => self.scores.iter_mut().zip(values).for_each(|(score, &q)| *score = real(q.into())),
            View::I8(values) => self.scores.iter_mut().zip(values).for_each(|(score, &q)| *score = real(q.into())),
            other => unreachable!("checked when the classifier was made: scores of {}", other.dtype()),
        }
        if self.logits {
            softmax(&mut self.scores);
        }
    }
}

/// The answer for one picture.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    scores: &'a [f32],
    labels: &'a [String],
}

impl Predictions<'_> {
    /// The probability of each class, in the labels' order.
    pub fn scores(&self) -> &[f32] {
        self.scores
    }

    /// The `count` likeliest classes, the likeliest first; of equal ones the first in the labels' order.
    pub fn top(&self, count: usize) -> Vec<Prediction> {
        let order = |a: &usize, b: &usize| {
            self.scores[*b].partial_cmp(&self.scores[*a]).unwrap_or(Ordering::Equal).then(a.cmp(b))
        };
        let mut classes: Vec<usize> = (0..self.scores.len()).collect();
        let count = count.min(classes.len());
        if (1..classes.len()).contains(&count) {
            classes.select_nth_unstable_by(count - 1, order);
        }
        classes.truncate(count);
        classes.sort_unstable_by(order);
        let prediction = |index: usize| Prediction { index, label: self.label(index), score: self.scores[index] };
        classes.into_iter().map(prediction).collect()
    }

    fn label(&self, index: usize) -> String {
        self.labels.get(index).cloned().unwrap_or_else(|| format!("class {index}"))
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// How many scores the model gives.
fn class_count(graph: &Graph) -> Result<usize> {
    let [output] = graph.outputs[..] else {
        return Err(VisionError::Model(format!("{} outputs, where a classifier has one", graph.outputs.len())));
    };
    let ty = &graph.value(output).ty;
    let classes = ty.shape.last().copied().unwrap_or(0);
    let scores = matches!(ty.dtype, DType::F32 | DType::U8 | DType::I8);
    if classes == 0 || ty.len() != classes || !scores {
        let problem =
            format!("the output is {} of shape {:?}, where a classifier has one score a class", ty.dtype, ty.shape);
        return Err(VisionError::Model(problem));
    }
    Ok(classes)
}

/// Outputs before the first class that has a label.
fn background(classes: usize, labels: usize) -> Result<usize> {
    match labels {
        0 => Ok(0),
        _ if labels == classes => Ok(0),
        _ if labels + 1 == classes => Ok(1),
        _ => Err(VisionError::Model(format!(
            "{labels} labels for {classes} classes; they must be as many, or one fewer where class 0 is background"
        ))),
    }
}

/// Size, layout and type of the model's one input.
fn picture_input(graph: &Graph) -> Result<Input> {
    let [input] = graph.inputs[..] else {
        return Err(VisionError::Model(format!("{} inputs, where a classifier has one", graph.inputs.len())));
    };
    let ty = &graph.value(input).ty;
    let (height, width, layout) = match ty.shape[..] {
        [1, height, width, 3] => (height, width, Layout::Nhwc),
        [1, 3, height, width] => (height, width, Layout::Nchw),
        _ => {
            let problem = format!("the input has shape {:?}, where a picture is [1, height, width, 3]", ty.shape);
            return Err(VisionError::Model(problem));
        }
    };
    let side =
        |side: usize| u32::try_from(side).map_err(|_| VisionError::Model(format!("an input {side} pixels wide")));
    Ok(Input { width: side(width)?, height: side(height)?, layout, element: element(ty)? })
}

fn element(ty: &TensorType) -> Result<Element> {
    let scale = || ty.activation_quantization("the input").map_err(|error| VisionError::Model(error.to_string()));
    match ty.dtype {
        DType::F32 => Ok(Element::F32),
        DType::U8 => scale().map(|q| Element::U8 { scale: q.scale(), zero_point: q.zero_point() }),
        DType::I8 => scale().map(|q| Element::I8 { scale: q.scale(), zero_point: q.zero_point() }),
        other => Err(VisionError::Model(format!("the input is {other}, which no picture is"))),
    }
}

/// The preparation that the options ask for, or else the usual one for such an input.
fn preprocess(options: &PreprocessOptions, input: Input, classes: usize) -> Result<Preprocess> {
    let normalize = match (options.mean, options.std) {
        (Some(mean), Some(std)) => Normalize::MeanStd { mean, std },
        (None, None) if input.element != Element::F32 => Normalize::Bytes,
        (None, None) if classes == IMAGENET_WITH_BACKGROUND => Normalize::SYMMETRIC,
        (None, None) => Normalize::IMAGENET,
        _ => return Err(VisionError::Preprocess("a mean needs a standard deviation, and the other way round".into())),
    };
    let usual = Preprocess::imagenet(input.width, input.height, normalize);
    let shorter = input.width.min(input.height);
    let scaled =
        |resize: u32, crop: u32| (f64::from(resize) * f64::from(shorter) / f64::from(crop.max(1))).round() as u32;
    let resize = match (options.resize, options.crop) {
        (None, None) => usual.resize,
        (Some(resize), crop) => Resize::ShorterSide(scaled(resize, crop.unwrap_or(shorter))),
        // The part that is cropped has the usual share of the picture, however large it is; it is scaled to the input.
        (None, Some(crop)) => Resize::ShorterSide(scaled((f64::from(crop) * 256.0 / 224.0).round() as u32, crop)),
    };
    Ok(Preprocess { resize, interpolation: options.interpolation.unwrap_or_default(), normalize })
}

/// Whether the model's last operator already makes probabilities of its scores.
fn gives_probabilities(graph: &Graph) -> bool {
    let producers = graph.producers();
    let mut value: Option<ValueId> = graph.outputs.first().copied();
    while let Some(node) = value.and_then(|id| producers[id.0]) {
        let node = &graph.nodes[node.0];
        match &node.op {
            Op::Softmax(_) => return true,
            Op::Unary(kinglet_runtime::graph::ops::Unary::Logistic) => return true,
            Op::Reshape(_) | Op::Quantize | Op::Dequantize => value = node.inputs.first().copied().flatten(),
            _ => return false,
        }
    }
    false
}
