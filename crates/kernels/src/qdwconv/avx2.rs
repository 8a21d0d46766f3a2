//! AVX2: pairs of rows as 16-bit, `vpmaddwd`. The 8-bit `vpmaddubsw` would saturate.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows, slide, sweep};
use crate::Activation;
use crate::quantized::Output;
use crate::simd::{Avx2, LANES, Simd};

pub(super) const SLIDE: Kernel =
    Kernel { group: 2, weight: Weight::Word, windows: Windows::ThreeByThree(8), run: slide };
pub(super) const SWEEP: Kernel = Kernel { group: 2, weight: Weight::Word, windows: Windows::All, run: sweep };

#[target_feature(enable = "avx2,fma")]
unsafe fn slide(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { slide::run(Avx2::new(), layer, part, blocks, io) };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn sweep(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: this thread has the rows.
    unsafe { sweep::run::<Avx2, 2, 2>(Avx2::new(), layer, part, blocks, io) };
}

/// What a block of eight channels has at hand.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Pairs of rows: upper or only pair, then the lower; of each pair at stride 1 for each window column those of the
    /// upper and of the lower point, at stride 2 for each window column. They are read where they are used: there are
    /// too many for the registers.
    weights: *const __m256i,
    bias: __m256i,
    multipliers: __m256,
    output: Output,
}

impl slide::Window for Avx2 {
    /// For each channel the upper two rows, and the lower two.
    type Cell = [__m256i; 2];
    type Block = Block;
    type Sums = [__m256i; 2];

    #[inline(always)]
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Block {
        let cells = part.packing.cells(&layer.geometry);
        // SAFETY: AVX2 as its token says; a block has cells of 32 bytes, and eight biases and multipliers.
        unsafe {
            Block {
                weights: part.weights.as_ptr().cast::<__m256i>().add(block * cells),
                bias: _mm256_load_si256(part.bias.as_ptr().add(8 * block).cast()),
                multipliers: _mm256_load_ps(part.multipliers.as_ptr().add(8 * block)),
                output: layer.output,
            }
        }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, _: &Block, rows: [*const Activation; 4]) -> [__m256i; 2] {
        // SAFETY: AVX2 as its token says; there are eight activations at each pointer.
        unsafe {
            let row = |i: usize| _mm_loadl_epi64(rows[i].cast());
            let upper = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(row(0), row(1)));
            if ROWS == 4 {
                [upper, _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(row(2), row(3)))]
            } else {
                // A pair whose second is 0.
                [upper, _mm256_cvtepu8_epi32(row(2))]
            }
        }
    }

    #[inline(always)]
    fn above(self, block: &Block, cells: [[__m256i; 2]; 3]) -> [__m256i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for pair in 0..2 {
                for (kx, cell) in cells.iter().enumerate() {
                    // SAFETY: AVX2 as its token says; at stride 1 a block has twelve cells of weights.
                    *sum = unsafe { madd(*sum, cell[pair], block.weights.add((3 * pair + kx) * 2 + i)) };
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn beside(self, block: &Block, cells: [[__m256i; 2]; 5]) -> [__m256i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for tap in 0..6 {
                // SAFETY: AVX2 as its token says; at stride 2 a block has six cells of weights.
                *sum = unsafe { madd(*sum, cells[2 * i + tap % 3][tap / 3], block.weights.add(tap)) };
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(self, block: &Block, sums: [__m256i; 2], to: [*mut Activation; 2]) {
        // SAFETY: there is room for eight activations at each pointer.
        unsafe { self.store_points(sums, block.multipliers, &block.output, to) };
    }
}

impl Avx2 {
    /// Requantizes the sums of eight channels of two points, the second of which is written first.
    ///
    /// # Safety
    /// There is room for eight activations at each pointer.
    #[inline(always)]
    pub(super) unsafe fn store_points(
        self,
        sums: [__m256i; 2],
        multipliers: __m256,
        output: &Output,
        to: [*mut Activation; 2],
    ) {
        let mut bytes = [0; LANES];
        self.quantize(self.mul(self.to_f32(sums), [multipliers; 2]), output, &mut bytes);
        let bytes: [[Activation; 8]; 2] = bytemuck::must_cast(bytes);
        // SAFETY: as this function's.
        unsafe {
            to[1].cast::<[Activation; 8]>().write(bytes[1]);
            to[0].cast::<[Activation; 8]>().write(bytes[0]);
        }
    }
}

/// Adds the products of pairs. A product is at most 255² in magnitude, so that the sum of two is exact.
///
/// # Safety
/// The CPU has AVX2; there are weights at the pointer.
#[inline(always)]
unsafe fn madd(sum: __m256i, pairs: __m256i, weights: *const __m256i) -> __m256i {
    // SAFETY: as this function's.
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_load_si256(weights))) }
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
        // SAFETY: an `Avx2` exists only where the CPU has AVX2; the loads are the arrays, the stores the halves of the
        // cell.
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
