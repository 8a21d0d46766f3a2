//! Lowers a graph to steps: picks a kernel for each node, packs its weights, fuses residual additions, lays out memory.
//!
//! In order: [`store_activations`] and the clean-up after it; [`residual_additions`] finds the additions that a
//! convolution can do while its result is in registers; [`select`] picks a kernel for each node; reshapes become other
//! names of the same bytes; [`lay_out`] places what is left by lifetime.

use std::ops::Range;
use std::sync::Arc;

use kinglet_graph::{Graph, Node, NodeId, Op, ValueId, passes};
use kinglet_kernels::gemm::Half;

use crate::arena::{Lifetime, lay_out};
use crate::step::{Kernel, MAX_INPUTS, Operand, Place, Step};
use crate::storage::{STORED, store_activations};
use crate::{Arithmetic, RuntimeError, SessionOptions, StepInfo};

mod depth_first;
mod select;

/// The most scratch memory that a kernel may ask for. Windows that lie far apart, as only absurd files have them, would
/// take any amount.
const MAX_SCRATCH_BYTES: usize = 1 << 30;

/// The most memory that all activations may take at once: a file of a few hundred bytes can ask for any size.
const MAX_ARENA_BYTES: usize = 2 << 30;

/// A graph as steps over an arena.
pub(crate) struct Lowered {
    pub steps: Vec<Step>,
    pub outputs: Vec<Place>,
    pub arena_bytes: usize,
}

/// The nodes that one step does, in their order: a node, and the residual addition that it does as well; or several
/// such, of which each reads what the one before made.
struct Planned<'g> {
    nodes: Vec<&'g Node>,
}

impl Planned<'_> {
    /// The value that the step makes.
    fn output(&self) -> ValueId {
        self.nodes[self.nodes.len() - 1].outputs[0]
    }
}

pub(crate) fn lower(graph: &Graph, options: &SessionOptions) -> Result<Lowered, RuntimeError> {
    if options.arithmetic == Arithmetic::Half && !Half::is_supported(options.kernels) {
        return Err(RuntimeError::NoHalf);
    }
    graph.validate()?;
    let mut stored = graph.clone();
    store_activations(&mut stored, STORED);
    passes::remove_identities(&mut stored)?;
    passes::dead_code(&mut stored)?;
    let graph = &stored;

    let roots = roots(graph);
    let planned = plan(graph);
    let mut steps = Vec::with_capacity(planned.len());
    for step in planned {
        let node = step.nodes[0];
        check_arity(node)?;
        let selected = select::kernel(graph, node, step.nodes.get(1).copied(), options)?;
        check_scratch(node, &selected.kernel)?;
        steps.push((step, selected));
    }
    let steps = depth_first::join(graph, steps, options.threads);
    let memory = Memory::lay_out(graph, &roots, &steps);
    if memory.bytes > MAX_ARENA_BYTES {
        return Err(RuntimeError::Memory { needed: memory.bytes, limit: MAX_ARENA_BYTES });
    }
    let steps = steps.into_iter().enumerate();
    let steps = steps.map(|(index, (step, selected))| memory.step(graph, index, &step, selected)).collect();
    let outputs = graph.outputs.iter().map(|id| memory.place(graph, *id)).collect();
    Ok(Lowered { steps, outputs, arena_bytes: memory.bytes })
}

fn limit(node: &Node, limit: String) -> RuntimeError {
    RuntimeError::Limit { node: node.name.clone(), op: node.op.name(), limit }
}

fn check_arity(node: &Node) -> Result<(), RuntimeError> {
    if node.inputs.len() > MAX_INPUTS {
        return Err(limit(node, format!("{} inputs, and at most {MAX_INPUTS} are supported", node.inputs.len())));
    }
    if node.outputs.len() != 1 {
        return Err(limit(node, format!("{} outputs, and exactly one is supported", node.outputs.len())));
    }
    Ok(())
}

fn check_scratch(node: &Node, kernel: &Kernel) -> Result<(), RuntimeError> {
    let bytes = kernel.scratch_bytes();
    if bytes > MAX_SCRATCH_BYTES {
        return Err(limit(node, format!("{bytes} bytes of scratch memory, and at most {MAX_SCRATCH_BYTES} are lent")));
    }
    Ok(())
}

/// For each value, the value whose bytes it shares: a reshape moves nothing.
fn roots(graph: &Graph) -> Vec<ValueId> {
    let mut roots: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    for node in &graph.nodes {
        if let (Op::Reshape(_), Some(Some(input)), Some(output)) = (&node.op, node.inputs.first(), node.outputs.first())
        {
            roots[output.0] = roots[input.0];
        }
    }
    roots
}

/// The nodes that become steps, in order.
fn plan(graph: &Graph) -> Vec<Planned<'_>> {
    let residuals = residual_additions(graph);
    let mut fused = vec![false; graph.nodes.len()];
    residuals.iter().flatten().for_each(|add| fused[add.0] = true);
    let steps = graph.nodes.iter().enumerate();
    let steps = steps.filter(|(index, node)| !matches!(node.op, Op::Reshape(_)) && !fused[*index]);
    let residual = |index: usize| residuals[index].map(|add| &graph.nodes[add.0]);
    steps.map(|(index, node)| Planned { nodes: std::iter::once(node).chain(residual(index)).collect() }).collect()
}

