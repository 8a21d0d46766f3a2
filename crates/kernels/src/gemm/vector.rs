//! The vector rows: a tile's sums stay in registers while both matrices stream past.

use super::Panel;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{LANES, Simd};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2(panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]) {
    body::<_, 6>(Avx2::new(), panel, rows, stride, tile);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512(panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]) {
    body::<_, 12>(Avx512::new(), panel, rows, stride, tile);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) fn neon(panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]) {
    body::<_, 6>(Neon::new(), panel, rows, stride, tile);
}

#[inline(always)]
fn body<S: Simd, const N: usize>(simd: S, panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]) {
    let (tiles, rest) = tile.as_chunks_mut::<N>();
    let left = tiles.len() * N;
    for (i, tile) in tiles.iter_mut().enumerate() {
        multiply(simd, panel, &rows[i * N * stride..], stride, tile);
    }
    for (i, tile) in rest.iter_mut().enumerate() {
        multiply(simd, panel, &rows[(left + i) * stride..], stride, std::array::from_mut(tile));
    }
}

#[inline(always)]
fn multiply<S: Simd, const N: usize>(
    simd: S,
    panel: &Panel,
    rows: &[f32],
    stride: usize,
    tile: &mut [[f32; LANES]; N],
) {
    let depth = panel.weights.len();
    // All rows but the last are `stride` long; each has the panel's depth.
    let rows = &rows[..(N - 1) * stride + depth];
    let mut sums = [simd.load(panel.bias); N];
    for (k, weights) in panel.weights.iter().enumerate() {
        let weights = simd.load(weights);
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `i < N` and `k < depth`, so the element is inside `rows`.
            let value = unsafe { *rows.get_unchecked(i * stride + k) };
            *sum = simd.fma(simd.splat(value), weights, *sum);
        }
    }
    let bounds = simd.splat_bounds(panel.bounds);
    for (&sum, output) in sums.iter().zip(tile) {
        simd.store(simd.clamp(sum, bounds), output);
    }
}
