//! The vector rows: window by window, sixteen channels at a time, the last sixteen overlapping those before.

use std::ops::Range;

use super::{Layer, scalar};
use crate::geometry::Geometry;
use crate::simd::{LANES, Simd, rows, starts, vector, vector_mut};

rows! { fn(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) = body }

#[inline(always)]
fn body<S: Simd>(simd: S, layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    let Geometry { input: [_, in_w, channels], output: [_, out_w, _], kernel: [_, kernel_w], .. } = layer.geometry;
    if channels < LANES || layer.depth_multiplier != 1 {
        return scalar::run(layer, input, rows, output);
    }
    let bounds = simd.splat_bounds(layer.bounds);
    let windows = rows.flat_map(|y| (0..out_w).map(move |x| (y, x)));
    for ((y, x), output) in windows.zip(output.chunks_exact_mut(channels)) {
        let (ys, xs) = (layer.geometry.taps(0, y), layer.geometry.taps(1, x));
        for start in starts(channels) {
            let mut sum = simd.load(vector(&layer.bias, start));
            for (ky, iy) in ys.clone() {
                for (kx, ix) in xs.clone() {
                    let value = simd.load(vector(input, (iy * in_w + ix) * channels + start));
                    let weight = simd.load(vector(&layer.weights, (ky * kernel_w + kx) * channels + start));
                    sum = simd.fma(value, weight, sum);
                }
            }
            simd.store(simd.clamp(sum, bounds), vector_mut(output, start));
        }
    }
}
