//! Every operator against what TensorFlow Lite's reference kernels answer: `data/operators.json`, which
//! `tools/make_operator_cases.py` makes. Quantized results may differ by one step, where the other engine uses fixed point.

use half::f16;
use kinglet_graph::ops::*;
use kinglet_graph::{DType, Data, Op, Quantization, Tensor, TensorType, View};
use serde_json::Value;

#[test]
fn operators_give_what_the_reference_kernels_give() {
    let cases: Value = serde_json::from_str(include_str!("data/operators.json")).unwrap();
    let mut failures = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for case in cases.as_array().unwrap() {
        let (op, name) = (operator(&case["op"]), text(&case["name"]));
        seen.insert(op.name());
        if let Err(failure) = check(&op, case) {
            failures.push(format!("{name} ({op}): {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(seen.len(), 36, "operators without a case, or new ones: {seen:?}");
}

fn check(op: &Op, case: &Value) -> Result<(), String> {
    let inputs: Vec<Option<Tensor>> = list(&case["inputs"]).iter().map(|t| (!t.is_null()).then(|| tensor(t))).collect();
    let expected = tensor(&case["output"]);
    let types: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Tensor::ty)).collect();
    op.check(&types, &[expected.ty()]).map_err(|error| error.to_string())?;
    let mut output = Tensor::zeroed(expected.ty().clone());
    let operands: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Tensor::as_ref)).collect();
    let mut evaluated = Ok(());
    let allocations = allocation_counter::measure(|| evaluated = op.eval(&operands, &mut [output.as_mut()]));
    evaluated.map_err(|error| error.to_string())?;
    if allocations.count_total > 0 {
        return Err(format!("the evaluation allocated {} times", allocations.count_total));
    }
    let steps = if only_moves(op) || expected.ty().quantization.is_none() { 0.0 } else { 1.0 };
    for (index, (found, expected)) in elements(&output).into_iter().zip(elements(&expected)).enumerate() {
        let bound = if output.ty().dtype == DType::F32 { 2e-6 + 4e-6 * expected.abs() } else { steps };
        if (found - expected).abs() > bound {
            return Err(format!("element {index} is {found}, the reference gives {expected}"));
        }
    }
    Ok(())
}

/// Whether elements are moved or compared and nothing is rounded.
fn only_moves(op: &Op) -> bool {
    match op {
        Op::Pad(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_) | Op::Cast => true,
        Op::Pool2d(op) => op.kind == PoolKind::Max,
        Op::Resize(op) => op.kind == ResizeKind::Nearest,
        Op::Binary(op) => matches!(op.kind, BinaryKind::Maximum | BinaryKind::Minimum),
        _ => false,
    }
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    match tensor.as_ref().view {
        View::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        View::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
        View::I8(v) => v.iter().map(|x| f64::from(*x)).collect(),
        View::U8(v) => v.iter().map(|x| f64::from(*x)).collect(),
        View::I32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        View::I64(v) => v.iter().map(|x| *x as f64).collect(),
    }
}

fn tensor(value: &Value) -> Tensor {
    let dtypes = [DType::F32, DType::F16, DType::I8, DType::U8, DType::I32, DType::I64];
    let dtype = dtypes.into_iter().find(|dtype| dtype.name() == text(&value["dtype"])).unwrap();
    let values: Vec<f64> = list(&value["values"]).iter().map(|x| x.as_f64().unwrap()).collect();
    let data = match dtype {
        DType::F32 => Data::F32(values.iter().map(|x| *x as f32).collect()),
        DType::F16 => Data::F16(values.iter().map(|x| f16::from_f64(*x)).collect()),
        DType::I8 => Data::I8(values.iter().map(|x| *x as i8).collect()),
        DType::U8 => Data::U8(values.iter().map(|x| *x as u8).collect()),
        DType::I32 => Data::I32(values.iter().map(|x| *x as i32).collect()),
        DType::I64 => Data::I64(values.iter().map(|x| *x as i64).collect()),
    };
    let quantization = value.get("scales").map(|scales| Quantization {
        scales: list(scales).iter().map(|x| x.as_f64().unwrap() as f32).collect(),
        zero_points: list(&value["zero_points"]).iter().map(|x| x.as_i64().unwrap() as i32).collect(),
        axis: value["axis"].as_u64().map(|axis| axis as usize),
    });
    Tensor::with_type(TensorType { dtype, shape: sizes(&value["shape"]), quantization }, data).unwrap()
}

fn operator(value: &Value) -> Op {
    let size = |name: &str| value[name].as_u64().unwrap() as usize;
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
        "Mean" => Op::Mean(Mean { axes: sizes(&value["axes"]), keep_dims: flag("keep_dims") }),
        "Pad" => Op::Pad(Pad { before: sizes(&value["before"]), after: sizes(&value["after"]), value: real("value") }),
        "Reshape" => Op::Reshape(Reshape { shape: sizes(&value["shape"]) }),
        "Transpose" => Op::Transpose(Transpose { permutation: sizes(&value["permutation"]) }),
        "Concat" => Op::Concat(Concat { axis: size("axis"), activation: activation(&value["activation"]) }),
        "Slice" => Op::Slice(Slice {
            begin: sizes(&value["begin"]),
            step: list(&value["step"]).iter().map(|step| step.as_i64().unwrap() as isize).collect(),
            size: sizes(&value["size"]),
        }),
        "Gather" => Op::Gather(Gather { axis: size("axis"), batch_dims: size("batch_dims") }),
        "Softmax" => Op::Softmax(Softmax { beta: real("beta") }),
        "ResizeBilinear" => resize(ResizeKind::Bilinear),
        "ResizeNearest" => resize(ResizeKind::Nearest),
        "ArgMax" => Op::ArgMax(ArgMax { axis: size("axis"), keep_dims: flag("keep_dims") }),
        "Cast" => Op::Cast,
        "Quantize" => Op::Quantize,
        "Dequantize" => Op::Dequantize,
        other => panic!("no operator {other}"),
    }
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn sizes(value: &Value) -> Vec<usize> {
    list(value).iter().map(|size| size.as_u64().unwrap() as usize).collect()
}

fn pair(value: &Value) -> [usize; 2] {
    sizes(value).try_into().unwrap()
}
