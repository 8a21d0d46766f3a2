//! NEON: one row at a time as 16-bit, `smlal`.

use std::arch::aarch64::*;
use std::ops::Range;

use super::{Layer, sweep};
use crate::Activation;
use crate::simd::{LANES, Neon};

#[target_feature(enable = "neon")]
pub(super) fn run(
    layer: &Layer,
    input: &[Activation],
    rows: Range<usize>,
    output: &mut [Activation],
    scratch: &mut [u8],
) {
    sweep::run::<Neon, 1, 4>(Neon::new(), layer, input, rows, output, scratch);
}

impl sweep::Dot<1> for Neon {
    type Simd = Neon;
    type Cell = [i16; 16];

    #[inline(always)]
    fn simd(self) -> Neon {
        self
    }

    #[inline(always)]
    fn interleave(self, [row]: [&[i8; LANES]; 1], cell: &mut [i16; 16]) {
        // SAFETY: a `Neon` exists only where the CPU has NEON; the load is the array, the stores the halves of the cell.
        unsafe {
            let row = vld1q_s8(row.as_ptr());
            vst1q_s16(cell.as_mut_ptr(), vmovl_s8(vget_low_s8(row)));
            vst1q_s16(cell.as_mut_ptr().add(8), vmovl_high_s8(row));
        }
    }

    #[inline(always)]
    fn dot(self, [a, b, c, d]: [int32x4_t; 4], cell: &[i16; 16], weights: &[i16; 16]) -> [int32x4_t; 4] {
        // SAFETY: NEON as above; the loads are the halves of the cells.
        unsafe {
            let [low, high] = [vld1q_s16(cell.as_ptr()), vld1q_s16(cell.as_ptr().add(8))];
            let [low_weights, high_weights] = [vld1q_s16(weights.as_ptr()), vld1q_s16(weights.as_ptr().add(8))];
            [
                vmlal_s16(a, vget_low_s16(low), vget_low_s16(low_weights)),
                vmlal_high_s16(b, low, low_weights),
                vmlal_s16(c, vget_low_s16(high), vget_low_s16(high_weights)),
                vmlal_high_s16(d, high, high_weights),
            ]
        }
    }
}
