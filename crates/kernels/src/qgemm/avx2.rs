//! AVX2: `vpmaddwd` on 16-bit pairs. The 8-bit `vpmaddubsw` would saturate, so both factors are widened beforehand: the
//! weights when they are packed, the input once a band.

use std::arch::x86_64::*;

use super::{Block, Element, Kernel, for_each_tile};
use crate::simd::Avx2;

/// Twelve of the sixteen registers are sums; two hold weights, one an input pair, one a product.
const ROWS: usize = 6;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * 8,
    granule: 8,
    depth_multiple: 2,
    depth_group: 2,
    weights: Element::Word,
    input: Element::Word,
    least_weight: -255,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the tiles are inside the block.
    unsafe {
        if block.columns == 8 {
            for_each_tile!(block, ROWS, [1 2 3 4 5 6], |R, row| tile::<R, 1>(block, row))
        } else {
            for_each_tile!(block, ROWS, [1 2 3 4 5 6], |R, row| tile::<R, 2>(block, row))
        }
    }
}

/// `R` rows from `row` on, `V` vectors of eight columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block, and its columns are eight times `V`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, row: usize) {
    let simd = Avx2::new();
    // SAFETY: for each of the columns there are a bias and a multiplier, and for each pair of the depth a pair of weights.
    // Each input row has `depth` words, an even number.
    let (sums, multipliers) = unsafe {
        let (mut bias, mut multipliers) = ([_mm256_setzero_si256(); V], [_mm256_setzero_ps(); V]);
        for v in 0..V {
            bias[v] = _mm256_loadu_si256(block.bias.add(8 * v).cast());
            multipliers[v] = _mm256_loadu_ps(block.multipliers.add(8 * v));
        }
        let mut sums = [bias; R];
        let input = block.input_rows::<i16, R>(row);
        let mut weights = block.weights.cast::<__m256i>();
        for k in (0..block.depth).step_by(2) {
            let mut columns = [_mm256_setzero_si256(); V];
            for column in &mut columns {
                *column = _mm256_load_si256(weights);
                weights = weights.add(1);
            }
            for r in 0..R {
                let pair = _mm256_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                for v in 0..V {
                    sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(pair, columns[v]));
                }
            }
        }
        (sums, multipliers)
    };
    // Where the output is written, the compiler must not expect the epilogue to change.
    let epilogue = *block.epilogue;
    // The sixteen lanes of the epilogue are two vectors: of one row, or of two rows of a narrow panel.
    for first in (0..R * V).step_by(2) {
        let last = (first + 1).min(R * V - 1);
        let [(r0, v0), (r1, v1)] = [(first / V, first % V), (last / V, last % V)];
        let other = || {
            // SAFETY: where another tensor is added, it has all columns in each row of the block.
            let halves: [[u8; 8]; 2] = unsafe {
                [
                    block.residual_row(row + r0).add(8 * v0).cast::<[u8; 8]>().read(),
                    block.residual_row(row + r1).add(8 * v1).cast::<[u8; 8]>().read(),
                ]
            };
            bytemuck::must_cast(halves)
        };
        let lanes = [sums[r0][v0], sums[r1][v1]];
        let result = epilogue.finish_lanes(simd, lanes, [multipliers[v0], multipliers[v1]], other);
        let [low, high]: [[u8; 8]; 2] = bytemuck::must_cast(result);
        // SAFETY: the output has all columns in each row of the block. The last vector is written twice if it has no pair.
        unsafe {
            block.output_row(row + r0).add(8 * v0).cast::<[u8; 8]>().write(low);
            block.output_row(row + r1).add(8 * v1).cast::<[u8; 8]>().write(high);
        }
    }
}
