//! Sums of rows of input, which weights with zero points call for, by instructions that every CPU of an architecture has.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;

use crate::Activation;

/// Of the last bytes of a row, as many as are over after whole vectors.
#[cfg(target_arch = "aarch64")]
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
///
/// # Panics
/// When `bytes` has fewer rows than there are `sums`.
#[cfg(target_arch = "aarch64")]
pub(super) fn row_sums(bytes: &[Activation], stride: usize, depth: usize, sums: &mut [i32]) {
    // Of so many vectors, lanes of 16 bits hold the sums of pairs.
    const MOST: usize = 124;
    let Some(last) = sums.len().checked_sub(1) else { return };
    let bytes = &bytes[..last * stride + depth];
    if depth < 16 {
        let rows = bytes.chunks(stride);
        return sums
            .iter_mut()
            .zip(rows)
            .for_each(|(sum, row)| *sum = row[..depth].iter().map(|&a| i32::from(a)).sum());
    }
    // SAFETY: NEON is part of the target; there are so many rows of at least 16 bytes, and loads stay inside them.
    unsafe {
        let mask = vld1q_s8(LAST[depth % 16].as_ptr());
        for (row, sum) in sums.iter_mut().enumerate() {
            let mut from = bytes.as_ptr().add(row * stride);
            let last = vld1q_s8(from.add(depth - 16));
            let mut lanes = vpaddlq_s8(vandq_s8(last, mask));
            let mut left = depth / 16;
            *sum = 0;
            while left > MOST {
                for _ in 0..MOST {
                    lanes = vpadalq_s8(lanes, vld1q_s8(from));
                    from = from.add(16);
                }
                *sum += vaddlvq_s16(lanes);
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
            *sum += vaddlvq_s16(lanes);
        }
    }
}

/// The sums of rows of input, which are `stride` bytes apart and `depth` long.
#[cfg(not(target_arch = "aarch64"))]
pub(super) fn row_sums(bytes: &[Activation], stride: usize, depth: usize, sums: &mut [i32]) {
    for (sum, row) in sums.iter_mut().zip(bytes.chunks(stride)) {
        let (vectors, rest) = row[..depth].as_chunks::<16>();
        *sum = vectors.iter().map(sum_of_16).sum::<i32>() + rest.iter().map(|&value| i32::from(value)).sum::<i32>();
    }
}

#[cfg(target_arch = "x86_64")]
fn sum_of_16(values: &[u8; 16]) -> i32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64; the load is the array.
    unsafe {
        let halves = _mm_sad_epu8(_mm_loadu_si128(values.as_ptr().cast()), _mm_setzero_si128());
        _mm_cvtsi128_si32(halves) + _mm_extract_epi16::<4>(halves)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn sum_of_16(values: &[Activation; 16]) -> i32 {
    values.iter().map(|&value| i32::from(value)).sum()
}
