//! What quantized kernels are given: weights with their zero points, and how sums become activations again.

use crate::Activation;

/// The weights of a quantized operator, as the model stores them.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The values, in the order that the operator's door states.
    pub values: &'a [i8],
    /// One zero point for all, or one an output channel.
    pub zero_points: &'a [i32],
    /// One an output channel, at the scale of the products.
    pub bias: Option<&'a [i32]>,
}

impl Weights<'_> {
    /// The zero point of an output channel.
    pub fn zero_point(&self, channel: usize) -> i32 {
        per_channel(self.zero_points, channel)
    }

    /// The bias of an output channel.
    pub fn bias(&self, channel: usize) -> i32 {
        self.bias.map_or(0, |bias| bias[channel])
    }
}

/// How an exact sum becomes an activation: `clamp(round_ties_even(sum as f32 · multiplier) + zero_point, min, max)`.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One for all output channels, or one each. Finite.
    pub multipliers: &'a [f32],
    /// Zero point of the output, in the domain of [`Activation`].
    pub zero_point: i32,
    /// Least value of the output, in the domain of [`Activation`].
    pub min: i32,
    /// Greatest value of the output, in the domain of [`Activation`].
    pub max: i32,
}

impl Requantize<'_> {
    /// The multiplier of an output channel.
    pub fn multiplier(&self, channel: usize) -> f32 {
        per_channel(self.multipliers, channel)
    }

    /// The last steps, after the multiplication.
    ///
    /// # Panics
    /// When the zero point or a bound is not an [`Activation`], or the bounds are reversed.
    pub fn output(&self) -> Output {
        Output::new(self.zero_point, self.min, self.max)
    }
}

/// Sums that [`reach`] less far than this, scaled, can be requantized without regard to what this CPU's conversion does
/// to floats too large for it.
pub(crate) const NEAR: f32 = (1u32 << 30) as f32;

/// How far from 0 a scaled sum of products of `weights` can be. What is far from the limits of an integer type needs no
/// saturation on its way to a byte.
pub(crate) fn reach(weights: impl IntoIterator<Item = i16>, bias: i32, multiplier: f32) -> f32 {
    let most = u64::from(Activation::MAX.abs_diff(0).max(Activation::MIN.abs_diff(0)));
    let sum = weights.into_iter().map(|weight| u64::from(weight.unsigned_abs())).sum::<u64>() * most;
    // The sum is rounded to a float, the product once more.
    ((sum as f64 + f64::from(bias.unsigned_abs())) * f64::from(multiplier.abs()) * 1.000_001) as f32
}

/// The first of `values` if there is just one, or else the one of `channel`.
fn per_channel<T: Copy>(values: &[T], channel: usize) -> T {
    if values.len() == 1 { values[0] } else { values[channel] }
}

/// How a scaled sum becomes an activation: round to the nearest integer, ties to even, add the zero point, clamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Real zero.
    pub zero_point: Activation,
    /// Least value.
    pub min: Activation,
    /// Greatest value.
    pub max: Activation,
}

impl Output {
    /// Checks that the values can be stored.
    ///
    /// # Panics
    /// When the zero point or a bound is not an [`Activation`], or the bounds are reversed.
    pub fn new(zero_point: i32, min: i32, max: i32) -> Output {
        assert!(min <= max, "the bounds {min}..={max} are reversed");
        let [zero_point, min, max] = [zero_point, min, max]
            .map(|value| Activation::try_from(value).expect("zero point and bounds are values of an activation"));
        Output { zero_point, min, max }
    }

    /// The bounds of the scaled sum, before rounding. CPUs disagree about what a float beyond 2³¹ converts to; clamped
    /// to these integers first, which changes no result, it never comes to that.
    pub fn float_bounds(&self) -> (f32, f32) {
        let zero_point = f32::from(self.zero_point);
        (f32::from(self.min) - zero_point, f32::from(self.max) - zero_point)
    }

    /// The activation of a rounded sum without its zero point.
    #[inline]
    pub fn pack(&self, value: i32) -> Activation {
        let shifted = value.saturating_add(self.zero_point.into());
        shifted.clamp(self.min.into(), self.max.into()) as Activation
    }

    /// The activation of a scaled sum, which is not NaN: what every kernel must compute.
    #[inline]
    pub fn quantize(&self, scaled: f32) -> Activation {
        let (min, max) = self.float_bounds();
        (scaled.clamp(min, max).round_ties_even() as i32 + i32::from(self.zero_point)) as Activation
    }
}

/// The addition of two quantized tensors, in integers throughout:
/// `clamp((((a − za)·ma + (b − zb)·mb + 2^(shift − 1)) >> shift) + zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Addition {
    pub(crate) multipliers: [i32; 2],
    /// What does not depend on the operands: the rounding and the zero points' share.
    pub(crate) offset: i32,
    pub(crate) shift: u32,
    pub(crate) output: Output,
}

impl Addition {
    /// An addition of tensors with these zero points; the multipliers are in units of 2^−`shift`.
    ///
    /// # Panics
    /// When a zero point is not an [`Activation`], a multiplier exceeds 2²¹ or the shift is not in 1 to 30: beyond that
    /// sums would leave `i32`.
    pub fn new(zero_points: [i32; 2], multipliers: [i32; 2], shift: u32, output: Output) -> Addition {
        let fits = zero_points.iter().all(|&point| Activation::try_from(point).is_ok());
        assert!(fits, "zero points are values of an activation: {zero_points:?}");
        assert!(multipliers.iter().all(|m| m.unsigned_abs() <= 1 << 21), "multipliers up to 2²¹: {multipliers:?}");
        assert!((1..=30).contains(&shift), "a shift of 1 to 30, not {shift}");
        let offset = (1 << (shift - 1)) - zero_points[0] * multipliers[0] - zero_points[1] * multipliers[1];
        Addition { multipliers, offset, shift, output }
    }

    /// The sum of two values: what every kernel must compute.
    #[inline]
    pub fn apply(&self, a: Activation, b: Activation) -> Activation {
        let sum = i32::from(a) * self.multipliers[0] + i32::from(b) * self.multipliers[1] + self.offset;
        self.output.pack(sum >> self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamping_before_rounding_changes_nothing() {
        let (low, high) = (i32::from(Activation::MIN), i32::from(Activation::MAX));
        for (zero_point, min, max) in [(low, low, high), (high, low, high), (low + 3, low + 9, high - 7), (0, 0, 0)] {
            let output = Output::new(zero_point, min, max);
            for scaled in
                [-4e9f32, -300.5, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 126.5, 254.5, 300.0, 4e9, f32::INFINITY]
            {
                let wide = scaled.round_ties_even().clamp(-1e6, 1e6) as i32 + zero_point;
                assert_eq!(i32::from(output.quantize(scaled)), wide.clamp(min, max), "{scaled} {output:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "values of an activation")]
    fn a_bound_that_cannot_be_stored_is_refused() {
        Output::new(0, 0, 300);
    }
}
