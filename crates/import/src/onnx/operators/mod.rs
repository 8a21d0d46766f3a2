//! What each operator is in the graph: one line in [`translation`], one function in a file beside this.
//!
//! Attributes that are left out have the defaults of ONNX's specification (<https://onnx.ai/onnx/operators/>), and what
//! changed between versions of an operator is told apart by the version that the file imports. Axes, paddings, sizes
//! and shapes that the file holds as tensors must be known when the model is read; they become attributes.

mod blocks;
mod conv_transpose;
mod convolution;
mod einsum;
mod elementwise;
mod indexing;
mod linear;
mod matrix;
mod normalization;
mod parts;
mod pooling;
mod quantization;
mod reduction;
mod resize;
mod shape;
mod softmax;
mod spatial;

use kinglet_graph::ops::{ArgKind, BinaryKind, PoolKind, ReduceKind, Unary};
use kinglet_graph::{DType, ValueId};

use super::builder::Builder;
use super::operator::Operator;
use super::schema::NodeProto;
use crate::ImportError;

/// Translates one node into nodes of the graph and gives the values of its outputs.
type Translation = fn(&mut Builder<'_>, &Operator<'_>) -> Result<Vec<ValueId>, Problem>;

/// The table of supported operators: ONNX's own have no domain.
fn translation(domain: &str, name: &str) -> Option<Translation> {
    match domain {
        "" | "ai.onnx" => standard(name),
        "com.microsoft" => microsoft(name),
        _ => None,
    }
}

