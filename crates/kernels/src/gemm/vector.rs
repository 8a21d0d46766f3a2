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
pub(super) use of_height;

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
    // SAFETY: rows and columns are inside the tile, pieces and elements inside the window, and weights are whole
    // vectors, as `Tile` says.
    unsafe {
        let mut sums = first_sums::<S, f32, R, V>(simd, tile);
        let (mut weights, mut ahead) = (tile.weights, tile.ahead);
        for piece in 0..tile.count {
            let rows = rows_of_piece::<f32, R>(tile, piece);
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
        finish(simd, tile, &sums);
    }
}

/// Where a piece of each row's window begins.
///
/// # Safety
/// As [`super::Run`]; there is such a piece, and the tile has so many rows.
#[inline(always)]
pub(super) unsafe fn rows_of_piece<E, const R: usize>(tile: &Tile<E>, piece: usize) -> [*const E; R] {
    // SAFETY: the caller's.
    std::array::from_fn(|i| unsafe { (*tile.pieces.add(piece * R + i)).add(tile.offset) })
}

/// What the sums of a tile of `R` rows and `V` vectors begin as.
///
/// # Safety
/// As [`super::Run`].
#[inline(always)]
pub(super) unsafe fn first_sums<S: Simd, E, const R: usize, const V: usize>(
    simd: S,
    tile: &Tile<E>,
) -> [[S::F32; V]; R] {
    let mut sums = [[simd.splat(0.0); V]; R];
    // SAFETY: rows and columns are inside the tile, and biases are whole vectors, as `Tile` says.
    unsafe {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = if tile.start.is_null() {
                    simd.load_first(tile.output.add(i * tile.stride + v * LANES), columns_of::<E, V>(tile, v))
                } else {
                    simd.load(&*tile.start.add(v * LANES).cast())
                };
            }
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
    sums
}

/// Adds the residual to a tile's sums, clamps them, and stores them.
///
/// # Safety
/// As [`super::Run`].
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, E, const R: usize, const V: usize>(
    simd: S,
    tile: &Tile<E>,
    sums: &[[S::F32; V]; R],
) {
    let bounds = simd.splat_bounds(tile.bounds);
    for (i, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let (at, count) = (i * tile.stride + v * LANES, columns_of::<E, V>(tile, v));
            let mut sum = sum;
            // SAFETY: rows and columns are inside the tile.
            unsafe {
                if !tile.residual.is_null() {
                    sum = simd.add(sum, simd.load_first(tile.residual.add(at), count));
                }
                simd.store_first(simd.clamp(sum, bounds), tile.output.add(at), count);
            }
        }
    }
}

/// The columns of vector `v` of a tile of `V` vectors.
#[inline(always)]
fn columns_of<E, const V: usize>(tile: &Tile<E>, v: usize) -> usize {
    if v + 1 < V { LANES } else { tile.columns - (V - 1) * LANES }
}
