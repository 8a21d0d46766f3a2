//! The plain row: window by window, sixteen channels at a time, so that a compiler sees vectors.

use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows};
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::LANES;

pub(super) const KERNEL: Kernel = Kernel { group: 1, weight: Weight::Word, windows: Windows::All, run };

/// # Safety
/// As [`super::Run`].
unsafe fn run(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    let Geometry { input: [_, _, in_channels], output: [_, width, channels], .. } = layer.geometry;
    // SAFETY: this thread has the rows.
    let output = unsafe { io.output.slice(0..io.rows.len() * width * channels) };
    let pixels = io.rows.flat_map(|y| (0..width).map(move |x| (y, x)));
    let pixel = |y, x| &io.input.row(y)[x * in_channels..][..in_channels];
    for ((y, x), output) in pixels.zip(output.chunks_exact_mut(channels)) {
        for (first, weights, bias, multipliers) in part.blocks::<[i16; LANES]>(layer, blocks.clone()) {
            let taps = weights.iter().enumerate().map(|(tap, weights)| {
                let (ky, kx) = (tap / layer.geometry.kernel[1], tap % layer.geometry.kernel[1]);
                let place = layer.geometry.tap(0, y, ky).zip(layer.geometry.tap(1, x, kx));
                (place.map_or([layer.padding; LANES], |(y, x)| layer.gather(pixel(y, x), first)), weights)
            });
            let sums = window(taps, bias.first_chunk().expect("a whole block"));
            for ((output, sum), multiplier) in output[first..].iter_mut().zip(sums).zip(multipliers) {
                *output = layer.output.quantize(sum as f32 * multiplier);
            }
        }
    }
}

/// The sums of one window in one block of channels. Sums of absent channels have no meaning.
fn window<'a>(
    taps: impl Iterator<Item = ([Activation; LANES], &'a [i16; LANES])>,
    bias: &[i32; LANES],
) -> [i32; LANES] {
    let mut sums = *bias;
    for (values, weights) in taps {
        for (sum, (value, &weight)) in sums.iter_mut().zip(values.into_iter().zip(weights)) {
            *sum = i32::wrapping_add(*sum, i32::from(value) * i32::from(weight));
        }
    }
    sums
}
