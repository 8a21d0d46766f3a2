//! NEON without dot products, as on the Cortex-A72: `smull` and `smlal` make pairs of products of bytes in 16 bits, `sadalp`
//! adds neighbours to sums of 32. Sixteen products take three instructions, and only two of those the multiplier.
//!
//! Neighbours are two bytes of the depth of one column, and a vector of the input is two bytes of a row, repeated: so each
//! lane of a sum is a column, nothing is left to add up at the end, and the epilogue finds rows as they are written.
//!
//! Two products fit into 16 bits because weights are −127 or more: 2 · 128 · 127 < 2¹⁵. With a weight of −128 each product
//! is added by itself.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Block, Element, Kernel, for_each_tile};
use crate::simd::Neon;

/// Sixteen registers are sums, four hold weights, four the input, the rest what is repeated of it, and products.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    granule: 8,
    depth_multiple: 4,
    depth_group: 2,
    weights: Element::Byte,
    input: Element::Byte,
    least_weight: -127,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has NEON.
#[target_feature(enable = "neon")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the block has 16 or 8 columns; products are added in pairs only where no weight is −128.
    unsafe {
        match (block.columns == COLUMNS, block.has_lowest) {
            (true, false) => tiles::<4, true>(block),
            (true, true) => tiles::<4, false>(block),
            (false, false) => tiles::<2, true>(block),
            (false, true) => tiles::<2, false>(block),
        }
    }
}

/// A block of `V` vectors of columns: two or four. `PAIRED` adds products in pairs.
///
/// # Safety
/// As [`multiply`]; the block has so many columns, and with `PAIRED` no weight is −128.
#[target_feature(enable = "neon")]
unsafe fn tiles<const V: usize, const PAIRED: bool>(block: &Block) {
    // SAFETY: the tiles are inside the block.
    unsafe { for_each_tile!(block, ROWS, [1 2 3 4], |R, row| tile::<R, V, PAIRED>(block, row)) }
}

/// `R` rows from `row` on.
///
/// # Safety
/// As [`tiles`]; the rows are inside the block.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize, const V: usize, const PAIRED: bool>(block: &Block, row: usize) {
    // SAFETY: the tile is inside the block.
    let mut sums = unsafe { sums::<R, V, PAIRED>(block, row) };
    if let Some((shifts, row_sums)) = block.shifts {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: there are as many shifts as columns, and a sum for each row of the input.
                *sum = unsafe { vmlaq_n_s32(*sum, vld1q_s32(shifts.add(4 * v)), *row_sums.add(row + r)) };
            }
        }
    }
    // SAFETY: the tile is inside the block.
    unsafe {
        if block.epilogue.adds() {
            finish::<R, V, true>(block, row, sums);
        } else {
            finish::<R, V, false>(block, row, sums);
        }
    }
}

/// The epilogue of a tile.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish<const R: usize, const V: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[int32x4_t; V]; R],
) {
    let (simd, epilogue) = (Neon::new(), *block.epilogue);
    let mut multipliers = [vdupq_n_f32(0.0); V];
    for (v, multiplier) in multipliers.iter_mut().enumerate() {
        // SAFETY: there are as many multipliers as columns.
        *multiplier = unsafe { vld1q_f32(block.multipliers.add(4 * v)) };
    }
    let multipliers = [multipliers[0], multipliers[1], multipliers[2 % V], multipliers[3 % V]];
    // Sixteen lanes are a row, or two of eight columns; at the end of an odd number, the last twice.
    for first in (0..R).step_by(4 / V) {
        let last = (first + 4 / V - 1).min(R - 1);
        let lanes = [sums[first][0], sums[first][1], sums[last][2 % V], sums[last][3 % V]];
        // SAFETY: the rows are those of the tile, the columns those of the block.
        unsafe {
            if V == 4 {
                block.finish::<_, 1, 16, ADDS>(simd, &epilogue, lanes, multipliers, [(row + first, 0)]);
            } else {
                let places = [(row + first, 0), (row + last, 0)];
                block.finish::<_, 2, 8, ADDS>(simd, &epilogue, lanes, multipliers, places);
            }
        }
    }
}

