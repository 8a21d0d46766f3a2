//! What the NEON kernels do with a tile of exact sums: shifts, requantization, and the residual addition that may
//! follow.
//!
//! [`Epilogue`](super::epilogue::Epilogue) saturates at every step. Most layers' sums cannot reach so far that it
//! matters, which is known before the first tile: they take shorter ways to the same bytes.

use std::arch::aarch64::*;

use super::Block;
use crate::quantized::{Addition, Output};
use crate::simd::Neon;
use crate::simd::neon_quantize::{self, Constants, Magic, Quantize, SHORT_REACH, Short, rounded, saturate};

/// How scaled sums become activations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Every step saturates; a residual is added in the way of every other CPU.
    Saturating,
    /// Nothing is added.
    Plain(neon_quantize::Way, Constants),
    /// Sums do not reach far, nor does what comes of adding a residual.
    Adding(Adding),
}

impl Way {
    /// The shortest way that gives the bytes of this block's epilogue.
    pub(super) fn of(block: &Block) -> Way {
        let (output, reach, addition) = block.epilogue.parts();
        match addition {
            None => Way::Plain(neon_quantize::Way::of(&output, reach), Constants::new(output)),
            Some(addition) if reach <= SHORT_REACH => {
                Adding::new(output, &addition).map_or(Way::Saturating, Way::Adding)
            }
            Some(_) => Way::Saturating,
        }
    }
}

/// What [`Way::Adding`] computes with, once for all tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adding {
    /// Of the own activations, without their zero point.
    own_bounds: [i16; 2],
    multipliers: [i32; 2],
    /// The addition's, with what the zero point that is not added to the own activations would have added to the sum,
    /// and with the zero point of the result.
    offset: i32,
    /// To the left.
    shift: i32,
    bounds: [i8; 2],
}

impl Adding {
    /// `None` if sums might leave 32 bits, or 16 after they are shifted.
    fn new(own: Output, addition: &Addition) -> Option<Adding> {
        let Addition { multipliers, offset, shift, output } = *addition;
        let offset = i64::from(offset) + (i64::from(output.zero_point) << shift);
        let most = multipliers.iter().map(|&m| 128 * i64::from(m).abs()).sum::<i64>() + offset.abs();
        (most < 1 << 31 && most >> shift < 32_000).then(|| Adding {
            own_bounds: [own.min, own.max].map(|bound| i16::from(bound) - i16::from(own.zero_point)),
            multipliers,
            offset: (offset as i32).wrapping_add(i32::from(own.zero_point) * multipliers[0]),
            shift: -(shift as i32),
            bounds: [output.min, output.max],
        })
    }
}

/// Goes over a block's rows in tiles of so many, and at the end one of those that are left: each function sums a tile
/// of its number of rows.
macro_rules! finish_tiles {
    ($block:ident, $way:ident, $most:literal $sums:ident, [$($rows:literal $sums_of_rows:ident)+]) => {{
        let whole = $block.rows / $most * $most;
        for row in (0..whole).step_by($most) {
            finish($block, &$way, row, $sums($block, row));
        }
        match $block.rows - whole {
            $($rows => finish($block, &$way, whole, $sums_of_rows($block, whole)),)+
            _ => {}
        }
    }};
}
pub(super) use finish_tiles;

