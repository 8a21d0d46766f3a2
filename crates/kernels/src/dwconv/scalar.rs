//! The plain row: window by window, channel by channel.

use std::ops::Range;

use super::Layer;
use crate::geometry::Geometry;
use crate::simd::clamp;

pub(super) fn run(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    let Geometry { input: [_, in_w, in_c], output: [_, out_w, out_c], kernel: [_, kernel_w], .. } = layer.geometry;
    let windows = rows.flat_map(|y| (0..out_w).map(move |x| (y, x)));
    for ((y, x), output) in windows.zip(output.chunks_exact_mut(out_c)) {
        for (channel, output) in output.iter_mut().enumerate() {
            let mut sum = layer.bias[channel];
            for (ky, iy) in layer.geometry.taps(0, y) {
                for (kx, ix) in layer.geometry.taps(1, x) {
                    let value = input[(iy * in_w + ix) * in_c + channel / layer.depth_multiplier];
                    sum = value.mul_add(layer.weights[(ky * kernel_w + kx) * out_c + channel], sum);
                }
            }
            *output = clamp(sum, layer.bounds);
        }
    }
}
