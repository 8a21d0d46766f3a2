//! Gives quantized activations the byte type that this CPU's kernels want.
//!
//! The 8-bit dot product of x86 multiplies unsigned by signed bytes, so activations are kept as `u8` there and as `i8`
//! elsewhere. The real values do not change: q and zero point move together by 128. What the outside sees keeps its type,
//! and so does what is cast, since a cast reads the integers themselves; a Quantize node converts between the two.

use kinglet_graph::{DType, Data, Graph, Node, Op, Tensor, TensorType, ValueId};
use kinglet_kernels::Activation;

/// The type of stored activations on this CPU.
pub(crate) const STORED: DType =
    if size_of::<Activation>() == 1 && Activation::MIN == 0 { DType::U8 } else { DType::I8 };

/// Rewrites every quantized 8-bit activation to type `stored`.
pub(crate) fn store_activations(graph: &mut Graph, stored: DType) {
    let weights = weight_constants(graph);
    let pinned = pinned_values(graph);
    let mut twins: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    for index in 0..graph.values.len() {
        let ty = &graph.values[index].ty;
        if !needs_shift(ty, stored) || weights[index] {
            continue;
        }
        let shifted = shifted_type(ty, stored);
        if pinned[index] {
            let name = format!("{}:stored", graph.values[index].name);
            let constant = graph.values[index].constant.clone();
            twins[index] = Some(match constant {
                Some(constant) => graph.add_constant(name, shifted_constant(&constant, shifted)),
                None => graph.add_value(name, shifted),
            });
        } else {
            let value = &mut graph.values[index];
            value.constant = value.constant.as_ref().map(|constant| shifted_constant(constant, shifted.clone()).into());
            value.ty = shifted;
        }
    }
    let old = std::mem::take(&mut graph.nodes);
    for id in graph.inputs.clone() {
        push_conversion(graph, id, twins[id.0]);
    }
    for mut node in old {
        let reads_integers = node.op == Op::Cast;
        let twin = |id: &ValueId| twins.get(id.0).copied().flatten().unwrap_or(*id);
        if !reads_integers {
            node.inputs.iter_mut().flatten().for_each(|id| *id = twin(id));
        }
        let outputs = node.outputs.clone();
        if !reads_integers {
            node.outputs.iter_mut().for_each(|id| *id = twin(id));
        }
        graph.nodes.push(node);
        for id in outputs {
            match twins[id.0] {
                Some(twin) if !reads_integers => push_quantize(graph, twin, id),
                twin => push_conversion(graph, id, twin),
            }
        }
    }
}

fn push_conversion(graph: &mut Graph, from: ValueId, twin: Option<ValueId>) {
    if let Some(to) = twin {
        push_quantize(graph, from, to);
    }
}

fn push_quantize(graph: &mut Graph, from: ValueId, to: ValueId) {
    let name = format!("{}:convert", graph.value(to).name);
    graph.nodes.push(Node { name, op: Op::Quantize, inputs: vec![Some(from)], outputs: vec![to] });
}

fn needs_shift(ty: &TensorType, stored: DType) -> bool {
    ty.dtype.is_8_bit() && ty.dtype != stored && ty.quantization.as_ref().is_some_and(|q| q.scales.len() == 1)
}

fn shifted_type(ty: &TensorType, stored: DType) -> TensorType {
    let mut ty = ty.clone();
    let shift = if stored == DType::U8 { 128 } else { -128 };
    ty.dtype = stored;
    if let Some(quantization) = &mut ty.quantization {
        quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point += shift);
    }
    ty
}

/// The constant with its bytes moved by 128, which is the same as flipping their highest bit.
fn shifted_constant(constant: &Tensor, ty: TensorType) -> Tensor {
    let flipped = constant.data().view().bytes().iter().map(|byte| byte ^ 0x80);
    let data: Data = match ty.dtype {
        DType::U8 => flipped.collect::<Vec<u8>>().into(),
        _ => flipped.map(|byte| byte as i8).collect::<Vec<i8>>().into(),
    };
    Tensor::with_type(ty, data).expect("as many bytes as before")
}

/// Constants that are read as weights: kernels take those as `i8`, whatever activations are.
fn weight_constants(graph: &Graph) -> Vec<bool> {
    let mut weights = vec![false; graph.values.len()];
    for node in &graph.nodes {
        if matches!(node.op, Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_)) {
            for id in node.inputs.iter().skip(1).flatten() {
                weights[id.0] = graph.constant(*id).is_some();
            }
        }
    }
    weights
}

/// Values whose type is seen: the graph's inputs and outputs, and what a cast reads or makes.
fn pinned_values(graph: &Graph) -> Vec<bool> {
    let mut pinned = vec![false; graph.values.len()];
    let casts = graph.nodes.iter().filter(|node| node.op == Op::Cast);
    let cast_values = casts.flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs));
    for id in graph.inputs.iter().chain(&graph.outputs).chain(cast_values) {
        pinned[id.0] = true;
    }
    pinned
}
