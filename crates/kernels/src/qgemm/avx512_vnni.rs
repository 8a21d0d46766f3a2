//! AVX-512 VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte to each of sixteen sums.

use std::arch::x86_64::*;

use super::{Block, Element, Kernel};
use crate::quantized::NEAR;
use crate::simd::{Avx512, LANES, Simd, for_each_tile};

/// Twenty-four of the thirty-two registers are sums, which are enough to hide how long each takes.
const ROWS: usize = 12;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: 2 * LANES,
    granule: LANES,
    depth_multiple: 4,
    depth_group: 4,
    weights: Element::Byte,
    input: Element::Byte,
    word_sums: false,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has AVX-512 F, BW, DQ, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply(block: &Block) {
    // SAFETY: the tiles are inside the block.
    unsafe {
        if block.columns == LANES {
            for_each_tile!(block.rows, ROWS, [1 2 3 4 5 6 7 8 9 10 11 12], |R, row| tile::<R, 1>(block, row))
        } else {
            for_each_tile!(block.rows, ROWS, [1 2 3 4 5 6 7 8 9 10 11 12], |R, row| tile::<R, 2>(block, row))
        }
    }
}

/// `R` rows from `row` on, `V` vectors of columns.
///
/// # Safety
/// As [`multiply`]; the rows are inside the block, and its columns are sixteen times `V`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, row: usize) {
    let simd = Avx512::new();
    // SAFETY: for each of the columns there are a bias, a multiplier, a shift if there are shifts, and for each four of
    // the depth four weights. Each input row has `depth` bytes, a multiple of four.
    let (sums, multipliers) = unsafe {
        let (mut bias, mut multipliers) = ([_mm512_setzero_si512(); V], [_mm512_setzero_ps(); V]);
        for v in 0..V {
            bias[v] = simd.load_i32(&*block.bias.add(v * LANES).cast());
            multipliers[v] = simd.load(&*block.multipliers.add(v * LANES).cast());
        }
        let mut sums = [bias; R];
        let input = block.input_rows::<u8, R>(row);
        let mut weights = block.weights.cast::<__m512i>();
        for k in (0..block.depth).step_by(4) {
            let mut columns = [_mm512_setzero_si512(); V];
            for column in &mut columns {
                *column = _mm512_load_si512(weights);
                weights = weights.add(1);
            }
            for r in 0..R {
                let four = _mm512_set1_epi32(input[r].add(k).cast::<i32>().read_unaligned());
                for v in 0..V {
                    sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], four, columns[v]);
                }
            }
        }
        if let Some((shifts, row_sums)) = block.shifts {
            for (r, sums) in sums.iter_mut().enumerate() {
                let row_sum = simd.splat_i32(*row_sums.add(row + r));
                for (v, sum) in sums.iter_mut().enumerate() {
                    let shift = simd.load_i32(&*shifts.add(v * LANES).cast());
                    *sum = simd.add_i32(*sum, _mm512_mullo_epi32(shift, row_sum));
                }
            }
        }
        (sums, multipliers)
    };
    // SAFETY: the tile is inside the block.
    unsafe {
        let (_, reach, addition) = block.epilogue.parts();
        match (addition.is_some(), reach < NEAR) {
            (false, true) => finish_near::<R, V, false>(block, row, sums, multipliers),
            (true, true) => finish_near::<R, V, true>(block, row, sums, multipliers),
            (false, false) => finish::<R, V, false>(block, row, sums, multipliers),
            (true, false) => finish::<R, V, true>(block, row, sums, multipliers),
        }
    }
}

/// The epilogue of a tile whose sums are [`NEAR`](crate::quantized::NEAR): two vectors at a time.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn finish_near<const R: usize, const V: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[__m512i; V]; R],
    multipliers: [__m512; V],
) {
    let simd = Avx512::new();
    let (output, _, addition) = block.epilogue.parts();
    // Of one row, or of two rows of a narrow panel. The last, if it has no pair, goes twice.
    for first in (0..R * V).step_by(2) {
        let last = (first + 1).min(R * V - 1);
        let [(r0, v0), (r1, v1)] = [(first / V, first % V), (last / V, last % V)];
        let scaled = [
            simd.mul(simd.to_f32(sums[r0][v0]), multipliers[v0]),
            simd.mul(simd.to_f32(sums[r1][v1]), multipliers[v1]),
        ];
        let places = [(row + r0, v0 * LANES), (row + r1, v1 * LANES)];
        // SAFETY: the rows and columns are those of the tile; where another tensor is added, it has them, too.
        unsafe {
            let result = if let (true, Some(addition)) = (ADDS, &addition) {
                let mut added = [_mm512_setzero_si512(); 2];
                for i in 0..2 {
                    let (row, column) = places[i];
                    let other = &*block.residual_row(row).add(column).cast();
                    added[i] = simd.quantize_and_add(scaled[i], &output, addition, other);
                }
                simd.pack_two(added, &addition.output)
            } else {
                simd.quantize_near(scaled, &output)
            };
            if V == 2 {
                _mm256_storeu_si256(block.output_row(row + r0).cast(), result);
            } else {
                let [(first, _), (last, _)] = places;
                _mm_storeu_si128(block.output_row(last).cast(), _mm256_extracti128_si256::<1>(result));
                _mm_storeu_si128(block.output_row(first).cast(), _mm256_castsi256_si128(result));
            }
        }
    }
}

/// The epilogue of a tile whose sums may be anything.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn finish<const R: usize, const V: usize, const ADDS: bool>(
    block: &Block,
    row: usize,
    sums: [[__m512i; V]; R],
    multipliers: [__m512; V],
) {
    let (simd, epilogue) = (Avx512::new(), *block.epilogue);
    for i in 0..R * V {
        let (r, v) = (i / V, i % V);
        // SAFETY: the rows and columns are those of the tile.
        unsafe {
            block.finish::<_, 1, LANES, ADDS>(simd, &epilogue, sums[r][v], multipliers[v], [(row + r, v * LANES)])
        };
    }
}
