//! Non-maximum suppression: of boxes that overlap, the one with the best score.

use std::cmp::Ordering;

use super::operands::{floats, one_of, operand, rank, required, unchecked};
use super::top_k::compare;
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, ViewMut};

/// How four numbers are a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxFormat {
    /// Two opposite corners: y, x, y, x.
    Corners,
    /// Center, width and height: x, y, w, h.
    Center,
}

/// Of the boxes of each image and class, those that no better one overlaps too much, best first.
///
/// Inputs: boxes [images, boxes, 4] and scores [images, classes, boxes]. The result has a row (image, class, box) for
/// each box that is kept. How many those are only a run tells, and shapes are static: the result has as many rows as
/// could be kept, images · classes · min(`most`, boxes), and those at the end that are not needed are −1.
#[derive(Clone, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// What the boxes' numbers are.
    pub format: BoxFormat,
    /// The most boxes that are kept of an image and class.
    pub most: usize,
    /// Boxes whose intersection with a better one is more than this part of their union are left out.
    pub overlap: f32,
    /// Boxes with no higher score than this are left out.
    pub score: Option<f32>,
}

impl NonMaxSuppression {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let [images, boxes, numbers] = rank(required(inputs, 0)?, "boxes")?;
        let scores = required(inputs, 1)?;
        let [scored, classes, count] = rank(scores, "scores")?;
        if (scored, count, numbers) != (images, boxes, 4) {
            let (what, expected) = ("scores".into(), format!("[{images}, classes, {boxes}], and four numbers a box"));
            return Err(GraphError::Shape { what, expected, found: scores.shape.clone() });
        }
        let rows = images.saturating_mul(classes).saturating_mul(self.most.min(boxes));
        Ok(vec![rows, 3])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        for (index, what) in [(0, "boxes"), (1, "scores")] {
            one_of(required(inputs, index)?, what, &[DType::F32], "boxes and scores are float32")?;
        }
        one_of(output, "output", &[DType::I64], "indices are int64")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (boxes, scores) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let &[images, classes, count] = scores.ty.shape.as_slice() else { return Err(unchecked()) };
        let (boxes, scores) = (floats(&boxes)?, floats(&scores)?);
        let ViewMut::I64(out) = &mut output.view else { return Err(unchecked()) };
        out.fill(-1);
        let (rows, _) = out.as_chunks_mut::<3>();
        let mut end = 0;
        for (image, class) in (0..images).flat_map(|image| (0..classes).map(move |class| (image, class))) {
            let boxes = &boxes[image * count * 4..][..count * 4];
            let scores = &scores[(image * classes + class) * count..][..count];
            let first = end;
            let order = |a: &usize, b: &usize| compare(scores[*b], scores[*a]).then(a.cmp(b));
            let mut last = None;
            // Boxes in the order of their scores, found one after another: nothing needs to be sorted in memory.
            while end - first < self.most.min(count) {
                let after = (0..count).filter(|i| last.is_none_or(|last| order(&last, i) == Ordering::Less));
                let Some(next) = after.min_by(order) else { break };
                last = Some(next);
                if self.score.is_some_and(|least| scores[next] <= least) {
                    break;
                }
                let overlaps = |[_, _, kept]: &[i64; 3]| self.overlap(boxes, *kept as usize, next) > self.overlap;
                if !rows[first..end].iter().any(overlaps) {
                    rows[end] = [image as i64, class as i64, next as i64];
                    end += 1;
                }
            }
        }
        Ok(())
    }

    /// The intersection of two boxes over their union; 0 where they have no area.
    fn overlap(&self, boxes: &[f32], a: usize, b: usize) -> f32 {
        let [a, b] = [a, b].map(|index| self.edges(&boxes[index * 4..]));
        let side = |axis: usize| (a.1[axis].min(b.1[axis]) - a.0[axis].max(b.0[axis])).max(0.0);
        let area = |(low, high): ([f32; 2], [f32; 2])| (high[0] - low[0]) * (high[1] - low[1]);
        let intersection = side(0) * side(1);
        if intersection > 0.0 { intersection / (area(a) + area(b) - intersection) } else { 0.0 }
    }

    /// The lower and the higher edge of a box along each axis.
    fn edges(&self, numbers: &[f32]) -> ([f32; 2], [f32; 2]) {
        let [a, b, c, d] = [numbers[0], numbers[1], numbers[2], numbers[3]];
        match self.format {
            BoxFormat::Corners => ([a.min(c), b.min(d)], [a.max(c), b.max(d)]),
            BoxFormat::Center => ([a - c / 2.0, b - d / 2.0], [a + c / 2.0, b + d / 2.0]),
        }
    }
}
