//! What each operator of the format is in the graph: one line in [`translate`], one function in a file beside this.
//!
//! Options may be left out of a file and then have the schema's defaults. Axes, paddings, sizes and shapes that the
//! file holds as tensors must be constants; they become attributes.

mod convolution;
mod detection;
mod elementwise;
mod image;
mod layout;
mod reduction;
mod slicing;

use std::ops::RangeInclusive;

use kinglet_graph::ops::{Activation, BinaryKind, PoolKind, ResizeKind, Unary};
use kinglet_graph::{MAX_RANK, Op, TensorType, ValueId};

use super::builder::{Builder, Form};
use super::flatbuffer::{Number, Numbers, Scalar, Table, Vector};
use super::schema::{self, ACTIVATIONS, Builtin};
use crate::ImportError;

/// Translates one operator into nodes of the graph; `None` where there is no translation.
type Translation = fn(&mut Builder<'_>, &Operator<'_>) -> Result<(), Problem>;

/// The table of supported operators.
fn translation(operator: Builtin) -> Option<Translation> {
    use Builtin as B;
    Some(match operator {
        B::ADD => |b, op| elementwise::binary(b, op, BinaryKind::Add),
        B::ARG_MAX => reduction::arg_max,
        B::AVERAGE_POOL_2D => |b, op| image::pool_2d(b, op, PoolKind::Average),
        B::CAST => elementwise::cast,
        B::CONCATENATION => layout::concatenation,
        B::CONV_2D => convolution::conv_2d,
        B::DEPTHWISE_CONV_2D => convolution::depthwise_conv_2d,
        B::DEQUANTIZE => elementwise::dequantize,
        B::DIV => |b, op| elementwise::binary(b, op, BinaryKind::Divide),
        B::EXP => |b, op| elementwise::unary(b, op, Unary::Exp),
        B::EXPAND_DIMS => layout::expand_dims,
        B::FULLY_CONNECTED => convolution::fully_connected,
        B::GATHER => slicing::gather,
        B::HARD_SWISH => |b, op| elementwise::unary(b, op, Unary::HardSwish),
        B::LEAKY_RELU => elementwise::leaky_relu,
        B::LOGISTIC => |b, op| elementwise::unary(b, op, Unary::Logistic),
        B::MAXIMUM => |b, op| elementwise::binary(b, op, BinaryKind::Maximum),
        B::MAX_POOL_2D => |b, op| image::pool_2d(b, op, PoolKind::Max),
        B::MEAN => reduction::mean,
        B::MINIMUM => |b, op| elementwise::binary(b, op, BinaryKind::Minimum),
        B::MUL => |b, op| elementwise::binary(b, op, BinaryKind::Multiply),
        B::PACK => layout::pack,
        B::PAD => layout::pad,
        B::PADV2 => layout::pad_with_value,
        B::PRELU => elementwise::prelu,
        B::QUANTIZE => elementwise::quantize,
        B::RELU => |b, op| elementwise::unary(b, op, Unary::Relu),
        B::RELU6 => |b, op| elementwise::unary(b, op, Unary::Relu6),
        B::RELU_N1_TO_1 => |b, op| elementwise::unary(b, op, Unary::ReluN1To1),
        B::RESHAPE => layout::reshape,
        B::RESIZE_BILINEAR => |b, op| image::resize(b, op, ResizeKind::Bilinear),
        B::RESIZE_NEAREST_NEIGHBOR => |b, op| image::resize(b, op, ResizeKind::Nearest),
        B::RSQRT => |b, op| elementwise::unary(b, op, Unary::Rsqrt),
        B::SHAPE => layout::shape,
        B::SLICE => slicing::slice,
        B::SOFTMAX => reduction::softmax,
        B::SPLIT => slicing::split,
        B::SPLIT_V => slicing::split_v,
        B::SQRT => |b, op| elementwise::unary(b, op, Unary::Sqrt),
        B::SQUEEZE => layout::squeeze,
        B::STRIDED_SLICE => slicing::strided_slice,
        B::SUB => |b, op| elementwise::binary(b, op, BinaryKind::Subtract),
        B::TANH => |b, op| elementwise::unary(b, op, Unary::Tanh),
        B::TRANSPOSE => layout::transpose,
        B::UNPACK => slicing::unpack,
        _ => return None,
    })
}

/// Whether operators of this kind are supported.
pub fn is_known(operator: &Operator<'_>) -> bool {
    operator.code.translation().is_some()
}

/// Adds an operator's nodes to the graph.
pub fn translate(builder: &mut Builder<'_>, operator: &Operator<'_>) -> Result<(), Problem> {
    match operator.code.translation() {
        Some(translation) => translation(builder, operator),
        None => Err(Problem::Unsupported(String::new())),
    }
}

