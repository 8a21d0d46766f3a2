//! Reshapes of permuted tensors.

use super::permutation::Permutation;

/// How a reshape of a permuted tensor is done on the tensor itself: its axes are permuted, which often moves nothing;
/// it is reshaped; and the result is a permutation of what was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Regrouped {
    /// The order of the source's axes before it is reshaped.
    pub before: Permutation,
    /// The shape that it is given.
    pub shape: Vec<usize>,
    /// The order of that shape's axes which gives the result.
    pub after: Permutation,
}

/// A reshape from `from`, which is a source's axes in the order of `permutation`, to `to`.
///
/// Axes fall into the smallest groups that are reshaped to groups, each on its own. The groups keep the order that they
/// have in the source, each at the place of its last axis; within a group, axes must come into the order in which they
/// are merged. So the reshapes around a channel shuffle stay in channels-last order, as only the last axis is split and
/// merged.
pub(super) fn regroup(from: &[usize], permutation: &[usize], to: &[usize]) -> Option<Regrouped> {
    if from.contains(&0) {
        return None;
    }
    let mut groups = groups(from, to)?;
    let mut place = 0;
    for group in &mut groups {
        let places =
            |real: bool| group.from.clone().filter(move |i| !real || from[*i] > 1).map(|i| permutation[i]).max();
        place = places(true).or(places(false)).unwrap_or(place);
        group.place = place;
    }
    groups.sort_by_key(|group| group.place);
    let mut after = vec![0; to.len()];
    let outer = groups.iter().flat_map(|group| group.to.clone());
    outer.clone().enumerate().for_each(|(place, axis)| after[axis] = place);
    Some(Regrouped {
        before: groups.iter().flat_map(|group| group.from.clone()).map(|axis| permutation[axis]).collect(),
        shape: outer.map(|axis| to[axis]).collect(),
        after,
    })
}

/// Axes that are reshaped to axes, and where they go.
struct Group {
    from: std::ops::Range<usize>,
    to: std::ops::Range<usize>,
    place: usize,
}

/// The smallest groups of axes with equal products, in order. Axes that are alike are a group each; an axis of size 1
/// that is alike none is a group with nothing on the other side.
fn groups(from: &[usize], to: &[usize]) -> Option<Vec<Group>> {
    let (mut groups, mut i, mut j) = (Vec::new(), 0, 0);
    while i < from.len() || j < to.len() {
        let start = (i, j);
        let (a, b) = (from.get(i).copied(), to.get(j).copied());
        if a == b {
            (i, j) = (i + 1, j + 1);
        } else if a == Some(1) {
            i += 1;
        } else if b == Some(1) {
            j += 1;
        } else {
            let (mut a, mut b) = (a?, b?);
            (i, j) = (i + 1, j + 1);
            while a != b {
                if a < b {
                    a = a.checked_mul(*from.get(i)?)?;
                    i += 1;
                } else {
                    b = b.checked_mul(*to.get(j)?)?;
                    j += 1;
                }
            }
        }
        groups.push(Group { from: start.0..i, to: start.1..j, place: 0 });
    }
    Some(groups)
}
