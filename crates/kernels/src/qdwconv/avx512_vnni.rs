//! AVX-512 VNNI: pairs of rows as 16-bit, `vpdpwssd`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Layer, sweep};
use crate::Activation;
use crate::simd::{Avx512, LANES};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn run(
    layer: &Layer,
    input: &[Activation],
    rows: Range<usize>,
    output: &mut [Activation],
    scratch: &mut [u8],
) {
    sweep::run::<Avx512, 2, 4>(Avx512::new(), layer, input, rows, output, scratch);
}

impl sweep::Dot<2> for Avx512 {
    type Simd = Avx512;
    type Cell = [i16; 32];

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self
    }

    #[inline(always)]
    fn interleave(self, [a, b]: [&[u8; LANES]; 2], cell: &mut [i16; 32]) {
        // SAFETY: an `Avx512` exists only where the CPU has AVX-512; the loads are the arrays, the store the cell.
        unsafe {
            let (a, b) = (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast()));
            let low = _mm256_castsi128_si256(_mm_unpacklo_epi8(a, b));
            let pairs = _mm256_inserti128_si256::<1>(low, _mm_unpackhi_epi8(a, b));
            _mm512_storeu_si512(cell.as_mut_ptr().cast(), _mm512_cvtepu8_epi16(pairs));
        }
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, cell: &[i16; 32], weights: &[i16; 32]) -> __m512i {
        // SAFETY: AVX-512 as above; the loads are the cells.
        unsafe {
            let cell = _mm512_loadu_si512(cell.as_ptr().cast());
            _mm512_dpwssd_epi32(sums, cell, _mm512_loadu_si512(weights.as_ptr().cast()))
        }
    }
}
