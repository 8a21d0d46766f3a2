//! AVX2: `vpmaddwd` makes two products of words and their sum in each of eight lanes.

use std::arch::x86_64::*;

use super::{Kernel, Product, vector};
use crate::simd::{for_each_tile, rows_apart};

/// Twelve of the sixteen registers are sums; two hold weights, one a pair of the input, one products.
const ROWS: usize = 6;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * 8,
    depth_group: 2,
    bytes_for_word: 1,
    input: vector::input::avx2,
    multiply,
    output: vector::output::avx2,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn multiply(product: &Product) {
    // SAFETY: the tiles are inside the product.
    unsafe { for_each_tile!(product.rows, ROWS, [1 2 3 4 5 6], |R, row| tile::<R>(product, row)) }
}

/// `R` rows from `row` on, sixteen columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the product.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(product: &Product, row: usize) {
    // SAFETY: each of the rows has `depth` words, an even number, and for each pair of them there is a pair of weights
    // for each of sixteen columns, and for each row a sum. Weights and sums begin on a cache line.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        let input = rows_apart::<i16, R>(product.input.add(row * product.depth).cast(), 2 * product.depth);
        let mut weights = product.weights.cast::<__m256i>();
        for k in (0..product.depth).step_by(2) {
            let columns = [_mm256_load_si256(weights), _mm256_load_si256(weights.add(1))];
            weights = weights.add(2);
            for r in 0..R {
                let pair = _mm256_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                for v in 0..2 {
                    sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(pair, columns[v]));
                }
            }
        }
        write(product, row, sums);
    }
}

/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn write<const R: usize>(product: &Product, row: usize, sums: [[__m256i; 2]; R]) {
    // SAFETY: the product has sixteen sums for each of the rows, which begin on a cache line.
    unsafe {
        let mut to = product.sums.add(row * 16).cast::<__m256i>();
        for sum in sums.as_flattened() {
            _mm256_store_si256(to, *sum);
            to = to.add(1);
        }
    }
}
