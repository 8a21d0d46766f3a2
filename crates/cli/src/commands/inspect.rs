//! `kinglet inspect`: what a model is, and what runs it here.

use anyhow::Result;
use clap::Args;
use kinglet::graph::{TensorType, stats};
use kinglet::kernels::table::Choice;
use kinglet::{Model, Session};
use serde::Serialize;

use crate::arguments::{Common, LoadArgs};
use crate::output;
use crate::table::{Table, left, right};

mod passes;

/// Show a model's inputs, outputs and operators
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kinglet inspect mobilenet_v2
  kinglet inspect model.tflite --json
  kinglet inspect model.onnx --passes

Operators are shown as they run: after optimization, with those that are computed together joined by +. \
MMAC: millions of multiply-adds. Quantized tensors mean (q - zero) * scale.

With --json: model, description, architecture (of a file of parameters, else null), file_bytes, inputs and outputs \
(name and type: dtype, shape, scale, zero_point), nodes (node, op, kernel, multiply_adds, output: its type), \
multiply_adds, parameters, arena_bytes (activations), weights_bytes; with --passes: model, before and after (nodes, \
operators, text), passes (pass, rewrites, precision, nodes, operators).")]
pub struct Inspect {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    /// Show what optimization does instead: the graph before and after, and what each pass rewrote
    #[arg(long)]
    passes: bool,

    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    description: &'a str,
    architecture: Option<&'static str>,
    file_bytes: u64,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    nodes: Vec<Node>,
    multiply_adds: u64,
    parameters: u64,
    arena_bytes: usize,
    weights_bytes: usize,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    #[serde(flatten)]
    ty: Type,
}

#[derive(Serialize)]
struct Node {
    node: String,
    op: String,
    kernel: &'static str,
    multiply_adds: u64,
    output: Type,
}

/// What a tensor is; `scale` and `zero_point` where it is quantized as a whole.
#[derive(Serialize)]
struct Type {
    dtype: &'static str,
    shape: Vec<usize>,
    scale: Option<f32>,
    zero_point: Option<i32>,
}

impl From<&TensorType> for Type {
    fn from(ty: &TensorType) -> Type {
        let quantization = ty.quantization.as_ref().filter(|q| q.scales.len() == 1);
        Type {
            dtype: ty.dtype.name(),
            shape: ty.shape.clone(),
            scale: quantization.map(|q| q.scale()),
            zero_point: quantization.map(|q| q.zero_point()),
        }
    }
}

impl Type {
    /// `1x224x224x3`, as people write shapes.
    fn shape(&self) -> String {
        self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
    }

    /// Scale and zero point, where there are any.
    fn quantization(&self) -> String {
        self.scale.zip(self.zero_point).map_or_else(String::new, |(scale, zero)| format!("{scale:.4}, {zero}"))
    }
}

impl Inspect {
    pub fn run(self, common: &Common) -> Result<()> {
        if self.passes {
            return passes::run(&self.load.open_as_imported(&self.model)?, common);
        }
        let model = self.load.open(&self.model)?;
        let session = model.session(&self.load.session(common, Choice::Best))?;
        let report = report(&model, &session);
        if common.json { output::json(&report) } else { print(&report) }
    }
}

fn report<'a>(model: &'a Model, session: &Session) -> Report<'a> {
    let tensor = |port: &kinglet::runtime::Port| Tensor { name: port.name.clone(), ty: (&port.ty).into() };
    let node = |step: &kinglet::runtime::StepInfo| Node {
        node: step.node.clone(),
        op: step.op.clone(),
        kernel: step.kernel,
        multiply_adds: step.multiply_adds,
        output: (&step.output).into(),
    };
    Report {
        model: model.name(),
        description: model.description(),
        architecture: model.architecture(),
        file_bytes: model.file_bytes(),
        inputs: session.inputs().iter().map(tensor).collect(),
        outputs: session.outputs().iter().map(tensor).collect(),
        nodes: session.steps().map(node).collect(),
        multiply_adds: stats::multiply_adds(model.graph()),
        parameters: stats::parameters(model.graph()),
        arena_bytes: session.arena_bytes(),
        weights_bytes: session.weights_bytes(),
    }
}

fn print(report: &Report<'_>) -> Result<()> {
    let architecture = report.architecture.map_or_else(String::new, |name| format!(" ({name})"));
    let size = output::bytes(report.file_bytes);
    output::line(format!("{}{architecture}, {size}", output::plain(report.model)))?;
    if !report.description.is_empty() {
        output::line(output::plain(report.description))?;
    }
    let mut ports = Table::new(&[left(""), left("type"), left("shape"), left("scale, zero"), left("name")]);
    let inputs = report.inputs.iter().map(|tensor| ("input", tensor));
    for (what, Tensor { name, ty }) in inputs.chain(report.outputs.iter().map(|tensor| ("output", tensor))) {
        ports.row([what.into(), ty.dtype.into(), ty.shape(), ty.quantization(), name.clone()]);
    }
    output::line(format!("\n{ports}\n"))?;
    let columns = [left("operator"), left("kernel"), right("MMAC"), left("gives"), left("type"), left("scale, zero")];
    let mut nodes = Table::new(&columns);
    for Node { op, kernel, multiply_adds, output, .. } in &report.nodes {
        let work = if *multiply_adds > 0 { format!("{:.1}", *multiply_adds as f64 / 1e6) } else { String::new() };
        let (shape, dtype, quantization) = (output.shape(), output.dtype.to_owned(), output.quantization());
        nodes.row([op.clone(), (*kernel).to_owned(), work, shape, dtype, quantization]);
    }
    output::line(format!("{nodes}\n"))?;
    let (arena, weights) = (output::bytes(report.arena_bytes as u64), output::bytes(report.weights_bytes as u64));
    let (work, parameters) = (report.multiply_adds as f64 / 1e6, report.parameters as f64 / 1e6);
    output::line(format!("{work:.1} million multiply-adds, {parameters:.2} million parameters"))?;
    output::line(format!("activations {arena}, weights {weights} once packed"))
}
