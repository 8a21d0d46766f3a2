//! What SSD models end in: boxes relative to anchors are decoded, and of those that overlap the best are kept.

use super::operands::{floats, floats_mut, one_of, operand, rank, required};
use crate::{DType, GraphError, MAX_ELEMENTS, TensorMut, TensorRef, TensorType};

/// Decodes boxes and suppresses overlapping ones, as the operator TFLite_Detection_PostProcess of TensorFlow Lite does.
///
/// Inputs, float32: boxes [1, N, 4], each the centre's y and x and the height and width, relative to an anchor; scores
/// [1, N, C] of the classes, perhaps after one of the background; anchors [N, 4], as centre y, centre x, height, width.
///
/// Result: [1, `most` + 1, 6]. A row is top, left, bottom, right, class and score of an object, the best scored first;
/// rows beyond the last object are zero. The last row begins with the number of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionPostprocess {
    /// The most objects.
    pub most: usize,
    /// Classes without the background; as many as there are scores, or one fewer.
    pub classes: usize,
    /// Whether overlaps are suppressed for each class by itself; else for the best class of each box, whichever that
    /// is.
    pub per_class: bool,
    /// With `per_class`, the most objects of a class.
    pub most_per_class: usize,
    /// The least score.
    pub score_threshold: f32,
    /// The share of the area covered together above which two boxes overlap, 0 to 1.
    pub iou_threshold: f32,
    /// What the four numbers of a box are divided by: y, x, height, width.
    pub scale: [f32; 4],
}

/// Numbers of a row of the result.
const COLUMNS: usize = 6;
/// Candidates that are sorted at a time: nothing is allocated, whatever their number.
const BATCH: usize = 128;

/// A box as its sides: top, left, bottom, right.
type Sides = [f32; 4];

impl DetectionPostprocess {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let [batch, boxes, sides] = rank(required(inputs, 0)?, "boxes")?;
        let [score_batch, score_boxes, scores] = rank(required(inputs, 1)?, "scores")?;
        let [anchors, anchor_sides] = rank(required(inputs, 2)?, "anchors")?;
        let fits = [batch, score_batch] == [1, 1]
            && [score_boxes, anchors] == [boxes, boxes]
            && [sides, anchor_sides] == [4, 4]
            && (self.classes == scores || self.classes.checked_add(1) == Some(scores))
            && self.classes > 0;
        if !fits {
            return Err(GraphError::Attribute(format!(
                "{boxes} boxes of {sides} numbers, scores [{score_batch}, {score_boxes}, {scores}] and anchors [{anchors}, \
                 {anchor_sides}] do not fit each other and {} classes",
                self.classes
            )));
        }
        if self.most == 0 || self.most > MAX_ELEMENTS / 8 {
            return Err(GraphError::Attribute(format!("{} objects cannot be told", self.most)));
        }
        let positive = |number: &f32| number.is_finite() && *number > 0.0;
        if !self.scale.iter().all(positive)
            || !(0.0..=1.0).contains(&self.iou_threshold)
            || self.score_threshold.is_nan()
        {
            let (scale, iou, score) = (self.scale, self.iou_threshold, self.score_threshold);
            return Err(GraphError::Attribute(format!("scales {scale:?}, thresholds {iou} and {score} make no sense")));
        }
        Ok(vec![1, self.most + 1, COLUMNS])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        for (index, what) in ["boxes", "scores", "anchors"].into_iter().enumerate() {
            one_of(required(inputs, index)?, what, &[DType::F32], "the operator takes float32")?;
        }
        one_of(output, "output", &[DType::F32], "the operator gives float32")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (boxes, scores, anchors) = (operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?);
        let columns = scores.ty.shape[2];
        let work = Work {
            op: self,
            boxes: floats(&boxes)?,
            scores: floats(&scores)?,
            anchors: floats(&anchors)?,
            columns,
            background: columns - self.classes,
        };
        let rows = floats_mut(output)?;
        rows.fill(0.0);
        let (rows, last) = rows.split_at_mut(self.most * COLUMNS);
        let count = if self.per_class { work.suppress_per_class(rows) } else { work.suppress_best(rows) };
        last[0] = count as f32;
        Ok(())
    }
}

/// The operands of an evaluation.
struct Work<'a> {
    op: &'a DetectionPostprocess,
    boxes: &'a [f32],
    scores: &'a [f32],
    anchors: &'a [f32],
    /// Scores of a box.
    columns: usize,
    /// Scores of a box before those of classes.
    background: usize,
}

