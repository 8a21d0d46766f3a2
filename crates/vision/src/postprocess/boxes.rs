//! Boxes whose coordinates the model has decoded: lists of objects, as SSD models end in, or boxes with a score a
//! class.

use super::{Bounds, Candidate};

/// In which order a model gives the corners of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corners {
    /// Top, left, bottom, right: TensorFlow.
    Yx,
    /// Left, top, right, bottom: PyTorch.
    Xy,
}

/// Objects found, overlapping ones suppressed already: boxes [1, N, 4], scores [1, N], classes [1, N] and, where there
/// is one, their count, beyond which the rest is to be ignored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BoxList {
    pub(crate) corners: Corners,
    pub(crate) rows: usize,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

impl BoxList {
    pub(crate) fn candidates(
        &self,
        [boxes, scores, classes, count]: [&[f32]; 4],
        threshold: f32,
        out: &mut Vec<Candidate>,
    ) {
        let rows = count.first().map_or(self.rows, |&count| (count.max(0.0) as usize).min(self.rows));
        let unit = unit(boxes, self.input);
        for row in (0..rows).filter(|&row| scores[row] >= threshold) {
            let bounds = bounds(boxes, row, self.corners, unit);
            // A conversion saturates: what is no class becomes 0 or beyond all labels.
            out.push(Candidate { class: classes[row] as usize, score: scores[row], bounds, row });
        }
    }
}

/// Boxes [1, N, 4] and a probability for each class [1, N, C], overlapping ones not suppressed yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoredBoxes {
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

impl ScoredBoxes {
    /// Adds a candidate for each class of each box that reaches the threshold; the first `background` classes are none.
    pub(crate) fn candidates(
        &self,
        [boxes, scores, ..]: [&[f32]; 4],
        background: usize,
        threshold: f32,
        out: &mut Vec<Candidate>,
    ) {
        let unit = unit(boxes, self.input);
        for (row, scores) in scores.chunks_exact(self.classes).enumerate().take(self.rows) {
            for (class, &score) in scores.iter().enumerate().skip(background) {
                if score >= threshold {
                    let bounds = bounds(boxes, row, Corners::Xy, unit);
                    out.push(Candidate { class, score, bounds, row });
                }
            }
        }
    }
}

/// Pixels that a coordinate of 1 stands for: boxes of which none reaches beyond 2 are relative to the input's size.
fn unit(boxes: &[f32], input: (usize, usize)) -> [f32; 2] {
    match boxes.iter().any(|side| side.abs() > 2.0) {
        true => [1.0; 2],
        false => [input.0 as f32, input.1 as f32],
    }
}

fn bounds(boxes: &[f32], row: usize, corners: Corners, unit: [f32; 2]) -> Bounds {
    let sides = &boxes[4 * row..][..4];
    let (x0, y0, x1, y1) = match corners {
        Corners::Yx => (sides[1], sides[0], sides[3], sides[2]),
        Corners::Xy => (sides[0], sides[1], sides[2], sides[3]),
    };
    Bounds { x0: x0 * unit[0], y0: y0 * unit[1], x1: x1 * unit[0], y1: y1 * unit[1] }
}
