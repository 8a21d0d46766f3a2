//! AVX2: `vpmaddwd` on 16-bit pairs. The 8-bit `vpmaddubsw` would saturate, so both factors are widened: the weights as
//! they are loaded, the input once a band.

use std::arch::x86_64::*;

use super::{Block, Element, Kernel};
use crate::quantized::NEAR;
use crate::simd::{Avx2, for_each_tile};

/// Twelve of the sixteen registers are sums; two hold weights, one an input pair, one a product.
const ROWS: usize = 6;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * 8,
    granule: 8,
    depth_multiple: 4,
    depth_group: 2,
    weights: Element::Byte,
    input: Element::Word,
    word_sums: false,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX2.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the tiles are inside the block.
    unsafe {
        if block.columns == 8 {
            for_each_tile!(block.rows, ROWS, [1 2 3 4 5 6], |R, row| tile::<R, 1>(block, row))
        } else {
            for_each_tile!(block.rows, ROWS, [1 2 3 4 5 6], |R, row| tile::<R, 2>(block, row))
        }
    }
}

/// `R` rows from `row` on, `V` vectors of eight columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block, and its columns are eight times `V`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, row: usize) {
    // SAFETY: for each of the columns there is a bias, and for each pair of the depth a pair of weights. Each input row
    // has `depth` words, a multiple of four.
    let sums = unsafe {
        let mut sums = [bias::<V>(block); R];
        let input = block.input_rows::<i16, R>(row);
        let mut weights = block.weights.cast::<__m128i>();
        for k in (0..block.depth).step_by(4) {
            for k in [k, k + 2] {
                let mut columns = [_mm256_setzero_si256(); V];
                for column in &mut columns {
                    *column = _mm256_cvtepi8_epi16(_mm_load_si128(weights));
                    weights = weights.add(1);
                }
                for r in 0..R {
                    let pair = _mm256_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(pair, columns[v]));
                    }
                }
            }
        }
        sums
    };
    // SAFETY: the tile is inside the block.
    unsafe { finish_tile::<R, V>(block, row, sums) };
}

/// The biases of `V` vectors of columns.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn bias<const V: usize>(block: &Block) -> [__m256i; V] {
    let mut bias = [_mm256_setzero_si256(); V];
    for (v, bias) in bias.iter_mut().enumerate() {
        // SAFETY: there is a bias for each of the columns.
        *bias = unsafe { _mm256_loadu_si256(block.bias.add(8 * v).cast()) };
    }
    bias
}

/// What follows the product: shifts, and the epilogue.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn finish_tile<const R: usize, const V: usize>(
    block: &Block,
    row: usize,
    mut sums: [[__m256i; V]; R],
) {
    let mut multipliers = [_mm256_setzero_ps(); V];
    // SAFETY: for each of the columns there are a multiplier, and a shift if there are shifts.
    unsafe {
        for (v, multipliers) in multipliers.iter_mut().enumerate() {
            *multipliers = _mm256_loadu_ps(block.multipliers.add(8 * v));
        }
        if let Some((shifts, row_sums)) = block.shifts {
            for (r, sums) in sums.iter_mut().enumerate() {
                let row_sum = _mm256_set1_epi32(*row_sums.add(row + r));
                for (v, sum) in sums.iter_mut().enumerate() {
                    let shift = _mm256_loadu_si256(shifts.add(8 * v).cast());
                    *sum = _mm256_add_epi32(*sum, _mm256_mullo_epi32(shift, row_sum));
                }
            }
        }
    }
    let (_, reach, addition) = block.epilogue.parts();
    // SAFETY: the tile is inside the block.
    unsafe {
        match (addition.is_some(), reach < NEAR) {
            (false, true) => finish_near::<R, V>(block, row, sums, multipliers),
            (false, false) => finish::<R, V, false>(block, row, sums, multipliers),
            (true, _) => finish::<R, V, true>(block, row, sums, multipliers),
        }
    }
}

/// The epilogue of a tile whose sums are [`NEAR`] and to which nothing is added: four vectors at a time.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn finish_near<const R: usize, const V: usize>(
    block: &Block,
    row: usize,
    sums: [[__m256i; V]; R],
    multipliers: [__m256; V],
) {
    let (simd, (output, ..)) = (Avx2::new(), block.epilogue.parts());
    // Of two rows, or of four rows of a narrow panel. The last, if there are not so many, goes several times.
    for first in (0..R).step_by(4 / V) {
        let at = |i: usize| ((first + i / V).min(R - 1), i % V);
        let places = [at(0), at(1), at(2), at(3)];
        let mut scaled = [_mm256_setzero_ps(); 4];
        for (scaled, (r, v)) in scaled.iter_mut().zip(places) {
            *scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][v]), multipliers[v]);
        }
        let [a, b] = simd.quantize_near(scaled, &output);
        // SAFETY: the rows are those of the tile, the columns those of the block.
        unsafe {
            if V == 2 {
                _mm_storeu_si128(block.output_row(row + places[2].0).cast(), b);
                _mm_storeu_si128(block.output_row(row + places[0].0).cast(), a);
            } else {
                for (half, places) in [(b, [places[2], places[3]]), (a, [places[0], places[1]])] {
                    _mm_storel_epi64(block.output_row(row + places[1].0).cast(), _mm_unpackhi_epi64(half, half));
                    _mm_storel_epi64(block.output_row(row + places[0].0).cast(), half);
                }
            }
        }
    }
}

/// The epilogue of any tile.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn finish<const R: usize, const V: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[__m256i; V]; R],
    multipliers: [__m256; V],
) {
    let (simd, epilogue) = (Avx2::new(), *block.epilogue);
    // Sixteen lanes are two vectors: of one row, or of two rows of a narrow panel. The last, if it has no pair, goes
    // twice.
    for first in (0..R * V).step_by(2) {
        let last = (first + 1).min(R * V - 1);
        let [(r0, v0), (r1, v1)] = [(first / V, first % V), (last / V, last % V)];
        let (lanes, multipliers) = ([sums[r0][v0], sums[r1][v1]], [multipliers[v0], multipliers[v1]]);
        let places = [(row + r0, 8 * v0), (row + r1, 8 * v1)];
        // SAFETY: the rows and columns are those of the tile.
        unsafe { block.finish::<_, 2, 8, ADDS>(simd, &epilogue, lanes, multipliers, places) };
    }
}
