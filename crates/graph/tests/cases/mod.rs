//! The cases of `data/operators.json` and `data/onnx.json`: operators, types and values as Kinglet's own.

use kinglet_graph::ops::*;
use kinglet_graph::{DType, Op, Quantization, TensorType};
use serde_json::Value;

pub fn all() -> Vec<Value> {
    let files = [include_str!("../data/operators.json"), include_str!("../data/onnx.json")];
    files.iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap()).collect()
}

/// The variant of an enumeration that a case names.
fn named<T: std::fmt::Debug + Copy>(variants: &[T], name: &str) -> T {
    *variants.iter().find(|variant| format!("{variant:?}") == name).unwrap()
}

pub fn operator(value: &Value) -> Op {
    let size = |name: &str| integer(&value[name]) as usize;
    let real = |name: &str| value[name].as_f64().unwrap() as f32;
    let flag = |name: &str| value[name].as_bool().unwrap();
    let binary = |kind| Op::Binary(Binary { kind, activation: activation(&value["activation"]) });
    let pool = |kind| {
        let (kernel, window) = (pair(&value["kernel"]), window(&value["window"]));
        Op::Pool2d(Pool2d { kind, kernel, window, activation: activation(&value["activation"]) })
    };
    let reduce = |kind| Op::Reduce(Reduce { kind, axes: sizes(&value["axes"]), keep_dims: flag("keep_dims") });
    let arg = |kind| {
        let last = value["last"].as_bool().unwrap_or(false);
        Op::Arg(Arg { kind, axis: size("axis"), keep_dims: flag("keep_dims"), last })
    };
    let resize = |kind| {
        let modes = [CoordinateMode::Asymmetric, CoordinateMode::AlignCorners, CoordinateMode::HalfPixel];
        let mode = modes.into_iter().find(|mode| format!("{mode:?}") == text(&value["mode"])).unwrap();
        Op::Resize(Resize { kind, mode, size: pair(&value["size"]) })
    };
    match text(&value["kind"]) {
        "Conv2d" => Op::Conv2d(Conv2d {
            window: window(&value["window"]),
            groups: size("groups"),
            activation: activation(&value["activation"]),
        }),
        "DepthwiseConv2d" => Op::DepthwiseConv2d(DepthwiseConv2d {
            window: window(&value["window"]),
            multiplier: size("multiplier"),
            activation: activation(&value["activation"]),
        }),
        "FullyConnected" => Op::FullyConnected(FullyConnected { activation: activation(&value["activation"]) }),
        "Add" => binary(BinaryKind::Add),
        "Subtract" => binary(BinaryKind::Subtract),
        "Multiply" => binary(BinaryKind::Multiply),
        "Divide" => binary(BinaryKind::Divide),
        "Remainder" => binary(BinaryKind::Remainder),
        "Modulo" => binary(BinaryKind::Modulo),
        "Maximum" => binary(BinaryKind::Maximum),
        "Minimum" => binary(BinaryKind::Minimum),
        "Power" => binary(BinaryKind::Power),
        "Equal" => binary(BinaryKind::Equal),
        "Less" => binary(BinaryKind::Less),
        "LessOrEqual" => binary(BinaryKind::LessOrEqual),
        "Greater" => binary(BinaryKind::Greater),
        "GreaterOrEqual" => binary(BinaryKind::GreaterOrEqual),
        "And" => binary(BinaryKind::And),
        "Or" => binary(BinaryKind::Or),
        "Elu" => Op::Unary(Unary::Elu { alpha: real("alpha") }),
        "HardSigmoid" => Op::Unary(Unary::HardSigmoid { alpha: real("alpha"), beta: real("beta") }),
        "Clip" => Op::Unary(Unary::Clip { min: real("min"), max: real("max") }),
        "Mish" => Op::Unary(Unary::Mish),
        "Gelu" => Op::Unary(Unary::Gelu),
        "GeluTanh" => Op::Unary(Unary::GeluTanh),
        "Softplus" => Op::Unary(Unary::Softplus),
        "Reciprocal" => Op::Unary(Unary::Reciprocal),
        "Log" => Op::Unary(Unary::Log),
        "Erf" => Op::Unary(Unary::Erf),
        "Sin" => Op::Unary(Unary::Sin),
        "Cos" => Op::Unary(Unary::Cos),
        "Abs" => Op::Unary(Unary::Abs),
        "Negate" => Op::Unary(Unary::Negate),
        "Floor" => Op::Unary(Unary::Floor),
        "Ceil" => Op::Unary(Unary::Ceil),
        "Round" => Op::Unary(Unary::Round),
        "Not" => Op::Unary(Unary::Not),
        "Relu" => Op::Unary(Unary::Relu),
        "Relu6" => Op::Unary(Unary::Relu6),
        "ReluN1To1" => Op::Unary(Unary::ReluN1To1),
        "LeakyRelu" => Op::Unary(Unary::LeakyRelu { slope: real("slope") }),
        "Logistic" => Op::Unary(Unary::Logistic),
        "Tanh" => Op::Unary(Unary::Tanh),
        "HardSwish" => Op::Unary(Unary::HardSwish),
        "Sqrt" => Op::Unary(Unary::Sqrt),
        "Rsqrt" => Op::Unary(Unary::Rsqrt),
        "Exp" => Op::Unary(Unary::Exp),
        "Prelu" => Op::Prelu,
        "AveragePool2d" => pool(PoolKind::Average),
        "MaxPool2d" => pool(PoolKind::Max),
        "Mean" => reduce(ReduceKind::Mean),
        "ReduceSum" => reduce(ReduceKind::Sum),
        "ReduceProduct" => reduce(ReduceKind::Product),
        "ReduceMax" => reduce(ReduceKind::Max),
        "ReduceMin" => reduce(ReduceKind::Min),
        "ReduceL2" => reduce(ReduceKind::L2),
        "Pad" => {
            let mode = match value["mode"].as_str() {
                Some(mode) => named(&[PadMode::Reflect, PadMode::Edge, PadMode::Wrap], mode),
                None => PadMode::Constant(real("value").into()),
            };
            Op::Pad(Pad { before: sizes(&value["before"]), after: sizes(&value["after"]), mode })
        }
        "Reshape" => Op::Reshape(Reshape { shape: sizes(&value["shape"]) }),
        "Transpose" => Op::Transpose(Transpose { permutation: sizes(&value["permutation"]) }),
        "Concat" => Op::Concat(Concat { axis: size("axis"), activation: activation(&value["activation"]) }),
        "Slice" => Op::Slice(Slice {
            begin: sizes(&value["begin"]),
            step: list(&value["step"]).iter().map(|step| integer(step) as isize).collect(),
            size: sizes(&value["size"]),
        }),
        "Gather" => Op::Gather(Gather { axis: size("axis"), batch_dims: size("batch_dims") }),
        "Softmax" => Op::Softmax(Softmax { beta: real("beta") }),
        "ResizeBilinear" => resize(ResizeKind::Bilinear),
        "ResizeNearest" => resize(ResizeKind::Nearest),
        "ArgMax" => arg(ArgKind::Max),
        "ArgMin" => arg(ArgKind::Min),
        "TopK" => Op::TopK(TopK { axis: size("axis"), k: size("k"), largest: flag("largest") }),
        "GatherElements" => Op::GatherElements(GatherElements { axis: size("axis") }),
        "GatherNd" => Op::GatherNd(GatherNd { batch_dims: size("batch_dims") }),
        "ScatterNd" => {
            let updates = [Update::Replace, Update::Add, Update::Multiply, Update::Maximum, Update::Minimum];
            Op::ScatterNd(ScatterNd { update: named(&updates, text(&value["mode"])) })
        }
        "Select" => Op::Select,
        "Expand" => Op::Expand(Expand { shape: sizes(&value["shape"]) }),
        "NonMaxSuppression" => Op::NonMaxSuppression(NonMaxSuppression {
            format: named(&[BoxFormat::Corners, BoxFormat::Center], text(&value["mode"])),
            most: size("most"),
            overlap: real("overlap"),
            score: Some(real("score")),
        }),
        "Cast" => Op::Cast(Cast::default()),
        "Quantize" => Op::Quantize,
        "Dequantize" => Op::Dequantize,
        other => panic!("no operator {other}"),
    }
}

