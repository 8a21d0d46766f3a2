//! Sums of rows of input, which weights with zero points call for, by instructions that every CPU of an architecture has.

use crate::Activation;

/// Of the last 16 bytes of a row, those that are over after whole vectors, by their number.
static LAST: [[i8; 16]; 16] = {
    let mut masks = [[0; 16]; 16];
    let mut rest = 0;
    while rest < 16 {
        let mut i = 0;
        while i < rest {
            masks[rest][15 - i] = -1;
            i += 1;
        }
        rest += 1;
    }
    masks
};

/// The sums of rows of input, which are `stride` bytes apart and `depth` long.
pub(super) fn row_sums(bytes: &[Activation], stride: usize, depth: usize, sums: &mut [i32]) {
    let mask = &LAST[depth % 16];
    for (sum, row) in sums.iter_mut().zip(bytes.chunks(stride)) {
        let row = &row[..depth];
        *sum = match row.last_chunk() {
            Some(last) => sum_of(row, last, mask),
            None => row.iter().map(|&value| i32::from(value)).sum(),
        };
    }
}

/// The sum of the whole vectors of a row, and of those of its last bytes that the mask leaves.
#[cfg(target_arch = "x86_64")]
fn sum_of(row: &[u8], last: &[u8; 16], mask: &[i8; 16]) -> i32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64; the loads are the arrays.
    unsafe {
        let zero = _mm_setzero_si128();
        let rest = _mm_and_si128(_mm_loadu_si128(last.as_ptr().cast()), _mm_loadu_si128(mask.as_ptr().cast()));
        let mut sums = _mm_sad_epu8(rest, zero);
        for vector in row.as_chunks::<16>().0 {
            sums = _mm_add_epi64(sums, _mm_sad_epu8(_mm_loadu_si128(vector.as_ptr().cast()), zero));
        }
        _mm_cvtsi128_si32(sums) + _mm_cvtsi128_si32(_mm_unpackhi_epi64(sums, sums))
    }
}

/// The sum of the whole vectors of a row, and of those of its last bytes that the mask leaves.
#[cfg(target_arch = "aarch64")]
fn sum_of(row: &[i8], last: &[i8; 16], mask: &[i8; 16]) -> i32 {
    use std::arch::aarch64::*;
    // Of so many vectors, lanes of 16 bits hold the sums of pairs.
    const MOST: usize = 124;
    // SAFETY: NEON is part of the target; the loads stay inside the row, and the arrays.
    unsafe {
        let mut from = row.as_ptr();
        let mut lanes = vpaddlq_s8(vandq_s8(vld1q_s8(last.as_ptr()), vld1q_s8(mask.as_ptr())));
        let mut left = row.len() / 16;
        let mut sum = 0;
        while left > MOST {
            for _ in 0..MOST {
                lanes = vpadalq_s8(lanes, vld1q_s8(from));
                from = from.add(16);
            }
            sum += vaddlvq_s16(lanes);
            lanes = vdupq_n_s16(0);
            left -= MOST;
        }
        while left >= 4 {
            let int8x16x4_t(a, b, c, d) = vld1q_s8_x4(from);
            lanes = vpadalq_s8(vpadalq_s8(vpadalq_s8(vpadalq_s8(lanes, a), b), c), d);
            from = from.add(64);
            left -= 4;
        }
        if left & 2 != 0 {
            let int8x16x2_t(a, b) = vld1q_s8_x2(from);
            lanes = vpadalq_s8(vpadalq_s8(lanes, a), b);
            from = from.add(32);
        }
        if left & 1 != 0 {
            lanes = vpadalq_s8(lanes, vld1q_s8(from));
        }
        sum + vaddlvq_s16(lanes)
    }
}

/// The sum of the whole vectors of a row, and of those of its last bytes that the mask leaves.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn sum_of(row: &[Activation], _: &[Activation; 16], _: &[i8; 16]) -> i32 {
    row.iter().map(|&value| i32::from(value)).sum()
}
