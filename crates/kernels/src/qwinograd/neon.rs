//! NEON: `smlal` adds a product of words to each of four sums. It pays where there are no dot products of bytes, as on
//! the Cortex-A72.

use std::arch::aarch64::*;

use super::{Kernel, Product, vector};

/// Sixteen registers are sums, four hold eight words of a row each, two weights.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    depth_group: 1,
    bytes_for_word: 2,
    input: vector::input::neon,
    multiply,
    output: vector::output::neon,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has NEON.
#[target_feature(enable = "neon")]
unsafe fn multiply(product: &Product) {
    let whole = product.rows / ROWS * ROWS;
    // SAFETY: the tiles are inside the product.
    unsafe {
        for row in (0..whole).step_by(ROWS) {
            tile::<ROWS>(product, row);
        }
        match product.rows - whole {
            3 => tile::<3>(product, whole),
            2 => tile::<2>(product, whole),
            1 => tile::<1>(product, whole),
            _ => {}
        }
    }
}

/// `R` rows from `row` on, sixteen columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the product.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize>(product: &Product, row: usize) {
    let depth = product.depth;
    // SAFETY: each of the rows has `depth` words, a multiple of eight, and for each of them there are sixteen weights,
    // and for each row sixteen sums.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 4]; R];
        let input = product.input.add(row * depth);
        let mut weights = product.weights;
        for k in (0..depth).step_by(8) {
            let mut words = [vdupq_n_s16(0); R];
            for r in 0..R {
                words[r] = vld1q_s16(input.add(r * depth + k));
            }
            macro_rules! products {
                ($($lane:literal)+) => {
                    $(
                        let columns = [vld1q_s16(weights), vld1q_s16(weights.add(8))];
                        weights = weights.add(COLUMNS);
                        for r in 0..R {
                            for half in 0..2 {
                                let low = vget_low_s16(columns[half]);
                                sums[r][2 * half] = vmlal_laneq_s16::<$lane>(sums[r][2 * half], low, words[r]);
                                sums[r][2 * half + 1] =
                                    vmlal_high_laneq_s16::<$lane>(sums[r][2 * half + 1], columns[half], words[r]);
                            }
                        }
                    )+
                };
            }
            products!(0 1 2 3 4 5 6 7);
        }
        let mut to = product.sums.add(row * COLUMNS);
        for sum in sums.as_flattened() {
            vst1q_s32(to, *sum);
            to = to.add(4);
        }
    }
}