pub fn tensor_type(value: &Value) -> TensorType {
    let dtype = *DType::ALL.iter().find(|dtype| dtype.name() == text(&value["dtype"])).unwrap();
    let quantization = value.get("scales").map(|scales| Quantization {
        scales: list(scales).iter().map(|x| x.as_f64().unwrap() as f32).collect(),
        zero_points: list(&value["zero_points"]).iter().map(|x| integer(x) as i32).collect(),
        axis: value["axis"].is_i64().then(|| integer(&value["axis"]) as usize),
    });
    TensorType { dtype, shape: sizes(&value["shape"]), quantization }
}

/// An integer; one below zero stands for a huge size.
fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn activation(value: &Value) -> Activation {
    let activations = [Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1];
    activations.into_iter().find(|activation| format!("{activation:?}") == text(value)).unwrap()
}

fn window(value: &Value) -> Window {
    Window {
        stride: pair(&value["stride"]),
        dilation: pair(&value["dilation"]),
        padding_before: pair(&value["padding_before"]),
        padding_after: pair(&value["padding_after"]),
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn sizes(value: &Value) -> Vec<usize> {
    list(value).iter().map(|size| integer(size) as usize).collect()
}

fn pair(value: &Value) -> [usize; 2] {
    sizes(value).try_into().unwrap()
}
