//! Joins steps that run depth first: a convolution, a depthwise one and a pointwise one, of which each reads just what
//! the one before made, with wide tensors between them.

use kinglet_graph::{Graph, ValueId};
use kinglet_kernels::depth_first::DepthFirst;
use kinglet_kernels::qdwconv::QDepthwiseConv2d;
use kinglet_kernels::qgemm::QConv2d;

use super::{Planned, Selected};
use crate::step::Kernel;

/// A node that becomes a step, and its kernel.
type Step<'g> = (Planned<'g>, Selected);

/// Joins what pays.
pub(super) fn join<'g>(graph: &Graph, steps: Vec<Step<'g>>, threads: usize) -> Vec<Step<'g>> {
    let consumers = graph.consumers();
    let private = |id: ValueId| consumers[id.0].len() == 1 && !graph.outputs.contains(&id);
    let feeds = |(made, _): &Step, (_, reads): &Step| {
        reads.operands.first() == Some(&Some(made.output())) && private(made.output())
    };
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        let Kernel::QDepthwiseConv2d(depthwise) = &step.1.kernel else {
            joined.push(step);
            continue;
        };
        let first = joined.last().filter(|first| feeds(first, &step)).and_then(convolution);
        let last = steps.peek().filter(|last| feeds(&step, last)).and_then(convolution);
        let ways = [(first, last), (None, last), (first, None)];
        let way = ways.into_iter().find(|&(first, last)| DepthFirst::pays(first, depthwise, last));
        let Some([has_first, has_last]) = way.map(|(first, last)| [first.is_some(), last.is_some()]) else {
            joined.push(step);
            continue;
        };
        let first = joined.pop_if(|_| has_first);
        let last = steps.next_if(|_| has_last);
        joined.push(together(first, step, last, threads));
    }
    joined
}

fn convolution<'a>((_, selected): &'a Step) -> Option<&'a QConv2d> {
    match &selected.kernel {
        Kernel::QConv2d(convolution) => Some(convolution),
        _ => None,
    }
}

/// The step that does the work of up to three, in the order in which they ran.
fn together<'g>(first: Option<Step<'g>>, depthwise: Step<'g>, last: Option<Step<'g>>, threads: usize) -> Step<'g> {
    let mut parts = Parts::default();
    let mut nodes = Vec::new();
    let mut operands = Vec::new();
    let batch = depthwise.1.batch;
    for (planned, selected) in [first, Some(depthwise), last].into_iter().flatten() {
        // The first operand of all, and a residual, which comes second. Others are what this step itself makes.
        let own = usize::from(!nodes.is_empty());
        operands.extend_from_slice(&selected.operands[own..]);
        nodes.extend(planned.nodes);
        parts.take(selected.kernel);
    }
    let depthwise = parts.depthwise.expect("one of the steps is depthwise");
    let kernel = DepthFirst::new(parts.first, depthwise, parts.last, threads);
    (Planned { nodes }, Selected { kernel: Kernel::DepthFirst(Box::new(kernel)), operands, batch })
}

/// The convolutions of a step that runs depth first.
#[derive(Default)]
struct Parts {
    first: Option<QConv2d>,
    depthwise: Option<QDepthwiseConv2d>,
    last: Option<QConv2d>,
}

impl Parts {
    fn take(&mut self, kernel: Kernel) {
        match kernel {
            Kernel::QDepthwiseConv2d(depthwise) => self.depthwise = Some(depthwise),
            Kernel::QConv2d(convolution) if self.depthwise.is_none() => self.first = Some(convolution),
            Kernel::QConv2d(convolution) => self.last = Some(convolution),
            _ => {}
        }
    }
}
