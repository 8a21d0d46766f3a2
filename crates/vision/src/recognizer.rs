//! Whatever a model is for: the one of [`Classifier`], [`Detector`] and [`Segmenter`] that runs it, and its answers in
//! the forms that the live loop's viewers want.

use kinglet_runtime::{Session, SessionOptions};
use serde::Serialize;

use crate::classifier::{Classifier, Prediction, Recipe, Times};
use crate::detector::{DetectOptions, Detector};
use crate::draw::{Color, class_color, object_color};
use crate::error::Result;
use crate::frame::Rgb;
use crate::postprocess::{COCO_KEYPOINTS, COCO_SKELETON, Detection, Form, Keypoint, Task};
use crate::segmenter::{ClassShare, Mask, Segmenter};

/// The longest side of masks that are shown over a live picture: they are drawn larger, and sent many times a second.
const LIVE_MASK: usize = 160;

/// Runs a model of any task.
#[derive(Debug)]
pub enum Recognizer {
    /// Names what is in a picture.
    Classifier(Box<Classifier>),
    /// Finds objects and bodies.
    Detector(Box<Detector>),
    /// Gives each pixel a class.
    Segmenter(Box<Segmenter>),
}

/// What a picture was answered with. In JSON a field `top`, `detections` or `classes`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The likeliest classes, the best first.
    Top(Vec<Prediction>),
    /// Objects, the best scored first.
    Detections(Vec<Detection>),
    /// How much of the picture each class has, the most first.
    Classes(Vec<ClassShare>),
}

impl Default for Answer {
    /// No class at all: what is known before the first picture.
    fn default() -> Answer {
        Answer::Top(Vec::new())
    }
}

impl From<Vec<Prediction>> for Answer {
    fn from(top: Vec<Prediction>) -> Answer {
        Answer::Top(top)
    }
}

impl From<Classifier> for Recognizer {
    fn from(classifier: Classifier) -> Recognizer {
        Recognizer::Classifier(Box::new(classifier))
    }
}

impl Recognizer {
    /// What fits the model's outputs.
    ///
    /// # Errors
    /// As those of [`Classifier::new`], [`Detector::new`] and [`Segmenter::new`].
    pub fn new<'a>(
        recipe: impl Into<Recipe<'a>>,
        options: DetectOptions,
        session: &SessionOptions,
    ) -> Result<Recognizer> {
        let recipe = recipe.into();
        Ok(match Form::of(recipe.graph, recipe.form)?.0.task() {
            Task::Classify => Recognizer::Classifier(Box::new(Classifier::with_options(recipe, session)?)),
            Task::Detect => Recognizer::Detector(Box::new(Detector::with_options(recipe, options, session)?)),
            Task::Segment => Recognizer::Segmenter(Box::new(Segmenter::with_options(recipe, session)?)),
        })
    }

    /// Answers a picture.
    ///
    /// # Errors
    /// When the picture is so long and narrow that it cannot be resized, or the model fails.
    pub fn recognize(&mut self, image: &Rgb) -> Result<()> {
        match self {
            Recognizer::Classifier(classifier) => classifier.classify(image).map(drop),
            Recognizer::Detector(detector) => detector.detect(image).map(drop),
            Recognizer::Segmenter(segmenter) => segmenter.segment_coarsely(image, LIVE_MASK).map(drop),
        }
    }

    /// The answer to the last picture, with at most `top` classes where it is one of classes.
    pub fn answer(&self, top: usize) -> Answer {
        match self {
            Recognizer::Classifier(classifier) => Answer::Top(classifier.last().top(top)),
            Recognizer::Detector(detector) => {
                // Outlines are for drawing only.
                let told = |one: &Detection| Detection {
                    index: one.index,
                    label: one.label.clone(),
                    score: one.score,
                    bounds: one.bounds,
                    keypoints: one.keypoints.clone(),
                    outline: None,
                };
                Answer::Detections(detector.last().iter().map(told).collect())
            }
            Recognizer::Segmenter(segmenter) => Answer::Classes(segmenter.last().shares()),
        }
    }

    /// What is to be drawn over the last picture, which had this size; `None` for a classifier.
    pub fn overlay(&self, size: (u32, u32)) -> Option<Overlay<'_>> {
        let (width, height) = size;
        match self {
            Recognizer::Classifier(_) => None,
            Recognizer::Detector(detector) => Some(Overlay::of_objects(detector.last(), width, height)),
            Recognizer::Segmenter(segmenter) => Some(Overlay::of_mask(segmenter.last(), width, height)),
        }
    }

    /// How long the parts of the last answer took.
    pub fn times(&self) -> Times {
        match self {
            Recognizer::Classifier(classifier) => classifier.times(),
            Recognizer::Detector(detector) => detector.times(),
            Recognizer::Segmenter(segmenter) => segmenter.times(),
        }
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        match self {
            Recognizer::Classifier(classifier) => classifier.session(),
            Recognizer::Detector(detector) => detector.session(),
            Recognizer::Segmenter(segmenter) => segmenter.session(),
        }
    }
}

