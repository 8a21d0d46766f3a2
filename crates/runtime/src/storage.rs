//! Gives quantized activations the byte type that this CPU's kernels want.
//!
//! The 8-bit dot product of x86 multiplies unsigned by signed bytes, so activations are kept as `u8` there and as `i8`
//! elsewhere. The real values do not change: q and zero point move together by 128. What the outside sees keeps its
//! type, a Quantize node converting between the two, and so do constant weights, which kernels take as `i8` everywhere.

use kinglet_graph::{DType, Data, Graph, Node, Op, Tensor, TensorType, ValueId};
use kinglet_kernels::Activation;

/// The type of stored activations on this CPU.
pub(crate) const STORED: DType =
    if size_of::<Activation>() == 1 && Activation::MIN == 0 { DType::U8 } else { DType::I8 };

/// Rewrites every quantized 8-bit activation to type `stored`.
pub(crate) fn store_activations(graph: &mut Graph, stored: DType) {
    let (kept, activations) = (kept_values(graph), activations(graph));
    let mut twins: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    for index in 0..graph.values.len() {
        let ty = &graph.values[index].ty;
        if !needs_shift(ty, stored) || (kept[index] && !activations[index]) {
            continue;
        }
        let shifted = shifted_type(ty, stored);
        if kept[index] {
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
    let twin = |id: ValueId| twins.get(id.0).copied().flatten();
    let old = std::mem::take(&mut graph.nodes);
    for id in graph.inputs.clone() {
        twin(id).into_iter().for_each(|twin| push_quantize(graph, id, twin));
    }
    for mut node in old {
        if node.op == Op::Reinterpret {
            let made = node.outputs.clone();
            graph.nodes.push(node);
            for id in made {
                twin(id).into_iter().for_each(|twin| push_quantize(graph, id, twin));
            }
            continue;
        }
        for (index, id) in node.inputs.iter_mut().enumerate() {
            *id = if reads_weights(&node.op, index) { *id } else { id.map(|id| twin(id).unwrap_or(id)) };
        }
        let made = std::mem::take(&mut node.outputs);
        node.outputs = made.iter().map(|&id| twin(id).unwrap_or(id)).collect();
        graph.nodes.push(node);
        for id in made {
            twin(id).into_iter().for_each(|twin| push_quantize(graph, twin, id));
        }
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

/// Whether a node reads its input `index` as weights or bias.
fn reads_weights(op: &Op, index: usize) -> bool {
    index > 0 && matches!(op, Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_))
}

/// Values that keep their type: the graph's inputs and outputs, and constants that are read as weights.
fn kept_values(graph: &Graph) -> Vec<bool> {
    let mut kept = vec![false; graph.values.len()];
    for id in graph.inputs.iter().chain(&graph.outputs) {
        kept[id.0] = true;
    }
    for node in &graph.nodes {
        // Its integers are the point; their type must not change.
        if node.op == Op::Reinterpret {
            node.inputs.iter().flatten().chain(&node.outputs).for_each(|id| kept[id.0] = true);
        }
        for (index, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id.filter(|id| reads_weights(&node.op, index) && graph.constant(*id).is_some()) {
                kept[id.0] = true;
            }
        }
    }
    kept
}

/// Values that a node makes, or reads otherwise than as weights. (One constant may be both weights and an activation.)
fn activations(graph: &Graph) -> Vec<bool> {
    let mut activations = vec![false; graph.values.len()];
    for node in &graph.nodes {
        let read = node.inputs.iter().enumerate().filter(|(index, _)| !reads_weights(&node.op, *index));
        for id in read.filter_map(|(_, id)| id.as_ref()).chain(&node.outputs) {
            activations[id.0] = true;
        }
    }
    activations
}
