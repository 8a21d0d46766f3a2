//! The vector rows: sixteen channels at a time, those of the input so that the last sixteen overlap those before. `N`
//! is the size of a square, `M` that of a block.

use super::{Block, Square};
use crate::simd::{LANES, Simd, starts};

/// Modules with a function for each instruction set.
macro_rules! transforms {
    ($($name:ident($arg:ident: $ty:ident) = $body:expr;)+) => {
        $(pub(super) mod $name {
            use super::*;
            use crate::simd::rows;

            /// # Safety
            /// As [`Kernel`](crate::winograd::Kernel) says.
            #[inline(always)]
            unsafe fn body<S: Simd>(simd: S, $arg: &$ty) {
                // SAFETY: the same condition.
                unsafe { $body(simd, $arg) };
            }
            rows! { unsafe fn($arg: &$ty) = body }
        })+
    };
}

transforms! {
    input_four(square: Square) = input::<S, 6>;
    input_two(square: Square) = input::<S, 4>;
    output_four(block: Block) = output::<S, 6, 4>;
    output_two(block: Block) = output::<S, 4, 2>;
}

/// # Safety
/// What the square points to must be there.
#[inline(always)]
unsafe fn input<S: Simd, const N: usize>(simd: S, square: &Square) {
    for start in starts(square.channels) {
        let mut columns = [[simd.splat(0.0); N]; N];
        for (x, column) in columns.iter_mut().enumerate() {
            for (y, value) in column.iter_mut().enumerate() {
                // SAFETY: every pixel has `channels` elements, and so at least sixteen from `start` on.
                *value = simd.load(unsafe { &*square.pixels[y * N + x].add(start).cast() });
            }
            *column = along_input(simd, *column);
        }
        for y in 0..N {
            let mut row = [simd.splat(0.0); N];
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = column[y];
            }
            for (x, &value) in along_input(simd, row).iter().enumerate() {
                // SAFETY: every place has `channels` elements, and so at least sixteen from `start` on.
                let to = unsafe { &mut *square.to.add((y * N + x) * square.pitch + start).cast() };
                simd.store(value, to);
            }
        }
    }
}

/// # Safety
/// What the block points to must be there, and nobody else may use its part of the output.
#[inline(always)]
unsafe fn output<S: Simd, const N: usize, const M: usize>(simd: S, block: &Block) {
    let bounds = simd.splat_bounds(block.bounds);
    for start in (0..block.channels).step_by(LANES) {
        let count = LANES.min(block.channels - start);
        let mut columns = [[simd.splat(0.0); M]; N];
        for (x, column) in columns.iter_mut().enumerate() {
            let mut sums = [simd.splat(0.0); N];
            for (y, sum) in sums.iter_mut().enumerate() {
                // SAFETY: sums are there on whole vectors.
                *sum = simd.load(unsafe { &*block.sums.add((y * N + x) * block.pitch + start).cast() });
            }
            *column = along_output(simd, sums);
        }
        // SAFETY: there is a whole vector of biases from each channel on.
        let bias = simd.load(unsafe { &*block.bias.add(start).cast() });
        for y in 0..block.size[0].min(M) {
            let mut row = [simd.splat(0.0); N];
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = column[y];
            }
            let row: [S::F32; M] = along_output(simd, row);
            for (x, &value) in row.iter().enumerate().take(block.size[1]) {
                let at = y * block.strides[0] + x * block.strides[1] + start;
                let mut value = simd.add(value, bias);
                // SAFETY: the pixel is inside the output, and has `count` channels from `start` on.
                unsafe {
                    if !block.residual.is_null() {
                        value = simd.add(value, simd.load_first(block.residual.add(at), count));
                    }
                    simd.store_first(simd.clamp(value, bounds), block.output.add(at), count);
                }
            }
        }
    }
}

/// `a · factor + b`
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, a: S::F32, b: S::F32) -> S::F32 {
    simd.fma(a, simd.splat(factor), b)
}

/// `Bᵀ d`
#[inline(always)]
fn along_input<S: Simd, const N: usize>(simd: S, d: [S::F32; N]) -> [S::F32; N] {
    let mut results = d;
    if N == 4 {
        results[0] = simd.sub(d[0], d[2]);
        results[1] = simd.add(d[1], d[2]);
        results[2] = simd.sub(d[2], d[1]);
        results[3] = simd.sub(d[1], d[3]);
    } else {
        let (near, far) = (times(simd, -4.0, d[2], d[4]), times(simd, -4.0, d[1], d[3]));
        let (even, odd) = (simd.sub(d[4], d[2]), simd.sub(d[3], d[1]));
        results[0] = times(simd, 4.0, d[0], times(simd, -5.0, d[2], d[4]));
        results[1] = simd.add(near, far);
        results[2] = simd.sub(near, far);
        results[3] = times(simd, 2.0, odd, even);
        results[4] = times(simd, -2.0, odd, even);
        results[5] = times(simd, 4.0, d[1], times(simd, -5.0, d[3], d[5]));
    }
    results
}

/// `Aᵀ m`
#[inline(always)]
fn along_output<S: Simd, const N: usize, const M: usize>(simd: S, m: [S::F32; N]) -> [S::F32; M] {
    let mut results = [m[0]; M];
    let (even, odd) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    if N == 4 {
        results[0] = simd.add(m[0], even);
        results[1] = simd.sub(odd, m[3]);
    } else {
        let (far_even, far_odd) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
        results[0] = simd.add(simd.add(m[0], even), far_even);
        results[1] = times(simd, 2.0, far_odd, odd);
        results[2] = times(simd, 4.0, far_even, even);
        results[3] = simd.add(times(simd, 8.0, far_odd, odd), m[5]);
    }
    results
}