/// What is drawn over a picture, as the live page is told it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlay<'a> {
    /// The picture's width, in the pixels that boxes are in.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Boxes and keypoints.
    pub objects: Vec<OverlayObject<'a>>,
    /// The keypoints between which lines are drawn.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub skeleton: &'static [(usize, usize)],
    /// Which pixels have which color.
    pub mask: Option<OverlayMask>,
}

/// An object of an [`Overlay`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverlayObject<'a> {
    /// Its name.
    pub label: &'a str,
    /// How sure it is, 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    pub sides: [f32; 4],
    /// The color of its class, as CSS has it.
    pub color: String,
    /// Its keypoints.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub keypoints: &'a [Keypoint],
}

/// A coarse mask over the whole picture. A cell of value 0 is clear; value n has color n − 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverlayMask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Value and number of cells in turn, row after row.
    pub runs: Vec<usize>,
    /// Colors, as CSS has them.
    pub colors: Vec<String>,
}

impl<'a> Overlay<'a> {
    fn of_objects(detections: &'a [Detection], width: u32, height: u32) -> Overlay<'a> {
        let object = |one: &'a Detection| OverlayObject {
            label: &one.label,
            score: one.score,
            sides: one.bounds.into(),
            color: css(object_color(one.index)),
            keypoints: &one.keypoints,
        };
        let has_skeleton = detections.iter().any(|one| one.keypoints.len() == COCO_KEYPOINTS.len());
        let skeleton = if has_skeleton { &COCO_SKELETON[..] } else { &[] };
        let mask = detections.iter().any(|one| one.outline.is_some()).then(|| outlines(detections, width, height));
        Overlay { width, height, objects: detections.iter().map(object).collect(), skeleton, mask }
    }

    fn of_mask(mask: &Mask, width: u32, height: u32) -> Overlay<'static> {
        let clear = mask.has_background();
        let value = |class: u16| usize::from(class) + usize::from(!clear);
        let classes = mask.classes().iter().copied().max().map_or(0, |most| usize::from(most) + 1);
        let colors = (usize::from(clear)..classes).map(|class| css(class_color(class))).collect();
        let runs = runs(mask.classes().iter().map(|&class| value(class)));
        let mask = OverlayMask { width: mask.width(), height: mask.height(), runs, colors };
        Overlay { width, height, objects: Vec::new(), skeleton: &[], mask: Some(mask) }
    }
}

/// The outlines of all objects in one coarse mask, the better scored above the others.
fn outlines(detections: &[Detection], width: u32, height: u32) -> OverlayMask {
    let (across, down) = (width as usize, height as usize);
    let longer = across.max(down).max(1);
    let side = |side: usize| if longer > LIVE_MASK { (side * LIVE_MASK / longer).max(1) } else { side };
    let (columns, rows) = (side(across), side(down));
    let is_in = |detection: &Detection, x: usize, y: usize| {
        detection.outline.as_ref().is_some_and(|outline| {
            let column = x.checked_sub(outline.left).filter(|column| *column < outline.width);
            let place = column.zip(y.checked_sub(outline.top)).map(|(column, row)| row * outline.width + column);
            place.and_then(|place| outline.inside.get(place)).copied().unwrap_or(false)
        })
    };
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row))).map(|(column, row)| {
        let (x, y) = ((2 * column + 1) * across / (2 * columns), (2 * row + 1) * down / (2 * rows));
        detections.iter().position(|detection| is_in(detection, x, y)).map_or(0, |place| place + 1)
    });
    let colors = detections.iter().map(|detection| css(object_color(detection.index))).collect();
    OverlayMask { width: columns, height: rows, runs: runs(cells), colors }
}

/// Value and length of each run of equal values.
fn runs(values: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut runs: Vec<usize> = Vec::new();
    for value in values {
        match runs[..] {
            [.., last, ref mut length] if last == value => *length += 1,
            _ => runs.extend([value, 1]),
        }
    }
    runs
}

fn css([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::{Bounds, Outline};

    #[test]
    fn equal_cells_are_counted() {
        assert_eq!(runs([0, 0, 0, 2, 2, 0].into_iter()), [0, 3, 2, 2, 0, 1]);
        assert_eq!(runs(std::iter::empty()), [0; 0]);
    }

    #[test]
    fn an_overlay_is_json_that_a_page_can_draw() {
        let outline = Outline { left: 2, top: 1, width: 2, inside: vec![true; 4] };
        let bounds = Bounds { x0: 2.0, y0: 1.0, x1: 4.0, y1: 3.0 };
        let detection =
            Detection { label: "cat".into(), score: 0.5, bounds, outline: Some(outline), ..Default::default() };
        let json = serde_json::to_value(Overlay::of_objects(&[detection], 5, 4)).unwrap();
        let color = css(object_color(0));
        assert_eq!(
            json,
            serde_json::json!({
                "width": 5, "height": 4,
                "objects": [{"label": "cat", "score": 0.5, "box": [2.0, 1.0, 4.0, 3.0], "color": color}],
                "mask": {"width": 5, "height": 4, "runs": [0, 7, 1, 2, 0, 3, 1, 2, 0, 6], "colors": [color]},
            })
        );
    }
}