fn standard(name: &str) -> Option<Translation> {
    Some(match name {
        "Abs" => |b, op| elementwise::unary(b, op, Unary::Abs),
        "Add" => |b, op| elementwise::binary(b, op, BinaryKind::Add),
        "And" => |b, op| elementwise::binary(b, op, BinaryKind::And),
        "ArgMax" => |b, op| reduction::arg(b, op, ArgKind::Max),
        "ArgMin" => |b, op| reduction::arg(b, op, ArgKind::Min),
        "AveragePool" => pooling::average_pool,
        "BatchNormalization" => normalization::batch_normalization,
        "Cast" => elementwise::cast,
        "Ceil" => |b, op| elementwise::unary(b, op, Unary::Ceil),
        "Clip" => elementwise::clip,
        "Concat" => shape::concat,
        "Constant" => shape::constant,
        "ConstantOfShape" => parts::constant_of_shape,
        "Conv" => convolution::conv,
        "ConvInteger" => quantization::conv_integer,
        "ConvTranspose" => conv_transpose::conv_transpose,
        "Cos" => |b, op| elementwise::unary(b, op, Unary::Cos),
        "DepthToSpace" => blocks::depth_to_space,
        "DequantizeLinear" => linear::dequantize_linear,
        "Div" => |b, op| elementwise::binary(b, op, BinaryKind::Divide),
        "Dropout" => elementwise::dropout,
        "DynamicQuantizeLinear" => linear::dynamic_quantize_linear,
        "Einsum" => einsum::einsum,
        "Elu" => elementwise::elu,
        "Equal" => |b, op| elementwise::binary(b, op, BinaryKind::Equal),
        "Erf" => |b, op| elementwise::unary(b, op, Unary::Erf),
        "Exp" => |b, op| elementwise::unary(b, op, Unary::Exp),
        "Expand" => parts::expand,
        "Flatten" => shape::flatten,
        "Floor" => |b, op| elementwise::unary(b, op, Unary::Floor),
        "Gather" => indexing::gather,
        "GatherElements" => indexing::gather_elements,
        "GatherND" => indexing::gather_nd,
        "Gelu" => elementwise::gelu,
        "Gemm" => matrix::gemm,
        "GlobalAveragePool" => |b, op| pooling::global_pool(b, op, PoolKind::Average),
        "GlobalMaxPool" => |b, op| pooling::global_pool(b, op, PoolKind::Max),
        "Greater" => |b, op| elementwise::binary(b, op, BinaryKind::Greater),
        "GreaterOrEqual" => |b, op| elementwise::binary(b, op, BinaryKind::GreaterOrEqual),
        "GroupNormalization" => normalization::group_normalization,
        "HardSigmoid" => elementwise::hard_sigmoid,
        "HardSwish" => |b, op| elementwise::unary(b, op, Unary::HardSwish),
        "Identity" => shape::identity,
        "InstanceNormalization" => normalization::instance_normalization,
        "LayerNormalization" => normalization::layer_normalization,
        "LeakyRelu" => elementwise::leaky_relu,
        "Less" => |b, op| elementwise::binary(b, op, BinaryKind::Less),
        "LessOrEqual" => |b, op| elementwise::binary(b, op, BinaryKind::LessOrEqual),
        "Log" => |b, op| elementwise::unary(b, op, Unary::Log),
        "LogSoftmax" => softmax::log_softmax,
        "LRN" => normalization::local_response_normalization,
        "MatMul" => matrix::mat_mul,
        "MatMulInteger" => quantization::mat_mul_integer,
        "Max" => |b, op| reduction::of_tensors(b, op, BinaryKind::Maximum, false),
        "MaxPool" => pooling::max_pool,
        "Mean" => |b, op| reduction::of_tensors(b, op, BinaryKind::Add, true),
        "Min" => |b, op| reduction::of_tensors(b, op, BinaryKind::Minimum, false),
        "Mish" => |b, op| elementwise::unary(b, op, Unary::Mish),
        "Mod" => elementwise::modulo,
        "Mul" => |b, op| elementwise::binary(b, op, BinaryKind::Multiply),
        "Neg" => |b, op| elementwise::unary(b, op, Unary::Negate),
        "NonMaxSuppression" => indexing::non_max_suppression,
        "Not" => |b, op| elementwise::unary(b, op, Unary::Not),
        "Or" => |b, op| elementwise::binary(b, op, BinaryKind::Or),
        "Pad" => parts::pad,
        "Pow" => elementwise::pow,
        "PRelu" => elementwise::prelu,
        "QLinearConv" => quantization::qlinear_conv,
        "QLinearMatMul" => quantization::qlinear_mat_mul,
        "QuantizeLinear" => linear::quantize_linear,
        "Range" => parts::range_of,
        "Reciprocal" => |b, op| elementwise::unary(b, op, Unary::Reciprocal),
        "ReduceL2" => |b, op| reduction::reduce(b, op, ReduceKind::L2),
        "ReduceMax" => |b, op| reduction::reduce(b, op, ReduceKind::Max),
        "ReduceMean" => |b, op| reduction::reduce(b, op, ReduceKind::Mean),
        "ReduceMin" => |b, op| reduction::reduce(b, op, ReduceKind::Min),
        "ReduceProd" => |b, op| reduction::reduce(b, op, ReduceKind::Product),
        "ReduceSum" => |b, op| reduction::reduce(b, op, ReduceKind::Sum),
        "Relu" => |b, op| elementwise::unary(b, op, Unary::Relu),
        "Reshape" => shape::reshape,
        "Resize" => resize::resize,
        "Round" => |b, op| elementwise::unary(b, op, Unary::Round),
        "ScatterND" => indexing::scatter_nd,
        "Shape" => shape::shape,
        "Sigmoid" => |b, op| elementwise::unary(b, op, Unary::Logistic),
        "Sin" => |b, op| elementwise::unary(b, op, Unary::Sin),
        "Size" => shape::size,
        "Slice" => parts::slice,
        "Softmax" => softmax::softmax,
        "Softplus" => |b, op| elementwise::unary(b, op, Unary::Softplus),
        "SpaceToDepth" => blocks::space_to_depth,
        "Split" => parts::split,
        "Sqrt" => |b, op| elementwise::unary(b, op, Unary::Sqrt),
        "Squeeze" => shape::squeeze,
        "Sub" => |b, op| elementwise::binary(b, op, BinaryKind::Subtract),
        "Sum" => |b, op| reduction::of_tensors(b, op, BinaryKind::Add, false),
        "Tanh" => |b, op| elementwise::unary(b, op, Unary::Tanh),
        "Tile" => parts::tile,
        "TopK" => reduction::top_k,
        "Transpose" => shape::transpose,
        "Unsqueeze" => shape::unsqueeze,
        "Upsample" => resize::upsample,
        "Where" => indexing::select,
        _ => return None,
    })
}

