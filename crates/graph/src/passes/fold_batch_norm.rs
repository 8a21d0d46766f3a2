//! Takes what a batch norm multiplies and adds into the weights of the operator before it, or of the one after it.

use super::affine::{Affine, AffineStep, is_finite};
use super::budget::Budget;
use crate::ops::{Activation, Binary, BinaryKind, DepthwiseConv2d, Reshape, Window};
use crate::{Data, Graph, GraphError, Node, Op, Tensor, ValueId};

/// Folds multiplications and additions by constants, of one number or of one a channel, into weights and bias.
///
/// A run of them after a convolution, depthwise convolution or matrix product with constant weights, which nothing else
/// reads, becomes part of it; so does a run before one, unless it adds to what zeros are put around. A run that stands
/// alone becomes one multiplication and one addition, or a depthwise convolution. Only floats are folded; new constants
/// are computed in double precision and rounded once, so results are the same but for rounding.
pub fn fold_batch_norm(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once, readers) = (graph.producers(), super::read_once(graph), graph.consumers());
    let mut budget = Budget::new(graph);
    let mut removed = vec![false; graph.nodes.len()];
    let mut seen = vec![false; graph.nodes.len()];
    let mut rewrites = 0;
    for index in 0..graph.nodes.len() {
        if seen[index] {
            continue;
        }
        let reader = |id: ValueId| if read_once[id.0] { readers[id.0].first().map(|node| node.0) } else { None };
        let Some(run) = Run::starting_at(graph, index, reader) else { continue };
        run.nodes.iter().for_each(|node| seen[*node] = true);
        let before = producers[run.input.0].map(|node| node.0).filter(|_| read_once[run.input.0]);
        let into_before = before.and_then(|node| folded(graph, &graph.nodes[node], &run.affine, Place::After));
        let after =
            reader(run.output).filter(|node| run.activation == Activation::None && reads_only(graph, *node, &run));
        let into_after = || after.and_then(|node| folded(graph, &graph.nodes[node], &run.affine, Place::Before));
        let (node, constants) = match (into_before, before) {
            (Some(constants), Some(node)) => (node, constants),
            _ => match (into_after(), after) {
                (Some(constants), Some(node)) => (node, constants),
                _ => {
                    rewrites += run.merge(graph, &mut removed);
                    continue;
                }
            },
        };
        let elements = constants[0].data().len() as u64;
        if !budget.take(elements, elements) {
            continue;
        }
        run.nodes.iter().for_each(|node| removed[*node] = true);
        rewrites += run.nodes.len();
        set_constants(graph, node, constants);
        if Some(node) == before {
            let node = &mut graph.nodes[node];
            node.outputs = vec![run.output];
            node.op.activation_mut().into_iter().for_each(|activation| *activation = run.activation);
        } else {
            graph.nodes[node].inputs[0] = Some(run.input);
        }
    }
    super::remove_nodes(graph, &removed);
    Ok(rewrites)
}

/// Nodes that each multiply or add a constant to what the one before made and nothing else reads.
struct Run {
    nodes: Vec<usize>,
    affine: Affine,
    input: ValueId,
    output: ValueId,
    /// Applied to the result of the last.
    activation: Activation,
}

impl Run {
    /// The run whose first node is this one. `reader` gives the only reader of a value.
    fn starting_at(graph: &Graph, index: usize, reader: impl Fn(ValueId) -> Option<usize>) -> Option<Run> {
        let first = AffineStep::of(graph, &graph.nodes[index])?;
        let channels = graph.value(first.output).ty.shape.last().copied().unwrap_or(1);
        let (input, mut affine) = (first.variable, Affine::identity());
        affine.then(&first, channels);
        let mut run = Run { nodes: vec![index], affine, input, output: first.output, activation: first.activation };
        while run.activation == Activation::None
            && let Some(next) = reader(run.output)
            && let Some(step) = AffineStep::of(graph, &graph.nodes[next])
        {
            run.affine.then(&step, channels);
            run.nodes.push(next);
            (run.output, run.activation) = (step.output, step.activation);
        }
        Some(run)
    }

