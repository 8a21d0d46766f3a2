//! Sixteen lanes in NEON: four registers.

use std::arch::aarch64::*;

use super::{LANES, Simd};
use crate::Activation;
use crate::quantized::Output;

/// Proof that this CPU has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof is that the caller runs.
    #[target_feature(enable = "neon")]
    pub(crate) fn new() -> Neon {
        Neon(())
    }
}

/// Each of the four registers through one operation. Written out, since closures are not always inlined.
macro_rules! each {
    (|$($arg:ident),*| $body:expr) => {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe {
            [
                each!(0, $($arg),*; $body),
                each!(1, $($arg),*; $body),
                each!(2, $($arg),*; $body),
                each!(3, $($arg),*; $body),
            ]
        }
    };
    ($i:literal, $($arg:ident),*; $body:expr) => {{
        $(let $arg = $arg[$i];)*
        $body
    }};
}

impl Simd for Neon {
    type F32 = [float32x4_t; 4];
    type I32 = [int32x4_t; 4];
    type I16 = [int16x8_t; 2];
    type Bytes = int8x16_t;

    #[inline(always)]
    fn splat(self, value: f32) -> [float32x4_t; 4] {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        [unsafe { vdupq_n_f32(value) }; 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [float32x4_t; 4] {
        let from = from.as_ptr();
        // SAFETY: NEON as above; all loads are inside the array.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }

    #[inline(always)]
    fn store(self, value: [float32x4_t; 4], to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: NEON as above; all stores are inside the array.
        unsafe {
            vst1q_f32(to, value[0]);
            vst1q_f32(to.add(4), value[1]);
            vst1q_f32(to.add(8), value[2]);
            vst1q_f32(to.add(12), value[3]);
        }
    }

    #[inline(always)]
    fn add(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vmulq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b, c| vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn div(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vdivq_f32(a, b))
    }

    // `fmax` and `fmin` treat NaN and the sign of zero in another way.
    #[inline(always)]
    fn max(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn min(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b| vbslq_f32(vcltq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn if_nan(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a, b, c| vbslq_f32(vceqq_f32(a, a), c, b))
    }

    #[inline(always)]
    fn clamp(self, x: [float32x4_t; 4], [min, max, _]: [[float32x4_t; 4]; 3]) -> [float32x4_t; 4] {
        each!(|x, min, max| vminq_f32(vmaxq_f32(x, min), max))
    }

    #[inline(always)]
    fn power_of_two(self, n: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|n| {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        })
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> [int32x4_t; 4] {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        [unsafe { vdupq_n_s32(value) }; 4]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> [int32x4_t; 4] {
        let from = from.as_ptr();
        // SAFETY: NEON as above; all loads are inside the array.
        unsafe { [vld1q_s32(from), vld1q_s32(from.add(4)), vld1q_s32(from.add(8)), vld1q_s32(from.add(12))] }
    }

    #[inline(always)]
    fn add_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(|a, b| vaddq_s32(a, b))
    }

    #[inline(always)]
    fn sub_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(|a, b| vsubq_s32(a, b))
    }

    #[inline(always)]
    fn shift_left_i32<const BITS: u32>(self, a: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(|a| vshlq_s32(a, vdupq_n_s32(BITS as i32)))
    }

    #[inline(always)]
    fn mul_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(|a, b| vmulq_s32(a, b))
    }

    #[inline(always)]
    fn shift_right(self, a: [int32x4_t; 4], bits: u32) -> [int32x4_t; 4] {
        each!(|a| vshlq_s32(a, vdupq_n_s32(-(bits as i32))))
    }

    #[inline(always)]
    fn to_f32(self, a: [int32x4_t; 4]) -> [float32x4_t; 4] {
        each!(|a| vcvtq_f32_s32(a))
    }

    #[inline(always)]
    fn widen(self, from: &[Activation; LANES]) -> [int32x4_t; 4] {
        // SAFETY: NEON as above; the load is the array.
        unsafe {
            let bytes = vld1q_s8(from.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
        }
    }

    #[inline(always)]
    fn store_i16(self, value: [int16x8_t; 2], to: &mut [i16; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: NEON as above; both stores are inside the array.
        unsafe {
            vst1q_s16(to, value[0]);
            vst1q_s16(to.add(8), value[1]);
        }
    }

    #[inline(always)]
    fn center(self, from: &[Activation; LANES]) -> [int16x8_t; 2] {
        // SAFETY: NEON as above; the load is the array.
        unsafe {
            let bytes = vld1q_s8(from.as_ptr());
            [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
        }
    }

    #[inline(always)]
    fn add_i16(self, a: [int16x8_t; 2], b: [int16x8_t; 2]) -> [int16x8_t; 2] {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { [vaddq_s16(a[0], b[0]), vaddq_s16(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub_i16(self, a: [int16x8_t; 2], b: [int16x8_t; 2]) -> [int16x8_t; 2] {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { [vsubq_s16(a[0], b[0]), vsubq_s16(a[1], b[1])] }
    }

    #[inline(always)]
    fn shift_left_i16<const BITS: u32>(self, a: [int16x8_t; 2]) -> [int16x8_t; 2] {
        let bits = BITS as i16;
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { [vshlq_s16(a[0], vdupq_n_s16(bits)), vshlq_s16(a[1], vdupq_n_s16(bits))] }
    }

    #[inline(always)]
    fn splat_bytes(self, value: Activation) -> int8x16_t {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { vdupq_n_s8(value) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[Activation; LANES]) -> int8x16_t {
        // SAFETY: NEON as above; the load is the array.
        unsafe { vld1q_s8(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_bytes(self, value: int8x16_t, to: &mut [Activation; LANES]) {
        // SAFETY: NEON as above; the store is the array.
        unsafe { vst1q_s8(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn max_bytes(self, a: int8x16_t, b: int8x16_t) -> int8x16_t {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { vmaxq_s8(a, b) }
    }

    #[inline(always)]
    fn min_bytes(self, a: int8x16_t, b: int8x16_t) -> int8x16_t {
        // SAFETY: a `Neon` exists only where the CPU has NEON.
        unsafe { vminq_s8(a, b) }
    }

    #[inline(always)]
    fn quantize(self, scaled: [float32x4_t; 4], output: &Output, to: &mut [Activation; LANES]) {
        self.pack(each!(|scaled| vcvtnq_s32_f32(scaled)), output, to);
    }

    #[inline(always)]
    fn pack(self, values: [int32x4_t; 4], output: &Output, to: &mut [Activation; LANES]) {
        let [a, b, c, d] = values;
        // Every step saturates, so that the bounds can wait until the end.
        // SAFETY: NEON as above; the store is the array.
        unsafe {
            let zero_point = vdupq_n_s16(output.zero_point.into());
            let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), zero_point);
            let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), zero_point);
            let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
            let bounded = vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(output.min)), vdupq_n_s8(output.max));
            vst1q_s8(to.as_mut_ptr(), bounded);
        }
    }
}
