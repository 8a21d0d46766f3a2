//! The plain row: window by window, sixteen channels at a time, so that a compiler sees vectors.

use std::ops::Range;

use super::Layer;
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::LANES;

pub(super) fn run(layer: &Layer, input: &[Activation], rows: Range<usize>, output: &mut [Activation], _: &mut [u8]) {
    let Geometry { output: [_, width, channels], .. } = layer.geometry;
    let pixels = rows.flat_map(|y| (0..width).map(move |x| (y, x)));
    for ((y, x), output) in pixels.zip(output.chunks_exact_mut(channels)) {
        for (block, output) in output.chunks_mut(LANES).enumerate() {
            let sums = window(layer, input, y, x, block);
            let multipliers = &layer.multipliers[block * LANES..];
            for ((output, sum), multiplier) in output.iter_mut().zip(sums).zip(multipliers) {
                *output = layer.output.quantize(sum as f32 * multiplier);
            }
        }
    }
}

/// The sums of one window in one block of channels. Sums of absent channels have no meaning.
fn window(layer: &Layer, input: &[Activation], y: usize, x: usize, block: usize) -> [i32; LANES] {
    let Geometry { input: [_, width, channels], kernel, .. } = layer.geometry;
    let weights: &[[i16; LANES]] = bytemuck::cast_slice(&layer.weights);
    let weights = &weights[block * kernel[0] * kernel[1]..];
    let mut sums = *layer.bias[block * LANES..].first_chunk().expect("a whole block");
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let values = match layer.geometry.tap(0, y, ky).zip(layer.geometry.tap(1, x, kx)) {
            Some((y, x)) => layer.gather(&input[(y * width + x) * channels..][..channels], block),
            None => [layer.padding; LANES],
        };
        let products = values.iter().zip(&weights[ky * kernel[1] + kx]);
        for (sum, (&value, &weight)) in sums.iter_mut().zip(products) {
            *sum = i32::wrapping_add(*sum, i32::from(value) * i32::from(weight));
        }
    }
    sums
}
