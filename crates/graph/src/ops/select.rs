//! Each element from one of two tensors, as a third one says.

use super::operands::{moves, one_of, operand, required, same_elements, unchecked};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View};

pub(super) fn infer(inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
    let both = broadcast_shape(&required(inputs, 1)?.shape, &required(inputs, 2)?.shape)?;
    broadcast_shape(&required(inputs, 0)?.shape, &both)
}

pub(super) fn check(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    one_of(required(inputs, 0)?, "condition", &[DType::Bool], "a condition is bool")?;
    moves(required(inputs, 1)?, output)?;
    moves(required(inputs, 2)?, output)
}

pub(super) fn eval(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let [condition, a, b] = [operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?];
    let View::Bool(chosen) = condition.view else { return Err(unchecked()) };
    let shape = output.ty.shape.as_slice();
    let strides = [condition, a, b].map(|x| broadcast(&x.ty.shape, shape));
    // One of the two at a time, so that elements are moved between two slices of one type.
    for (from, takes, place) in [(a, true, 1), (b, false, 2)] {
        let walk = Walk::new(shape, [0, 0], [strides[0], strides[place]]);
        same_elements!(from.view, &mut output.view, |from, to| {
            for ([c, i], out) in walk.zip(to.iter_mut()) {
                if chosen[c].get() == takes {
                    *out = from[i];
                }
            }
        });
    }
    Ok(())
}
