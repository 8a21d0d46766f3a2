//! AVX-512 with products of bfloat16: an instruction adds two products to each of sixteen sums.

use std::arch::x86_64::*;

use super::vector::{finish, first_sums, of_height, rows_of_piece};
use super::{Half, Kernel, Tile};
use crate::memory::prefetch;
use crate::simd::{Avx512, LANES};

pub(super) const KERNEL: Kernel<Half> = Kernel { rows: 12, columns: 2 * LANES, vector: LANES, run, round };

/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn run(tile: &Tile<Half>) {
    // SAFETY: the same condition.
    unsafe {
        if tile.columns > LANES {
            of_height!(tile, 2, [1 2 3 4 5 6 7 8 9 10 11 12], multiply);
        } else {
            of_height!(tile, 1, [1 2 3 4 5 6 7 8 9 10 11 12], multiply);
        }
    }
}

/// Computes a tile of `R` rows and `V` vectors.
///
/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn multiply<const R: usize, const V: usize>(tile: &Tile<Half>) {
    let simd = Avx512::new();
    // SAFETY: pieces and elements are inside the window, and weights are whole vectors of pairs, as `Tile` says.
    unsafe {
        let mut sums = first_sums::<_, _, R, V>(simd, tile);
        let (mut weights, mut ahead) = (tile.weights, tile.ahead);
        for piece in 0..tile.count {
            let rows = rows_of_piece::<_, R>(tile, piece);
            for pair in 0..tile.len / 2 {
                add_products(&mut sums, weights, |row| rows[row].add(2 * pair).cast::<i32>().read_unaligned());
                weights = weights.add(V * 2 * LANES);
                prefetch(ahead);
                ahead = ahead.wrapping_add(tile.ahead_step);
            }
            if !tile.len.is_multiple_of(2) {
                // What follows the last element is not of the window; a zero takes its place.
                add_products(&mut sums, weights, |row| i32::from(rows[row].add(tile.len - 1).cast::<u16>().read()));
                weights = weights.add(V * 2 * LANES);
            }
        }
        finish(simd, tile, &sums);
    }
}

/// Adds to each row's sums the products of its pair of values and the pairs of weights.
///
/// # Safety
/// There must be `V` vectors of pairs of weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn add_products<const R: usize, const V: usize>(
    sums: &mut [[__m512; V]; R],
    weights: *const Half,
    pair: impl Fn(usize) -> i32,
) {
    // SAFETY: the caller's.
    let vectors: [__m512i; V] =
        std::array::from_fn(|v| unsafe { _mm512_loadu_si512(weights.add(v * 2 * LANES).cast()) });
    for (row, sums) in sums.iter_mut().enumerate() {
        let values = bf16(_mm512_set1_epi32(pair(row)));
        for (vector, sum) in vectors.iter().zip(sums) {
            *sum = _mm512_dpbf16_ps(*sum, values, bf16(*vector));
        }
    }
}

/// The same register.
#[inline]
#[target_feature(enable = "avx512f")]
fn bf16(register: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of which any is a value.
    unsafe { std::mem::transmute(register) }
}

/// # Safety
/// The CPU must have the instruction set, and there must be as many elements as floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn round(from: &[f32], to: &mut [Half]) {
    let whole = from.len() / (2 * LANES) * (2 * LANES);
    for at in (0..whole).step_by(2 * LANES) {
        // SAFETY: so many elements are there.
        unsafe {
            let from = from.as_ptr().add(at);
            let rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(LANES)), _mm512_loadu_ps(from));
            to.as_mut_ptr().add(at).cast::<__m512bh>().write_unaligned(rounded);
        }
    }
    for at in (whole..from.len()).step_by(LANES) {
        let first = (1u32 << (from.len() - at).min(LANES)) - 1;
        // SAFETY: the mask is of what is there; the registers are of the same size.
        unsafe {
            let values = _mm512_maskz_loadu_ps(first as u16, from.as_ptr().add(at));
            let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values));
            _mm256_mask_storeu_epi16(to.as_mut_ptr().add(at).cast(), first as u16, rounded);
        }
    }
}
