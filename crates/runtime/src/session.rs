//! The session: a lowered graph with its memory, ready to run.

use std::time::{Duration, Instant};

use kinglet_graph::reference::check_input;
use kinglet_graph::{Execute, Graph, GraphError, Tensor, TensorType, View, ViewMut};
use kinglet_kernels::memory::Arena;
use kinglet_kernels::table::Choice;
use kinglet_kernels::threads::{MAX_THREADS, ThreadPool};

use crate::RuntimeError;
use crate::lower::lower;
use crate::step::{Place, Step};

/// How a session is made.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Threads that share the work of each operator, the caller's included: 1 to [`MAX_THREADS`], the nearest of which
    /// is taken for any other number.
    pub threads: usize,
    /// Which kernels may be picked.
    pub kernels: Choice,
    /// How floats are multiplied.
    pub arithmetic: Arithmetic,
}

/// How floats are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// In `f32`: to the same bits on every CPU.
    #[default]
    F32,
    /// Rounded to 16 bits, as [`Half`](kinglet_kernels::gemm::Half) says, where that makes an operator faster:
    /// convolutions and matrix products, but for those that Winograd's algorithm makes fast in `f32`. What lies between
    /// operators stays `f32`. Results differ by some thousandths of the largest; how far depends on the model, and on
    /// the CPU.
    Half,
}

impl Default for SessionOptions {
    /// One thread, the best kernels, `f32`.
    fn default() -> SessionOptions {
        SessionOptions { threads: 1, kernels: Choice::Best, arithmetic: Arithmetic::F32 }
    }
}

/// An input or output of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The name that it has in the model file.
    pub name: String,
    /// Element type, shape and quantization, as the model has them.
    pub ty: TensorType,
}

/// What one step of a session does: a row of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// The node's name in the model file; a fused one's comes after a `+`.
    pub node: String,
    /// The operator; a fused one comes after a `+`.
    pub op: String,
    /// The kernel that runs it; `plain` for an operator without a kernel of its own.
    pub kernel: &'static str,
    /// Multiplications with an addition.
    pub multiply_adds: u64,
    /// Bytes of what it reads and writes, each counted once: inputs, packed weights, output.
    pub bytes: u64,
    /// The type of what it makes. On x86 quantized tensors are stored as uint8, whatever the model has.
    pub output: TensorType,
}

/// A model ready to run: weights packed, kernels picked, memory laid out.
///
/// Between [`Session::new`] and the end nothing is allocated. A session runs one inference at a time; make one for each
/// thread that needs its own.
pub struct Session {
    steps: Vec<Step>,
    ports: [Vec<Port>; 2],
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    output_places: Vec<Place>,
    arena: Arena,
    pool: ThreadPool,
    weights_bytes: usize,
}

impl Session {
    /// Lowers a graph. The graph is not needed afterwards.
    ///
    /// # Errors
    /// When the graph is not valid or exceeds a limit, or when [`Arithmetic::Half`] is asked for and this CPU, or the
    /// kernels that may be picked, have none of it.
    pub fn new(graph: &Graph, options: &SessionOptions) -> Result<Session, RuntimeError> {
        let port = |id: &kinglet_graph::ValueId| {
            let value = graph.value(*id);
            Port { name: value.name.clone(), ty: value.ty.clone() }
        };
        let ports = [graph.inputs.iter().map(port).collect(), graph.outputs.iter().map(port).collect::<Vec<_>>()];
        let zeroed = |ports: &Vec<Port>| ports.iter().map(|port| Tensor::zeroed(port.ty.clone())).collect();
        let threads = options.threads.clamp(1, MAX_THREADS);
        let lowered = lower(graph, &SessionOptions { threads, ..options.clone() })?;
        Ok(Session {
            weights_bytes: lowered.steps.iter().map(Step::weights_bytes).sum(),
            steps: lowered.steps,
            inputs: zeroed(&ports[0]),
            outputs: zeroed(&ports[1]),
            ports,
            output_places: lowered.outputs,
            arena: Arena::new(lowered.arena_bytes),
            pool: ThreadPool::new(threads),
        })
    }

    /// What the model is given.
    pub fn inputs(&self) -> &[Port] {
        &self.ports[0]
    }

    /// What it gives.
    pub fn outputs(&self) -> &[Port] {
        &self.ports[1]
    }

    /// Runs the model on these inputs, in the order and with the types of [`Session::inputs`].
    ///
    /// # Errors
    /// When their number, types or shapes are not the model's, or when the values themselves are wrong (a gather beyond
    /// the end).
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<&[Tensor], RuntimeError> {
        if inputs.len() != self.inputs.len() {
            return Err(GraphError::Arity { expected: self.inputs.len().to_string(), found: inputs.len() }.into());
        }
        for (index, input) in inputs.iter().enumerate() {
            let port = &self.ports[0][index];
            check_input(&port.name, &port.ty, input)?;
            let mut own = self.inputs[index].data_mut();
            own.bytes_mut().copy_from_slice(input.data().view().bytes());
        }
        self.execute()?;
        Ok(&self.outputs)
    }

    /// The elements of input `index`, to write before [`Session::execute`]. They keep their values between runs.
    ///
    /// # Panics
    /// When there is no such input.
    pub fn input_mut(&mut self, index: usize) -> ViewMut<'_> {
        self.inputs[index].data_mut()
    }

    /// The elements of output `index` of the last [`Session::execute`].
    ///
    /// # Panics
    /// When there is no such output.
    pub fn output(&self, index: usize) -> View<'_> {
        self.outputs[index].data().view()
    }

    /// Runs the model on what was written to [`Session::input_mut`].
    pub fn execute(&mut self) -> Result<(), RuntimeError> {
        for step in &mut self.steps {
            step.run(&mut self.arena, &self.inputs, &self.pool)?;
        }
        self.copy_outputs();
        Ok(())
    }

    /// Runs the model and adds the time that each step took to `times`.
    ///
    /// # Panics
    /// When `times` has not one entry for each step.
    pub fn execute_profiled(&mut self, times: &mut [Duration]) -> Result<(), RuntimeError> {
        assert_eq!(times.len(), self.steps.len(), "one time for each step");
        for (step, time) in self.steps.iter_mut().zip(times) {
            let start = Instant::now();
            step.run(&mut self.arena, &self.inputs, &self.pool)?;
            *time += start.elapsed();
        }
        self.copy_outputs();
        Ok(())
    }

    fn copy_outputs(&mut self) {
        for (place, output) in self.output_places.iter().zip(&mut self.outputs) {
            let bytes = place.bytes(&self.inputs, |range| self.arena.get(range));
            output.data_mut().bytes_mut().copy_from_slice(bytes);
        }
    }

    /// What each step does, in order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepInfo> {
        self.steps.iter().map(|step| &step.info)
    }

    /// The size of the buffer that holds all activations and scratch memory.
    pub fn arena_bytes(&self) -> usize {
        self.arena.len()
    }

    /// The size of the packed weights.
    pub fn weights_bytes(&self) -> usize {
        self.weights_bytes
    }

    /// Threads that share the work.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}

impl Execute for Session {
    fn execute(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        match self.run(inputs) {
            Ok(outputs) => Ok(outputs.to_vec()),
            Err(RuntimeError::Graph(error)) => Err(error),
            Err(limit) => Err(GraphError::Structure(limit.to_string())),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("ports", &self.ports).field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}
