//! Every operator against what TensorFlow Lite's reference kernels answer, `data/operators.json`, which
//! `tools/make_operator_cases.py` makes, and what ONNX's reference and NumPy answer, `data/onnx.json` by
//! `tools/make_graph_cases.py`. Quantized results may differ by one step, where the other engine uses fixed point.

mod cases;

use cases::{list, operator, tensor_type, text};
use kinglet_graph::ops::{BinaryKind, PoolKind, ResizeKind};
use kinglet_graph::{DType, Data, Op, Tensor};
use serde_json::Value;

#[test]
fn operators_give_what_the_reference_kernels_give() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 9])));
    assert_eq!(counted.count_total, 1, "allocations are counted");
    let mut failures = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for case in &cases::all() {
        let (op, name) = (operator(&case["op"]), text(&case["name"]));
        seen.insert(op.name());
        if let Err(failure) = check(&op, case) {
            failures.push(format!("{name} ({op}): {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(seen.len(), 77, "operators without a case, or new ones: {seen:?}");
}

/// The runtime may store int8 as uint8, zero points moved by 128: that changes no operator's result.
#[test]
fn signed_and_unsigned_bytes_give_the_same() {
    let mut compared = 0;
    for case in &cases::all() {
        let op = operator(&case["op"]);
        let inputs: Vec<_> = list(&case["inputs"]).iter().map(|t| (!t.is_null()).then(|| tensor(t))).collect();
        let output = tensor(&case["output"]);
        if output.ty().quantization.is_none() || output.ty().dtype != DType::I8 {
            continue;
        }
        let signed = evaluate(&op, &inputs, &output);
        let unsigned_inputs: Vec<_> = inputs.iter().map(|input| input.as_ref().map(unsigned)).collect();
        assert_eq!(evaluate(&op, &unsigned_inputs, &unsigned(&output)), unsigned(&signed), "{}", case["name"]);
        compared += 1;
    }
    assert!(compared > 40, "only {compared} cases");
}

fn evaluate(op: &Op, inputs: &[Option<Tensor>], like: &Tensor) -> Tensor {
    let operands: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Tensor::as_ref)).collect();
    let mut output = Tensor::zeroed(like.ty().clone());
    op.eval(&operands, &mut [output.as_mut()]).unwrap();
    output
}

/// The same numbers as uint8, if they are quantized int8.
fn unsigned(tensor: &Tensor) -> Tensor {
    let mut ty = tensor.ty().clone();
    match (&mut ty.quantization, tensor.data()) {
        (Some(quantization), Data::I8(values)) => {
            quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point += 128);
            ty.dtype = DType::U8;
            Tensor::with_type(ty, values.iter().map(|q| *q as u8 ^ 0x80).collect::<Vec<_>>()).unwrap()
        }
        _ => tensor.clone(),
    }
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
        let bound = match output.ty().dtype {
            DType::F32 => 2e-6 + 4e-6 * expected.abs(),
            DType::F64 => 1e-14 + 1e-13 * expected.abs(),
            // The last bit of a number.
            DType::F16 => 1e-7 + expected.abs() / 1024.0,
            _ => steps,
        };
        if (found - expected).abs() > bound {
            return Err(format!("element {index} is {found}, the reference gives {expected}"));
        }
    }
    Ok(())
}

/// Whether elements are moved or compared and nothing is rounded.
fn only_moves(op: &Op) -> bool {
    match op {
        Op::Pad(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_) | Op::Cast(_) => true,
        Op::Pool2d(op) => op.kind == PoolKind::Max,
        Op::Resize(op) => op.kind == ResizeKind::Nearest,
        Op::Binary(op) => matches!(op.kind, BinaryKind::Maximum | BinaryKind::Minimum),
        _ => false,
    }
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    tensor.as_ref().view.to_f64()
}

fn tensor(value: &Value) -> Tensor {
    let ty = tensor_type(value);
    let values: Vec<f64> = list(&value["values"]).iter().map(|x| x.as_f64().unwrap()).collect();
    let data = Data::from_f64(ty.dtype, &values);
    Tensor::with_type(ty, data).unwrap()
}
