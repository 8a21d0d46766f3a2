//! What quantized integers mean.

use crate::{DType, GraphError, TensorType};

/// One scale and zero point for a tensor, or one for each slice along `axis`: real = (q − zero_point) · scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// Positive, finite; one, or one for each index along `axis`.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zero_points: Vec<i32>,
    /// The axis of per-channel quantization; `None` for one scale a tensor.
    pub axis: Option<usize>,
}

impl Quantization {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i32) -> Quantization {
        Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: None }
    }

    /// The scale of a per-tensor quantization.
    pub fn scale(&self) -> f32 {
        self.scales[0]
    }

    /// The zero point of a per-tensor quantization.
    pub fn zero_point(&self) -> i32 {
        self.zero_points[0]
    }

    /// The scale of slice `index` along the axis.
    pub fn scale_at(&self, index: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { index }]
    }

    /// The zero point of slice `index` along the axis.
    pub fn zero_point_at(&self, index: usize) -> i32 {
        self.zero_points[if self.zero_points.len() == 1 { 0 } else { index }]
    }

    /// Checks that it fits a tensor of this type: counts, scales that are positive and finite, zero points in range.
    pub(crate) fn check(&self, what: &str, ty: &TensorType) -> Result<(), GraphError> {
        let problem = |problem: String| Err(GraphError::Quantization { what: what.to_owned(), problem });
        let count = self.scales.len();
        if count != self.zero_points.len() {
            return problem(format!("has {count} scales, but {} zero points", self.zero_points.len()));
        }
        let channels = self.axis.map(|axis| ty.shape.get(axis).copied());
        if count != 1 && channels != Some(Some(count)) {
            return problem(format!("has {count} scales, which is neither one nor one for each index of an axis"));
        }
        if let Some(scale) = self.scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return problem(format!("has the scale {scale}; scales are positive and finite"));
        }
        let (min, max) = match ty.dtype {
            DType::I8 | DType::U8 => ty.dtype.bounds_8_bit(),
            _ => (0, 0),
        };
        match self.zero_points.iter().find(|zero_point| !(min..=max).contains(*zero_point)) {
            Some(zero_point) => problem(format!("has the zero point {zero_point}; {} has {min} to {max}", ty.dtype)),
            None => Ok(()),
        }
    }
}