/// Finishes the sums of `R` rows from `row` on, `V` vectors of columns each: four, or two.
///
/// # Safety
/// The block is what its fields say and has so many columns; the rows are inside it; `way` is that of the block.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn finish<const R: usize, const V: usize>(
    block: &Block,
    way: &Way,
    row: usize,
    mut sums: [[int32x4_t; V]; R],
) {
    if let Some((shifts, row_sums)) = block.shifts {
        let mut vectors = [vdupq_n_s32(0); V];
        for (v, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: there are as many shifts as columns.
            *vector = unsafe { vld1q_s32(shifts.add(4 * v)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: there is a sum for each row of the input.
            let row_sum = unsafe { vld1q_dup_s32(row_sums.add(row + r)) };
            for (sum, &shifts) in sums.iter_mut().zip(&vectors) {
                *sum = vmlaq_s32(*sum, shifts, row_sum);
            }
        }
    }
    let simd = Neon::new();
    // SAFETY: as above.
    unsafe {
        match way {
            Way::Saturating => saturating::<R, V, true>(block, row, sums),
            Way::Plain(neon_quantize::Way::Saturating, _) => saturating::<R, V, false>(block, row, sums),
            Way::Plain(neon_quantize::Way::Bounded, constants) => {
                short(block, row, sums, Plain(Short::<true>::new(simd, constants)));
            }
            Way::Plain(neon_quantize::Way::Unbounded, constants) => {
                short(block, row, sums, Plain(Short::<false>::new(simd, constants)));
            }
            Way::Plain(neon_quantize::Way::Magic, constants) => {
                short(block, row, sums, Plain(Magic::new(simd, constants)));
            }
            Way::Adding(adding) => short(block, row, sums, ShortAdding::new(adding)),
        }
    }
}

/// The multipliers of a block's columns, as four vectors; those of two are repeated.
///
/// # Safety
/// The block has so many columns.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multipliers<const V: usize>(block: &Block) -> [float32x4_t; 4] {
    // SAFETY: there are as many multipliers as columns: 16, or 8.
    unsafe {
        if V == 4 {
            let float32x4x4_t(a, b, c, d) = vld1q_f32_x4(block.multipliers);
            [a, b, c, d]
        } else {
            let float32x4x2_t(a, b) = vld1q_f32_x2(block.multipliers);
            [a, b, a, b]
        }
    }
}

/// [`finish`] in the way of every other CPU.
///
/// # Safety
/// As [`finish`]; `ADDS` is the epilogue's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn saturating<const R: usize, const V: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[int32x4_t; V]; R],
) {
    let (simd, epilogue) = (Neon::new(), *block.epilogue);
    // SAFETY: as above.
    let multipliers = unsafe { multipliers::<V>(block) };
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

/// [`finish`] in one of the short ways.
///
/// # Safety
/// As [`finish`]; `last_steps` are the block's.
#[inline(always)]
unsafe fn short<const R: usize, const V: usize>(
    block: &Block,
    row: usize,
    sums: [[int32x4_t; V]; R],
    last_steps: impl LastSteps,
) {
    // SAFETY: the rows are those of the tile, the columns those of the block: 16, or 8.
    unsafe {
        let multipliers = multipliers::<V>(block);
        // Counted up, not multiplied.
        let (mut output, mut other) = (block.output_row(row), block.residual_row(row));
        // As in `saturating`.
        for first in (0..R).step_by(4 / V) {
            let last = (first + 4 / V - 1).min(R - 1);
            let lanes = [sums[first][0], sums[first][1], sums[last][2 % V], sums[last][3 % V]];
            let mut scaled = multipliers;
            for (scaled, lane) in scaled.iter_mut().zip(lanes) {
                *scaled = vmulq_f32(vcvtq_f32_s32(lane), *scaled);
            }
            let step = if last > first { block.output_stride } else { 0 };
            let residual = || {
                if V == 4 { vld1q_s8(other) } else { vcombine_s8(vld1_s8(other), vld1_s8(other.wrapping_add(step))) }
            };
            let bytes = last_steps.activations(scaled, residual);
            if V == 4 {
                vst1q_s8(output, bytes);
            } else {
                vst1_s8(output, vget_low_s8(bytes));
                vst1_s8(output.wrapping_add(step), vget_high_s8(bytes));
            }
            output = output.wrapping_add(4 / V * block.output_stride);
            other = other.wrapping_add(4 / V * block.output_stride);
        }
    }
}

/// How sixteen scaled sums become activations, for sums that do not reach far. A value exists only where the CPU has
/// NEON.
trait LastSteps: Copy {
    fn activations(self, scaled: [float32x4_t; 4], residual: impl FnOnce() -> int8x16_t) -> int8x16_t;
}

/// Nothing is added.
#[derive(Clone, Copy)]
struct Plain<Q>(Q);

impl<Q: Quantize> LastSteps for Plain<Q> {
    #[inline(always)]
    fn activations(self, scaled: [float32x4_t; 4], _: impl FnOnce() -> int8x16_t) -> int8x16_t {
        self.0.bytes(scaled)
    }
}

/// [`Way::Adding`]: as [`Addition::apply`], on activations that are 16 bits wide and still lack their zero point.
#[derive(Clone, Copy)]
struct ShortAdding {
    own_bounds: [int16x8_t; 2],
    multipliers: [int32x4_t; 2],
    offset: int32x4_t,
    shift: int32x4_t,
    bounds: [int8x16_t; 2],
}

impl ShortAdding {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(adding: &Adding) -> ShortAdding {
        ShortAdding {
            own_bounds: [vdupq_n_s16(adding.own_bounds[0]), vdupq_n_s16(adding.own_bounds[1])],
            multipliers: [vdupq_n_s32(adding.multipliers[0]), vdupq_n_s32(adding.multipliers[1])],
            offset: vdupq_n_s32(adding.offset),
            shift: vdupq_n_s32(adding.shift),
            bounds: [vdupq_n_s8(adding.bounds[0]), vdupq_n_s8(adding.bounds[1])],
        }
    }
}

impl LastSteps for ShortAdding {
    #[inline(always)]
    fn activations(self, scaled: [float32x4_t; 4], residual: impl FnOnce() -> int8x16_t) -> int8x16_t {
        // SAFETY: the CPU has NEON.
        unsafe {
            let other = residual();
            let other = [vmovl_s8(vget_low_s8(other)), vmovl_high_s8(other)];
            let own = rounded(scaled);
            let mut halves = [vdupq_n_s16(0); 2];
            for (i, half) in halves.iter_mut().enumerate() {
                let own = vminq_s16(vmaxq_s16(own[i], self.own_bounds[0]), self.own_bounds[1]);
                let low = self.sum(vmovl_s16(vget_low_s16(own)), vmovl_s16(vget_low_s16(other[i])));
                let high = self.sum(vmovl_high_s16(own), vmovl_high_s16(other[i]));
                *half = vuzp1q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high));
            }
            vminq_s8(vmaxq_s8(saturate(halves), self.bounds[0]), self.bounds[1])
        }
    }
}

impl ShortAdding {
    #[inline(always)]
    fn sum(self, own: int32x4_t, other: int32x4_t) -> int32x4_t {
        // SAFETY: the CPU has NEON.
        unsafe {
            let sum = vmlaq_s32(vmlaq_s32(self.offset, own, self.multipliers[0]), other, self.multipliers[1]);
            vshlq_s32(sum, self.shift)
        }
    }
}
