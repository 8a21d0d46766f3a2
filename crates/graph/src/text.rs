//! A graph as text, one line a node: for people, and for tests that compare what a pass was given with what it left.

use std::fmt::{Display, Formatter, Result};

use crate::ops::{Activation, PadMode, Unary, Window};
use crate::{Graph, Node, Op, Quantization, TensorType, ValueId};

/// The type as `int8[1, 2, 2, 8] scale 0.5 zero -3`: element type, shape, scale and zero point.
impl Display for TensorType {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        match &self.quantization {
            None => Ok(()),
            Some(Quantization { scales, zero_points, .. }) if scales.len() == 1 => {
                write!(f, " scale {} zero {}", scales[0], zero_points[0])
            }
            Some(Quantization { scales, axis, .. }) => {
                write!(f, " {} scales along axis {}", scales.len(), axis.unwrap_or(0))
            }
        }
    }
}

/// Inputs, then nodes in execution order, then outputs. Values that several names share are told apart by their
/// numbers.
impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for id in &self.inputs {
            writeln!(f, "input {}: {}", Name(self, *id), self.value(*id).ty)?;
        }
        for node in &self.nodes {
            self.write_node(f, node)?;
        }
        for id in &self.outputs {
            writeln!(f, "output {}", Name(self, *id))?;
        }
        Ok(())
    }
}

impl Graph {
    fn write_node(&self, f: &mut Formatter<'_>, node: &Node) -> Result {
        for (index, id) in node.outputs.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {}", Name(self, *id), self.value(*id).ty)?;
        }
        write!(f, " = {} (", node.op)?;
        for (index, id) in node.inputs.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match id {
                Some(id) => write!(f, "{separator}{}", Name(self, *id))?,
                None => write!(f, "{separator}none")?,
            }
        }
        writeln!(f, ")")
    }
}

/// A value in the text: its name, or its number where it has none; constants in angle brackets, with their type.
struct Name<'g>(&'g Graph, ValueId);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Name(graph, id) = self;
        let value = graph.value(*id);
        let constant = value.constant.is_some();
        f.write_str(if constant { "<" } else { "" })?;
        match value.name.as_str() {
            "" => write!(f, "%{}", id.0)?,
            name => f.write_str(name)?,
        }
        if constant { write!(f, ": {}>", value.ty) } else { Ok(()) }
    }
}

/// An operator's name and attributes.
impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())?;
        match self {
            Op::Conv2d(op) => write_window(f, &op.window).and_then(|()| write_unless_1(f, "groups", op.groups)),
            Op::DepthwiseConv2d(op) => {
                write_window(f, &op.window).and_then(|()| write_unless_1(f, "multiplier", op.multiplier))
            }
            Op::ConvTranspose2d(op) => {
                write_window(f, &op.window)?;
                if op.output_padding != [0, 0] {
                    write!(f, " output_padding {:?}", op.output_padding)?;
                }
                write_unless_1(f, "groups", op.groups)
            }
            Op::Unary(Unary::LeakyRelu { slope }) => write!(f, " slope {slope}"),
            Op::Unary(Unary::Elu { alpha }) => write!(f, " alpha {alpha}"),
            Op::Unary(Unary::HardSigmoid { alpha, beta }) => write!(f, " alpha {alpha} beta {beta}"),
            Op::Unary(Unary::Clip { min, max }) => write!(f, " min {min} max {max}"),
            Op::Pool2d(op) => write!(f, " kernel {:?}", op.kernel).and_then(|()| write_window(f, &op.window)),
            Op::Reduce(op) => write!(f, " axes {:?}{}", op.axes, kept(op.keep_dims)),
            Op::Pad(op) => match op.mode {
                PadMode::Constant(value) => write!(f, " before {:?} after {:?} value {value}", op.before, op.after),
                mode => write!(f, " before {:?} after {:?} {mode:?}", op.before, op.after),
            },
            Op::Transpose(op) => write!(f, " permutation {:?}", op.permutation),
            Op::Concat(op) => write!(f, " axis {}", op.axis),
            Op::Slice(op) => write!(f, " begin {:?} step {:?}", op.begin, op.step),
            Op::Gather(op) => write!(f, " axis {} batch_dims {}", op.axis, op.batch_dims),
            Op::GatherElements(op) => write!(f, " axis {}", op.axis),
            Op::GatherNd(op) => write!(f, " batch_dims {}", op.batch_dims),
            Op::ScatterNd(op) => write!(f, " {:?}", op.update),
            Op::Softmax(op) => write!(f, " beta {}", op.beta),
            Op::Resize(op) => write!(f, " {:?}", op.mode),
            Op::Arg(op) => {
                write!(f, " axis {}{}{}", op.axis, kept(op.keep_dims), if op.last { " last" } else { "" })
            }
            Op::TopK(op) => {
                write!(f, " axis {} {} {}", op.axis, if op.largest { "largest" } else { "smallest" }, op.k)
            }
            Op::NonMaxSuppression(op) => {
                write!(f, " {:?} most {} overlap {} score {:?}", op.format, op.most, op.overlap, op.score)
            }
            Op::DetectionPostprocess(op) => {
                let how = if op.per_class { "per class" } else { "best class" };
                write!(
                    f,
                    " {} of {} classes, {how}, score {} iou {}",
                    op.most, op.classes, op.score_threshold, op.iou_threshold
                )
            }
            Op::FullyConnected(_) | Op::Binary(_) | Op::Unary(_) | Op::Prelu | Op::Reshape(_) => Ok(()),
            Op::Expand(_) | Op::Select => Ok(()),
            Op::MatMul | Op::Cast(_) | Op::Reinterpret | Op::Quantize | Op::Dequantize => Ok(()),
        }?;
        match self.activation() {
            None | Some(Activation::None) => Ok(()),
            Some(activation) => write!(f, " {activation:?}"),
        }
    }
}

/// An attribute that is 1 in almost every model, where it is not.
fn write_unless_1(f: &mut Formatter<'_>, name: &str, value: usize) -> Result {
    if value == 1 { Ok(()) } else { write!(f, " {name} {value}") }
}

fn kept(keep_dims: bool) -> &'static str {
    if keep_dims { " kept" } else { "" }
}

fn write_window(f: &mut Formatter<'_>, window: &Window) -> Result {
    write!(f, " stride {:?}", window.stride)?;
    if window.dilation != [1, 1] {
        write!(f, " dilation {:?}", window.dilation)?;
    }
    if window.padding_before != [0, 0] || window.padding_after != [0, 0] {
        write!(f, " padding {:?} {:?}", window.padding_before, window.padding_after)?;
    }
    Ok(())
}
