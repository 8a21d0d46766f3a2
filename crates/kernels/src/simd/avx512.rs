//! Sixteen lanes in AVX-512: one register.

use std::arch::x86_64::*;

use super::{LANES, Simd};
use crate::Activation;
use crate::quantized::{Addition, Output};

/// Proof that this CPU has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof is that the caller runs.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(crate) fn new() -> Avx512 {
        Avx512(())
    }

    /// [`Output::quantize`] of two vectors of scaled sums that are [`NEAR`](crate::quantized::NEAR); the bytes of the
    /// first, then those of the second.
    #[inline(always)]
    pub(crate) fn quantize_near(self, [a, b]: [__m512; 2], output: &Output) -> __m256i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { self.pack_two([_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)], output) }
    }

    /// [`Output::pack`] of two vectors; the bytes of the first, then those of the second.
    #[inline(always)]
    pub(crate) fn pack_two(self, [a, b]: [__m512i; 2], output: &Output) -> __m256i {
        // Every step saturates, so that the bounds can wait until the end.
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe {
            // Each quarter of a register has four of the first vector, then four of the second.
            let words = _mm512_packs_epi32(a, b);
            let shifted = _mm512_adds_epi16(words, _mm512_set1_epi16(output.zero_point.into()));
            let bytes = _mm512_packus_epi16(shifted, shifted);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 4, 8, 12, 1, 5, 9, 13);
            let bytes = _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, bytes));
            let bounded = _mm256_max_epu8(bytes, _mm256_set1_epi8(output.min as i8));
            _mm256_min_epu8(bounded, _mm256_set1_epi8(output.max as i8))
        }
    }

    /// [`Addition::apply`] to what `output` makes of scaled sums and to another tensor's values, before
    /// [`Output::pack`]. The sums' zero point, which is added and taken away again, is left out.
    #[inline(always)]
    pub(crate) fn quantize_and_add(
        self,
        scaled: __m512,
        output: &Output,
        addition: &Addition,
        other: &[Activation; LANES],
    ) -> __m512i {
        let (lower, upper) = output.float_bounds();
        let Addition { multipliers: [own, others], shift, .. } = *addition;
        let offset = addition.offset + i32::from(output.zero_point) * own;
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe {
            let bounded = _mm512_max_ps(_mm512_min_ps(scaled, _mm512_set1_ps(upper)), _mm512_set1_ps(lower));
            let own = _mm512_mullo_epi32(_mm512_cvtps_epi32(bounded), _mm512_set1_epi32(own));
            let others = _mm512_mullo_epi32(self.widen(other), _mm512_set1_epi32(others));
            let sum = _mm512_add_epi32(_mm512_add_epi32(own, others), _mm512_set1_epi32(offset));
            self.shift_right(sum, shift)
        }
    }
}

/// A mask of the first `count` of 16 lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type I16 = __m256i;
    type Bytes = __m128i;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: AVX-512 as above; the load is the array.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        // SAFETY: AVX-512 as above; the store is the array.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: AVX-512 as above; the mask is of what can be read.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }

    #[inline(always)]
    unsafe fn store_first(self, value: __m512, to: *mut f32, count: usize) {
        // SAFETY: AVX-512 as above; the mask is of what can be written.
        unsafe { _mm512_mask_storeu_ps(to, first(count), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn if_nan(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_mask_mov_ps(c, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), b) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> __m512i {
        // SAFETY: AVX-512 as above; the load is the array.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn shift_left_i32<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn shift_right(self, a: __m512i, bits: u32) -> __m512i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn widen(self, from: &[Activation; LANES]) -> __m512i {
        // SAFETY: AVX-512 as above; the load is the array.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_i16(self, value: __m256i, to: &mut [i16; LANES]) {
        // SAFETY: AVX-512 as above; the store is the array.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn center(self, from: &[Activation; LANES]) -> __m256i {
        // SAFETY: AVX-512 as above; the load is the array.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_cvtepi8_epi16(_mm_xor_si128(bytes, _mm_set1_epi8(i8::MIN)))
        }
    }

    #[inline(always)]
    fn add_i16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: AVX-512 as above.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn sub_i16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: AVX-512 as above.
        unsafe { _mm256_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn shift_left_i16<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: AVX-512 as above.
        unsafe { _mm256_sll_epi16(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn splat_bytes(self, value: Activation) -> __m128i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm_set1_epi8(value as i8) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[Activation; LANES]) -> __m128i {
        // SAFETY: AVX-512 as above; the load is the array.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_bytes(self, value: __m128i, to: &mut [Activation; LANES]) {
        // SAFETY: AVX-512 as above; the store is the array.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn max_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm_max_epu8(a, b) }
    }

    #[inline(always)]
    fn min_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512.
        unsafe { _mm_min_epu8(a, b) }
    }

    #[inline(always)]
    fn quantize(self, scaled: __m512, output: &Output, to: &mut [Activation; LANES]) {
        let (lower, upper) = output.float_bounds();
        // SAFETY: AVX-512 as above; the store is the array.
        unsafe {
            let bounded = _mm512_max_ps(_mm512_min_ps(scaled, _mm512_set1_ps(upper)), _mm512_set1_ps(lower));
            let rounded = _mm512_cvtps_epi32(bounded);
            let shifted = _mm512_add_epi32(rounded, _mm512_set1_epi32(output.zero_point.into()));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(shifted));
        }
    }

    #[inline(always)]
    fn pack(self, values: __m512i, output: &Output, to: &mut [Activation; LANES]) {
        let zero_point = i32::from(output.zero_point);
        // SAFETY: AVX-512 as above; the store is the array.
        unsafe {
            let lower = _mm512_set1_epi32(i32::from(output.min) - zero_point);
            let upper = _mm512_set1_epi32(i32::from(output.max) - zero_point);
            let bounded = _mm512_max_epi32(_mm512_min_epi32(values, upper), lower);
            let shifted = _mm512_add_epi32(bounded, _mm512_set1_epi32(zero_point));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(shifted));
        }
    }

    #[inline(always)]
    fn add_to_quantized(
        self,
        scaled: __m512,
        output: &Output,
        addition: &Addition,
        other: &[Activation; LANES],
        to: &mut [Activation; LANES],
    ) {
        self.pack(self.quantize_and_add(scaled, output, addition, other), &addition.output, to);
    }
}
