//! Orders of axes: composition, inversion, and whether one moves anything.

use crate::{GraphError, Quantization, Tensor, TensorType};

/// Axis i of the result is axis `permutation[i]` of what is permuted, as in [`Transpose`](crate::ops::Transpose).
pub(super) type Permutation = Vec<usize>;

/// The order of `rank` axes that changes nothing.
pub(super) fn identity(rank: usize) -> Permutation {
    (0..rank).collect()
}

pub(super) fn is_identity(permutation: &[usize]) -> bool {
    permutation.is_sorted()
}

/// The elements of `items` in the order of the permutation.
pub(super) fn permuted<T: Copy>(items: &[T], permutation: &[usize]) -> Vec<T> {
    permutation.iter().map(|axis| items[*axis]).collect()
}

/// The permutation that undoes it.
pub(super) fn inverse(permutation: &[usize]) -> Permutation {
    let mut inverse = vec![0; permutation.len()];
    for (place, axis) in permutation.iter().enumerate() {
        inverse[*axis] = place;
    }
    inverse
}

/// The permutation q for which `wanted` of q of a source is `own` of it.
pub(super) fn order_between(own: &[usize], wanted: &[usize]) -> Permutation {
    let mut order = vec![0; own.len()];
    for (place, axis) in wanted.iter().enumerate() {
        order[*axis] = own[place];
    }
    order
}

/// Whether the elements of a tensor of this shape stay in their order: only axes of size 1 move, or there is nothing to
/// move.
pub(super) fn moves_nothing(shape: &[usize], permutation: &[usize]) -> bool {
    let moved = permutation.iter().filter(|axis| shape[**axis] != 1);
    shape.contains(&0) || moved.is_sorted()
}

/// The permutation of the axes that are left when others are taken away, and those axes' places counted anew.
pub(super) fn without(permutation: &[usize], removed: impl Fn(usize) -> bool) -> Permutation {
    let left: Vec<usize> = permutation.iter().copied().filter(|axis| !removed(*axis)).collect();
    left.iter().map(|axis| left.iter().filter(|other| *other < axis).count()).collect()
}

/// The type of a tensor of type `ty` with its axes permuted, the axis of its scales among them.
pub(super) fn permuted_type(ty: &TensorType, permutation: &[usize]) -> TensorType {
    let moved = |quantization: &Quantization| Quantization {
        axis: quantization.axis.map(|axis| inverse(permutation)[axis]),
        ..quantization.clone()
    };
    TensorType {
        dtype: ty.dtype,
        shape: permuted(&ty.shape, permutation),
        quantization: ty.quantization.as_ref().map(moved),
    }
}

/// A tensor with its axes permuted. (The operator Transpose refuses tensors of one scale a channel, this does not.)
pub(in crate::passes) fn permuted_tensor(tensor: &Tensor, permutation: &[usize]) -> Result<Tensor, GraphError> {
    let ty = permuted_type(tensor.ty(), permutation);
    let plain = |ty: &TensorType| TensorType::new(ty.dtype, ty.shape.clone());
    let (from, to) = (plain(tensor.ty()), plain(&ty));
    let mut result = Tensor::zeroed(ty);
    let view = |view| crate::TensorRef { ty: &from, view };
    let mut output = crate::TensorMut { ty: &to, view: result.data_mut() };
    let transpose = crate::ops::Transpose { permutation: permutation.to_vec() };
    crate::Op::Transpose(transpose).eval(&[Some(view(tensor.data().view()))], std::slice::from_mut(&mut output))?;
    Ok(result)
}
