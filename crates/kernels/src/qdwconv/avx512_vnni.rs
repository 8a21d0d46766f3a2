//! AVX-512 VNNI: of the usual window four rows at a time as bytes, `vpdpbusd`; of any other one, and where weights are
//! no bytes, pairs of rows as 16-bit, `vpdpwssd`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Io, Kernel, Layer, Part, Weight, Windows, slide, sweep};
use crate::Activation;
use crate::quantized::Output;
use crate::simd::{Avx512, LANES};

pub(super) const SLIDE: Kernel =
    Kernel { group: 4, weight: Weight::Byte(i8::MIN), windows: Windows::ThreeByThree(LANES), run: slide };
pub(super) const SLIDE_WORDS: Kernel =
    Kernel { group: 2, weight: Weight::Word, windows: Windows::ThreeByThree(LANES), run: slide_words };
pub(super) const SWEEP: Kernel = Kernel { group: 2, weight: Weight::Word, windows: Windows::All, run: sweep };

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn slide(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { slide::run(Avx512::new(), layer, part, blocks, io) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn slide_words(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: the part was packed for this kernel.
    unsafe { slide::run(Words(Avx512::new()), layer, part, blocks, io) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn sweep(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    // SAFETY: this thread has the rows.
    unsafe { sweep::run::<Avx512, 2, 4>(Avx512::new(), layer, part, blocks, io) };
}

/// What a block of 16 channels has in registers.
#[derive(Clone, Copy)]
pub(super) struct Block<const WEIGHTS: usize> {
    /// Group by group; at stride 1 for each window column those of the upper and of the lower point, at stride 2 for
    /// each window column.
    weights: [__m512i; WEIGHTS],
    bias: __m512i,
    multipliers: __m512,
    output: Output,
    /// [`ORDERS`]
    orders: [__m512i; 2],
}

impl<const WEIGHTS: usize> Block<WEIGHTS> {
    /// # Safety
    /// The part has the block, of up to so many cells of weights.
    #[inline(always)]
    unsafe fn new(_: Avx512, layer: &Layer, part: &Part, block: usize) -> Self {
        let cells = part.packing.cells(&layer.geometry);
        // SAFETY: AVX-512 as the token says; cells have 64 bytes, and a block has 16 biases and multipliers.
        unsafe {
            let first = part.weights.as_ptr().cast::<__m512i>().add(block * cells);
            let mut weights = [_mm512_setzero_si512(); WEIGHTS];
            for (i, weights) in weights.iter_mut().enumerate().take(cells) {
                *weights = _mm512_load_si512(first.add(i));
            }
            Block {
                weights,
                bias: _mm512_load_si512(part.bias.as_ptr().add(LANES * block).cast()),
                multipliers: _mm512_load_ps(part.multipliers.as_ptr().add(LANES * block)),
                output: layer.output,
                // Opaque, or else the compiler replaces the two shuffles by six that it believes to be cheaper.
                orders: [
                    _mm512_loadu_si512(slide::opaque(ORDERS.0.as_ptr()).cast()),
                    _mm512_loadu_si512(slide::opaque(ORDERS.1.as_ptr()).cast()),
                ],
            }
        }
    }

    /// # Safety
    /// There is room for 16 activations at each pointer.
    #[inline(always)]
    unsafe fn store(&self, simd: Avx512, sums: [__m512i; 2], to: [*mut Activation; 2]) {
        // SAFETY: AVX-512 as the token says; the room as above.
        unsafe {
            let scaled = [
                _mm512_mul_ps(_mm512_cvtepi32_ps(sums[0]), self.multipliers),
                _mm512_mul_ps(_mm512_cvtepi32_ps(sums[1]), self.multipliers),
            ];
            let bytes = simd.quantize_near(scaled, &self.output);
            _mm_storeu_si128(to[1].cast(), _mm256_extracti128_si256::<1>(bytes));
            _mm_storeu_si128(to[0].cast(), _mm256_castsi256_si128(bytes));
        }
    }
}

impl slide::Window for Avx512 {
    /// Four bytes for each channel.
    type Cell = __m512i;
    type Block = Block<6>;
    type Sums = [__m512i; 2];

    #[inline(always)]
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Block<6> {
        // SAFETY: as this function's.
        unsafe { Block::new(self, layer, part, block) }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, block: &Block<6>, rows: [*const Activation; 4]) -> __m512i {
        // SAFETY: AVX-512 as its token says; there are 16 activations at each pointer.
        unsafe {
            let row = |i: usize| _mm_loadu_si128(rows[i].cast());
            let upper = _mm512_castsi256_si512(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(0)), row(1)));
            let lower = if ROWS == 4 {
                _mm512_castsi256_si512(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(2)), row(3)))
            } else {
                _mm512_zextsi128_si512(row(2))
            };
            // First the rows of four channels are brought together, then those of each.
            let [fours, each] = block.orders;
            _mm512_shuffle_epi8(_mm512_permutex2var_epi32(upper, fours, lower), each)
        }
    }

    #[inline(always)]
    fn above(self, block: &Block<6>, cells: [__m512i; 3]) -> [__m512i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for (kx, &cell) in cells.iter().enumerate() {
                // SAFETY: AVX-512 as its token says.
                *sum = unsafe { _mm512_dpbusd_epi32(*sum, cell, block.weights[2 * kx + i]) };
            }
        }
        sums
    }

    #[inline(always)]
    fn beside(self, block: &Block<6>, cells: [__m512i; 5]) -> [__m512i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for kx in 0..3 {
                // SAFETY: AVX-512 as its token says.
                *sum = unsafe { _mm512_dpbusd_epi32(*sum, cells[2 * i + kx], block.weights[kx]) };
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(self, block: &Block<6>, sums: [__m512i; 2], to: [*mut Activation; 2]) {
        // SAFETY: as this function's.
        unsafe { block.store(self, sums, to) };
    }
}

/// The same with weights of 16 bits.
#[derive(Clone, Copy)]
struct Words(Avx512);

impl slide::Window for Words {
    /// For each channel the upper two rows, and the lower two.
    type Cell = [__m512i; 2];
    type Block = Block<12>;
    type Sums = [__m512i; 2];

    #[inline(always)]
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Block<12> {
        // SAFETY: as this function's.
        unsafe { Block::new(self.0, layer, part, block) }
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, _: &Block<12>, rows: [*const Activation; 4]) -> [__m512i; 2] {
        // SAFETY: AVX-512 as its token says; there are 16 activations at each pointer.
        unsafe {
            let upper = pairs(_mm_loadu_si128(rows[0].cast()), _mm_loadu_si128(rows[1].cast()));
            let third = _mm_loadu_si128(rows[2].cast());
            if ROWS == 4 {
                [upper, pairs(third, _mm_loadu_si128(rows[3].cast()))]
            } else {
                // A pair whose second is 0.
                [upper, _mm512_cvtepu8_epi32(third)]
            }
        }
    }

    #[inline(always)]
    fn above(self, block: &Block<12>, cells: [[__m512i; 2]; 3]) -> [__m512i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for pair in 0..2 {
                for (kx, cell) in cells.iter().enumerate() {
                    // SAFETY: AVX-512 as its token says.
                    *sum = unsafe { _mm512_dpwssd_epi32(*sum, cell[pair], block.weights[(3 * pair + kx) * 2 + i]) };
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn beside(self, block: &Block<12>, cells: [[__m512i; 2]; 5]) -> [__m512i; 2] {
        let mut sums = [block.bias; 2];
        for (i, sum) in sums.iter_mut().enumerate() {
            for tap in 0..6 {
                // SAFETY: AVX-512 as its token says.
                *sum = unsafe { _mm512_dpwssd_epi32(*sum, cells[2 * i + tap % 3][tap / 3], block.weights[tap]) };
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(self, block: &Block<12>, sums: [__m512i; 2], to: [*mut Activation; 2]) {
        // SAFETY: as this function's.
        unsafe { block.store(self.0, sums, to) };
    }
}

/// Sixteen pairs of bytes, as words.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn pairs(a: __m128i, b: __m128i) -> __m512i {
    // SAFETY: as this function's.
    unsafe {
        let low = _mm256_castsi128_si256(_mm_unpacklo_epi8(a, b));
        _mm512_cvtepu8_epi16(_mm256_inserti128_si256::<1>(low, _mm_unpackhi_epi8(a, b)))
    }
}

/// How a cell is made of four rows of sixteen bytes: which four bytes go where, so that the rows of four channels come
/// together, and then which bytes of those, so that the rows of each do.
static ORDERS: ([u32; 16], [u8; 64]) = {
    let (mut fours, mut each) = ([0; 16], [0; 64]);
    let mut i = 0;
    while i < 64 {
        // The upper two rows are in one register, the lower two in another, which begins at 16.
        let row = i / 4 % 4;
        fours[i / 4] = (row / 2 * 16 + row % 2 * 4 + i / 16) as u32;
        each[i] = (i % 4 * 4 + i / 4 % 4) as u8;
        i += 1;
    }
    (fours, each)
};

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
            _mm512_storeu_si512(cell.as_mut_ptr().cast(), pairs(a, b));
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
