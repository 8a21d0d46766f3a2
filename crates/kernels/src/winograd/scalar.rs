//! The plain row: channel by channel. `N` is the size of a square, `M` that of a block.

use super::{Block, Square};
use crate::simd::clamp;

/// # Safety
/// What the square points to must be there.
pub(super) unsafe fn input<const N: usize>(square: &Square) {
    for channel in 0..square.channels {
        // SAFETY: each pixel has that channel.
        let pixel = |y: usize, x: usize| unsafe { *square.pixels[y * N + x].add(channel) };
        let columns: [[f32; N]; N] = std::array::from_fn(|x| along_input(std::array::from_fn(|y| pixel(y, x))));
        for y in 0..N {
            for (x, value) in along_input(columns.map(|column| column[y])).into_iter().enumerate() {
                // SAFETY: each place has that channel.
                unsafe { *square.to.add((y * N + x) * square.pitch + channel) = value };
            }
        }
    }
}

/// # Safety
/// What the block points to must be there, and nobody else may use its part of the output.
pub(super) unsafe fn output<const N: usize, const M: usize>(block: &Block) {
    for channel in 0..block.channels {
        // SAFETY: each place has that channel.
        let sum = |y: usize, x: usize| unsafe { *block.sums.add((y * N + x) * block.pitch + channel) };
        let columns: [[f32; M]; N] = std::array::from_fn(|x| along_output::<N, M>(std::array::from_fn(|y| sum(y, x))));
        for y in 0..block.size[0] {
            let row: [f32; M] = along_output(columns.map(|column| column[y]));
            for (x, value) in row.into_iter().enumerate().take(block.size[1]) {
                let at = y * block.strides[0] + x * block.strides[1] + channel;
                // SAFETY: the pixel is inside the output, and has that channel.
                unsafe {
                    let mut value = value + *block.bias.add(channel);
                    if !block.residual.is_null() {
                        value += *block.residual.add(at);
                    }
                    *block.output.add(at) = clamp(value, block.bounds);
                }
            }
        }
    }
}

/// `Bᵀ d`
fn along_input<const N: usize>(d: [f32; N]) -> [f32; N] {
    let mut results = d;
    if N == 4 {
        results.copy_from_slice(&[d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]);
    } else {
        let (near, far) = (d[2].mul_add(-4.0, d[4]), d[1].mul_add(-4.0, d[3]));
        let (even, odd) = (d[4] - d[2], d[3] - d[1]);
        results.copy_from_slice(&[
            d[0].mul_add(4.0, d[2].mul_add(-5.0, d[4])),
            near + far,
            near - far,
            odd.mul_add(2.0, even),
            odd.mul_add(-2.0, even),
            d[1].mul_add(4.0, d[3].mul_add(-5.0, d[5])),
        ]);
    }
    results
}

/// `Aᵀ m`
fn along_output<const N: usize, const M: usize>(m: [f32; N]) -> [f32; M] {
    let mut results = [0.0; M];
    let (even, odd) = (m[1] + m[2], m[1] - m[2]);
    if N == 4 {
        results.copy_from_slice(&[m[0] + even, odd - m[3]]);
    } else {
        let (far_even, far_odd) = (m[3] + m[4], m[3] - m[4]);
        results.copy_from_slice(&[
            m[0] + even + far_even,
            far_odd.mul_add(2.0, odd),
            far_even.mul_add(4.0, even),
            far_odd.mul_add(8.0, odd) + m[5],
        ]);
    }
    results
}
