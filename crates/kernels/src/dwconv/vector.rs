//! The vector rows: sixteen channels at a time, the last sixteen overlapping those before. Where windows are three or
//! five columns wide and lie inside the image, several neighbours are computed at once, so that each value and each
//! weight that is loaded serves several of them.

use std::ops::Range;

use super::{Layer, scalar};
use crate::geometry::Geometry;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{LANES, Simd, starts, vector, vector_mut};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    body::<_, 6>(Avx512::new(), layer, input, rows, output);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    body::<_, 3>(Avx2::new(), layer, input, rows, output);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) fn neon(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    body::<_, 3>(Neon::new(), layer, input, rows, output);
}

/// `N` is how many neighbours are computed at once.
#[inline(always)]
fn body<S: Simd, const N: usize>(simd: S, layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    let Geometry { output: [_, width, channels], kernel, stride, dilation, .. } = layer.geometry;
    if channels < LANES || layer.depth_multiplier != 1 {
        return scalar::run(layer, input, rows, output);
    }
    for (y, line) in rows.zip(output.chunks_exact_mut(width * channels)) {
        match (kernel[1], stride[1], dilation[1]) {
            (3, 1, 1) => self::line::<S, N, 3, 1>(simd, layer, input, y, line),
            (3, 2, 1) => self::line::<S, N, 3, 2>(simd, layer, input, y, line),
            (5, 1, 1) => self::line::<S, N, 5, 1>(simd, layer, input, y, line),
            (5, 2, 1) => self::line::<S, N, 5, 2>(simd, layer, input, y, line),
            _ => (0..width).for_each(|x| window(simd, layer, input, [y, x], &mut line[x * channels..][..channels])),
        }
    }
}

/// A line of the output, of windows `K` columns wide and `STEP` apart.
#[inline(always)]
fn line<S: Simd, const N: usize, const K: usize, const STEP: usize>(
    simd: S,
    layer: &Layer,
    input: &[f32],
    y: usize,
    output: &mut [f32],
) {
    let Geometry { input: [_, in_w, channels], output: [_, width, _], padding: [_, padding], .. } = layer.geometry;
    // The windows that lie inside the image.
    let end = (in_w + padding).checked_sub(K).map_or(0, |last| last / STEP + 1).min(width);
    let first = padding.div_ceil(STEP).min(end);
    for x in (0..first).chain(end..width) {
        window(simd, layer, input, [y, x], &mut output[x * channels..][..channels]);
    }
    let mut x = first;
    while x + N <= end {
        neighbours::<S, N, K, STEP>(simd, layer, input, [y, x], &mut output[x * channels..][..N * channels]);
        x += N;
    }
    if x < end && end - first >= N {
        // Some of these are computed once more.
        let x = end - N;
        neighbours::<S, N, K, STEP>(simd, layer, input, [y, x], &mut output[x * channels..][..N * channels]);
    } else {
        while x + 2 <= end {
            neighbours::<S, 2, K, STEP>(simd, layer, input, [y, x], &mut output[x * channels..][..2 * channels]);
            x += 2;
        }
        if x < end {
            neighbours::<S, 1, K, STEP>(simd, layer, input, [y, x], &mut output[x * channels..][..channels]);
        }
    }
}

/// `N` windows side by side, which lie inside the image but for lines above and below it.
#[inline(always)]
fn neighbours<S: Simd, const N: usize, const K: usize, const STEP: usize>(
    simd: S,
    layer: &Layer,
    input: &[f32],
    [y, x]: [usize; 2],
    output: &mut [f32],
) {
    let Geometry { input: [_, in_w, channels], padding: [_, padding], .. } = layer.geometry;
    let (taps, left) = (layer.geometry.taps(0, y), x * STEP - padding);
    let columns = (N - 1) * STEP + K;
    let bounds = simd.splat_bounds(layer.bounds);
    for start in starts(channels) {
        let mut sums = [simd.load(vector(&layer.bias, start)); N];
        for (ky, iy) in taps.clone() {
            let pixels = &input[(iy * in_w + left) * channels + start..][..(columns - 1) * channels + LANES];
            let weights = &layer.weights[ky * K * channels + start..][..(K - 1) * channels + LANES];
            let mut kernel = [simd.splat(0.0); K];
            for (kx, weight) in kernel.iter_mut().enumerate() {
                // SAFETY: the last of `K` vectors, `channels` apart, ends where the slice does.
                *weight = simd.load(unsafe { &*weights.as_ptr().add(kx * channels).cast() });
            }
            for column in 0..columns {
                // SAFETY: the last of `columns` vectors, `channels` apart, ends where the slice does.
                let value = simd.load(unsafe { &*pixels.as_ptr().add(column * channels).cast() });
                for (i, sum) in sums.iter_mut().enumerate() {
                    if let Some(kx) = column.checked_sub(i * STEP)
                        && kx < K
                    {
                        *sum = simd.fma(value, kernel[kx], *sum);
                    }
                }
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            simd.store(simd.clamp(sum, bounds), vector_mut(output, i * channels + start));
        }
    }
}

/// Any window.
#[inline(always)]
fn window<S: Simd>(simd: S, layer: &Layer, input: &[f32], [y, x]: [usize; 2], output: &mut [f32]) {
    let Geometry { input: [_, in_w, channels], kernel: [_, kernel_w], .. } = layer.geometry;
    let (ys, xs) = (layer.geometry.taps(0, y), layer.geometry.taps(1, x));
    let bounds = simd.splat_bounds(layer.bounds);
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