/// For each node, the addition that can be done with it: of a convolution's result, which nothing else reads, and of a
/// tensor of the same shape that is made before the convolution runs.
fn residual_additions(graph: &Graph) -> Vec<Option<NodeId>> {
    let producers = graph.producers();
    let consumers = graph.consumers();
    let mut additions = vec![None; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some([a, b]) = select::addition(graph, node) else { continue };
        let made_at = |id: ValueId| producers[id.0].map(|node| node.0);
        let later = if made_at(a) > made_at(b) { a } else { b };
        let Some(producer) = producers[later.0] else { continue };
        let private = consumers[later.0].len() == 1 && !graph.outputs.contains(&later);
        if a != b && private && select::adds_residuals(graph, &graph.nodes[producer.0]) {
            additions[producer.0] = Some(NodeId(index));
        }
    }
    additions
}

/// Where everything lies.
struct Memory {
    roots: Vec<ValueId>,
    /// For each root that a step makes, its range.
    values: Vec<Option<Range<usize>>>,
    /// For each step, its scratch.
    scratch: Vec<Range<usize>>,
    bytes: usize,
}

impl Memory {
    fn lay_out(graph: &Graph, roots: &[ValueId], steps: &[(Planned<'_>, Selected)]) -> Memory {
        let mut lifetimes: Vec<Lifetime> = Vec::new();
        let mut buffers: Vec<Option<usize>> = vec![None; graph.values.len()];
        for (index, (step, selected)) in steps.iter().enumerate() {
            for id in &selected.operands {
                if let Some(buffer) = id.and_then(|id| buffers[roots[id.0].0]) {
                    lifetimes[buffer].last_step = index;
                }
            }
            let output = step.output();
            buffers[output.0] = Some(lifetimes.len());
            lifetimes.push(Lifetime { bytes: graph.value(output).ty.bytes(), first_step: index, last_step: index });
        }
        for id in &graph.outputs {
            if let Some(buffer) = buffers[roots[id.0].0] {
                lifetimes[buffer].last_step = steps.len();
            }
        }
        let values = lifetimes.len();
        lifetimes.extend(steps.iter().enumerate().map(|(index, (_, selected))| Lifetime {
            bytes: selected.kernel.scratch_bytes(),
            first_step: index,
            last_step: index,
        }));
        let (places, bytes) = lay_out(&lifetimes);
        Memory {
            roots: roots.to_vec(),
            values: buffers.iter().map(|buffer| buffer.map(|buffer| places[buffer].clone())).collect(),
            scratch: places[values..].to_vec(),
            bytes,
        }
    }

    fn place(&self, graph: &Graph, id: ValueId) -> Place {
        let root = self.roots[id.0];
        let value = graph.value(root);
        if let Some(constant) = &value.constant {
            return Place::Constant(Arc::clone(constant));
        }
        if let Some(index) = graph.inputs.iter().position(|input| *input == root) {
            return Place::Input(index);
        }
        Place::Arena(self.values[root.0].clone().expect("validated: a step makes it"))
    }

    fn step(&self, graph: &Graph, index: usize, step: &Planned<'_>, selected: Selected) -> Step {
        let operand = |id: &ValueId| Operand { ty: graph.value(*id).ty.clone(), place: self.place(graph, *id) };
        let output = step.output();
        let ty = graph.value(output).ty.clone();
        let multiply_adds = |node: &&Node| {
            let types: Vec<_> = node.inputs.iter().map(|id| id.map(|id| &graph.value(id).ty)).collect();
            let results: Vec<_> = node.outputs.iter().map(|id| &graph.value(*id).ty).collect();
            node.op.multiply_adds(&types, &results)
        };
        let joined = |part: fn(&&'_ Node) -> String| step.nodes.iter().map(part).collect::<Vec<_>>().join("+");
        let inputs: Vec<_> = selected.operands.iter().map(|id| id.as_ref().map(operand)).collect();
        let read: usize = inputs.iter().flatten().map(|operand| operand.ty.bytes()).sum();
        Step {
            info: StepInfo {
                node: joined(|node| node.name.clone()),
                op: joined(|node| node.op.name().to_owned()),
                kernel: selected.kernel.name(),
                multiply_adds: step.nodes.iter().map(multiply_adds).sum(),
                bytes: (read + selected.kernel.weights_bytes() + ty.bytes()) as u64,
                output: ty.clone(),
            },
            inputs,
            output_range: self.values[output.0].clone().expect("every step's output has a place"),
            scratch: self.scratch[index].clone(),
            batch: selected.batch,
            kernel: selected.kernel,
            output: ty,
        }
    }
}

/// A kernel for a node, and which values it is given when it runs.
pub(crate) struct Selected {
    kernel: Kernel,
    operands: Vec<Option<ValueId>>,
    batch: usize,
}