/// Why an operator was not translated.
#[derive(Debug)]
pub enum Problem {
    /// It is used in a way that is not supported: which one.
    Unsupported(String),
    /// It makes no sense: what.
    Invalid(String),
    /// The file makes no sense.
    Import(ImportError),
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Problem {
        Problem::Import(error)
    }
}

fn invalid<T>(problem: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Invalid(problem.into()))
}

fn unsupported<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Unsupported(what.into()))
}

/// A kind of operator that the file uses.
#[derive(Debug)]
pub struct OperatorCode {
    builtin: Option<Builtin>,
    code: i32,
    custom: String,
    /// The version of it.
    pub version: i32,
}

impl OperatorCode {
    /// The operator of this code; custom ones have a name.
    pub fn new(code: i32, custom: String, version: i32) -> OperatorCode {
        OperatorCode { builtin: Builtin::from_code(code), code, custom, version }
    }

    fn translation(&self) -> Option<Translation> {
        match self.builtin? {
            Builtin::CUSTOM if self.custom == detection::POST_PROCESS => Some(detection::post_process),
            builtin => translation(builtin),
        }
    }

    /// The operator's name.
    pub fn name(&self) -> String {
        match self.builtin {
            Some(Builtin::CUSTOM) => format!("custom operator {:?}", self.custom),
            Some(builtin) => builtin.name().to_owned(),
            None => format!("operator {}", self.code),
        }
    }
}

/// An operator as the file describes it.
#[derive(Debug)]
pub struct Operator<'a> {
    /// Its place in the file.
    pub index: usize,
    /// What it is.
    pub code: &'a OperatorCode,
    inputs: Vector<'a, i32>,
    outputs: Vector<'a, i32>,
    options: Option<Table<'a>>,
    /// Options of a custom operator, in whatever form it has them.
    custom_options: &'a [u8],
}

