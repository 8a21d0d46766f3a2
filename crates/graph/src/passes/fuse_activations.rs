//! Lets the node before a ReLU do its clamp.

use crate::ops::{Activation, Unary, unary_table};
use crate::{Graph, GraphError, Op, TensorType, ValueId, qmath};

/// Fuses a clamp (ReLU, ReLU6, Clip) into the node that makes its input, if nothing else reads it; that may be a clamp,
/// too.
///
/// On 8-bit numbers only where the two in one give the same bytes: equal quantization before and after the ReLU, and
/// the table of the ReLU being the clamp that the fused operator ends in.
pub fn fuse_activations(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once) = (graph.producers(), super::read_once(graph));
    let mut fused = vec![false; graph.nodes.len()];
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (&Op::Unary(unary), &[Some(input)], &[output]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
            continue;
        };
        let Some(activation) = unary.as_activation() else { continue };
        let Some(producer) = producers[input.0].filter(|_| read_once[input.0]) else { continue };
        if fused[producer.0] {
            continue;
        }
        if !is_clamp(&unary, activation, &graph.value(input).ty, &graph.value(output).ty)? {
            continue;
        }
        let mut op = graph.nodes[producer.0].op.clone();
        let real = !graph.value(output).ty.dtype.is_8_bit();
        if let Op::Unary(own) = &mut op {
            let Some(first) = own.as_activation().filter(|_| real) else { continue };
            let (min, max) = first.then(activation).bounds();
            *own = Unary::Clip { min, max };
        } else {
            let Some(own) = op.activation_mut().filter(|own| real || **own == Activation::None) else { continue };
            *own = own.then(activation);
        }
        // Not every operator has an activation for elements of every type.
        let ty = |id: &ValueId| &graph.value(*id).ty;
        let inputs: Vec<_> = graph.nodes[producer.0].inputs.iter().map(|id| id.as_ref().map(ty)).collect();
        if op.check(&inputs, &[ty(&output)]).is_ok() {
            let producer = &mut graph.nodes[producer.0];
            (producer.op, producer.outputs) = (op, vec![output]);
            fused[index] = true;
        }
    }
    super::remove_nodes(graph, &fused);
    Ok(fused.iter().filter(|fused| **fused).count())
}

/// Whether the unary operator does no more than what an operator that makes its output directly does with the
/// activation.
fn is_clamp(
    unary: &Unary,
    activation: Activation,
    input: &TensorType,
    output: &TensorType,
) -> Result<bool, GraphError> {
    if !input.means_same(output) {
        return Ok(false);
    }
    if !input.dtype.is_8_bit() {
        return Ok(true);
    }
    let table = unary_table(unary, input, output)?;
    let (min, max) = qmath::activation_range(activation, output.dtype, output.activation_quantization("output")?);
    let (lowest, highest) = output.dtype.bounds_8_bit();
    Ok((lowest..=highest).all(|q| table[usize::from(q as u8)] == q.max(min).min(max) as u8))
}
