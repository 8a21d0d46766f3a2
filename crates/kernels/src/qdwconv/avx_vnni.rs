//! AVX-VNNI: of the usual window four rows at a time as bytes, `vpdpbusd`, for CPUs that have no AVX-512.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows, slide};
use crate::Activation;
use crate::quantized::Output;
use crate::simd::Avx2;

pub(super) const SLIDE: Kernel =
    Kernel { group: 4, weight: Weight::Byte(i8::MIN), windows: Windows::ThreeByThree(8), run: slide };

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn slide(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { slide::run(AvxVnni(Avx2::new()), layer, part, blocks, io) };
}

/// Proof that this CPU has AVX2 and AVX-VNNI: only `slide` makes one.
#[derive(Clone, Copy)]
struct AvxVnni(Avx2);

/// What a block of eight channels has in registers.
#[derive(Clone, Copy)]
struct Block {
    /// At stride 1 for each window column those of the upper and of the lower point; at stride 2 for each window
    /// column.
    weights: [__m256i; 6],
    bias: __m256i,
    multipliers: __m256,
    output: Output,
}

impl slide::Window for AvxVnni {
    /// Four bytes for each channel.
    type Cell = __m256i;
    type Block = Block;
    type Sums = [__m256i; 2];

    #[inline(always)]
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Block {
        let cells = part.packing.cells(&layer.geometry);
        // SAFETY: AVX2 as its token says; a block has 6 or 3 cells of 32 bytes, and eight biases and multipliers.
        unsafe {
            let first = part.weights.as_ptr().cast::<__m256i>().add(block * cells);
            let mut weights = [_mm256_setzero_si256(); 6];
            for (i, weights) in weights.iter_mut().enumerate().take(cells) {
                *weights = _mm256_load_si256(first.add(i));
            }
            Block {
                weights,
                bias: _mm256_load_si256(part.bias.as_ptr().add(8 * block).cast()),
                multipliers: _mm256_load_ps(part.multipliers.as_ptr().add(8 * block)),
                output: layer.output,
            }
        }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, _: &Block, rows: [*const Activation; 4]) -> __m256i {
        // SAFETY: AVX2 as its token says; there are eight activations at each pointer.
        unsafe {
            let row = |i: usize| if i < ROWS { _mm_loadl_epi64(rows[i].cast()) } else { _mm_setzero_si128() };
            let (upper, lower) = (_mm_unpacklo_epi8(row(0), row(1)), _mm_unpacklo_epi8(row(2), row(3)));
            let low = _mm256_castsi128_si256(_mm_unpacklo_epi16(upper, lower));
            _mm256_inserti128_si256::<1>(low, _mm_unpackhi_epi16(upper, lower))
        }
    }

    #[inline(always)]
    fn above(self, block: &Block, cells: [__m256i; 3]) -> [__m256i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for (kx, &cell) in cells.iter().enumerate() {
                // SAFETY: AVX-VNNI as its token says.
                *sum = unsafe { _mm256_dpbusd_avx_epi32(*sum, cell, block.weights[2 * kx + i]) };
            }
        }
        sums
    }

    #[inline(always)]
    fn beside(self, block: &Block, cells: [__m256i; 5]) -> [__m256i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for kx in 0..3 {
                // SAFETY: AVX-VNNI as its token says.
                *sum = unsafe { _mm256_dpbusd_avx_epi32(*sum, cells[2 * i + kx], block.weights[kx]) };
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(self, block: &Block, sums: [__m256i; 2], to: [*mut Activation; 2]) {
        // SAFETY: there is room for eight activations at each pointer.
        unsafe { self.0.store_points(sums, block.multipliers, &block.output, to) };
    }
}
