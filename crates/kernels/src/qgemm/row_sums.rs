//! Sums of rows of input, which weights with zero points call for, by instructions that every CPU of an architecture
//! has.

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
///
/// # Panics
/// When there are fewer rows than sums.
pub(super) fn row_sums(bytes: &[Activation], stride: usize, depth: usize, sums: &mut [i32]) {
    let Some(last) = sums.len().checked_sub(1) else { return };
    assert!(last * stride + depth <= bytes.len(), "a row for each sum");
    if depth < 16 {
        let rows = bytes.chunks(stride);
        let sum_of = |row: &[Activation]| row[..depth].iter().map(|&value| i32::from(value)).sum();
        return sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum = sum_of(row));
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2; the last row is inside the input, so all are.
        return unsafe { sums_avx2(bytes.as_ptr(), stride, depth, sums) };
    }
    for (i, sum) in sums.iter_mut().enumerate() {
        // SAFETY: as above.
        *sum = unsafe { rest_of(bytes.as_ptr().add(i * stride), depth, 0) };
    }
}

/// The sums of rows of at least 16 bytes.
///
/// # Safety
/// The CPU has AVX2, and there is a row for each sum.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sums_avx2(rows: *const u8, stride: usize, depth: usize, sums: &mut [i32]) {
    use std::arch::x86_64::*;
    let (zero, wide) = (_mm256_setzero_si256(), depth / 32 * 32);
    for (i, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the loads are inside the row; what is left of it after vectors of 32 is less than 32 bytes.
        unsafe {
            let row = rows.add(i * stride);
            let mut wides = zero;
            for at in (0..wide).step_by(32) {
                wides = _mm256_add_epi64(wides, _mm256_sad_epu8(_mm256_loadu_si256(row.add(at).cast()), zero));
            }
            let halves = _mm_add_epi64(_mm256_castsi256_si128(wides), _mm256_extracti128_si256::<1>(wides));
            *sum = _mm_cvtsi128_si32(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves)));
            if wide < depth {
                *sum += rest_of(row, depth, wide);
            }
        }
    }
}

/// The sum of a row's bytes from `from` on, a multiple of 16.
///
/// # Safety
/// The row has so many bytes, at least 16.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn rest_of(row: *const u8, depth: usize, from: usize) -> i32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64; the loads are inside the row, and of the mask.
    unsafe {
        let zero = _mm_setzero_si128();
        let load = |at: usize| _mm_loadu_si128(row.add(at).cast());
        let mask = _mm_loadu_si128(LAST[depth % 16].as_ptr().cast());
        let mut sums = _mm_sad_epu8(_mm_and_si128(load(depth - 16), mask), zero);
        for at in (from..depth - 15).step_by(16) {
            sums = _mm_add_epi64(sums, _mm_sad_epu8(load(at), zero));
        }
        _mm_cvtsi128_si32(_mm_add_epi64(sums, _mm_unpackhi_epi64(sums, sums)))
    }
}

/// The sum of a row's bytes from `start` on, a multiple of 16.
///
/// # Safety
/// The row has so many bytes, at least 16.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn rest_of(row: *const i8, depth: usize, start: usize) -> i32 {
    use std::arch::aarch64::*;
    // Of so many vectors, lanes of 16 bits hold the sums of pairs.
    const MOST: usize = 124;
    // SAFETY: NEON is part of the target; the loads stay inside the row, and the mask.
    unsafe {
        let mut from = row.add(start);
        let mask = vld1q_s8(LAST[depth % 16].as_ptr());
        let mut lanes = vpaddlq_s8(vandq_s8(vld1q_s8(row.add(depth - 16)), mask));
        let mut left = (depth - start) / 16;
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

/// The sum of a row's bytes from `from` on.
///
/// # Safety
/// The row has so many bytes.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn rest_of(row: *const Activation, depth: usize, from: usize) -> i32 {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(row, depth) }
    [from..].iter().map(|&value| i32::from(value)).sum()
}
