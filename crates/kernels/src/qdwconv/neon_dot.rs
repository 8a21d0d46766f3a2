//! NEON with dot products: four rows at a time as bytes, `sdot`.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::{Layer, sweep};
use crate::Activation;
use crate::simd::{LANES, Neon};

#[target_feature(enable = "neon,dotprod")]
pub(super) fn run(
    layer: &Layer,
    input: &[Activation],
    rows: Range<usize>,
    output: &mut [Activation],
    scratch: &mut [u8],
) {
    sweep::run::<NeonDot, 4, 2>(NeonDot(Neon::new()), layer, input, rows, output, scratch);
}

/// Proof that this CPU has NEON with dot products: only `run` makes one.
#[derive(Clone, Copy)]
struct NeonDot(Neon);

impl sweep::Dot<4> for NeonDot {
    type Simd = Neon;
    type Cell = [i8; 64];

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [&[i8; LANES]; 4], cell: &mut [i8; 64]) {
        // SAFETY: a `NeonDot` exists only where the CPU has NEON; the loads are the arrays, the stores the quarters of the cell.
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
