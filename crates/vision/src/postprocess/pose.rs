//! Keypoints that are given by themselves: a list for each body, or a map of likelihoods for each point.

use super::{Bounds, Candidate, KEYPOINT_SCORE, Keypoint};

/// Bodies as MoveNet gives them, in fractions of the input (tfhub.dev/google/movenet): [1, 1, 17, 3] of y, x and score
/// of each point for one body; [1, N, 56] of the same and the body's top, left, bottom, right and score for several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bodies {
    pub(crate) rows: usize,
    /// Numbers a body: 51, or 56 with its box and score.
    pub(crate) columns: usize,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

/// Points of a body.
const POINTS: usize = 17;

impl Bodies {
    pub(crate) fn candidates(&self, values: &[f32], threshold: f32, out: &mut Vec<Candidate>) {
        let (width, height) = (self.input.0 as f32, self.input.1 as f32);
        for (row, numbers) in values.chunks_exact(self.columns).enumerate().take(self.rows) {
            let found = match numbers[3 * POINTS..] {
                [y0, x0, y1, x1, score] => {
                    Some((Bounds { x0: x0 * width, y0: y0 * height, x1: x1 * width, y1: y1 * height }, score))
                }
                _ => around((0..POINTS).map(|point| self.keypoint(numbers, point))),
            };
            if let Some((bounds, score)) = found.filter(|(_, score)| *score >= threshold) {
                out.push(Candidate { class: 0, score, bounds, row });
            }
        }
    }

    fn keypoint(&self, numbers: &[f32], point: usize) -> Keypoint {
        let [y, x, score] = [0, 1, 2].map(|number| numbers[3 * point + number]);
        Keypoint { x: x * self.input.0 as f32, y: y * self.input.1 as f32, score }
    }

    pub(crate) fn keypoints(&self, values: &[f32], row: usize, out: &mut Vec<Keypoint>) {
        let numbers = &values[row * self.columns..][..self.columns];
        out.extend((0..POINTS).map(|point| self.keypoint(numbers, point)));
    }
}

/// One body, whose points are where a map for each of them has its maximum: [1, K, H, W] or [1, H, W, K], as
/// SimpleBaseline and HRNet give them (Xiao et al., 2018), and PoseNet, which refines by offsets [1, H, W, 2 · K] and
/// gives logits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heatmaps {
    pub(crate) points: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Whether the points are the last axis.
    pub(crate) channels_last: bool,
    /// Whether there are offsets, y of all points before x of all points, in pixels of the input.
    pub(crate) offsets: bool,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

impl Heatmaps {
    pub(crate) fn candidates(&self, outputs: [&[f32]; 4], threshold: f32, out: &mut Vec<Candidate>) {
        let found = around((0..self.points).map(|point| self.keypoint(outputs, point)));
        if let Some((bounds, score)) = found.filter(|(_, score)| *score >= threshold) {
            out.push(Candidate { class: 0, score, bounds, row: 0 });
        }
    }

    pub(crate) fn keypoints(&self, outputs: [&[f32]; 4], out: &mut Vec<Keypoint>) {
        out.extend((0..self.points).map(|point| self.keypoint(outputs, point)));
    }

    fn keypoint(&self, [maps, offsets, ..]: [&[f32]; 4], point: usize) -> Keypoint {
        let place = |x: usize, y: usize| {
            let cell = y * self.width + x;
            if self.channels_last { cell * self.points + point } else { point * self.height * self.width + cell }
        };
        let at = |x: usize, y: usize| maps[place(x, y)];
        let cells = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let (x, y) = cells.fold((0, 0), |best, cell| if at(cell.0, cell.1) > at(best.0, best.1) { cell } else { best });
        if self.offsets {
            // PoseNet's cells lie on the corners: the first on the first pixel, the last on the last.
            let pixels =
                |cell: usize, cells: usize, side: usize| cell as f32 / (cells - 1).max(1) as f32 * (side - 1) as f32;
            let offset = &offsets[(y * self.width + x) * 2 * self.points..][..2 * self.points];
            return Keypoint {
                x: pixels(x, self.width, self.input.0) + offset[self.points + point],
                y: pixels(y, self.height, self.input.1) + offset[point],
                score: 1.0 / (1.0 + (-at(x, y)).exp()),
            };
        }
        // A quarter of a cell towards the higher neighbour, as the paper has it.
        let quarter = |before: Option<f32>, after: Option<f32>| match before.zip(after) {
            Some((before, after)) if after > before => 0.25,
            Some((before, after)) if after < before => -0.25,
            _ => 0.0,
        };
        let row = |y: usize| (y < self.height).then(|| at(x, y));
        let column = |x: usize| (x < self.width).then(|| at(x, y));
        let x_shift = quarter(x.checked_sub(1).and_then(column), column(x + 1));
        let y_shift = quarter(y.checked_sub(1).and_then(row), row(y + 1));
        Keypoint {
            x: (x as f32 + 0.5 + x_shift) * self.input.0 as f32 / self.width as f32,
            y: (y as f32 + 0.5 + y_shift) * self.input.1 as f32 / self.height as f32,
            score: at(x, y).clamp(0.0, 1.0),
        }
    }
}

/// The box around the points that are seen, and the mean score of all; `None` where none is seen.
fn around(points: impl Iterator<Item = Keypoint>) -> Option<(Bounds, f32)> {
    let mut bounds: Option<Bounds> = None;
    let (mut sum, mut count) = (0.0, 0);
    for point in points {
        sum += point.score;
        count += 1;
        if point.score >= KEYPOINT_SCORE {
            let Bounds { x0, y0, x1, y1 } =
                bounds.unwrap_or(Bounds { x0: point.x, y0: point.y, x1: point.x, y1: point.y });
            let (x0, y0, x1, y1) = (x0.min(point.x), y0.min(point.y), x1.max(point.x), y1.max(point.y));
            bounds = Some(Bounds { x0, y0, x1, y1 });
        }
    }
    bounds.map(|bounds| (bounds, sum / count as f32))
}
