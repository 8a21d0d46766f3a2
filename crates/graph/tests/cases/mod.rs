//! The cases of `data/operators.json`: operators, types and values as Kinglet's own.

use kinglet_graph::ops::*;
use kinglet_graph::{DType, Op, Quantization, TensorType};
use serde_json::Value;

pub fn all() -> Vec<Value> {
    serde_json::from_str(include_str!("../data/operators.json")).unwrap()
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
        "Maximum" => binary(BinaryKind::Maximum),
        "Minimum" => binary(BinaryKind::Minimum),
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
        "Mean" => {
            Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: sizes(&value["axes"]), keep_dims: flag("keep_dims") })
        }
        "Pad" => Op::Pad(Pad {
            before: sizes(&value["before"]),
            after: sizes(&value["after"]),
            mode: PadMode::Constant(real("value").into()),
        }),
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
        "ArgMax" => Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: size("axis"), keep_dims: flag("keep_dims") }),
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
