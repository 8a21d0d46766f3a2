//! NEON. Of the usual window two products are added in 16 bits, `smull` and `smlal`, before they are widened; of any
//! other one row at a time as 16-bit, `smlal`.

use std::arch::aarch64::*;
use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows, neon_slide, sweep};
use crate::Activation;
use crate::simd::{LANES, Neon};

/// Two products fit into 16 bits if no weight is −128.
pub(super) const SLIDE: Kernel =
    Kernel { group: 1, weight: Weight::Byte(-127), windows: Windows::ThreeByThree(8), run: slide };
pub(super) const SWEEP: Kernel = Kernel { group: 1, weight: Weight::Word, windows: Windows::All, run: sweep };

#[target_feature(enable = "neon")]
unsafe fn slide(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { neon_slide::run(Neon::new(), layer, part, blocks, io) };
}

#[target_feature(enable = "neon")]
unsafe fn sweep(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: this thread has the rows.
    unsafe { sweep::run::<Neon, 1, 4>(Neon::new(), layer, part, blocks, io) };
}

impl neon_slide::Multiply for Neon {
    /// A register for each row.
    type Cell = [int8x8_t; 4];
    /// A register for each tap.
    type Weights = [int8x8_t; 9];

    #[inline(always)]
    fn simd(self) -> Neon {
        self
    }

    #[inline(always)]
    fn mark_loop(self, begins: bool) {
        // SAFETY: comments do nothing.
        unsafe {
            if begins {
                std::arch::asm!("// LLVM-MCA-BEGIN qdwconv_3x8_neon", options(nomem, nostack, preserves_flags));
            } else {
                std::arch::asm!("// LLVM-MCA-END", options(nomem, nostack, preserves_flags));
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const u8, cells: usize) -> [int8x8_t; 9] {
        debug_assert_eq!(cells, 9);
        // SAFETY: NEON as its token says; there are nine cells of eight bytes.
        unsafe {
            let mut weights = [vdup_n_s8(0); 9];
            for (tap, weights) in weights.iter_mut().enumerate() {
                *weights = vld1_s8(from.add(8 * tap).cast());
            }
            weights
        }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, rows: [*const Activation; 4]) -> [int8x8_t; 4] {
        // SAFETY: NEON as its token says; there are eight activations at each pointer.
        unsafe {
            let mut cell = [vdup_n_s8(0); 4];
            for i in 0..ROWS {
                cell[i] = vld1_s8(rows[i]);
            }
            cell
        }
    }

    #[inline(always)]
    fn above(self, bias: [int32x4_t; 2], weights: &[int8x8_t; 9], [a, b, c]: [[int8x8_t; 4]; 3]) -> [int32x4_t; 4] {
        let upper = window(bias, weights, [a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]]);
        let lower = window(bias, weights, [a[1], b[1], c[1], a[2], b[2], c[2], a[3], b[3], c[3]]);
        [upper[0], upper[1], lower[0], lower[1]]
    }

    #[inline(always)]
    fn beside(self, bias: [int32x4_t; 2], weights: &[int8x8_t; 9], cells: [[int8x8_t; 4]; 5]) -> [int32x4_t; 4] {
        let [a, b, c, d, e] = cells;
        let left = window(bias, weights, [a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]]);
        let right = window(bias, weights, [c[0], d[0], e[0], c[1], d[1], e[1], c[2], d[2], e[2]]);
        [left[0], left[1], right[0], right[1]]
    }
}

/// The sums of one window.
#[inline(always)]
fn window([mut low, mut high]: [int32x4_t; 2], weights: &[int8x8_t; 9], taps: [int8x8_t; 9]) -> [int32x4_t; 2] {
    // SAFETY: vectors of NEON exist only where the CPU has it.
    unsafe {
        for tap in [0, 2, 4, 6, 8] {
            let mut products = vmull_s8(taps[tap], weights[tap]);
            if tap < 8 {
                products = vmlal_s8(products, taps[tap + 1], weights[tap + 1]);
            }
            low = vaddw_s16(low, vget_low_s16(products));
            high = vaddw_high_s16(high, products);
        }
    }
    [low, high]
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
        // SAFETY: a `Neon` exists only where the CPU has NEON; the load is the array, the stores the halves of the
        // cell.
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