    /// Makes the run one multiplication and one addition, where that is fewer nodes; of the channels of images, a
    /// depthwise convolution. A run that comes to nothing becomes a Reshape to the same shape, which is for other
    /// passes to remove.
    fn merge(&self, graph: &mut Graph, removed: &mut [bool]) -> usize {
        let [Some(scales), Some(shifts)] = self.affine.constants() else { return 0 };
        let of_images = graph.value(self.output).ty.shape.len() == 4 && scales.shape().len() == 1;
        if of_images && self.affine.scales() && self.affine.shifts() {
            return self.become_depthwise(graph, removed, scales, shifts);
        }
        let operators =
            [(BinaryKind::Multiply, scales, self.affine.scales()), (BinaryKind::Add, shifts, self.affine.shifts())];
        let needed: Vec<_> = operators.into_iter().filter(|(_, _, needed)| *needed).collect();
        let nothing = needed.is_empty();
        if needed.len() >= self.nodes.len() || nothing && self.activation != Activation::None {
            return 0;
        }
        let mut input = self.input;
        let last = needed.len().max(1) - 1;
        self.nodes[last + 1..].iter().for_each(|index| removed[*index] = true);
        if nothing {
            let shape = graph.value(self.output).ty.shape.clone();
            let node = &mut graph.nodes[self.nodes[0]];
            (node.op, node.inputs) = (Op::Reshape(Reshape { shape }), vec![Some(input)]);
        }
        for (place, (kind, constant, _)) in needed.into_iter().enumerate() {
            let constant = graph.add_constant(format!("{}:constant", graph.nodes[self.nodes[place]].name), constant);
            let activation = if place == last { self.activation } else { Activation::None };
            let node = &mut graph.nodes[self.nodes[place]];
            (node.op, node.inputs) = (Op::Binary(Binary { kind, activation }), vec![Some(input), Some(constant)]);
            input = node.outputs[0];
        }
        graph.nodes[self.nodes[last]].outputs = vec![self.output];
        self.nodes.len() - last - usize::from(!nothing)
    }
}

impl Run {
    /// Makes the run a depthwise convolution with a window of one pixel.
    fn become_depthwise(&self, graph: &mut Graph, removed: &mut [bool], scales: Tensor, shifts: Tensor) -> usize {
        let shape = [1, 1, 1, scales.data().len()];
        let Ok(weights) = Tensor::new(shape, scales.data().clone()) else { return 0 };
        let index = self.nodes[0];
        self.nodes[1..].iter().for_each(|index| removed[*index] = true);
        let op = DepthwiseConv2d { window: Window::unit(), multiplier: 1, activation: self.activation };
        let node = &mut graph.nodes[index];
        (node.op, node.inputs, node.outputs) = (Op::DepthwiseConv2d(op), vec![Some(self.input)], vec![self.output]);
        set_constants(graph, index, [weights, shifts]);
        self.nodes.len()
    }
}

/// Whether a node reads the run's result as its first input, and as no other.
fn reads_only(graph: &Graph, node: usize, run: &Run) -> bool {
    graph.nodes[node].inputs.first() == Some(&Some(run.output))
}

/// Where a run stands, seen from the operator that it becomes part of.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Before,
    After,
}

