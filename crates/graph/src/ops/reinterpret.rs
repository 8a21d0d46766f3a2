//! The same integers with another meaning.

use super::operands::{operand, required, unchecked, unsupported};
use crate::{GraphError, TensorMut, TensorRef, TensorType};

pub(super) fn check(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    let x = required(inputs, 0)?;
    if x.dtype == output.dtype {
        Ok(())
    } else {
        Err(unsupported("output", &format!("the operator keeps its input's {}", x.dtype), output.dtype))
    }
}

pub(super) fn eval(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let (from, to) = (operand(inputs, 0)?.view.bytes(), output.view.bytes_mut());
    if from.len() != to.len() {
        return Err(unchecked());
    }
    to.copy_from_slice(from);
    Ok(())
}
