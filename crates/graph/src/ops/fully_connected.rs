//! Matrix product of rows with weights.

use super::operands::{operand, rank, required, unchecked};
use super::product::{self, Weights, Windows};
use super::{Activation, Window};
use crate::{GraphError, TensorMut, TensorRef, TensorType};

/// Each row of K elements times weights [N, K] gives a row of N.
#[derive(Clone, Debug, PartialEq)]
pub struct FullyConnected {
    /// Applied to the result.
    pub activation: Activation,
}

impl FullyConnected {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let [columns, depth] = rank(required(inputs, 1)?, "weights")?;
        let Some((_, leading)) = x.shape.split_last().filter(|(last, _)| **last == depth) else {
            return Err(GraphError::Shape {
                what: "input".into(),
                expected: format!("[.., {depth}], as the weights have {depth} columns"),
                found: x.shape.clone(),
            });
        };
        product::check_bias(inputs, columns)?;
        Ok([leading, &[columns]].concat())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let [_, depth] = rank(required(inputs, 1)?, "weights")?;
        product::check_types(inputs, output, Weights { channel_axis: 0, depth }, self.activation)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let &[columns, depth] = operand(inputs, 1)?.ty.shape.as_slice() else { return Err(unchecked()) };
        let rows = output.view.len().checked_div(columns).unwrap_or(0);
        let windows = Windows {
            image: [1, 1, rows],
            channels: [depth, columns],
            output: [1, rows],
            kernel: [1, 1],
            window: Window::unit(),
            depth,
            group: columns.max(1),
            weight_strides: [depth, depth],
        };
        windows.eval(inputs, output, self.activation)
    }
}
