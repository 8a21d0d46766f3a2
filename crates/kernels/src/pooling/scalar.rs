//! The plain row: window by window, channel by channel.

use std::ops::Range;

use super::{Average, Max, QAverage, QMax};
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::clamp;

/// A reduction of the values under a window, in one channel.
pub(super) trait Reduction {
    /// Activation or float.
    type Item: Copy;

    fn reduce(&self, values: impl Iterator<Item = Self::Item> + Clone) -> Self::Item;
}

pub(super) fn run<R: Reduction>(
    reduction: &R,
    geometry: &Geometry,
    input: &[R::Item],
    rows: Range<usize>,
    output: &mut [R::Item],
) {
    let ([_, in_w, channels], [kernel_h, kernel_w]) = (geometry.input, geometry.kernel);
    let windows = rows.flat_map(|y| (0..geometry.output[1]).map(move |x| (y, x)));
    for ((y, x), output) in windows.zip(output.chunks_exact_mut(channels)) {
        let rows = (0..kernel_h).filter_map(|ky| geometry.tap(0, y, ky));
        let pixels = rows.flat_map(|iy| (0..kernel_w).filter_map(move |kx| Some(iy * in_w + geometry.tap(1, x, kx)?)));
        for (channel, output) in output.iter_mut().enumerate() {
            *output = reduction.reduce(pixels.clone().map(|pixel| input[pixel * channels + channel]));
        }
    }
}

impl Reduction for QAverage {
    type Item = Activation;

    fn reduce(&self, values: impl Iterator<Item = Activation> + Clone) -> Activation {
        let sum: i32 = values.clone().map(|value| i32::from(value) - self.zero_point).sum();
        self.output.quantize((sum as f32 + self.bias) * self.multiplier(values.count().max(1)))
    }
}

impl Reduction for QMax {
    type Item = Activation;

    fn reduce(&self, values: impl Iterator<Item = Activation> + Clone) -> Activation {
        let [min, max] = self.bounds;
        values.fold(Activation::MIN, Activation::max).max(min).min(max)
    }
}

impl Reduction for Average {
    type Item = f32;

    fn reduce(&self, values: impl Iterator<Item = f32> + Clone) -> f32 {
        let sum = values.clone().fold(0.0, |sum, value| sum + value);
        clamp(sum / values.count().max(1) as f32, self.bounds)
    }
}

impl Reduction for Max {
    type Item = f32;

    fn reduce(&self, values: impl Iterator<Item = f32> + Clone) -> f32 {
        clamp(values.fold(f32::NEG_INFINITY, |max, value| if value > max { value } else { max }), self.bounds)
    }
}
