//! Weights as the kernels read them: zero points folded away, transformed, in panels. Done once.

use super::transform::{INNER, REACH, TAPS, weights_line};
use super::{CENTER, Kernel};
use crate::Activation;
use crate::geometry::Geometry;
use crate::memory::Aligned;
use crate::quantized::{Requantize, Weights};

/// The weights of a convolution, ready for one kernel.
pub(super) struct Packed {
    /// For each panel `[36][in_channels / depth_group][columns][depth_group]`.
    pub(super) weights: Aligned<i16>,
    /// `bias − zero_point · Σ weights`, of a zero point and inputs less [`CENTER`].
    pub(super) bias: Aligned<i32>,
    pub(super) multipliers: Aligned<f32>,
}

/// Whether no sum of a channel, of inputs less [`CENTER`], leaves the range in which it is known.
pub(super) fn sums_are_known(weights: &Weights, channels: usize) -> bool {
    let depth = weights.values.len() / channels;
    (0..channels).all(|channel| {
        let point = weights.zero_point(channel);
        let values = weights.values[channel * depth..][..depth].iter();
        values.map(|&value| i64::from((i32::from(value) - point).abs())).sum::<i64>() * 128 < REACH
    })
}

/// Packs `weights`, stored `[out_channels][3][3][in_channels]`.
pub(super) fn pack(
    kernel: &Kernel,
    geometry: &Geometry,
    weights: &Weights,
    input_zero_point: Activation,
    requantize: &Requantize,
) -> Packed {
    let (depth, channels, group) = (geometry.input[2], geometry.output[2], kernel.depth_group);
    let mut packed = Packed {
        weights: Aligned::zeroed(INNER * INNER * depth * channels),
        bias: Aligned::zeroed(channels),
        multipliers: Aligned::zeroed(channels),
    };
    let input_zero_point = i32::from(input_zero_point) - i32::from(CENTER);
    for channel in 0..channels {
        let point = weights.zero_point(channel);
        let values = &weights.values[channel * TAPS * TAPS * depth..][..TAPS * TAPS * depth];
        let sum: i32 = values.iter().map(|&value| i32::from(value) - point).sum();
        packed.bias[channel] = weights.bias(channel).wrapping_sub(input_zero_point * sum);
        packed.multipliers[channel] = requantize.multiplier(channel);
        let panel = channel / kernel.columns * kernel.columns;
        let width = kernel.columns.min(channels - panel);
        let panel = &mut packed.weights[INNER * INNER * depth * panel..];
        for c in 0..depth {
            let tap = |y: usize, x: usize| i32::from(values[(y * TAPS + x) * depth + c]) - point;
            let transformed = transform(std::array::from_fn(|y| std::array::from_fn(|x| tap(y, x))));
            for (i, weight) in transformed.into_iter().flatten().enumerate() {
                let line = i * depth + c / group * group;
                panel[line * width + channel % kernel.columns * group + c % group] = weight as i16;
            }
        }
    }
    packed
}

fn transform(window: [[i32; TAPS]; TAPS]) -> [[i32; INNER]; INNER] {
    let lines: [[i32; INNER]; TAPS] = window.map(weights_line);
    let columns: [[i32; INNER]; INNER] = std::array::from_fn(|x| weights_line(std::array::from_fn(|y| lines[y][x])));
    std::array::from_fn(|y| std::array::from_fn(|x| columns[x][y]))
}
