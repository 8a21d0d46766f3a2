//! What a tensor is before it has elements: element type, shape, quantization.

use crate::{DType, GraphError, Quantization};

/// The most elements that one tensor may have: a bound against absurd files, far above any model for small computers.
pub const MAX_ELEMENTS: usize = 1 << 30;

/// The most axes that a tensor may have.
pub const MAX_RANK: usize = 8;
/// The number of elements of a shape, where that is one that a tensor may have. The bound holds for the axes that are
/// not empty, too, so that products of any of them are safe to compute.
pub fn checked_len(shape: &[usize]) -> Option<usize> {
    let extent = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size.max(1)))?;
    let bounded = shape.len() <= MAX_RANK && extent <= MAX_ELEMENTS;
    bounded.then_some(if shape.contains(&0) { 0 } else { extent })
}

/// Element type, shape and, for quantized tensors, what the integers mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Scale and zero point, for a quantized tensor.
    pub quantization: Option<Quantization>,
}

impl TensorType {
    /// A tensor of plain numbers.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> TensorType {
        TensorType { dtype, shape: shape.into(), quantization: None }
    }

    /// A quantized tensor with one scale and zero point.
    pub fn quantized(dtype: DType, shape: impl Into<Vec<usize>>, scale: f32, zero_point: i32) -> TensorType {
        TensorType { dtype, shape: shape.into(), quantization: Some(Quantization::per_tensor(scale, zero_point)) }
    }

    /// Number of elements, of a type that [`TensorType::check`] accepts.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Size in bytes, of a type that [`TensorType::check`] accepts.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// Checks what a hostile file could get wrong: the number of axes and of elements, and the quantization.
    pub fn check(&self, what: &str) -> Result<(), GraphError> {
        if checked_len(&self.shape).is_none() {
            return Err(GraphError::Shape {
                what: what.to_owned(),
                expected: format!("at most {MAX_RANK} axes and {MAX_ELEMENTS} elements"),
                found: self.shape.clone(),
            });
        }
        match &self.quantization {
            Some(quantization) => quantization.check(what, self),
            None => Ok(()),
        }
    }

    /// Whether elements of the two types mean the same: one element type, and one scale and zero point or none.
    pub fn means_same(&self, other: &TensorType) -> bool {
        let same = |a: &Quantization, b: &Quantization| {
            a.scales == b.scales && a.zero_points == b.zero_points && (a.axis == b.axis || a.scales.len() == 1)
        };
        let quantization = match (&self.quantization, &other.quantization) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        self.dtype == other.dtype && quantization
    }

    /// The per-tensor quantization of an 8-bit tensor: what a quantized operator needs of its activations.
    pub fn activation_quantization(&self, what: &str) -> Result<&Quantization, GraphError> {
        let problem = |problem: &str| GraphError::Quantization { what: what.to_owned(), problem: problem.to_owned() };
        let q = self.quantization.as_ref().ok_or_else(|| problem("has no scale and zero point"))?;
        if !self.dtype.is_8_bit() {
            return Err(problem("is not of an 8-bit type"));
        }
        if q.scales.len() != 1 || q.zero_points.len() != 1 {
            return Err(problem("needs one scale for the whole tensor, not one a channel"));
        }
        Ok(q)
    }
}
