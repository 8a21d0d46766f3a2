//! The vector rows: window by window, sixteen channels at a time.

use std::ops::Range;

use super::{Average, Max, QAverage, QMax, scalar};
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::{LANES, Simd, vector, vector_mut};

/// A reduction of the values under a window, in sixteen channels.
trait Reduction<S: Simd>: scalar::Reduction {
    /// What has been seen so far.
    type State: Copy;

    fn begin(&self, simd: S, count: usize) -> Self::State;
    fn take(&self, simd: S, state: Self::State, values: &[Self::Item; LANES]) -> Self::State;
    fn end(&self, simd: S, state: Self::State, count: usize, to: &mut [Self::Item; LANES]);
}

#[inline(always)]
fn run<S: Simd, R: Reduction<S>>(
    simd: S,
    reduction: &R,
    geometry: &Geometry,
    input: &[R::Item],
    rows: Range<usize>,
    output: &mut [R::Item],
) {
    let [_, in_w, channels] = geometry.input;
    if channels < LANES {
        return scalar::run(reduction, geometry, input, rows, output);
    }
    let windows = rows.flat_map(|y| (0..geometry.output[1]).map(move |x| (y, x)));
    for ((y, x), output) in windows.zip(output.chunks_exact_mut(channels)) {
        let (ys, xs) = (geometry.taps(0, y), geometry.taps(1, x));
        let window = Window { input, width: in_w, channels, count: ys.len() * xs.len(), ys, xs };
        let wide = channels / (TOGETHER * LANES) * (TOGETHER * LANES);
        for start in (0..wide).step_by(TOGETHER * LANES) {
            window.reduce::<S, R, TOGETHER>(simd, reduction, start, output);
        }
        for start in (wide..channels).step_by(LANES) {
            window.reduce::<S, R, 1>(simd, reduction, start.min(channels - LANES), output);
        }
    }
}

/// So many vectors of channels are reduced at once, so that going over a window is paid for once for all of them.
const TOGETHER: usize = 4;

/// The part of a window that is inside the image.
struct Window<'a, T, I> {
    input: &'a [T],
    /// Pixels of a line of the input.
    width: usize,
    channels: usize,
    /// Pixels under the window.
    count: usize,
    /// The taps, each with its line of the input.
    ys: I,
    /// The taps, each with its column of the input.
    xs: I,
}

impl<T, I: Iterator<Item = (usize, usize)> + Clone> Window<'_, T, I> {
    /// Reduces `N` vectors of channels from `start` on.
    #[inline(always)]
    fn reduce<S: Simd, R: Reduction<S, Item = T>, const N: usize>(
        &self,
        simd: S,
        reduction: &R,
        start: usize,
        output: &mut [T],
    ) {
        let mut states = [reduction.begin(simd, self.count); N];
        for (_, y) in self.ys.clone() {
            for (_, x) in self.xs.clone() {
                let channels = &self.input[(y * self.width + x) * self.channels + start..][..N * LANES];
                for (n, state) in states.iter_mut().enumerate() {
                    *state = reduction.take(simd, *state, vector(channels, n * LANES));
                }
            }
        }
        let output = &mut output[start..][..N * LANES];
        for (n, state) in states.into_iter().enumerate() {
            reduction.end(simd, state, self.count.max(1), vector_mut(output, n * LANES));
        }
    }
}

impl<S: Simd> Reduction<S> for QAverage {
    type State = S::I32;

    #[inline(always)]
    fn begin(&self, simd: S, count: usize) -> S::I32 {
        simd.splat_i32(-self.zero_point * count as i32)
    }

    #[inline(always)]
    fn take(&self, simd: S, state: S::I32, values: &[Activation; LANES]) -> S::I32 {
        simd.add_i32(state, simd.widen(values))
    }

    #[inline(always)]
    fn end(&self, simd: S, state: S::I32, count: usize, to: &mut [Activation; LANES]) {
        let sum = simd.add(simd.to_f32(state), simd.splat(self.bias));
        let scaled = simd.mul(sum, simd.splat(self.multiplier(count)));
        simd.quantize(scaled, &self.output, to);
    }
}

impl<S: Simd> Reduction<S> for QMax {
    type State = S::Bytes;

    #[inline(always)]
    fn begin(&self, simd: S, _: usize) -> S::Bytes {
        simd.splat_bytes(Activation::MIN)
    }

    #[inline(always)]
    fn take(&self, simd: S, state: S::Bytes, values: &[Activation; LANES]) -> S::Bytes {
        simd.max_bytes(state, simd.load_bytes(values))
    }

    #[inline(always)]
    fn end(&self, simd: S, state: S::Bytes, _: usize, to: &mut [Activation; LANES]) {
        let [min, max] = self.bounds;
        let raised = simd.max_bytes(state, simd.splat_bytes(min));
        simd.store_bytes(simd.min_bytes(raised, simd.splat_bytes(max)), to);
    }
}

impl<S: Simd> Reduction<S> for Average {
    type State = S::F32;

    #[inline(always)]
    fn begin(&self, simd: S, _: usize) -> S::F32 {
        simd.splat(0.0)
    }

    #[inline(always)]
    fn take(&self, simd: S, state: S::F32, values: &[f32; LANES]) -> S::F32 {
        simd.add(state, simd.load(values))
    }

    #[inline(always)]
    fn end(&self, simd: S, state: S::F32, count: usize, to: &mut [f32; LANES]) {
        let mean = simd.div(state, simd.splat(count as f32));
        simd.store(simd.clamp(mean, simd.splat_bounds(self.bounds)), to);
    }
}

impl<S: Simd> Reduction<S> for Max {
    type State = S::F32;

    #[inline(always)]
    fn begin(&self, simd: S, _: usize) -> S::F32 {
        simd.splat(f32::NEG_INFINITY)
    }

    #[inline(always)]
    fn take(&self, simd: S, state: S::F32, values: &[f32; LANES]) -> S::F32 {
        simd.max(simd.load(values), state)
    }

    #[inline(always)]
    fn end(&self, simd: S, state: S::F32, _: usize, to: &mut [f32; LANES]) {
        simd.store(simd.clamp(state, simd.splat_bounds(self.bounds)), to);
    }
}

/// The rows of one reduction.
macro_rules! reduction {
    ($name:ident: $reduction:ident over $item:ident) => {
        pub(super) mod $name {
            use super::*;

            crate::simd::rows! {
                fn(
                    reduction: &$reduction,
                    geometry: &Geometry,
                    input: &[$item],
                    rows: Range<usize>,
                    output: &mut [$item],
                ) = run
            }
        }
    };
}

reduction!(q_average: QAverage over Activation);
reduction!(q_max: QMax over Activation);
reduction!(average: Average over f32);
reduction!(max: Max over f32);