impl Work<'_> {
    /// Keeps boxes by their best score. Gives the number of rows that are filled.
    fn suppress_best(&self, rows: &mut [f32]) -> usize {
        let best = |index: usize| {
            let scores = &self.scores[index * self.columns + self.background..][..self.op.classes];
            let larger = |best: (usize, f32), (class, &score): (usize, &f32)| {
                if score > best.1 { (class, score) } else { best }
            };
            scores.iter().enumerate().skip(1).fold((0, scores[0]), larger)
        };
        let mut count = 0;
        let mut candidates = Candidates::new(self.op.score_threshold);
        while let Some((index, score)) = candidates.next(self.len(), |index| best(index).1) {
            let sides = self.decode(index);
            if !rows[..count * COLUMNS].chunks_exact(COLUMNS).any(|row| self.overlap(row, &sides)) {
                write(rows, count, &sides, best(index).0, score);
                count += 1;
                if count == self.op.most {
                    break;
                }
            }
        }
        count
    }

    /// Keeps boxes class by class, and of all classes' the best scored. Gives the number of rows that are filled.
    fn suppress_per_class(&self, rows: &mut [f32]) -> usize {
        let mut count = 0;
        for class in 0..self.op.classes {
            let score_of = |index: usize| self.scores[index * self.columns + self.background + class];
            let mut candidates = Candidates::new(self.op.score_threshold);
            let mut kept = 0;
            while kept < self.op.most_per_class {
                let Some((index, score)) = candidates.next(self.len(), score_of) else { break };
                // Once there is no place for this one, there is none for the next of its class, which is no better; and
                // as long as there is, all that were kept of the class before it are in the rows.
                if count == self.op.most && score <= rows[(count - 1) * COLUMNS + 5] {
                    break;
                }
                let sides = self.decode(index);
                let same_class = |row: &&[f32]| row[4] == class as f32;
                let taken = rows[..count * COLUMNS].chunks_exact(COLUMNS).filter(same_class);
                if taken.into_iter().any(|row| self.overlap(row, &sides)) {
                    continue;
                }
                kept += 1;
                count = (count + 1).min(self.op.most);
                // Behind those that are as good: they came first.
                let mut place = count - 1;
                while place > 0 && rows[(place - 1) * COLUMNS + 5] < score {
                    rows.copy_within((place - 1) * COLUMNS..place * COLUMNS, place * COLUMNS);
                    place -= 1;
                }
                write(rows, place, &sides, class, score);
            }
        }
        count
    }

    fn len(&self) -> usize {
        self.boxes.len() / 4
    }

    fn decode(&self, index: usize) -> Sides {
        let (code, anchor) = (&self.boxes[4 * index..][..4], &self.anchors[4 * index..][..4]);
        let scale = &self.op.scale;
        let y = code[0] / scale[0] * anchor[2] + anchor[0];
        let x = code[1] / scale[1] * anchor[3] + anchor[1];
        let half_height = 0.5 * libm::expf(code[2] / scale[2]) * anchor[2];
        let half_width = 0.5 * libm::expf(code[3] / scale[3]) * anchor[3];
        [y - half_height, x - half_width, y + half_height, x + half_width]
    }

    fn overlap(&self, row: &[f32], b: &Sides) -> bool {
        let a = [row[0], row[1], row[2], row[3]];
        let area = |sides: &Sides| (sides[2] - sides[0]) * (sides[3] - sides[1]);
        let (area_a, area_b) = (area(&a), area(b));
        if area_a <= 0.0 || area_b <= 0.0 {
            return false;
        }
        let side = |from: usize, to: usize| (a[to].min(b[to]) - a[from].max(b[from])).max(0.0);
        let shared = side(0, 2) * side(1, 3);
        shared / (area_a + area_b - shared) > self.op.iou_threshold
    }
}

fn write(rows: &mut [f32], row: usize, sides: &Sides, class: usize, score: f32) {
    let row = &mut rows[row * COLUMNS..][..COLUMNS];
    row[..4].copy_from_slice(sides);
    row[4..].copy_from_slice(&[class as f32, score]);
}

/// Boxes by descending score, equal ones in their order; a batch of them is sorted at a time.
struct Candidates {
    threshold: f32,
    batch: [(usize, f32); BATCH],
    len: usize,
    next: usize,
    /// The last box of the batches before.
    after: Option<(usize, f32)>,
}

impl Candidates {
    fn new(threshold: f32) -> Candidates {
        Candidates { threshold, batch: [(0, 0.0); BATCH], len: 0, next: 0, after: None }
    }

    /// The next box and its score; `None` where there are no more that reach the threshold.
    fn next(&mut self, count: usize, score: impl Fn(usize) -> f32) -> Option<(usize, f32)> {
        if self.next == self.len {
            // A batch that was not full was the last.
            if self.after.is_some() && self.len < BATCH {
                return None;
            }
            self.fill(count, score);
        }
        let found = self.batch[..self.len].get(self.next).copied();
        self.next += 1;
        self.after = found.or(self.after);
        found
    }

    fn fill(&mut self, count: usize, score: impl Fn(usize) -> f32) {
        (self.len, self.next) = (0, 0);
        let precedes = |a: (usize, f32), b: (usize, f32)| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0);
        for candidate in (0..count).map(|index| (index, score(index))) {
            let due = candidate.1 >= self.threshold && self.after.is_none_or(|after| precedes(after, candidate));
            if !due || (self.len == BATCH && precedes(self.batch[BATCH - 1], candidate)) {
                continue;
            }
            let place = self.batch[..self.len].partition_point(|&other| precedes(other, candidate));
            self.len = (self.len + 1).min(BATCH);
            self.batch.copy_within(place..self.len - 1, place + 1);
            self.batch[place] = candidate;
        }
    }
}