impl<'a> Operator<'a> {
    /// Reads the operator at this place.
    pub fn read(index: usize, table: Table<'a>, codes: &'a [OperatorCode]) -> Result<Operator<'a>, ImportError> {
        use schema::operator as o;
        let code = usize::try_from(table.get(o::OPCODE_INDEX)?).ok().and_then(|code| codes.get(code));
        let code =
            code.ok_or_else(|| ImportError::Damaged(format!("operator {index} is of a kind that is not listed")))?;
        let (inputs, outputs) = (table.numbers(o::INPUTS)?, table.numbers(o::OUTPUTS)?);
        let (options, custom_options) = (table.child(o::BUILTIN_OPTIONS)?, table.numbers(o::CUSTOM_OPTIONS)?.bytes());
        Ok(Operator { index, code, inputs, outputs, options, custom_options })
    }

    /// The name of its first output, by which people find it in the file.
    pub fn label(&self, builder: &Builder<'_>) -> String {
        let first = self.outputs.get(0).and_then(|tensor| usize::try_from(tensor).ok());
        first.map(|tensor| builder.tensor_name(tensor)).unwrap_or_default()
    }

    /// Makes the outputs that were not made, so that the operators after this one can be looked at.
    pub fn make_outputs(&self, builder: &mut Builder<'_>) -> Result<(), ImportError> {
        for tensor in self.outputs.iter().filter_map(|tensor| usize::try_from(tensor).ok()) {
            if !builder.is_made(tensor)? {
                builder.write(tensor, Form::Signed)?;
            }
        }
        Ok(())
    }

    /// Checks how many inputs and outputs there are.
    fn arity(&self, inputs: RangeInclusive<usize>, outputs: usize) -> Result<(), Problem> {
        if !inputs.contains(&self.inputs.len()) {
            return invalid(format!(
                "it should have {} to {} inputs, but has {}",
                inputs.start(),
                inputs.end(),
                self.inputs.len()
            ));
        }
        if self.outputs.len() != outputs {
            return invalid(format!("it should have {outputs} outputs, but has {}", self.outputs.len()));
        }
        Ok(())
    }

    /// The tensor of an input.
    fn input(&self, index: usize) -> Result<usize, Problem> {
        match self.optional(index)? {
            Some(tensor) => Ok(tensor),
            None => invalid(format!("input {index} is left out")),
        }
    }

    /// The tensor of an input that may be left out.
    fn optional(&self, index: usize) -> Result<Option<usize>, Problem> {
        match self.inputs.get(index) {
            None | Some(-1) => Ok(None),
            Some(tensor) => match usize::try_from(tensor) {
                Ok(tensor) => Ok(Some(tensor)),
                Err(_) => invalid(format!("input {index} is tensor {tensor}")),
            },
        }
    }

    /// The tensor of an output.
    fn output(&self, index: usize) -> Result<usize, Problem> {
        match self.outputs.get(index).and_then(|tensor| usize::try_from(tensor).ok()) {
            Some(tensor) => Ok(tensor),
            None => invalid(format!("output {index} is missing")),
        }
    }

    /// An option's number.
    fn option<T: Number>(&self, field: Scalar<T>) -> Result<T, Problem> {
        Ok(self.options.map_or(Ok(field.default()), |options| options.get(field))?)
    }

    /// An option's list of numbers; `None` where it is left out or empty.
    fn option_numbers(&self, field: Numbers<i32>) -> Result<Option<Vec<i64>>, Problem> {
        let Some(options) = self.options else { return Ok(None) };
        let numbers = options.numbers(field)?;
        if numbers.len() > MAX_RANK {
            return invalid(format!("it has an option of {} numbers", numbers.len()));
        }
        Ok(Some(numbers.iter().map(i64::from).collect::<Vec<_>>()).filter(|numbers| !numbers.is_empty()))
    }

    /// The function that is fused into the operator.
    fn activation(&self, field: Scalar<i8>) -> Result<Activation, Problem> {
        let code = self.option(field)?;
        match usize::try_from(code).ok().and_then(|code| ACTIVATIONS.get(code).copied()) {
            Some("NONE") => Ok(Activation::None),
            Some("RELU") => Ok(Activation::Relu),
            Some("RELU_N1_TO_1") => Ok(Activation::ReluN1To1),
            Some("RELU6") => Ok(Activation::Relu6),
            Some(name) => unsupported(format!("with the fused activation {name}")),
            None => invalid(format!("it has an unknown fused activation, {code}")),
        }
    }

    /// The value of an input as operators want it.
    fn value(&self, builder: &mut Builder<'_>, index: usize) -> Result<ValueId, Problem> {
        Ok(builder.read(self.input(index)?, Form::Signed)?)
    }

    /// The shape of an input.
    fn shape(&self, builder: &mut Builder<'_>, index: usize) -> Result<Vec<usize>, Problem> {
        Ok(builder.tensor(self.input(index)?)?.ty.shape.clone())
    }

    /// The integers of an input that must be constant.
    fn integers(&self, builder: &mut Builder<'_>, index: usize, what: &str) -> Result<Vec<i64>, Problem> {
        let tensor = self.input(index)?;
        match builder.integers(tensor)? {
            Some(integers) => Ok(integers),
            None => unsupported(format!("with {what} that are not constant integers")),
        }
    }

    /// The integer of an input that must be a constant.
    fn integer(&self, builder: &mut Builder<'_>, index: usize, what: &str) -> Result<i64, Problem> {
        match self.integers(builder, index, what)?[..] {
            [integer] => Ok(integer),
            ref other => invalid(format!("it should have one value for {what}, but has {}", other.len())),
        }
    }

    /// The values of all inputs, none of which may be left out.
    fn values(&self, builder: &mut Builder<'_>) -> Result<Vec<ValueId>, Problem> {
        builder.charge(size_of::<ValueId>() * self.inputs.len())?;
        (0..self.inputs.len()).map(|index| self.value(builder, index)).collect()
    }

    /// How many outputs there are.
    fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Adds the node that makes the first output.
    fn emit(&self, builder: &mut Builder<'_>, op: Op, inputs: Vec<Option<ValueId>>) -> Result<(), Problem> {
        self.emit_output(builder, 0, Form::Signed, op, inputs)
    }

    /// Adds the node that makes an output in a form.
    fn emit_output(
        &self,
        builder: &mut Builder<'_>,
        index: usize,
        form: Form,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<(), Problem> {
        let tensor = self.output(index)?;
        let output = builder.write(tensor, form)?;
        Ok(builder.add_node(node_name(builder, tensor), op, inputs, vec![output])?)
    }

    /// Adds a node that makes a tensor which the file does not have.
    fn emit_between(
        &self,
        builder: &mut Builder<'_>,
        step: &str,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        ty: TensorType,
    ) -> Result<ValueId, Problem> {
        let name = format!("{}/{step}", node_name(builder, self.output(0)?));
        let output = builder.add_value(name.clone(), ty)?;
        builder.add_node(name, op, inputs, vec![output])?;
        Ok(output)
    }
}

/// The name of the node that makes a tensor. Converters join the names of all that they fused, the last of them first.
fn node_name(builder: &Builder<'_>, output: usize) -> String {
    let mut name = builder.tensor_name(output);
    name.truncate(name.find(';').unwrap_or(name.len()));
    name
}

/// An axis as the file counts it, from the end where it is negative.
fn axis(axis: i64, rank: usize) -> Result<usize, Problem> {
    let forward = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(forward) {
        Ok(forward) if forward < rank => Ok(forward),
        _ => invalid(format!("axis {axis} does not exist; there are {rank}")),
    }
}

/// A size or step: at least 1, and small enough to compute with.
fn positive(number: i32, what: &str) -> Result<usize, Problem> {
    match usize::try_from(number) {
        Ok(size @ 1..=0xffff) => Ok(size),
        _ => invalid(format!("its {what} is {number}")),
    }
}
