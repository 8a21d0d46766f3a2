//! Walks over the elements of a shape in row-major order, with the offsets of each element in tensors that are laid out
//! differently: broadcast, transposed, cut. Fixed arrays, since evaluations must not allocate.

use crate::{GraphError, MAX_RANK};

/// A distance in elements for each axis; axes beyond the shape's are unused.
pub(super) type Strides = [isize; MAX_RANK];

/// The strides of a tensor that lies densely.
pub(super) fn dense(shape: &[usize]) -> Strides {
    let mut strides = [0; MAX_RANK];
    let mut stride = 1;
    for (axis, &size) in shape.iter().enumerate().rev() {
        strides[axis] = stride;
        stride *= size as isize;
    }
    strides
}

/// The strides with which a tensor is read as one of shape `target`: NumPy's broadcasting, aligned at the last axis.
pub(super) fn broadcast(shape: &[usize], target: &[usize]) -> Strides {
    let own = dense(shape);
    let missing = target.len() - shape.len();
    let mut strides = [0; MAX_RANK];
    for (axis, &size) in shape.iter().enumerate() {
        strides[missing + axis] = if size == 1 { 0 } else { own[axis] };
    }
    strides
}

/// The shape that two shapes are broadcast to.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, GraphError> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => Err(GraphError::Attribute(format!("the shapes {a:?} and {b:?} cannot be broadcast to one"))),
        })
        .collect()
}

/// The offsets in N tensors for each element of a shape.
pub(super) struct Walk<'a, const N: usize> {
    shape: &'a [usize],
    strides: [Strides; N],
    index: [usize; MAX_RANK],
    offsets: [isize; N],
    left: usize,
}

impl<'a, const N: usize> Walk<'a, N> {
    /// A walk over `shape`; tensor i starts at `starts[i]` and is stepped through with `strides[i]`.
    pub(super) fn new(shape: &'a [usize], starts: [usize; N], strides: [Strides; N]) -> Walk<'a, N> {
        let offsets = starts.map(|start| start as isize);
        Walk { shape, strides, index: [0; MAX_RANK], offsets, left: shape.iter().product() }
    }

    fn step(&mut self) {
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            let wrapped = self.index[axis] == self.shape[axis];
            let back = if wrapped { self.shape[axis] as isize } else { 0 };
            for (offset, strides) in self.offsets.iter_mut().zip(&self.strides) {
                *offset += strides[axis] * (1 - back);
            }
            if !wrapped {
                return;
            }
            self.index[axis] = 0;
        }
    }
}

impl<const N: usize> Iterator for Walk<'_, N> {
    type Item = [usize; N];

    fn next(&mut self) -> Option<[usize; N]> {
        self.left = self.left.checked_sub(1)?;
        let offsets = self.offsets.map(|offset| offset as usize);
        self.step();
        Some(offsets)
    }
}
