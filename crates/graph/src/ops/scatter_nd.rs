//! A tensor of which parts are replaced.

use super::gather_nd::Vectors;
use super::operands::{moves, number, one_of, operand, required, same_elements, unchecked};
use crate::element::Number;
use crate::tensor::{Slices, each_number};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType};

/// What is done with an element and its update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update {
    /// It becomes the update; the last one, where there are several.
    #[default]
    Replace,
    /// Their sum.
    Add,
    /// Their product.
    Multiply,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
}

/// A copy of a tensor with the parts that index vectors lead to updated. Inputs: tensor, indices whose last axis holds
/// the vectors, and as many updates of the parts' shape. Negative numbers count from the end; one beyond it is an error
/// of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterNd {
    /// How elements are updated.
    pub update: Update,
}

impl ScatterNd {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let [x, indices, updates] = [required(inputs, 0)?, required(inputs, 1)?, required(inputs, 2)?];
        let Some((depth, leading)) = indices.shape.split_last().filter(|(depth, _)| **depth <= x.shape.len()) else {
            return Err(GraphError::Attribute(format!("{:?} cannot be indexed by {:?}", x.shape, indices.shape)));
        };
        let expected = [leading, &x.shape[*depth..]].concat();
        if *depth == 0 || updates.shape != expected {
            let (what, expected) = ("updates".into(), format!("{expected:?}"));
            return Err(GraphError::Shape { what, expected, found: updates.shape.clone() });
        }
        Ok(x.shape.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        one_of(required(inputs, 1)?, "indices", &[DType::I32, DType::I64], "indices are int32 or int64")?;
        if self.update != Update::Replace {
            number(required(inputs, 0)?, "input")?;
        }
        moves(required(inputs, 0)?, output)?;
        moves(required(inputs, 2)?, output)
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let [x, indices, updates] = [operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?];
        same_elements!(x.view, &mut output.view, |from, to| to.copy_from_slice(from));
        let vectors = Vectors::new(x.ty, indices, 0);
        if updates.view.is_empty() {
            return Ok(());
        }
        if self.update == Update::Replace {
            same_elements!(updates.view, &mut output.view, |from, to| {
                for (vector, from) in from.chunks_exact(vectors.part).enumerate() {
                    let first = vectors.offset(vector)?;
                    to[first..first + vectors.part].copy_from_slice(from);
                }
            });
            return Ok(());
        }
        each_number!(updates.view, View, |from| self.combine(from, &vectors, output), Err(unchecked()))
    }

    fn combine<T: Slices>(
        &self,
        from: &[T],
        vectors: &Vectors<'_>,
        output: &mut TensorMut<'_>,
    ) -> Result<(), GraphError> {
        let to = T::of_mut(&mut output.view)?;
        for (vector, from) in from.chunks_exact(vectors.part).enumerate() {
            let first = vectors.offset(vector)?;
            for (to, from) in to[first..first + vectors.part].iter_mut().zip(from) {
                *to = T::narrow(self.update.apply(to.widen(), from.widen()));
            }
        }
        Ok(())
    }
}

impl Update {
    fn apply<N: Number>(self, old: N, update: N) -> N {
        match self {
            Update::Replace => update,
            Update::Add => old.add(update),
            Update::Multiply => old.multiply(update),
            Update::Maximum if update > old => update,
            Update::Minimum if update < old => update,
            Update::Maximum | Update::Minimum => old,
        }
    }
}
