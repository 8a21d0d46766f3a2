//! NEON with dot products: four rows at a time as bytes, `sdot`.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows, neon_slide, sweep};
use crate::Activation;
use crate::simd::{LANES, Neon};

pub(super) const SLIDE: Kernel =
    Kernel { group: 4, weight: Weight::Byte(i8::MIN), windows: Windows::ThreeByThree(8), run: slide };
pub(super) const SWEEP: Kernel = Kernel { group: 4, weight: Weight::Byte(i8::MIN), windows: Windows::All, run: sweep };

#[target_feature(enable = "neon,dotprod")]
unsafe fn slide(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { neon_slide::run(NeonDot(Neon::new()), layer, part, blocks, io) };
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn sweep(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: this thread has the rows.
    unsafe { sweep::run::<NeonDot, 4, 2>(NeonDot(Neon::new()), layer, part, blocks, io) };
}

/// Proof that this CPU has NEON with dot products: only this file's entries make one.
#[derive(Clone, Copy)]
struct NeonDot(Neon);

impl neon_slide::Multiply for NeonDot {
    /// Four bytes for each of eight channels.
    type Cell = [int8x16_t; 2];
    /// At stride 1 for each window column those of the upper and of the lower point; at stride 2 for each window
    /// column.
    type Weights = [[int8x16_t; 2]; 6];

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn mark_loop(self, begins: bool) {
        // SAFETY: comments do nothing.
        unsafe {
            if begins {
                asm!("// LLVM-MCA-BEGIN qdwconv_3x8_neon_dot", options(nomem, nostack, preserves_flags));
            } else {
                asm!("// LLVM-MCA-END", options(nomem, nostack, preserves_flags));
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const u8, cells: usize) -> [[int8x16_t; 2]; 6] {
        // SAFETY: NEON as its token says; there are so many cells of 32 bytes.
        unsafe {
            let mut weights = [[vdupq_n_s8(0); 2]; 6];
            for (i, weights) in weights.iter_mut().enumerate().take(cells) {
                *weights = [vld1q_s8(from.add(32 * i).cast()), vld1q_s8(from.add(32 * i + 16).cast())];
            }
            weights
        }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, rows: [*const Activation; 4]) -> [int8x16_t; 2] {
        // SAFETY: NEON as its token says; there are eight activations at each pointer.
        unsafe {
            let zeros = vdup_n_s8(0);
            // The upper halves are of no matter.
            let row = |i: usize| vcombine_s8(if i < ROWS { vld1_s8(rows[i]) } else { zeros }, zeros);
            let upper = vreinterpretq_s16_s8(vzip1q_s8(row(0), row(1)));
            let lower = vreinterpretq_s16_s8(vzip1q_s8(row(2), row(3)));
            [vreinterpretq_s8_s16(vzip1q_s16(upper, lower)), vreinterpretq_s8_s16(vzip2q_s16(upper, lower))]
        }
    }

    #[inline(always)]
    fn above(
        self,
        [low, high]: [int32x4_t; 2],
        weights: &[[int8x16_t; 2]; 6],
        cells: [[int8x16_t; 2]; 3],
    ) -> [int32x4_t; 4] {
        let mut sums = [low, high, low, high];
        for (i, sum) in sums.iter_mut().enumerate() {
            for (kx, cell) in cells.iter().enumerate() {
                // SAFETY: NEON with dot products as its token says.
                *sum = unsafe { sdot(*sum, cell[i % 2], weights[2 * kx + i / 2][i % 2]) };
            }
        }
        sums
    }

    #[inline(always)]
    fn beside(
        self,
        [low, high]: [int32x4_t; 2],
        weights: &[[int8x16_t; 2]; 6],
        cells: [[int8x16_t; 2]; 5],
    ) -> [int32x4_t; 4] {
        let mut sums = [low, high, low, high];
        for (i, sum) in sums.iter_mut().enumerate() {
            for kx in 0..3 {
                // SAFETY: NEON with dot products as its token says.
                *sum = unsafe { sdot(*sum, cells[i / 2 * 2 + kx][i % 2], weights[kx][i % 2]) };
            }
        }
        sums
    }
}

impl sweep::Dot<4> for NeonDot {
    type Simd = Neon;
    type Cell = [i8; 64];

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [&[i8; LANES]; 4], cell: &mut [i8; 64]) {
        // SAFETY: a `NeonDot` exists only where the CPU has NEON; the loads are the arrays, the stores the quarters of
        // the cell.
        unsafe {
            let (a, b) = (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr()));
            let (c, d) = (vld1q_s8(c.as_ptr()), vld1q_s8(d.as_ptr()));
            let (ab_low, ab_high) = (vzip1q_s8(a, b), vzip2q_s8(a, b));
            let (cd_low, cd_high) = (vzip1q_s8(c, d), vzip2q_s8(c, d));
            let [ab_low, ab_high] = [vreinterpretq_s16_s8(ab_low), vreinterpretq_s16_s8(ab_high)];
            let [cd_low, cd_high] = [vreinterpretq_s16_s8(cd_low), vreinterpretq_s16_s8(cd_high)];
            let cell = cell.as_mut_ptr().cast::<i16>();
            vst1q_s16(cell, vzip1q_s16(ab_low, cd_low));
            vst1q_s16(cell.add(8), vzip2q_s16(ab_low, cd_low));
            vst1q_s16(cell.add(16), vzip1q_s16(ab_high, cd_high));
            vst1q_s16(cell.add(24), vzip2q_s16(ab_high, cd_high));
        }
    }

    #[inline(always)]
    fn dot(self, [a, b, c, d]: [int32x4_t; 4], cell: &[i8; 64], weights: &[i8; 64]) -> [int32x4_t; 4] {
        let (cell, weights) = (cell.as_ptr(), weights.as_ptr());
        // SAFETY: NEON with dot products as above; the loads are the quarters of the cells.
        unsafe {
            [
                sdot(a, vld1q_s8(cell), vld1q_s8(weights)),
                sdot(b, vld1q_s8(cell.add(16)), vld1q_s8(weights.add(16))),
                sdot(c, vld1q_s8(cell.add(32)), vld1q_s8(weights.add(32))),
                sdot(d, vld1q_s8(cell.add(48)), vld1q_s8(weights.add(48))),
            ]
        }
    }
}

/// `vdotq_s32`, which is not stable yet.
///
/// # Safety
/// The CPU must have dot products.
#[inline(always)]
unsafe fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its registers.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
