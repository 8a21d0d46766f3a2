//! The vector rows: a tile's sums stay in registers while the pixels and the weights stream past.

use super::Tile;
use crate::memory::{prefetch, prefetch_to_write};
use crate::simd::{Avx2, Avx512, LANES, Simd};

/// Calls the function for the tile's height and its vectors: `height!(tile, vectors, [1 2 3], function)`.
macro_rules! of_height {
    ($tile:ident, $vectors:literal, [$($rows:literal)+], $function:ident) => {
        match $tile.rows {
            $($rows => $function::<$rows, $vectors>($tile),)+
            _ => unreachable!("a tile is no higher than its kernel"),
        }
    };
}

/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn avx512(tile: &Tile) {
    /// # Safety
    /// As [`super::Run`].
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn multiply<const R: usize, const V: usize>(tile: &Tile) {
        // SAFETY: the same condition.
        unsafe { body::<_, R, V>(Avx512::new(), tile) }
    }
    // SAFETY: the same condition.
    unsafe {
        if tile.columns > LANES {
            of_height!(tile, 2, [1 2 3 4 5 6 7 8 9 10 11 12], multiply);
        } else {
            of_height!(tile, 1, [1 2 3 4 5 6 7 8 9 10 11 12], multiply);
        }
    }
}

/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2(tile: &Tile) {
    /// # Safety
    /// As [`super::Run`].
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply<const R: usize, const V: usize>(tile: &Tile) {
        // SAFETY: the same condition.
        unsafe { body::<_, R, V>(Avx2::new(), tile) }
    }
    // SAFETY: the same condition.
    unsafe { of_height!(tile, 1, [1 2 3 4 5 6], multiply) }
}

/// Computes a tile of `R` rows and `V` vectors.
///
/// # Safety
/// As [`super::Run`].
#[inline(always)]
unsafe fn body<S: Simd, const R: usize, const V: usize>(simd: S, tile: &Tile) {
    // Channels in the last vector.
    let last = tile.columns - (V - 1) * LANES;
    let mut sums = [[simd.splat(0.0); V]; R];
    // SAFETY: rows and columns are inside the tile, pieces and elements inside the window, and weights and biases are whole
    // vectors, as `Tile` says.
    unsafe {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = if tile.start.is_null() {
                    let count = if v + 1 < V { LANES } else { last };
                    simd.load_first(tile.output.add(i * tile.stride + v * LANES), count)
                } else {
                    simd.load(&*tile.start.add(v * LANES).cast())
                };
            }
        }
        for i in 0..R {
            for v in 0..V {
                let at = i * tile.stride + v * LANES;
                prefetch_to_write(tile.output.wrapping_add(at));
                if !tile.residual.is_null() {
                    prefetch(tile.residual.wrapping_add(at));
                }
            }
        }
        let (mut weights, mut ahead) = (tile.weights, tile.ahead);
        for piece in 0..tile.count {
            let mut rows = [tile.output.cast_const(); R];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = (*tile.pieces.add(piece * R + i)).add(tile.offset);
            }
            for k in 0..tile.len {
                let mut vectors = [simd.splat(0.0); V];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = simd.load(&*weights.add(v * LANES).cast());
                }
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let value = simd.splat(*row.add(k));
                    for (vector, sum) in vectors.iter().zip(sums) {
                        *sum = simd.fma(value, *vector, *sum);
                    }
                }
                weights = weights.add(V * LANES);
                prefetch(ahead);
                ahead = ahead.wrapping_add(tile.ahead_step);
            }
        }
        let bounds = simd.splat_bounds(tile.bounds);
        for (i, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let (at, count) = (i * tile.stride + v * LANES, if v + 1 < V { LANES } else { last });
                let mut sum = sum;
                if !tile.residual.is_null() {
                    sum = simd.add(sum, simd.load_first(tile.residual.add(at), count));
                }
                simd.store_first(simd.clamp(sum, bounds), tile.output.add(at), count);
            }
        }
    }
}
