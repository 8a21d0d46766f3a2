//! Multiplications and additions by constants of one number, or one a channel, seen as one function of each channel.

use crate::ops::{Activation, Binary, BinaryKind};
use crate::{DType, Data, Graph, Node, Op, Tensor, ValueId};

/// x · scale + shift for each index of the last axis, or for all at once. In double precision, to be rounded once.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    scales: Vec<f64>,
    shifts: Vec<f64>,
}

impl Affine {
    pub(super) fn identity() -> Affine {
        Affine { scales: vec![1.0], shifts: vec![0.0] }
    }

    pub(super) fn scale(&self, channel: usize) -> f64 {
        self.scales[if self.scales.len() == 1 { 0 } else { channel }]
    }

    pub(super) fn shift(&self, channel: usize) -> f64 {
        self.shifts[if self.shifts.len() == 1 { 0 } else { channel }]
    }

    /// Whether it shifts anything.
    pub(super) fn shifts(&self) -> bool {
        self.shifts.iter().any(|shift| *shift != 0.0)
    }

    /// Whether it scales anything.
    pub(super) fn scales(&self) -> bool {
        self.scales.iter().any(|scale| *scale != 1.0)
    }

    /// The scales and the shifts as constants that are broadcast.
    pub(super) fn constants(&self) -> [Option<Tensor>; 2] {
        [&self.scales, &self.shifts].map(|values| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            let shape = if values.len() == 1 { vec![] } else { vec![values.len()] };
            Tensor::new(shape, values).ok().filter(is_finite)
        })
    }

    /// The function followed by what `step` does.
    pub(super) fn then(&mut self, step: &AffineStep<'_>, channels: usize) {
        if step.constants.len() > 1 && self.scales.len() == 1 {
            self.scales = vec![self.scales[0]; channels];
            self.shifts = vec![self.shifts[0]; channels];
        }
        for (index, (scale, shift)) in self.scales.iter_mut().zip(&mut self.shifts).enumerate() {
            let constant = f64::from(step.constants[if step.constants.len() == 1 { 0 } else { index }]);
            match (step.kind, step.constant_first) {
                (BinaryKind::Add, _) => *shift += constant,
                (BinaryKind::Subtract, false) => *shift -= constant,
                (BinaryKind::Subtract, true) => (*scale, *shift) = (-*scale, constant - *shift),
                (BinaryKind::Multiply, _) => (*scale, *shift) = (*scale * constant, *shift * constant),
                _ => (*scale, *shift) = (*scale / constant, *shift / constant),
            }
        }
    }
}

/// A node that is such a function of its one variable operand, of the same shape as its result.
pub(super) struct AffineStep<'g> {
    pub(super) variable: ValueId,
    pub(super) output: ValueId,
    pub(super) activation: Activation,
    kind: BinaryKind,
    constant_first: bool,
    constants: &'g [f32],
}

impl<'g> AffineStep<'g> {
    pub(super) fn of(graph: &'g Graph, node: &Node) -> Option<AffineStep<'g>> {
        let (Op::Binary(Binary { kind, activation }), &[Some(a), Some(b)]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let constant_first = graph.constant(a).is_some();
        let (variable, constant) = if constant_first { (b, a) } else { (a, b) };
        let &[output] = &node.outputs[..] else { return None };
        let (ty, constant) = (&graph.value(output).ty, graph.constant(constant)?);
        let Data::F32(constants) = constant.data() else { return None };
        let last = ty.shape.last().copied().unwrap_or(1);
        let by_channel = constants.len() == 1 || constants.len() == last && constant.shape().last() == Some(&last);
        let fits = by_channel && ty.dtype == DType::F32 && graph.value(variable).ty.shape == ty.shape;
        let computable = match kind {
            BinaryKind::Add | BinaryKind::Subtract | BinaryKind::Multiply => true,
            BinaryKind::Divide => !constant_first && !constants.contains(&0.0),
            _ => false,
        };
        (fits && computable && is_finite(constant)).then_some(AffineStep {
            variable,
            output,
            activation: *activation,
            kind: *kind,
            constant_first,
            constants,
        })
    }
}

/// Whether a tensor of floats has none that is infinite or no number.
pub(super) fn is_finite(tensor: &Tensor) -> bool {
    match tensor.data() {
        Data::F32(values) => values.iter().all(|value| value.is_finite()),
        _ => true,
    }
}
