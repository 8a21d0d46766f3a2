//! AVX-512 VNNI: `vpdpwssd` adds two products of words to each of sixteen sums.

use std::arch::x86_64::*;

use super::{Kernel, Product, vector};
use crate::simd::{LANES, for_each_tile, rows_apart};

/// Twenty-four of the thirty-two registers are sums, which are enough to hide how long each takes.
const ROWS: usize = 12;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * LANES,
    depth_group: 2,
    bytes_for_word: 2,
    input: vector::input::avx512,
    multiply,
    output: vector::output::avx512,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX-512 F, BW, DQ, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply(product: &Product) {
    // SAFETY: the tiles are inside the product.
    unsafe {
        if product.columns == LANES {
            for_each_tile!(product.rows, ROWS, [1 2 3 4 5 6 7 8 9 10 11 12], |R, row| tile::<R, 1>(product, row))
        } else {
            for_each_tile!(product.rows, ROWS, [1 2 3 4 5 6 7 8 9 10 11 12], |R, row| tile::<R, 2>(product, row))
        }
    }
}

/// `R` rows from `row` on, `V` vectors of columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the product, and its columns are sixteen times `V`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const R: usize, const V: usize>(product: &Product, row: usize) {
    // SAFETY: each of the rows has `depth` words, an even number, and for each pair of them there is a pair of weights
    // for each column, and for each row a sum. Weights and sums begin on a cache line.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); V]; R];
        let input = rows_apart::<i16, R>(product.input.add(row * product.depth).cast(), 2 * product.depth);
        let mut weights = product.weights.cast::<__m512i>();
        for k in (0..product.depth).step_by(2) {
            let mut columns = [_mm512_setzero_si512(); V];
            for column in &mut columns {
                *column = _mm512_load_si512(weights);
                // The same place of the next matrix, which this CPU would not foresee.
                _mm_prefetch::<_MM_HINT_T1>(weights.cast::<i8>().wrapping_add(2 * V * LANES * product.depth));
                weights = weights.add(1);
            }
            for r in 0..R {
                let pair = _mm512_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                for v in 0..V {
                    sums[r][v] = _mm512_dpwssd_epi32(sums[r][v], pair, columns[v]);
                }
            }
        }
        let mut to = product.sums.add(row * V * LANES).cast::<__m512i>();
        for sum in sums.as_flattened() {
            _mm512_store_si512(to, *sum);
            to = to.add(1);
        }
    }
}