/// The sums of a tile, with the bias.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums<const R: usize, const V: usize, const PAIRED: bool>(block: &Block, row: usize) -> [[int32x4_t; V]; R] {
    let input = block.input_rows::<i8, R>(row);
    let mut weights = block.weights.cast::<i8>();
    let mut bias = [vdupq_n_s32(0); V];
    for (v, bias) in bias.iter_mut().enumerate() {
        // SAFETY: there are as many biases as columns.
        *bias = unsafe { vld1q_s32(block.bias.add(4 * v)) };
    }
    let mut sums = [bias; R];
    let whole = block.depth / 8 * 8;
    // SAFETY: `depth` is a multiple of 4, and for each four of it the panel has four weights of each of `4 · V` columns; each
    // input row has `depth` bytes.
    unsafe {
        for k in (0..whole).step_by(8) {
            let mut a = [vdup_n_s16(0); R];
            for (r, a) in a.iter_mut().enumerate() {
                *a = vreinterpret_s16_s8(vld1_s8(input[r].add(k)));
            }
            four_deep::<0, 1, R, V, PAIRED>(&mut sums, weights, &a);
            four_deep::<2, 3, R, V, PAIRED>(&mut sums, weights.add(16 * V), &a);
            weights = weights.add(32 * V);
        }
        for k in (whole..block.depth).step_by(4) {
            let mut a = [vdup_n_s16(0); R];
            for (r, a) in a.iter_mut().enumerate() {
                *a = vreinterpret_s16_s32(vdup_n_s32(input[r].add(k).cast::<i32>().read_unaligned()));
            }
            four_deep::<0, 1, R, V, PAIRED>(&mut sums, weights, &a);
            weights = weights.add(16 * V);
        }
    }
    sums
}

/// Four bytes of the depth: lanes `NEAR` and `FAR` of the input, two bytes each.
///
/// # Safety
/// `weights` has four weights for each of `4 · V` columns.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn four_deep<const NEAR: i32, const FAR: i32, const R: usize, const V: usize, const PAIRED: bool>(
    sums: &mut [[int32x4_t; V]; R],
    weights: *const i8,
    input: &[int16x4_t; R],
) {
    // A vector holds two weights of each of eight columns; all columns' first two lie before their others.
    let mut w = [vdupq_n_s8(0); V];
    for (v, w) in w.iter_mut().enumerate() {
        // SAFETY: as above.
        *w = unsafe { vld1q_s8(weights.add(16 * v)) };
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        let near = vreinterpretq_s8_s16(vdupq_lane_s16::<NEAR>(input[r]));
        let far = vreinterpretq_s8_s16(vdupq_lane_s16::<FAR>(input[r]));
        for (i, sums) in sums.chunks_exact_mut(2).enumerate() {
            let (w_near, w_far) = (w[i], w[V / 2 + i]);
            if PAIRED {
                add_pairs(sums, [w_near, w_far], [near, far]);
            } else {
                for (w, a) in [(w_near, near), (w_far, far)] {
                    sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
                    sums[1] = vpadalq_s16(sums[1], vmull_high_s8(w, a));
                }
            }
        }
    }
}

/// Adds the products of two pairs of vectors to the two sums of eight columns.
///
/// One block of assembly, across which nothing is loaded: the compiler would begin more products, and load more weights, than
/// there are registers, and spill sums for them. The CPU reorders by itself.
#[inline]
#[target_feature(enable = "neon")]
fn add_pairs(sums: &mut [int32x4_t], weights: [int8x16_t; 2], input: [int8x16_t; 2]) {
    // SAFETY: the instructions touch nothing but their registers.
    unsafe {
        asm!(
            "smull {low:v}.8h, {w0:v}.8b, {a0:v}.8b",
            "smull2 {high:v}.8h, {w0:v}.16b, {a0:v}.16b",
            "smlal {low:v}.8h, {w1:v}.8b, {a1:v}.8b",
            "smlal2 {high:v}.8h, {w1:v}.16b, {a1:v}.16b",
            "sadalp {sum0:v}.4s, {low:v}.8h",
            "sadalp {sum1:v}.4s, {high:v}.8h",
            sum0 = inout(vreg) sums[0],
            sum1 = inout(vreg) sums[1],
            w0 = in(vreg) weights[0],
            w1 = in(vreg) weights[1],
            a0 = in(vreg) input[0],
            a1 = in(vreg) input[1],
            low = out(vreg) _,
            high = out(vreg) _,
            options(nostack, preserves_flags),
        );
    }
}
