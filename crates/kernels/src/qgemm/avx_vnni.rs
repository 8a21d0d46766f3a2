//! AVX-VNNI: `vpdpbusd` as in AVX-512, on eight sums, for CPUs that have no AVX-512.

use std::arch::x86_64::*;

use super::avx2::{bias, finish_tile};
use super::{Block, Element, Kernel};
use crate::simd::for_each_tile;

/// Twelve of the sixteen registers are sums; two hold weights, one four bytes of the input.
const ROWS: usize = 6;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * 8,
    granule: 8,
    depth_multiple: 4,
    depth_group: 4,
    weights: Element::Byte,
    input: Element::Byte,
    word_sums: false,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2,fma,avxvnni")]
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
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, row: usize) {
    // SAFETY: for each of the columns there is a bias, and for each four of the depth four weights. Each input row has
    // `depth` bytes, a multiple of four.
    let sums = unsafe {
        let mut sums = [bias::<V>(block); R];
        let input = block.input_rows::<u8, R>(row);
        let mut weights = block.weights.cast::<__m256i>();
        for k in (0..block.depth).step_by(4) {
            let mut columns = [_mm256_setzero_si256(); V];
            for column in &mut columns {
                *column = _mm256_load_si256(weights);
                weights = weights.add(1);
            }
            for r in 0..R {
                let four = _mm256_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                for v in 0..V {
                    sums[r][v] = _mm256_dpbusd_avx_epi32(sums[r][v], four, columns[v]);
                }
            }
        }
        sums
    };
    // SAFETY: the tile is inside the block.
    unsafe { finish_tile::<R, V>(block, row, sums) };
}
