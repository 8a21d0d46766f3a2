//! Lets a convolution do the padding that comes before it.

use crate::ops::{Pad, PadMode, Window};
use crate::{Graph, GraphError, Op, ValueId, View};

/// Takes the zeros that a Pad puts around an image's rows and columns into the convolution or depthwise convolution
/// that alone reads them. (A pool is another matter: its own padding is no zeros.)
pub fn pad_into_convolution(graph: &mut Graph) -> Result<usize, GraphError> {
    let (producers, read_once) = (graph.producers(), super::read_once(graph));
    let mut rewrites = 0;
    for index in 0..graph.nodes.len() {
        let &[Some(padded), Some(weights), ..] = &graph.nodes[index].inputs[..] else { continue };
        let Some(producer) = producers[padded.0].filter(|_| read_once[padded.0]) else { continue };
        let (Op::Pad(pad), &[Some(image)]) = (&graph.nodes[producer.0].op, &graph.nodes[producer.0].inputs[..]) else {
            continue;
        };
        if !is_zero_border(pad) || graph.value(image).ty.is_empty() || !zero_times_weight_is_zero(graph, weights) {
            continue;
        }
        let pad = pad.clone();
        let node = &mut graph.nodes[index];
        let window = match &mut node.op {
            Op::Conv2d(conv) => &mut conv.window,
            Op::DepthwiseConv2d(conv) => &mut conv.window,
            _ => continue,
        };
        add(window, &pad);
        node.inputs[0] = Some(image);
        rewrites += 1;
    }
    Ok(rewrites)
}

/// Whether real zeros are put around the rows and columns of an image, and nowhere else.
fn is_zero_border(pad: &Pad) -> bool {
    pad.mode == PadMode::Constant(0.0)
        && [&pad.before, &pad.after].iter().all(|sizes| matches!(sizes[..], [0, _, _, 0]))
}

/// Whether the products that are left out would all have been zero: with infinite weights they are not.
fn zero_times_weight_is_zero(graph: &Graph, weights: ValueId) -> bool {
    match graph.constant(weights).map(|weights| weights.as_ref().view) {
        Some(View::F32(weights)) => weights.iter().all(|weight| weight.is_finite()),
        _ => graph.value(weights).ty.dtype.is_8_bit(),
    }
}

fn add(window: &mut Window, pad: &Pad) {
    for axis in 0..2 {
        window.padding_before[axis] += pad.before[1 + axis];
        window.padding_after[axis] += pad.after[1 + axis];
    }
}
