//! The outputs of the YOLO family: a row of numbers for each place of one or more grids, or for each object found.
//!
//! Sources: the heads as Ultralytics publishes YOLOv5, v8 and v10 (docs.ultralytics.com), YOLOv7 (Wang et al., 2022),
//! and YOLOX (Ge et al., 2021).

use super::{Bounds, Candidate, Keypoint};

/// What the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Centre x, centre y, width, height, objectness, a score a class: YOLOv5 and YOLOv7.
    Objectness,
    /// Centre x, centre y, width, height, a score a class: YOLOv8, v9 and v11.
    Plain,
    /// As [`Row::Objectness`], but centre and size are relative to the cell of the grid: YOLOX.
    Cells,
    /// Left, top, right, bottom, score, class; overlapping ones are suppressed already: YOLOv10 and others.
    Final,
}

/// How the one output holds its rows. After what [`Row`] says come keypoints (x, y, score each), then coefficients of
/// prototypes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Yolo {
    pub(crate) row: Row,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Whether the output is [1, columns, rows], so that the numbers of a column lie side by side.
    pub(crate) transposed: bool,
    pub(crate) classes: usize,
    pub(crate) keypoints: usize,
    pub(crate) coefficients: usize,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

/// The best class of each row so far; memory that is kept from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct Best {
    scores: Vec<f32>,
    classes: Vec<u32>,
}

impl Yolo {
    /// The first column of class scores.
    fn first_class(&self) -> usize {
        match self.row {
            Row::Objectness | Row::Cells => 5,
            Row::Plain => 4,
            Row::Final => 6,
        }
    }

    fn first_keypoint(&self) -> usize {
        self.first_class() + self.classes
    }

    fn at(&self, values: &[f32], row: usize, column: usize) -> f32 {
        values[if self.transposed { column * self.rows + row } else { row * self.columns + column }]
    }

    /// Adds the boxes whose score reaches the threshold.
    pub(crate) fn candidates(&self, values: &[f32], threshold: f32, best: &mut Best, out: &mut Vec<Candidate>) {
        self.score(values, threshold, best);
        let unit = self.unit(values);
        for row in 0..self.rows {
            let score = best.scores[row];
            if score >= threshold {
                let bounds = self.bounds(values, row, unit);
                out.push(Candidate { class: best.classes[row] as usize, score, bounds, row });
            }
        }
    }

    /// Finds each row's best class and its score.
    fn score(&self, values: &[f32], threshold: f32, best: &mut Best) {
        best.scores.clear();
        best.scores.resize(self.rows, f32::NEG_INFINITY);
        best.classes.clear();
        best.classes.resize(self.rows, 0);
        let class_columns = self.first_class()..self.first_class() + self.classes;
        if self.row == Row::Final {
            for row in 0..self.rows {
                best.scores[row] = self.at(values, row, 4);
                // A conversion saturates: what is no class becomes 0 or beyond all labels.
                best.classes[row] = self.at(values, row, 5) as u32;
            }
        } else if self.transposed {
            // Column by column, as they lie in memory.
            for (class, column) in class_columns.enumerate() {
                let scores = &values[column * self.rows..][..self.rows];
                for ((best, best_class), &score) in best.scores.iter_mut().zip(&mut best.classes).zip(scores) {
                    if score > *best {
                        (*best, *best_class) = (score, class as u32);
                    }
                }
            }
            if self.row != Row::Plain {
                let objectness = &values[4 * self.rows..][..self.rows];
                best.scores.iter_mut().zip(objectness).for_each(|(score, objectness)| *score *= objectness);
            }
        } else {
            for (row, numbers) in values.chunks_exact(self.columns).enumerate().take(self.rows) {
                let objectness = if self.row == Row::Plain { 1.0 } else { numbers[4] };
                // No class makes the score larger than this.
                if objectness < threshold {
                    continue;
                }
                for (class, &score) in numbers[class_columns.clone()].iter().enumerate() {
                    if objectness * score > best.scores[row] {
                        (best.scores[row], best.classes[row]) = (objectness * score, class as u32);
                    }
                }
            }
        }
    }

    /// Pixels that a coordinate of 1 stands for. TensorFlow Lite exports divide by the input's size; since boxes are
    /// centred all over the picture, none of them then has a coordinate much above 1.
    fn unit(&self, values: &[f32]) -> [f32; 2] {
        if self.row == Row::Cells {
            return [1.0; 2];
        }
        let normalized = |row: usize| (0..2).all(|column| self.at(values, row, column).abs() <= 1.5);
        match (0..self.rows).all(normalized) {
            true => [self.input.0 as f32, self.input.1 as f32],
            false => [1.0; 2],
        }
    }

    fn bounds(&self, values: &[f32], row: usize, unit: [f32; 2]) -> Bounds {
        let [a, b, c, d] = [0, 1, 2, 3].map(|column| self.at(values, row, column));
        match self.row {
            Row::Objectness | Row::Plain => Bounds::around(a * unit[0], b * unit[1], c * unit[0], d * unit[1]),
            Row::Final => Bounds { x0: a * unit[0], y0: b * unit[1], x1: c * unit[0], y1: d * unit[1] },
            Row::Cells => {
                let (stride, x, y) = cell(row, self.input);
                let stride = stride as f32;
                Bounds::around((a + x as f32) * stride, (b + y as f32) * stride, c.exp() * stride, d.exp() * stride)
            }
        }
    }

    /// Adds the keypoints of a row, in pixels of the model's input.
    pub(crate) fn keypoints(&self, values: &[f32], row: usize, out: &mut Vec<Keypoint>) {
        let unit = if self.keypoints == 0 { [1.0; 2] } else { self.unit(values) };
        for point in 0..self.keypoints {
            let first = self.first_keypoint() + 3 * point;
            let [x, y, score] = [0, 1, 2].map(|number| self.at(values, row, first + number));
            out.push(Keypoint { x: x * unit[0], y: y * unit[1], score });
        }
    }

    /// Puts the coefficients of a row into `out`.
    pub(crate) fn coefficients(&self, values: &[f32], row: usize, out: &mut Vec<f32>) {
        let first = self.first_keypoint() + 3 * self.keypoints;
        out.clear();
        out.extend((first..first + self.coefficients).map(|column| self.at(values, row, column)));
    }
}

/// The strides of the grids, as models have them: with eight pixels a cell first, or without those, or with larger
/// ones.
const GRIDS: [&[usize]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[16, 32]];

/// How many cells an input of this size has on all grids of each usual set.
pub(crate) fn cell_counts(input: (usize, usize)) -> [usize; 3] {
    let cells = |strides: &[usize]| {
        strides.iter().map(|stride| input.0.div_ceil(*stride).saturating_mul(input.1.div_ceil(*stride))).sum()
    };
    GRIDS.map(cells)
}

/// Stride, column and row of the cell of this number on grids of 8, 16, 32 (and 64) pixels, row by row.
fn cell(number: usize, input: (usize, usize)) -> (usize, usize, usize) {
    let mut left = number;
    for stride in GRIDS[1] {
        let (width, height) = (input.0.div_ceil(*stride), input.1.div_ceil(*stride));
        if left < width * height {
            return (*stride, left % width, left / width);
        }
        left -= width * height;
    }
    (64, 0, 0)
}
