//! Matrix product of two tensors that both may change from run to run.

use super::operands::{number, one_of, operand, plain, required, unchecked, unsupported};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::element::Number;
use crate::tensor::{Slices, each_number};
use crate::{GraphError, TensorMut, TensorRef, TensorType, View};

/// The matrices of a tensor: the shape of the stack, rows and columns of each.
fn matrices<'a>(ty: &'a TensorType, what: &str) -> Result<(&'a [usize], usize, usize), GraphError> {
    match ty.shape.as_slice() {
        [stack @ .., rows, columns] => Ok((stack, *rows, *columns)),
        shape => Err(GraphError::Shape {
            what: what.to_owned(),
            expected: "[.., rows, columns]".to_owned(),
            found: shape.to_vec(),
        }),
    }
}

pub(super) fn infer(inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
    let (first, second) = (required(inputs, 0)?, required(inputs, 1)?);
    let (a, rows, depth) = matrices(first, "first input")?;
    let (b, other_depth, columns) = matrices(second, "second input")?;
    if depth != other_depth {
        return Err(GraphError::Attribute(format!(
            "{:?} cannot be multiplied by {:?}: a row has {depth} elements, a column {other_depth}",
            first.shape, second.shape
        )));
    }
    let mut shape = broadcast_shape(a, b)?;
    shape.extend([rows, columns]);
    Ok(shape)
}

pub(super) fn check(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    let (a, b) = (required(inputs, 0)?, required(inputs, 1)?);
    number(a, "first input")?;
    plain(&[("first input", a), ("second input", b), ("output", output)])?;
    for (what, ty) in [("second input", b), ("output", output)] {
        one_of(ty, what, &[a.dtype], "it is of the first input's type")?;
    }
    Ok(())
}

/// Sums are made in the type that operators compute with, by fused multiply-adds from 0 on for floats, and rounded
/// once; integers wrap around.
pub(super) fn eval(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let product = Product::new(a.ty, b.ty, output.ty)?;
    let other = Err(unsupported("first input", "the operator takes numbers", a.ty.dtype));
    each_number!(a.view, View, |a| product.eval(a, b.view, output), other)
}

/// Sizes of the matrices of a product, and how the stacks are walked.
struct Product<'a> {
    stacks: [&'a [usize]; 3],
    rows: usize,
    depth: usize,
    columns: usize,
}

impl<'a> Product<'a> {
    fn new(a: &'a TensorType, b: &'a TensorType, output: &'a TensorType) -> Result<Product<'a>, GraphError> {
        let (first, rows, depth) = matrices(a, "first input")?;
        let (second, _, columns) = matrices(b, "second input")?;
        let (third, ..) = matrices(output, "output").map_err(|_| unchecked())?;
        Ok(Product { stacks: [first, second, third], rows, depth, columns })
    }

    fn eval<T: Slices>(&self, a: &[T], b: View<'_>, output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (b, out) = (T::of(b)?, T::of_mut(&mut output.view)?);
        let Product { stacks: [first, second, stack], rows, depth, columns } = *self;
        if rows * columns == 0 {
            return Ok(());
        }
        let walk = Walk::new(stack, [0, 0], [broadcast(first, stack), broadcast(second, stack)]);
        for ([i, j], out) in walk.zip(out.chunks_exact_mut(rows * columns)) {
            let (a, b) = (&a[i * rows * depth..], &b[j * depth * columns..]);
            for (index, out) in out.iter_mut().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let add = |sum, k: usize| a[row * depth + k].widen().multiply_add(b[k * columns + column].widen(), sum);
                *out = T::narrow((0..depth).fold(T::Wide::ZERO, add));
            }
        }
        Ok(())
    }
}
