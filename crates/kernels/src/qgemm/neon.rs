//! NEON without dot products, as on the Cortex-A72: `smull` and `smlal2` make pairs of products of bytes in 16 bits, `sadalp`
//! adds neighbours to sums of 32. Sixteen products take three instructions, and only two of those the multiplier.
//!
//! Two products fit into 16 bits because weights are −127 or more: 2 · 128 · 127 < 2¹⁵. With a weight of −128 each product
//! is added by itself.

use std::arch::aarch64::*;

use super::{Block, Element, Kernel, for_each_tile};
use crate::simd::Neon;

/// Sixteen registers are sums, four hold weights, four the input, the rest products.
const ROWS: usize = 4;
const COLUMNS: usize = 4;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    granule: COLUMNS,
    depth_multiple: 8,
    depth_group: 16,
    weights: Element::Byte,
    input: Element::Byte,
    least_weight: -127,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has NEON.
#[target_feature(enable = "neon")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the tiles are inside the block; products are added in pairs only where no weight is −128.
    unsafe {
        if block.has_lowest {
            for_each_tile!(block, ROWS, [1 2 3 4], |R, row| tile::<R, false>(block, row))
        } else {
            for_each_tile!(block, ROWS, [1 2 3 4], |R, row| tile::<R, true>(block, row))
        }
    }
}

/// `R` rows from `row` on.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block.
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize, const PAIRED: bool>(block: &Block, row: usize) {
    let simd = Neon::new();
    // SAFETY: the tile is inside the block.
    let partial = unsafe { sums::<R, PAIRED>(block, row) };
    let bias_and_shifts = |partial: [int32x4_t; COLUMNS], r: usize| {
        let [a, b, c, d] = partial;
        let sum = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
        // SAFETY: the panel has four columns: as many biases, and shifts if there are shifts; and a sum for each row of the
        // input then.
        unsafe {
            let sum = vaddq_s32(sum, vld1q_s32(block.bias));
            match block.shifts {
                Some((shifts, row_sums)) => vmlaq_n_s32(sum, vld1q_s32(shifts), *row_sums.add(row + r)),
                None => sum,
            }
        }
    };
    // SAFETY: as above, for multipliers.
    let multipliers = unsafe { vld1q_f32(block.multipliers) };
    // The sixteen lanes of the epilogue are four rows; where there are fewer, the last again.
    let [a, b, c, d] = [0, 1.min(R - 1), 2.min(R - 1), R - 1];
    let lanes = [
        bias_and_shifts(partial[a], a),
        bias_and_shifts(partial[b], b),
        bias_and_shifts(partial[c], c),
        bias_and_shifts(partial[d], d),
    ];
    let (epilogue, multipliers) = (*block.epilogue, [multipliers; ROWS]);
    let places = [(row + a, 0), (row + b, 0), (row + c, 0), (row + d, 0)];
    // SAFETY: the rows are those of the tile, the columns those of the block.
    unsafe {
        if epilogue.adds() {
            block.finish::<_, ROWS, COLUMNS, true>(simd, &epilogue, lanes, multipliers, places);
        } else {
            block.finish::<_, ROWS, COLUMNS, false>(simd, &epilogue, lanes, multipliers, places);
        }
    }
}

/// For each row and column four sums, whose sum is the one that is wanted.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums<const R: usize, const PAIRED: bool>(block: &Block, row: usize) -> [[int32x4_t; COLUMNS]; R] {
    let mut sums = [[vdupq_n_s32(0); COLUMNS]; R];
    let input = block.input_rows::<i8, R>(row);
    let mut weights = block.weights.cast::<i8>();
    let whole = block.depth / 16 * 16;
    // SAFETY: `depth` is a multiple of 8. For each sixteen of it the panel has 16 weights of each column, and 8 for what is
    // left; each input row has `depth` bytes.
    unsafe {
        for k in (0..whole).step_by(16) {
            let mut columns = [vdupq_n_s8(0); COLUMNS];
            for column in &mut columns {
                *column = vld1q_s8(weights);
                weights = weights.add(16);
            }
            for r in 0..R {
                let a = vld1q_s8(input[r].add(k));
                for (sum, w) in sums[r].iter_mut().zip(columns) {
                    let products = vmull_s8(vget_low_s8(a), vget_low_s8(w));
                    *sum = if PAIRED {
                        vpadalq_s16(*sum, vmlal_high_s8(products, a, w))
                    } else {
                        vpadalq_s16(vpadalq_s16(*sum, products), vmull_high_s8(a, w))
                    };
                }
            }
        }
        if whole < block.depth {
            for r in 0..R {
                let a = vld1_s8(input[r].add(whole));
                for (n, sum) in sums[r].iter_mut().enumerate() {
                    *sum = vpadalq_s16(*sum, vmull_s8(a, vld1_s8(weights.add(8 * n))));
                }
            }
        }
    }
    sums
}
