//! NEON with dot products, as on the Cortex-A76: `sdot` adds four products of bytes to each of four sums. A vector holds four
//! bytes of the depth for four columns; of the input, sixteen bytes of a row, of which each `sdot` takes four.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Block, Element, Kernel, for_each_tile};
use crate::simd::Neon;

/// Sixteen registers are sums, eight hold the input, the rest weights.
const ROWS: usize = 8;
const COLUMNS: usize = 8;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    granule: COLUMNS,
    depth_multiple: 4,
    depth_group: 4,
    weights: Element::Byte,
    input: Element::Byte,
    least_weight: -128,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has dot products.
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the tiles are inside the block.
    unsafe { for_each_tile!(block, ROWS, [1 2 3 4 5 6 7 8], |R, row| tile::<R>(block, row)) }
}

/// `R` rows from `row` on.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const R: usize>(block: &Block, row: usize) {
    // SAFETY: the tile is inside the block.
    let mut sums = unsafe { sums::<R>(block, row) };
    // SAFETY: the panel has eight columns: as many multipliers, and shifts if there are shifts; and the input has a sum for
    // each row then.
    let multipliers = unsafe {
        if let Some((shifts, row_sums)) = block.shifts {
            for (r, sums) in sums.iter_mut().enumerate() {
                let row_sum = *row_sums.add(row + r);
                sums[0] = vmlaq_n_s32(sums[0], vld1q_s32(shifts), row_sum);
                sums[1] = vmlaq_n_s32(sums[1], vld1q_s32(shifts.add(4)), row_sum);
            }
        }
        [vld1q_f32(block.multipliers), vld1q_f32(block.multipliers.add(4))]
    };
    // SAFETY: the tile is inside the block.
    unsafe {
        if block.epilogue.adds() {
            finish::<R, true>(block, row, sums, multipliers);
        } else {
            finish::<R, false>(block, row, sums, multipliers);
        }
    }
}

/// The epilogue of a tile.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn finish<const R: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[int32x4_t; 2]; R],
    [low, high]: [float32x4_t; 2],
) {
    let (simd, epilogue) = (Neon::new(), *block.epilogue);
    // Sixteen lanes are two rows; at the end of an odd number, the last twice.
    for first in (0..R).step_by(2) {
        let last = (first + 1).min(R - 1);
        let lanes = [sums[first][0], sums[first][1], sums[last][0], sums[last][1]];
        let places = [(row + first, 0), (row + last, 0)];
        // SAFETY: the rows are those of the tile, the columns those of the block.
        unsafe { block.finish::<_, 2, COLUMNS, ADDS>(simd, &epilogue, lanes, [low, high, low, high], places) };
    }
}

/// The sums of a tile, with the bias.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sums<const R: usize>(block: &Block, row: usize) -> [[int32x4_t; 2]; R] {
    let input = block.input_rows::<i8, R>(row);
    let mut weights = block.weights.cast::<i8>();
    let whole = block.depth / 16 * 16;
    // SAFETY: `depth` is a multiple of 4, and for each four of it the panel has four weights of each of eight columns; each
    // input row has `depth` bytes.
    unsafe {
        let mut sums = [[vld1q_s32(block.bias), vld1q_s32(block.bias.add(4))]; R];
        for k in (0..whole).step_by(16) {
            let mut a = [vdupq_n_s8(0); R];
            for (r, a) in a.iter_mut().enumerate() {
                *a = vld1q_s8(input[r].add(k));
            }
            four_deep::<0, R>(&mut sums, weights, &a);
            four_deep::<1, R>(&mut sums, weights.add(32), &a);
            four_deep::<2, R>(&mut sums, weights.add(64), &a);
            four_deep::<3, R>(&mut sums, weights.add(96), &a);
            weights = weights.add(128);
        }
        for k in (whole..block.depth).step_by(4) {
            let mut a = [vdupq_n_s8(0); R];
            for (r, a) in a.iter_mut().enumerate() {
                *a = vreinterpretq_s8_s32(vdupq_n_s32(input[r].add(k).cast::<i32>().read_unaligned()));
            }
            four_deep::<0, R>(&mut sums, weights, &a);
            weights = weights.add(32);
        }
        sums
    }
}

/// Four bytes of the depth: those of lane `LANE` of the input.
///
/// # Safety
/// `weights` has four weights for each of eight columns; the CPU has dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn four_deep<const LANE: i32, const R: usize>(
    sums: &mut [[int32x4_t; 2]; R],
    weights: *const i8,
    input: &[int8x16_t; R],
) {
    // SAFETY: as above.
    let columns = unsafe { [vld1q_s8(weights), vld1q_s8(weights.add(16))] };
    for (r, sums) in sums.iter_mut().enumerate() {
        sums[0] = dot::<LANE>(sums[0], columns[0], input[r]);
        sums[1] = dot::<LANE>(sums[1], columns[1], input[r]);
    }
}

/// `vdotq_laneq_s32`, which is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: i32>(mut sums: int32x4_t, weights: int8x16_t, input: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its registers.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {input:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            input = in(vreg) input,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
