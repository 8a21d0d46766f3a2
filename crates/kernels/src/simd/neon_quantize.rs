//! The last steps of requantization in NEON: from scaled sums to bytes.
//!
//! In general every step must saturate. Most layers' sums cannot reach so far that it matters, which is known when a
//! layer is packed: they take shorter ways to the same bytes.

use std::arch::aarch64::*;

use super::{LANES, Neon, Simd};
use crate::quantized::Output;

/// How scaled sums become activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// [`Saturating`]
    Saturating,
    /// [`Short`], with bounds.
    Bounded,
    /// [`Short`], where the bounds are those of the type.
    Unbounded,
    /// [`Magic`]
    Magic,
}

impl Way {
    /// The shortest way for scaled sums that are no further than `reach` from 0.
    pub(crate) fn of(output: &Output, reach: f32) -> Way {
        if reach > SHORT_REACH {
            Way::Saturating
        } else if (output.min, output.max) != (i8::MIN, i8::MAX) {
            Way::Bounded
        } else if output.zero_point % 2 != 0 {
            Way::Unbounded
        } else {
            Way::Magic
        }
    }
}

/// What is no further from 0 fits into 16 bits, rounded and with any zero point.
pub(crate) const SHORT_REACH: f32 = 32_000.0;

/// `1.5 · 2²³`: floats from 2²³ to 2²⁴ are the integers, so that adding this to one below 2²² rounds it, ties to even,
/// and leaves it in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// What the ways compute with, made once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    output: Output,
    zero_point: i16,
    /// [`ROUNDING`], with the zero point in it.
    magic: f32,
}

impl Constants {
    pub(crate) fn new(output: Output) -> Constants {
        let zero_point = output.zero_point;
        Constants { output, zero_point: zero_point.into(), magic: ROUNDING + f32::from(zero_point) }
    }
}

/// [`Output::quantize`] of sixteen scaled sums. A value exists only where the CPU has NEON.
pub(crate) trait Quantize: Copy {
    fn new(simd: Neon, constants: &Constants) -> Self;
    fn bytes(self, scaled: [float32x4_t; 4]) -> int8x16_t;
}

/// Every step saturates.
#[derive(Clone, Copy)]
pub(crate) struct Saturating(Neon, Output);

impl Quantize for Saturating {
    #[inline(always)]
    fn new(simd: Neon, constants: &Constants) -> Saturating {
        Saturating(simd, constants.output)
    }

    #[inline(always)]
    fn bytes(self, scaled: [float32x4_t; 4]) -> int8x16_t {
        let mut bytes = [0; LANES];
        self.0.quantize(scaled, &self.1, &mut bytes);
        self.0.load_bytes(&bytes)
    }
}

/// Rounded sums fit into 16 bits, with and without their zero point: these are cut off, and bytes saturate once.
#[derive(Clone, Copy)]
pub(crate) struct Short<const BOUNDED: bool> {
    zero_point: int16x8_t,
    bounds: [int8x16_t; 2],
}

impl<const BOUNDED: bool> Quantize for Short<BOUNDED> {
    #[inline(always)]
    fn new(_: Neon, constants: &Constants) -> Self {
        let Constants { output, zero_point, .. } = constants;
        // SAFETY: a `Neon` exists only where the CPU has NEON; the loads are of the constants.
        unsafe {
            let bounds = [vld1q_dup_s8(&output.min), vld1q_dup_s8(&output.max)];
            Short { zero_point: vld1q_dup_s16(zero_point), bounds }
        }
    }

    #[inline(always)]
    fn bytes(self, scaled: [float32x4_t; 4]) -> int8x16_t {
        // SAFETY: as its constructor had a `Neon`.
        unsafe {
            let [low, high] = rounded(scaled);
            let bytes = saturate([vaddq_s16(low, self.zero_point), vaddq_s16(high, self.zero_point)]);
            if BOUNDED { vminq_s8(vmaxq_s8(bytes, self.bounds[0]), self.bounds[1]) } else { bytes }
        }
    }
}

/// As [`Short`] without bounds, and the zero point is even: one float addition rounds and adds it. (A tie goes to the
/// even one of two floats, which is the even sum exactly if the zero point is even.)
#[derive(Clone, Copy)]
pub(crate) struct Magic(float32x4_t);

impl Quantize for Magic {
    #[inline(always)]
    fn new(_: Neon, constants: &Constants) -> Magic {
        // SAFETY: a `Neon` exists only where the CPU has NEON; the load is of the constant.
        Magic(unsafe { vld1q_dup_f32(&constants.magic) })
    }

    #[inline(always)]
    fn bytes(self, [a, b, c, d]: [float32x4_t; 4]) -> int8x16_t {
        // SAFETY: as its constructor had a `Neon`.
        unsafe {
            let halves = |a: float32x4_t, b: float32x4_t| {
                let [a, b] = [vaddq_f32(a, self.0), vaddq_f32(b, self.0)];
                vuzp1q_s16(vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b))
            };
            saturate([halves(a, b), halves(c, d)])
        }
    }
}

/// Scaled sums rounded to integers of 16 bits, into which they fit.
#[inline(always)]
pub(crate) fn rounded([a, b, c, d]: [float32x4_t; 4]) -> [int16x8_t; 2] {
    // SAFETY: vectors of NEON exist only where the CPU has it.
    unsafe {
        let integers =
            |a, b| vuzp1q_s16(vreinterpretq_s16_s32(vcvtnq_s32_f32(a)), vreinterpretq_s16_s32(vcvtnq_s32_f32(b)));
        [integers(a, b), integers(c, d)]
    }
}

/// Sixteen integers as bytes.
#[inline(always)]
pub(crate) fn saturate([low, high]: [int16x8_t; 2]) -> int8x16_t {
    // SAFETY: vectors of NEON exist only where the CPU has it.
    unsafe { vqmovn_high_s16(vqmovn_s16(low), high) }
}
