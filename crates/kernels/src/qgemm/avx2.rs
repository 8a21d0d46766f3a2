//! AVX2: `vpmaddwd` on 16-bit pairs. The 8-bit `vpmaddubsw` would saturate, so both factors are widened beforehand: the
//! weights when they are packed, the input once a band.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::{Block, Element, Kernel, for_each_tile};
use crate::simd::{Avx2, LANES, Simd};

/// Twelve of the sixteen registers are sums; two hold weights, one an input pair, one a product.
const ROWS: usize = 6;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: LANES,
    granule: LANES,
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
    unsafe { for_each_tile!(block, ROWS, [1 2 3 4 5 6], |R, row| tile::<R>(block, row)) }
}

/// `R` rows from `row` on.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(block: &Block, row: usize) {
    let simd = Avx2::new();
    // SAFETY: the panel has 16 columns: as many biases and multipliers, and for each pair of the depth 16 pairs of weights.
    // Each input row has `depth` words, an even number.
    let (sums, multipliers) = unsafe {
        let mut sums = [simd.load_i32(&*block.bias.cast()); R];
        let input: [*const i16; R] = from_fn(|r| block.input_row(row + r).cast());
        let mut weights = block.weights.cast::<__m256i>();
        for k in (0..block.depth).step_by(2) {
            let (low, high) = (_mm256_load_si256(weights), _mm256_load_si256(weights.add(1)));
            weights = weights.add(2);
            for r in 0..R {
                let pair = _mm256_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(pair, low));
                sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(pair, high));
            }
        }
        (sums, simd.load(&*block.multipliers.cast()))
    };
    for (r, sums) in sums.into_iter().enumerate() {
        // SAFETY: output and, where another tensor is added, residual have 16 columns in each row of the block.
        unsafe {
            let other = || block.residual_row(row + r).cast::<[u8; LANES]>().read();
            let result = block.epilogue.finish_lanes(simd, sums, multipliers, other);
            block.output_row(row + r).cast::<[u8; LANES]>().write(result);
        }
    }
}
