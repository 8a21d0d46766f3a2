//! From a picture to named answers: preprocess, run the model, read its scores.
//! [`Classifier`] holds a session and everything around it, and reuses its memory from picture to picture.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Instant;

use kinglet_runtime::graph::{Graph, Op, ValueId};
use kinglet_runtime::{Session, SessionOptions};

use crate::error::{Result, VisionError};
use crate::frame::Rgb;
use crate::network::{Network, normalize, picture_input};
use crate::postprocess::reading::{Reader, Reading};
use crate::postprocess::{Form, Task};
use crate::preprocess::{ChannelOrder, Element, Input, Interpolation, Normalize, Preprocess, Resize};

pub use crate::network::Times;

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

/// What a classifier, detector or segmenter is made of: a graph, and what is known of its classes and pictures.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// A name for each class; empty where they are not known.
    pub labels: Arc<[String]>,
    /// How pictures are prepared.
    pub preprocess: PreprocessOptions,
    /// What the outputs mean, where their shapes do not say it.
    pub form: Option<Form>,
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
    network: Network,
    labels: Arc<[String]>,
    /// Outputs before the first class: 1 where the model has a background class that the labels have not.
    background: usize,
    /// Whether the model's outputs are logits, so that their softmax is taken here.
    logits: bool,
    scores: Vec<f32>,
    classes: usize,
}

impl Classifier {
    /// A classifier with one thread and the best kernels.
    ///
    /// # Errors
    /// When the model does not take one picture and give one score a class, or the labels are not as many as its
    /// classes.
    pub fn new<'a>(recipe: impl Into<Recipe<'a>>) -> Result<Classifier> {
        Classifier::with_options(recipe, &SessionOptions::default())
    }

    /// A classifier whose session is made with these options.
    ///
    /// # Errors
    /// As [`Classifier::new`].
    pub fn with_options<'a>(recipe: impl Into<Recipe<'a>>, options: &SessionOptions) -> Result<Classifier> {
        let recipe = recipe.into();
        let input = picture_input(recipe.graph)?;
        let reading = Reading::for_task(recipe.graph, &input, recipe.form, Task::Classify)?;
        let Reader::Scores(classes) = reading.reader else { unreachable!("it is the one reader for this task") };
        let background = background(classes, recipe.labels.len())?;
        let preprocess = preprocess(&recipe.preprocess, input, classes)?;
        Ok(Classifier {
            network: Network::new(recipe.graph, preprocess, input, options)?,
            labels: recipe.labels,
            background,
            logits: !gives_probabilities(recipe.graph, 0),
            scores: Vec::with_capacity(classes),
            classes: classes - background,
        })
    }

    /// Names what is in a picture.
    ///
    /// # Errors
    /// When the picture is so long and narrow that it cannot be resized.
    pub fn classify(&mut self, image: &Rgb) -> Result<Predictions<'_>> {
        self.network.run(image)?;
        let start = Instant::now();
        self.read_scores();
        self.network.answered_since(start);
        Ok(self.last())
    }

    /// The last answer; one without classes before the first.
    pub fn last(&self) -> Predictions<'_> {
        Predictions { scores: self.scores.get(self.background..).unwrap_or_default(), labels: &self.labels }
    }

    /// How long the parts of the last call took.
    pub fn times(&self) -> Times {
        self.network.times()
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        self.network.session()
    }

    /// How many classes are told apart; a background class is not counted.
    pub fn classes(&self) -> usize {
        self.classes
    }

    fn read_scores(&mut self) {
        self.scores.clear();
        self.network.output_into(0, &mut self.scores);
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

/// Outputs before the first class that has a label.
fn background(classes: usize, labels: usize) -> Result<usize> {
    match labels {
        0 => Ok(0),
        _ if labels == classes => Ok(0),
        _ if labels + 1 == classes => Ok(1),
        _ => Err(VisionError::Labels { labels, classes }),
    }
}

/// The preparation that the options ask for, or else the usual one for such an input.
fn preprocess(options: &PreprocessOptions, input: Input, classes: usize) -> Result<Preprocess> {
    let usual = match input.element {
        Element::F32 if classes == IMAGENET_WITH_BACKGROUND => Normalize::SYMMETRIC,
        Element::F32 => Normalize::IMAGENET,
        _ => Normalize::Bytes,
    };
    let normalize = normalize(options.mean, options.std, usual)?;
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
    let interpolation = options.interpolation.unwrap_or_default();
    Ok(Preprocess { resize, interpolation, normalize, order: ChannelOrder::Rgb })
}

/// Whether the operator that makes this output already makes probabilities of its scores.
pub(crate) fn gives_probabilities(graph: &Graph, output: usize) -> bool {
    let producers = graph.producers();
    let mut value: Option<ValueId> = graph.outputs.get(output).copied();
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