/// The weights and the bias of a convolution or matrix product that does the work of a run beside it.
fn folded(graph: &Graph, node: &Node, affine: &Affine, place: Place) -> Option<[Tensor; 2]> {
    let constant = |index: usize| node.inputs.get(index).copied().flatten().map(|id| graph.constant(id));
    let weights = constant(1)??;
    let (Data::F32(values), true) = (weights.data(), is_finite(weights)) else { return None };
    let layout = WeightLayout::of(&node.op, weights.shape())?;
    if place == Place::After && node.op.activation() != Some(Activation::None)
        || place == Place::Before && affine.shifts() && !layout.sees_no_padding
    {
        return None;
    }
    let mut bias = match constant(2) {
        None => vec![0.0; layout.outputs],
        Some(bias) => match bias?.data() {
            Data::F32(bias) => bias.iter().map(|bias| f64::from(*bias)).collect(),
            _ => return None,
        },
    };
    let mut scaled = Vec::with_capacity(values.len());
    for (index, weight) in values.iter().enumerate() {
        let (output, input) = layout.channels(index);
        let weight = f64::from(*weight);
        match place {
            Place::After => scaled.push((weight * affine.scale(output)) as f32),
            Place::Before => {
                scaled.push((weight * affine.scale(input)) as f32);
                bias[output] += weight * affine.shift(input);
            }
        }
    }
    if place == Place::After {
        let channels = bias.iter_mut().enumerate();
        channels.for_each(|(channel, bias)| *bias = *bias * affine.scale(channel) + affine.shift(channel));
    }
    let bias: Vec<f32> = bias.into_iter().map(|bias| bias as f32).collect();
    let weights = Tensor::new(weights.shape(), scaled).ok().filter(is_finite)?;
    Some([weights, Tensor::new([bias.len()], bias).ok().filter(is_finite)?])
}

/// Which channels an operator's weights lie between.
struct WeightLayout {
    outputs: usize,
    /// Weights of one output channel that lie side by side, or 0 where output channels lie along the last axis.
    block: usize,
    /// Size of the last axis.
    last: usize,
    /// Output channels that share their input channels, and how many those are (groups), or output channels an input
    /// channel (depthwise).
    group: usize,
    sees_no_padding: bool,
}

impl WeightLayout {
    fn of(op: &Op, shape: &[usize]) -> Option<WeightLayout> {
        let len: usize = shape.iter().product();
        let (&first, &last) = (shape.first()?, shape.last()?);
        if len == 0 {
            return None;
        }
        let by_row = |group, window: Option<&Window>| WeightLayout {
            outputs: first,
            block: len / first,
            last,
            group,
            sees_no_padding: window.is_none_or(|window| [window.padding_before, window.padding_after] == [[0; 2]; 2]),
        };
        match op {
            Op::FullyConnected(_) => Some(by_row(first, None)),
            Op::Conv2d(conv) => Some(by_row(first / conv.groups.max(1), Some(&conv.window))),
            // Pixels at its output's edges, and between its windows, are made of fewer products than others.
            Op::ConvTranspose2d(conv) => {
                let layout = by_row(first / conv.groups.max(1), None);
                Some(WeightLayout { sees_no_padding: false, ..layout })
            }
            Op::DepthwiseConv2d(conv) => {
                Some(WeightLayout { outputs: last, block: 0, ..by_row(conv.multiplier, Some(&conv.window)) })
            }
            _ => None,
        }
    }

    /// The output and the input channel of a weight.
    fn channels(&self, index: usize) -> (usize, usize) {
        match index.checked_div(self.block) {
            Some(output) => (output, output / self.group * self.last + index % self.last),
            None => (index % self.last, index % self.last / self.group),
        }
    }
}

fn set_constants(graph: &mut Graph, node: usize, [weights, bias]: [Tensor; 2]) {
    let name = |graph: &Graph, index: usize, what: &str| match graph.nodes[node].inputs.get(index) {
        Some(Some(id)) => graph.value(*id).name.clone(),
        _ => format!("{}:{what}", graph.nodes[node].name),
    };
    let [weights_name, bias_name] = [name(graph, 1, "weights"), name(graph, 2, "bias")];
    let weights = graph.add_constant(weights_name, weights);
    let bias = graph.add_constant(bias_name, bias);
    graph.nodes[node].inputs.truncate(1);
    graph.nodes[node].inputs.extend([Some(weights), Some(bias)]);
}
