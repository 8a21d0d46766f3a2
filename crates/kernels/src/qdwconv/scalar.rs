//! The plain row: window by window, channel by channel.

use std::ops::Range;

use super::Layer;
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::LANES;

pub(super) fn run(layer: &Layer, input: &[Activation], rows: Range<usize>, output: &mut [Activation], _: &mut [u8]) {
    let Geometry { output: [_, width, channels], .. } = layer.geometry;
    let pixels = rows.flat_map(|y| (0..width).map(move |x| (y, x)));
    for ((y, x), output) in pixels.zip(output.chunks_exact_mut(channels)) {
        for (channel, output) in output.iter_mut().enumerate() {
            let sum = window(layer, input, y, x, channel);
            *output = layer.output.quantize(sum as f32 * layer.multipliers[channel]);
        }
    }
}

/// The sum of one window in one channel.
fn window(layer: &Layer, input: &[Activation], y: usize, x: usize, channel: usize) -> i32 {
    let Geometry { input: [_, width, channels], kernel, .. } = layer.geometry;
    let weights: &[[i16; LANES]] = bytemuck::cast_slice(&layer.weights);
    let weights = &weights[channel / LANES * kernel[0] * kernel[1]..];
    let mut sum = layer.bias[channel];
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let at = layer.geometry.tap(0, y, ky).zip(layer.geometry.tap(1, x, kx));
        let value =
            at.map_or(layer.padding, |(y, x)| input[(y * width + x) * channels + channel / layer.depth_multiplier]);
        let weight = weights[ky * kernel[1] + kx][channel % LANES];
        sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
    }
    sum
}
