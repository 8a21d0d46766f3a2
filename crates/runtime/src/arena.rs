//! Lays buffers into one arena so that two that live at the same time never overlap.
//!
//! The method is "greedy by size" (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
//! 2020): the largest buffer first, each at the lowest offset that is free during its whole life.

use std::ops::Range;

use kinglet_kernels::memory::ALIGNMENT;

/// A buffer that is needed from one step to another, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub bytes: usize,
    pub first_step: usize,
    pub last_step: usize,
}

impl Lifetime {
    fn overlaps(&self, other: &Lifetime) -> bool {
        self.first_step <= other.last_step && other.first_step <= self.last_step
    }
}

/// The place of each buffer, and the size of the arena that holds them all.
pub(crate) fn lay_out(buffers: &[Lifetime]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(buffers[index].bytes));
    let mut places: Vec<Range<usize>> = vec![0..0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for index in order {
        let buffer = &buffers[index];
        let mut neighbours: Vec<&Range<usize>> =
            placed.iter().filter(|&&other| buffers[other].overlaps(buffer)).map(|&other| &places[other]).collect();
        neighbours.sort_by_key(|place| place.start);
        let mut start = 0;
        for place in neighbours {
            if start + buffer.bytes <= place.start {
                break;
            }
            start = start.max(place.end.next_multiple_of(ALIGNMENT));
        }
        places[index] = start..start + buffer.bytes;
        size = size.max(start + buffer.bytes);
        if buffer.bytes > 0 {
            placed.push(index);
        }
    }
    (places, size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lifetime(bytes: usize, first_step: usize, last_step: usize) -> Lifetime {
        Lifetime { bytes, first_step, last_step }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let chain = [lifetime(640, 0, 1), lifetime(1280, 1, 2), lifetime(64, 2, 3), lifetime(1280, 3, 4)];
        let (_, size) = lay_out(&chain);
        assert_eq!(size, 1280 + 640);
    }

    #[test]
    fn an_empty_buffer_takes_no_place() {
        let (places, size) = lay_out(&[lifetime(0, 0, 5), lifetime(10, 0, 5)]);
        assert_eq!((places[1].clone(), size), (0..10, 10));
    }

    proptest! {
        #[test]
        fn live_buffers_never_overlap(
            raw in prop::collection::vec((0usize..5000, 0usize..20, 0usize..6), 0..60),
        ) {
            let buffers: Vec<Lifetime> = raw.iter().map(|&(bytes, first, len)| lifetime(bytes, first, first + len)).collect();
            let (places, size) = lay_out(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert_eq!(places[i].len(), a.bytes);
                prop_assert!(places[i].start.is_multiple_of(ALIGNMENT) && places[i].end <= size);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = a.bytes == 0 || b.bytes == 0 || places[i].end <= places[j].start || places[j].end <= places[i].start;
                    prop_assert!(apart || !a.overlaps(b), "{:?} at {:?} and {:?} at {:?}", a, places[i], b, places[j]);
                }
            }
            let busiest = (0..30).map(|step| buffers.iter().filter(|b| b.first_step <= step && step <= b.last_step).map(|b| b.bytes).sum()).max();
            prop_assert!(size >= busiest.unwrap_or(0));
        }
    }
}
