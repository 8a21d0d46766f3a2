//! Matrix product of two tensors that both may change from run to run.

use super::operands::{one_of, operand, required, unchecked, unsupported};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, ViewMut};

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
    one_of(a, "first input", &[DType::F32, DType::I32, DType::I64], "the operator takes float32, int32 or int64")?;
    for (what, ty) in [("second input", b), ("output", output)] {
        one_of(ty, what, &[a.dtype], "it is of the first input's type")?;
    }
    Ok(())
}

pub(super) fn eval(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let product = Product::new(a.ty, b.ty, output.ty)?;
    match (a.view, b.view, &mut output.view) {
        (View::F32(a), View::F32(b), ViewMut::F32(out)) => product.each(a, b, out, 0.0, |sum, a, b| sum + a * b),
        (View::I32(a), View::I32(b), ViewMut::I32(out)) => {
            product.each(a, b, out, 0, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)));
        }
        (View::I64(a), View::I64(b), ViewMut::I64(out)) => {
            product.each(a, b, out, 0, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)));
        }
        (_, _, out) => return Err(unsupported("output", "the operator takes float32, int32 or int64", out.dtype())),
    }
    Ok(())
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

    fn each<T: Copy>(&self, a: &[T], b: &[T], out: &mut [T], zero: T, add: impl Fn(T, T, T) -> T) {
        let Product { stacks: [first, second, stack], rows, depth, columns } = *self;
        if rows * columns == 0 {
            return;
        }
        let walk = Walk::new(stack, [0, 0], [broadcast(first, stack), broadcast(second, stack)]);
        for ([i, j], out) in walk.zip(out.chunks_exact_mut(rows * columns)) {
            let (a, b) = (&a[i * rows * depth..], &b[j * depth * columns..]);
            for (index, out) in out.iter_mut().enumerate() {
                let (row, column) = (index / columns, index % columns);
                *out = (0..depth).fold(zero, |sum, k| add(sum, a[row * depth + k], b[k * columns + column]));
            }
        }
    }
}