/// What ONNX Runtime adds, and its quantizer writes.
fn microsoft(name: &str) -> Option<Translation> {
    Some(match name {
        "DequantizeLinear" => linear::dequantize_linear,
        "QGemm" => quantization::qgemm,
        "QLinearAdd" => |b, op| quantization::qlinear_binary(b, op, BinaryKind::Add),
        "QLinearAveragePool" => |b, op| quantization::qlinear(b, op, pooling::average_pool),
        "QLinearConcat" => quantization::qlinear_concat,
        "QLinearGlobalAveragePool" => {
            |b, op| quantization::qlinear(b, op, |b, op| pooling::global_pool(b, op, PoolKind::Average))
        }
        "QLinearLeakyRelu" => |b, op| quantization::qlinear(b, op, elementwise::leaky_relu),
        "QLinearMul" => |b, op| quantization::qlinear_binary(b, op, BinaryKind::Multiply),
        "QLinearReduceMean" => |b, op| quantization::qlinear(b, op, |b, op| reduction::reduce(b, op, ReduceKind::Mean)),
        "QLinearSigmoid" => |b, op| quantization::qlinear(b, op, |b, op| elementwise::unary(b, op, Unary::Logistic)),
        "QLinearSoftmax" => quantization::qlinear_softmax,
        "QLinearWhere" => quantization::qlinear_where,
        "QuantizeLinear" => linear::quantize_linear,
        _ => return None,
    })
}

/// Whether operators of this kind are supported.
pub fn is_known(domain: &str, name: &str) -> bool {
    translation(domain, name).is_some()
}

/// Adds an operator's nodes to the graph and gives the values of its outputs.
pub fn translate(builder: &mut Builder<'_>, operator: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let NodeProto { domain, op_type, .. } = operator.node;
    let early = super::domain(domain).is_empty() && operator.version < FIRST_VERSION;
    match translation(domain, op_type) {
        Some(_) if early && !UNCHANGED.contains(&op_type.as_str()) => {
            unsupported(format!("before version {FIRST_VERSION}"))
        }
        Some(translation) => {
            let outputs = in_float32(builder, operator, translation)?;
            operator.gives_only(outputs.len())?;
            Ok(outputs)
        }
        None => unsupported(""),
    }
}

/// The first version of ONNX's operators that is read throughout.
const FIRST_VERSION: i64 = 7;

/// Operators that are today what they were before that.
const UNCHANGED: &[&str] = &["Identity", "Not", "Shape", "Size", "Transpose"];

/// Operators that the graph has in float32 only. Of other floats they are computed in it, too, and the results rounded.
const IN_FLOAT32: &[&str] = &[
    "AveragePool",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "LRN",
    "MaxPool",
    "PRelu",
    "Resize",
    "Softmax",
    "Upsample",
];

fn in_float32(b: &mut Builder<'_>, op: &Operator<'_>, translation: Translation) -> Result<Vec<ValueId>, Problem> {
    if !IN_FLOAT32.contains(&op.node.op_type.as_str()) {
        return translation(b, op);
    }
    let first = op.input(b, 0)?;
    let dtype = b.dtype(first);
    if dtype == DType::F32 || !dtype.is_float() {
        return translation(b, op);
    }
    let outputs = translation(b, &Operator { in_float32: true, ..*op })?;
    let narrow = |id: ValueId| if b.dtype(id) == DType::F32 { b.cast(id, dtype) } else { Ok(id) };
    outputs.into_iter().map(narrow).collect()
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

/// The problem of an operator that makes no sense.
pub fn invalid<T>(problem: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Invalid(problem.into()))
}

/// The problem of an operator that is used in a way that is not supported.
pub fn unsupported<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Unsupported(what.into()))
}

/// An axis as the file counts it, from the end where it is negative.
fn axis(axis: i64, rank: usize) -> Result<usize, Problem> {
    let forward = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(forward) {
        Ok(forward) if forward < rank => Ok(forward),
        _ => invalid(format!("axis {axis} does not exist; there are {rank}")),
    }
}

/// Axes as the file counts them, ascending.
fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, Problem> {
    if axes.len() > rank {
        return invalid(format!("{axes:?} are more axes than the {rank} that there are"));
    }
    let mut ascending = axes.iter().map(|&number| axis(number, rank)).collect::<Result<Vec<usize>, Problem>>()?;
    ascending.sort_unstable();
    ascending.dedup();
    if ascending.len() == axes.len() { Ok(ascending) } else { invalid(format!("the axes {axes:?} repeat one")) }
}
