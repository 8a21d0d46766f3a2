//! From a model's outputs to what they mean: objects with boxes, keypoints and outlines, or a class for each pixel.
//!
//! [`Form`] names the forms of outputs that are known and recognizes them by their shapes. Readers turn the numbers of
//! one form into candidates in pixels of the model's input: `yolo`, `boxes` (SSD and the like), `pose`. [`nms`] keeps
//! the best of candidates that overlap, `prototypes` outlines objects, and `class_map` reads segmentation.

pub(crate) mod boxes;
pub(crate) mod class_map;
mod form;
pub mod nms;
pub(crate) mod pose;
pub(crate) mod prototypes;
pub(crate) mod reading;
pub(crate) mod yolo;

use serde::Serialize;

use crate::preprocess::Placement;

pub use form::{Form, Task, UnknownForm};

/// A rectangle, in pixels; x to the right, y down, 0 at the picture's left upper corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(into = "[f32; 4]")]
pub struct Bounds {
    /// Its left side.
    pub x0: f32,
    /// Its upper side.
    pub y0: f32,
    /// Its right side.
    pub x1: f32,
    /// Its lower side.
    pub y1: f32,
}

impl Bounds {
    /// The rectangle around a centre.
    pub fn around(x: f32, y: f32, width: f32, height: f32) -> Bounds {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Bounds { x0: x - half_width, y0: y - half_height, x1: x + half_width, y1: y + half_height }
    }

    /// Square pixels in it; 0 where it is turned inside out.
    pub fn area(&self) -> f32 {
        (self.x1 - self.x0).max(0.0) * (self.y1 - self.y0).max(0.0)
    }

    /// The area that two rectangles share over the area that they cover together, 0 to 1.
    pub fn intersection_over_union(&self, other: &Bounds) -> f32 {
        let shared = Bounds {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        };
        let shared = shared.area();
        if shared > 0.0 { shared / (self.area() + other.area() - shared) } else { 0.0 }
    }

    pub(crate) fn is_finite(&self) -> bool {
        [self.x0, self.y0, self.x1, self.y1].iter().all(|side| side.is_finite())
    }
}

impl From<Bounds> for [f32; 4] {
    /// Left, top, right, bottom, to a hundredth of a pixel: JSON needs no more.
    fn from(bounds: Bounds) -> [f32; 4] {
        [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(hundredth)
    }
}

/// A point of a body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "[f32; 3]")]
pub struct Keypoint {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// How sure it is that the point is there and seen, 0 to 1.
    pub score: f32,
}

impl From<Keypoint> for [f32; 3] {
    /// x, y, score.
    fn from(point: Keypoint) -> [f32; 3] {
        [hundredth(point.x), hundredth(point.y), point.score]
    }
}

fn hundredth(pixels: f32) -> f32 {
    (pixels * 100.0).round() / 100.0
}

/// A keypoint below this score is not drawn, and does not count for a box around a body.
pub const KEYPOINT_SCORE: f32 = 0.3;

/// The names of COCO's keypoints, in the order in which models give them.
pub const COCO_KEYPOINTS: [&str; 17] = [
    "nose",
    "left eye",
    "right eye",
    "left ear",
    "right ear",
    "left shoulder",
    "right shoulder",
    "left elbow",
    "right elbow",
    "left wrist",
    "right wrist",
    "left hip",
    "right hip",
    "left knee",
    "right knee",
    "left ankle",
    "right ankle",
];

/// The pairs of [`COCO_KEYPOINTS`] between which a skeleton's lines are drawn.
pub const COCO_SKELETON: [(usize, usize); 18] = [
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
    (5, 6),
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (5, 11),
    (6, 12),
    (11, 12),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
];

/// The pixels of a picture that belong to one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outline {
    /// The first column of the picture that `inside` speaks of.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Whether each pixel belongs to the object, row after row of `width`.
    pub inside: Vec<bool>,
}

/// An object that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Detection {
    /// Its class, counted as the labels are.
    pub index: usize,
    /// The class's name, or `class N` where the model has no names.
    pub label: String,
    /// How sure it is, 0 to 1.
    pub score: f32,
    /// Where it is in the picture, in pixels.
    #[serde(rename = "box")]
    pub bounds: Bounds,
    /// Its keypoints, where the model gives any: [`COCO_KEYPOINTS`] where they are 17.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keypoints: Vec<Keypoint>,
    /// Its pixels, where the model gives them.
    #[serde(skip)]
    pub outline: Option<Outline>,
}

/// What a reader makes of one box of a model, in pixels of the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) class: usize,
    pub(crate) score: f32,
    pub(crate) bounds: Bounds,
    /// Its place among the model's boxes, by which keypoints and coefficients are found.
    pub(crate) row: usize,
}

/// A point of the model's input, in the picture.
pub(crate) fn in_picture(placement: &Placement, x: f32, y: f32) -> (f32, f32) {
    ((x - placement.offset[0]) / placement.scale[0], (y - placement.offset[1]) / placement.scale[1])
}

/// A rectangle of the model's input in a picture of this size, without what lies outside of it.
pub(crate) fn bounds_in_picture(placement: &Placement, bounds: &Bounds, size: (u32, u32)) -> Bounds {
    let ((x0, y0), (x1, y1)) =
        (in_picture(placement, bounds.x0, bounds.y0), in_picture(placement, bounds.x1, bounds.y1));
    let (width, height) = (size.0 as f32, size.1 as f32);
    Bounds { x0: x0.clamp(0.0, width), y0: y0.clamp(0.0, height), x1: x1.clamp(0.0, width), y1: y1.clamp(0.0, height) }
}
