//! What happens to exact sums while they are still in registers: requantization, and the residual addition that may follow.

use crate::Activation;
use crate::quantized::Output;
use crate::simd::{LANES, Simd};

/// The addition of another tensor to a convolution's result, as the graph's quantized ADD defines it:
/// `(q − self_zero_point) · self_multiplier + (other − other_zero_point) · other_multiplier`, each product and the sum
/// rounded to f32 (NaN, where infinities cancel, counts as 0), then rounded to the nearest integer, shifted and clamped
/// like every output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualAdd {
    /// Scale of the convolution's own result by the scale of the sum. Finite.
    pub self_multiplier: f32,
    /// Scale of the other tensor by the scale of the sum. Finite.
    pub other_multiplier: f32,
    /// Zero point of the convolution's own result.
    pub self_zero_point: i32,
    /// Zero point of the other tensor.
    pub other_zero_point: i32,
    /// Zero point of the sum.
    pub zero_point: i32,
    /// Least value of the sum.
    pub min: i32,
    /// Greatest value of the sum.
    pub max: i32,
}

/// All that a kernel must know to finish a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue {
    output: Output,
    addition: Option<Addition>,
}

#[derive(Clone, Copy, Debug)]
struct Addition {
    multipliers: [f32; 2],
    zero_points: [i32; 2],
    output: Output,
}

impl Epilogue {
    /// # Panics
    /// When a multiplier of the addition is not finite, or a zero point or bound is not an activation.
    pub(super) fn new(output: Output, residual: Option<&ResidualAdd>) -> Epilogue {
        let addition = residual.map(|add| {
            let multipliers = [add.self_multiplier, add.other_multiplier];
            assert!(multipliers.iter().all(|m| m.is_finite()), "multipliers are finite: {multipliers:?}");
            let zero_points = [add.self_zero_point, add.other_zero_point];
            let fits = zero_points.iter().all(|&point| Activation::try_from(point).is_ok());
            assert!(fits, "zero points are values of an activation: {zero_points:?}");
            Addition { multipliers, zero_points, output: Output::new(add.zero_point, add.min, add.max) }
        });
        Epilogue { output, addition }
    }

    /// Whether another tensor is added.
    pub(super) fn adds(&self) -> bool {
        self.addition.is_some()
    }

    /// The activation of one sum. `other` is looked at only if another tensor is added.
    #[inline]
    pub(super) fn finish(&self, sum: i32, multiplier: f32, other: impl FnOnce() -> Activation) -> Activation {
        let q = self.output.quantize(sum as f32 * multiplier);
        let Some(Addition { multipliers, zero_points, output }) = self.addition else { return q };
        let own = (i32::from(q) - zero_points[0]) as f32 * multipliers[0];
        let other = (i32::from(other()) - zero_points[1]) as f32 * multipliers[1];
        let sum = own + other;
        // The difference of two infinities.
        output.quantize(if sum.is_nan() { 0.0 } else { sum })
    }

    /// [`finish`](Self::finish) for sixteen sums.
    #[inline(always)]
    pub(super) fn finish_lanes<S: Simd>(
        &self,
        simd: S,
        sums: S::I32,
        multipliers: S::F32,
        other: impl FnOnce() -> [Activation; LANES],
    ) -> [Activation; LANES] {
        let mut result = [0; LANES];
        simd.quantize(simd.mul(simd.to_f32(sums), multipliers), &self.output, &mut result);
        if let Some(Addition { multipliers, zero_points, output }) = &self.addition {
            let own = rescale(simd, &result, zero_points[0], multipliers[0]);
            let sum = simd.add(own, rescale(simd, &other(), zero_points[1], multipliers[1]));
            simd.quantize(simd.nan_to_zero(sum), output, &mut result);
        }
        result
    }
}

/// `(q − zero_point) · multiplier`
#[inline(always)]
fn rescale<S: Simd>(simd: S, q: &[Activation; LANES], zero_point: i32, multiplier: f32) -> S::F32 {
    let centred = simd.add_i32(simd.widen(q), simd.splat_i32(-zero_point));
    simd.mul(simd.to_f32(centred), simd.splat(multiplier))
}
