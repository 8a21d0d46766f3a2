//! Greedy non-maximum suppression: of boxes of one class that overlap, the best scored is kept.

use super::{Bounds, Candidate};

/// The most candidates that are compared with each other, the best ones: a model that takes everything for an object
/// must not hold up a live loop.
const MOST_CANDIDATES: usize = 4096;

/// Sorts candidates by score, the best first, equal ones in the model's order, and keeps at most `most` of them: each
/// that overlaps no better one of its class by more than `iou`.
pub(crate) fn suppress(candidates: &mut Vec<Candidate>, iou: f32, most: usize) {
    best(candidates, MOST_CANDIDATES);
    let mut kept = 0;
    for index in 0..candidates.len() {
        if kept == most {
            break;
        }
        let candidate = candidates[index];
        let overlaps = |better: &Candidate| {
            better.class == candidate.class && better.bounds.intersection_over_union(&candidate.bounds) > iou
        };
        if !candidates[..kept].iter().any(overlaps) {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

/// Sorts candidates by score and keeps the best `most`, whether they overlap or not.
pub(crate) fn best(candidates: &mut Vec<Candidate>, most: usize) {
    let order = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row));
    if candidates.len() > most && most > 0 {
        candidates.select_nth_unstable_by(most - 1, order);
    }
    candidates.truncate(most);
    candidates.sort_unstable_by(order);
}

/// Greedy non-maximum suppression by class of boxes that come from elsewhere than a
/// [`Detector`](crate::detector::Detector). Gives the places of those that are kept, the best scored first.
///
/// # Panics
/// When there are not as many scores and classes as boxes.
pub fn keep(bounds: &[Bounds], scores: &[f32], classes: &[usize], iou: f32) -> Vec<usize> {
    assert!(bounds.len() == scores.len() && bounds.len() == classes.len(), "a score and a class for each box");
    let candidate = |row: usize| Candidate { class: classes[row], score: scores[row], bounds: bounds[row], row };
    let mut candidates = (0..bounds.len()).map(candidate).collect();
    suppress(&mut candidates, iou, usize::MAX);
    candidates.iter().map(|candidate| candidate.row).collect()
}
