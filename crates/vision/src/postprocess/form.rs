//! The forms of outputs that are known, by name.

use std::fmt;
use std::str::FromStr;

use kinglet_runtime::graph::Graph;

use super::reading::Reading;
use crate::error::Result;
use crate::network::picture_input;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Names what is in a picture: [`Classifier`](crate::classifier::Classifier).
    Classify,
    /// Finds objects, or bodies with keypoints: [`Detector`](crate::detector::Detector).
    Detect,
    /// Gives each pixel a class: [`Segmenter`](crate::segmenter::Segmenter).
    Segment,
}

impl Task {
    /// Name of the command that runs such models.
    pub fn command(self) -> &'static str {
        match self {
            Task::Classify => "classify",
            Task::Detect => "detect",
            Task::Segment => "segment",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Classify => "classification",
            Task::Detect => "detection",
            Task::Segment => "segmentation",
        })
    }
}

macro_rules! forms {
    ($($variant:ident, $task:ident, $name:literal, $shapes:literal, $doc:literal;)*) => {
        /// A form that the outputs of models have. N is a number of boxes, C of classes, H and W of the cells of a
        /// grid.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Form { $(#[doc = $doc] #[doc = concat!("Outputs: ", $shapes, ".")] $variant,)* }

        impl Form {
            /// Every form.
            pub const ALL: &[Form] = &[$(Form::$variant,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Form::$variant => $name,)* }
            }

            /// The shapes of the outputs, for people.
            pub fn shapes(self) -> &'static str {
                match self { $(Form::$variant => $shapes,)* }
            }

            /// What models with such outputs are for.
            pub fn task(self) -> Task {
                match self { $(Form::$variant => Task::$task,)* }
            }
        }
    };
}

forms! {
    Scores, Classify, "scores", "[1, C]", "A score a class.";
    BoxList, Detect, "box-list", "boxes [1, N, 4], classes [1, N], scores [1, N] and perhaps their count",
        "Objects found, as TensorFlow's SSD models end in them (top, left, bottom, right; classes before scores), or ones \
         with left, top, right, bottom.";
    ScoredBoxes, Detect, "scored-boxes", "boxes [1, N, 4] and scores [1, N, C]",
        "Decoded boxes (left, top, right, bottom) with the probability of each class.";
    YoloV5, Detect, "yolov5", "[1, N, 5 + C]", "YOLOv5 and YOLOv7, boxes decoded; with prototypes [1, M, H, W] also outlines.";
    YoloV8, Detect, "yolov8", "[1, 4 + C, N]", "YOLOv8, v9 and v11; with prototypes [1, M, H, W] also outlines.";
    YoloV8Pose, Detect, "yolov8-pose", "[1, 5 + 3 · K, N]", "Bodies with K keypoints, of YOLOv8 and v11.";
    YoloX, Detect, "yolox", "[1, N, 5 + C] with a box a cell", "YOLOX, boxes relative to cells of 8, 16 and 32 pixels.";
    YoloFinal, Detect, "yolov10", "[1, N, 6]",
        "YOLOv10 and exports that suppress overlapping boxes: left, top, right, bottom, score, class.";
    MoveNet, Detect, "movenet", "[1, 1, 17, 3] or [1, N, 56]", "Bodies of MoveNet.";
    Heatmaps, Detect, "heatmaps", "[1, 17, H, W] or [1, H, W, 17], perhaps with offsets [1, H, W, 34]",
        "One body: a map of likelihoods for each of 17 keypoints.";
    ClassMap, Segment, "class-map", "[1, C, H, W], [1, H, W, C], [1, H, W] or [1, H, W, 1]",
        "A score for each class of each cell, or its class.";
}

impl Form {
    /// The form of a model's outputs, or `asked` if they can be read in that one, and how many classes there are, where
    /// shapes say it.
    ///
    /// # Errors
    /// When the model does not take one picture, or its outputs have no such form.
    pub fn of(graph: &Graph, asked: Option<Form>) -> Result<(Form, Option<usize>)> {
        let reading = Reading::of(graph, &picture_input(graph)?, asked)?;
        Ok((reading.form, reading.classes))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no form.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("'{0}' is no form of outputs that is known")]
pub struct UnknownForm(String);

impl FromStr for Form {
    type Err = UnknownForm;

    fn from_str(name: &str) -> std::result::Result<Form, UnknownForm> {
        Form::ALL.iter().copied().find(|form| form.name() == name).ok_or_else(|| UnknownForm(name.to_owned()))
    }
}
