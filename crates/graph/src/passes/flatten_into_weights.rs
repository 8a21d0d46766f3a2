//! Lets the weights of a matrix product take the order in which an image is flattened.

use super::budget::Budget;
use super::layout::permuted_tensor;
use crate::{Graph, GraphError, NodeId, Op, Tensor, TensorType, ValueId};

/// Removes the Transpose of an image that is flattened for a FullyConnected: its weights' columns are permuted instead.
///
/// Between the flattening and the product there may be operators of single elements. The weights are constant, or a
/// constant dequantized that nothing else reads. A sum of floats is taken in another order than before.
pub fn flatten_into_weights(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once) = (graph.producers(), super::read_once(graph));
    let mut budget = Budget::new(graph);
    let mut rewrites = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Op::FullyConnected(_), &[Some(x), Some(weights), ..]) = (&node.op, &node.inputs[..]) else { continue };
        let Some(flattened) = Flattened::of(graph, &producers, &read_once, x) else { continue };
        // Where the constant is read: by the product itself, or by the node that dequantizes it.
        let dequantize = producers[weights.0]
            .filter(|node| read_once[weights.0] && matches!(graph.nodes[node.0].op, Op::Dequantize));
        let (reader, input) = dequantize.map_or((index, 1), |node| (node.0, 0));
        let Some(id) = graph.nodes[reader].inputs[input] else { continue };
        let Some(constant) = graph.constant(id) else { continue };
        let len = constant.data().len() as u64;
        if !budget.take(len, len) {
            continue;
        }
        let Some(permuted) = flattened.permute_columns(graph, constant)? else { continue };
        let permuted = graph.add_constant(graph.value(id).name.clone(), permuted);
        graph.nodes[reader].inputs[input] = Some(permuted);
        graph.nodes[flattened.reshape.0].inputs[0] = Some(flattened.source);
        rewrites += 1;
    }
    Ok(rewrites)
}

/// Images whose axes are permuted, all but the first, before each becomes one row.
struct Flattened {
    reshape: NodeId,
    source: ValueId,
    permutation: Vec<usize>,
}

impl Flattened {
    /// What `id` is made of, if nothing else reads it after it was flattened.
    fn of(graph: &Graph, producers: &[Option<NodeId>], read_once: &[bool], mut id: ValueId) -> Option<Flattened> {
        loop {
            let reshape = producers[id.0].filter(|_| read_once[id.0])?;
            let node = &graph.nodes[reshape.0];
            let input = node.inputs.first().copied().flatten()?;
            match &node.op {
                Op::Dequantize if has_scales(&graph.value(input).ty) => return None,
                Op::Unary(_) | Op::Quantize | Op::Dequantize | Op::Cast(_) => id = input,
                Op::Reshape(_) => {
                    let transpose = &graph.nodes[producers[input.0]?.0];
                    let (Op::Transpose(op), &[Some(source)]) = (&transpose.op, &transpose.inputs[..]) else {
                        return None;
                    };
                    let (image, rows) = (&graph.value(source).ty, &graph.value(id).ty);
                    let flattens = op.permutation.first() == Some(&0)
                        && rows.shape.len() == 2
                        && rows.shape[0] == image.shape[0]
                        && !image.is_empty();
                    let permutation = op.permutation.clone();
                    return flattens.then_some(Flattened { reshape, source, permutation });
                }
                _ => return None,
            }
        }
    }

    /// Weights [N, K] with their columns in the order of the source; `None` where columns have scales of their own.
    fn permute_columns(&self, graph: &Graph, weights: &Tensor) -> Result<Option<Tensor>, GraphError> {
        let ty = weights.ty();
        let by_row = ty.quantization.as_ref().is_none_or(|quantization| quantization.axis == Some(0));
        if has_scales(ty) && !by_row || ty.shape.len() != 2 {
            return Ok(None);
        }
        let image = &graph.value(self.source).ty.shape;
        let mut shape: Vec<usize> = self.permutation.iter().map(|axis| image[*axis]).collect();
        shape[0] = ty.shape[0];
        let apart = Tensor::with_type(TensorType { shape, ..ty.clone() }, weights.data().clone())?;
        let mut inverse = vec![0; self.permutation.len()];
        self.permutation.iter().enumerate().for_each(|(place, axis)| inverse[*axis] = place);
        let permuted = permuted_tensor(&apart, &inverse)?;
        Tensor::with_type(ty.clone(), permuted.data().clone()).map(Some)
    }
}

/// Whether slices of a tensor have scales of their own.
fn has_scales(ty: &TensorType) -> bool {
    ty.quantization.as_ref().is_some_and(|quantization| quantization.scales.len() > 1)
}
