//! What passes may spend on constants that they make.

use crate::Graph;

/// How many elements of new constants may be made, and how many steps making them may take: a few for each element that
/// the graph's constants have already, so that a small file can neither grow without bound nor keep its reader waiting.
pub(super) struct Budget {
    elements: u64,
    steps: u64,
}

impl Budget {
    pub(super) fn new(graph: &Graph) -> Budget {
        let constants = graph.values.iter().filter_map(|value| value.constant.as_ref());
        let elements: u64 = constants.map(|tensor| tensor.data().len() as u64).sum();
        Budget { elements: elements.saturating_add(1 << 16), steps: elements.saturating_mul(4).saturating_add(1 << 26) }
    }

    /// Takes what a constant costs, if it is there.
    pub(super) fn take(&mut self, elements: u64, steps: u64) -> bool {
        let affordable = elements <= self.elements && steps <= self.steps;
        if affordable {
            self.elements -= elements;
            self.steps -= steps;
        }
        affordable
    }
}
