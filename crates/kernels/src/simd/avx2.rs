//! Sixteen lanes in AVX2: two registers.

use std::arch::x86_64::*;

use super::{LANES, Simd};
use crate::Activation;
use crate::quantized::Output;

/// Proof that this CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof is that the caller runs.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn new() -> Avx2 {
        Avx2(())
    }

    /// [`Output::quantize`] of four vectors of scaled sums that are [`NEAR`](crate::quantized::NEAR); the bytes of the
    /// first two, and of the last two.
    #[inline(always)]
    pub(crate) fn quantize_near(self, [a, b, c, d]: [__m256; 4], output: &Output) -> [__m128i; 2] {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        unsafe {
            let words = |a, b| {
                let words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
                _mm256_adds_epi16(words, _mm256_set1_epi16(output.zero_point.into()))
            };
            // Either half has four bytes of each vector, in turn.
            let bytes = _mm256_packus_epi16(words(a, b), words(c, d));
            let ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            let bounded = _mm256_max_epu8(ordered, _mm256_set1_epi8(output.min as i8));
            let bounded = _mm256_min_epu8(bounded, _mm256_set1_epi8(output.max as i8));
            [_mm256_castsi256_si128(bounded), _mm256_extracti128_si256::<1>(bounded)]
        }
    }
}

/// Both registers through one operation. Written out, since closures are not always inlined.
macro_rules! both {
    (|$($arg:ident),*| $body:expr) => {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        unsafe { [both!(0, $($arg),*; $body), both!(1, $($arg),*; $body)] }
    };
    ($i:literal, $($arg:ident),*; $body:expr) => {{
        $(let $arg = $arg[$i];)*
        $body
    }};
}

impl Simd for Avx2 {
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];
    type I16 = __m256i;
    type Bytes = __m128i;

    #[inline(always)]
    fn splat(self, value: f32) -> [__m256; 2] {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        [unsafe { _mm256_set1_ps(value) }; 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [__m256; 2] {
        // SAFETY: AVX2 as above; both loads are inside the array.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, value: [__m256; 2], to: &mut [f32; LANES]) {
        // SAFETY: AVX2 as above; both stores are inside the array.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), value[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b, c| _mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b| _mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn if_nan(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        both!(|a, b, c| _mm256_blendv_ps(c, b, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)))
    }

    #[inline(always)]
    fn power_of_two(self, n: [__m256; 2]) -> [__m256; 2] {
        both!(|n| {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> [__m256i; 2] {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        [unsafe { _mm256_set1_epi32(value) }; 2]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> [__m256i; 2] {
        let from = from.as_ptr().cast::<__m256i>();
        // SAFETY: AVX2 as above; both loads are inside the array.
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }

    #[inline(always)]
    fn add_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(|a, b| _mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(|a, b| _mm256_sub_epi32(a, b))
    }

    #[inline(always)]
    fn shift_left_i32<const BITS: u32>(self, a: [__m256i; 2]) -> [__m256i; 2] {
        both!(|a| _mm256_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)))
    }

    #[inline(always)]
    fn mul_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(|a, b| _mm256_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn shift_right(self, a: [__m256i; 2], bits: u32) -> [__m256i; 2] {
        both!(|a| _mm256_sra_epi32(a, _mm_cvtsi32_si128(bits as i32)))
    }

    #[inline(always)]
    fn to_f32(self, a: [__m256i; 2]) -> [__m256; 2] {
        both!(|a| _mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn widen(self, from: &[Activation; LANES]) -> [__m256i; 2] {
        // SAFETY: AVX2 as above; both loads are inside the array.
        unsafe {
            let low = _mm_loadl_epi64(from.as_ptr().cast());
            let high = _mm_loadl_epi64(from.as_ptr().add(8).cast());
            [_mm256_cvtepu8_epi32(low), _mm256_cvtepu8_epi32(high)]
        }
    }

    #[inline(always)]
    fn store_i16(self, value: __m256i, to: &mut [i16; LANES]) {
        // SAFETY: AVX2 as above; the store is the array.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn center(self, from: &[Activation; LANES]) -> __m256i {
        // SAFETY: AVX2 as above; the load is the array.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_cvtepi8_epi16(_mm_xor_si128(bytes, _mm_set1_epi8(i8::MIN)))
        }
    }

    #[inline(always)]
    fn add_i16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: AVX2 as above.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn sub_i16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: AVX2 as above.
        unsafe { _mm256_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn shift_left_i16<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: AVX2 as above.
        unsafe { _mm256_sll_epi16(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn splat_bytes(self, value: Activation) -> __m128i {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        unsafe { _mm_set1_epi8(value as i8) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[Activation; LANES]) -> __m128i {
        // SAFETY: AVX2 as above; the load is the array.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_bytes(self, value: __m128i, to: &mut [Activation; LANES]) {
        // SAFETY: AVX2 as above; the store is the array.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn max_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        unsafe { _mm_max_epu8(a, b) }
    }

    #[inline(always)]
    fn min_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        unsafe { _mm_min_epu8(a, b) }
    }

    #[inline(always)]
    fn quantize(self, scaled: [__m256; 2], output: &Output, to: &mut [Activation; LANES]) {
        let (_, upper) = output.float_bounds();
        let upper = self.splat(upper);
        // What is below every bound converts to a large negative number, which packing takes care of.
        self.pack(both!(|scaled, upper| _mm256_cvtps_epi32(_mm256_min_ps(scaled, upper))), output, to);
    }

    #[inline(always)]
    fn pack(self, values: [__m256i; 2], output: &Output, to: &mut [Activation; LANES]) {
        let [low, high] = values;
        // Every step saturates, so that the bounds can wait until the end.
        // SAFETY: AVX2 as above; the store is inside the array.
        unsafe {
            // Registers interleave by halves: lanes 0–3, 8–11 | 4–7, 12–15.
            let packed = _mm256_packs_epi32(low, high);
            let shifted = _mm256_adds_epi16(packed, _mm256_set1_epi16(output.zero_point.into()));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256::<1>(shifted));
            let ordered = _mm_shuffle_epi32::<0b11_01_10_00>(bytes);
            let bounded = _mm_max_epu8(ordered, _mm_set1_epi8(output.min as i8));
            let bounded = _mm_min_epu8(bounded, _mm_set1_epi8(output.max as i8));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bounded);
        }
    }
}
