//! Table lookup in NEON: `tbl` and `tbx` search 64 entries at a time. The registers hold the whole table.

use std::arch::aarch64::*;

use super::scalar;
use crate::Activation;
use crate::simd::{LANES, starts, vector, vector_mut};

#[target_feature(enable = "neon")]
pub(super) fn lookup(table: &[Activation; 256], input: &[Activation], output: &mut [Activation]) {
    if output.len() < LANES {
        return scalar::lookup(table, input, output);
    }
    let entries = table.as_ptr();
    // SAFETY: the four loads of 64 bytes are the table.
    let [first, second, third, fourth] = unsafe {
        [
            vld1q_s8_x4(entries),
            vld1q_s8_x4(entries.add(64)),
            vld1q_s8_x4(entries.add(128)),
            vld1q_s8_x4(entries.add(192)),
        ]
    };
    for start in starts(output.len()) {
        // SAFETY: the load is the vector.
        let index = unsafe { vld1q_u8(vector(input, start).as_ptr().cast()) };
        // An index outside a quarter leaves the lane alone.
        let mut found = vqtbl4q_s8(first, index);
        found = vqtbx4q_s8(found, second, veorq_u8(index, vdupq_n_u8(0x40)));
        found = vqtbx4q_s8(found, third, veorq_u8(index, vdupq_n_u8(0x80)));
        found = vqtbx4q_s8(found, fourth, veorq_u8(index, vdupq_n_u8(0xc0)));
        // SAFETY: the store is the vector.
        unsafe { vst1q_s8(vector_mut(output, start).as_mut_ptr(), found) };
    }
}
