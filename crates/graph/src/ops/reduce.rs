//! Sums, means, products and extremes over axes.

use super::operands::{Bytes, float_or_quantized, moves, number, one_of, operand, plain, required, unchecked};
use super::walk::{Strides, Walk, dense};
use super::{Activation, check_count};
use crate::element::Number;
use crate::qmath::MeanParameters;
use crate::tensor::{Slices, each_number};
use crate::{DType, GraphError, MAX_RANK, TensorMut, TensorRef, TensorType, View};

/// What is made of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// Their mean.
    Mean,
    /// Their sum; of none, 0.
    Sum,
    /// Their product; of none, 1.
    Product,
    /// The largest; of none, the type's smallest number, minus infinity of floats.
    Max,
    /// The smallest; of none, the type's largest number, infinity of floats.
    Min,
    /// The square root of the sum of their squares; of none, 0.
    L2,
}

impl ReduceKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            ReduceKind::Mean => "Mean",
            ReduceKind::Sum => "ReduceSum",
            ReduceKind::Product => "ReduceProduct",
            ReduceKind::Max => "ReduceMax",
            ReduceKind::Min => "ReduceMin",
            ReduceKind::L2 => "ReduceL2",
        }
    }

    /// What it is of no elements.
    fn start<N: Number>(self) -> N {
        match self {
            ReduceKind::Mean | ReduceKind::Sum | ReduceKind::L2 => N::ZERO,
            ReduceKind::Product => N::ONE,
            ReduceKind::Max => N::LOWEST,
            ReduceKind::Min => N::HIGHEST,
        }
    }

    /// What it is of one element more. NaN stays.
    fn add<N: Number>(self, so_far: N, x: N) -> N {
        match self {
            ReduceKind::Mean | ReduceKind::Sum => so_far.add(x),
            ReduceKind::Product => so_far.multiply(x),
            ReduceKind::L2 => so_far.add(x.multiply(x)),
            ReduceKind::Max if x > so_far || x.is_nan() => x,
            ReduceKind::Min if x < so_far || x.is_nan() => x,
            ReduceKind::Max | ReduceKind::Min => so_far,
        }
    }

    /// The result of `count` elements.
    fn finish<N: Number>(self, total: N, count: usize) -> N {
        match self {
            ReduceKind::Mean => total.divide(N::from_count(count)),
            ReduceKind::L2 => total.square_root(),
            _ => total,
        }
    }
}

/// One number of the elements along some axes. Means are of floats, integers or quantized numbers; largest and smallest
/// elements of truth values, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// Which number.
    pub kind: ReduceKind,
    /// The axes, ascending, each once.
    pub axes: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep_dims: bool,
}

impl Reduce {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let x = required(inputs, 0)?;
        let ascending = self.axes.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.axes.last().is_some_and(|last| *last >= x.shape.len()) {
            return Err(GraphError::Attribute(format!("{:?} are no ascending axes of {:?}", self.axes, x.shape)));
        }
        if self.kind == ReduceKind::Mean && self.axes.iter().any(|axis| x.shape[*axis] == 0) {
            return Err(GraphError::Attribute(format!("there is no mean over no elements of {:?}", x.shape)));
        }
        let sizes = x.shape.iter().enumerate();
        Ok(match self.keep_dims {
            true => sizes.map(|(axis, size)| if self.axes.contains(&axis) { 1 } else { *size }).collect(),
            false => sizes.filter(|(axis, _)| !self.axes.contains(axis)).map(|(_, size)| *size).collect(),
        })
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let x = required(inputs, 0)?;
        let extreme = matches!(self.kind, ReduceKind::Max | ReduceKind::Min);
        if self.kind == ReduceKind::Mean && x.quantization.is_some() {
            float_or_quantized(&[("input", x), ("output", output)])?;
            MeanParameters::new(x, output, Activation::None)?;
            return check_count(self.axes.iter().map(|axis| x.shape[*axis]).product());
        }
        if !(extreme && x.dtype == DType::Bool) {
            number(x, "input")?;
        }
        if extreme {
            return moves(x, output);
        }
        plain(&[("input", x), ("output", output)])?;
        one_of(output, "output", &[x.dtype], "it is of the input's type")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let parts = Parts::new(&self.axes, &x.ty.shape);
        match x.view {
            View::I8(_) | View::U8(_) if self.kind == ReduceKind::Mean && x.ty.quantization.is_some() => {
                let mean = MeanParameters::new(x.ty, output.ty, Activation::None)?;
                let elements = Bytes::new(&x)?;
                let out = output.view.bytes_mut();
                parts.each(
                    0i32,
                    |sum, i| sum + (elements.get(i) - mean.zero_points[0]),
                    |index, sum, count| {
                        out[index] = mean.apply(sum, count) as u8;
                    },
                );
                Ok(())
            }
            View::Bool(elements) => self.fold(&parts, elements, output),
            view => each_number!(view, View, |elements| self.fold(&parts, elements, output), Err(unchecked())),
        }
    }

    fn fold<T: Slices>(&self, parts: &Parts, x: &[T], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (kind, out) = (self.kind, T::of_mut(&mut output.view)?);
        parts.each(
            kind.start(),
            |so_far: T::Wide, i| kind.add(so_far, x[i].widen()),
            |index, total, count| out[index] = T::narrow(kind.finish(total, count)),
        );
        Ok(())
    }
}

/// A shape taken apart into the axes that stay and those that are reduced.
struct Parts {
    kept: ([usize; MAX_RANK], Strides, usize),
    reduced: ([usize; MAX_RANK], Strides, usize),
}

impl Parts {
    fn new(axes: &[usize], shape: &[usize]) -> Parts {
        let strides = dense(shape);
        let part = |reduced: bool| {
            let (mut sizes, mut steps, mut rank) = ([1; MAX_RANK], [0; MAX_RANK], 0);
            for axis in (0..shape.len()).filter(|axis| axes.contains(axis) == reduced) {
                (sizes[rank], steps[rank]) = (shape[axis], strides[axis]);
                rank += 1;
            }
            (sizes, steps, rank)
        };
        Parts { kept: part(false), reduced: part(true) }
    }

    /// For every output element: `add(sum, input index)` over the elements that it is made of, then
    /// `store(output index, sum, how many they were)`.
    fn each<A: Copy>(&self, start: A, mut add: impl FnMut(A, usize) -> A, mut store: impl FnMut(usize, A, usize)) {
        let (sizes, strides, rank) = &self.kept;
        let (reduced_sizes, reduced_strides, reduced_rank) = &self.reduced;
        let reduced = &reduced_sizes[..*reduced_rank];
        for (index, [first]) in Walk::new(&sizes[..*rank], [0], [*strides]).enumerate() {
            let walk = Walk::new(reduced, [first], [*reduced_strides]);
            let sum = walk.fold(start, |sum, [i]| add(sum, i));
            store(index, sum, reduced.iter().product());
        }
    }
}
