//! AVX2: pairs of rows as 16-bit, `vpmaddwd`. The 8-bit `vpmaddubsw` would saturate.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Layer, sweep};
use crate::Activation;
use crate::simd::{Avx2, LANES};

#[target_feature(enable = "avx2")]
pub(super) fn run(
    layer: &Layer,
    input: &[Activation],
    rows: Range<usize>,
    output: &mut [Activation],
    scratch: &mut [u8],
) {
    sweep::run::<Avx2, 2, 2>(Avx2::new(), layer, input, rows, output, scratch);
}

impl sweep::Dot<2> for Avx2 {
    type Simd = Avx2;
    type Cell = [i16; 32];

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self
    }

    #[inline(always)]
    fn interleave(self, [a, b]: [&[u8; LANES]; 2], cell: &mut [i16; 32]) {
        let cell = cell.as_mut_ptr().cast::<__m256i>();
        // SAFETY: an `Avx2` exists only where the CPU has AVX2; the loads are the arrays, the stores the halves of the cell.
        unsafe {
            let (a, b) = (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast()));
            _mm256_storeu_si256(cell, _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)));
            _mm256_storeu_si256(cell.add(1), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)));
        }
    }

    #[inline(always)]
    fn dot(self, sums: [__m256i; 2], cell: &[i16; 32], weights: &[i16; 32]) -> [__m256i; 2] {
        let (cell, weights) = (cell.as_ptr().cast::<__m256i>(), weights.as_ptr().cast::<__m256i>());
        // A product is at most 255² in magnitude, so that the sum of two is exact.
        // SAFETY: AVX2 as above; the loads are the halves of the cells.
        unsafe {
            let low = _mm256_madd_epi16(_mm256_loadu_si256(cell), _mm256_loadu_si256(weights));
            let high = _mm256_madd_epi16(_mm256_loadu_si256(cell.add(1)), _mm256_loadu_si256(weights.add(1)));
            [_mm256_add_epi32(sums[0], low), _mm256_add_epi32(sums[1], high)]
        }
    }
}
