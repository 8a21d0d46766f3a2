//! The plain row: every other one must equal it bit for bit.

use super::transform::{INNER, NINTH, OUTER, input_line, output_line, shift};
use super::{CENTER, InputTile, Kernel, OutputTile, Product};
use crate::Activation;
use crate::simd::LANES;

pub(super) const KERNEL: Kernel =
    Kernel { rows: 1, columns: LANES, depth_group: 1, bytes_for_word: 1, input, multiply, output };

/// # Safety
/// As [`Kernel::input`].
unsafe fn input(tile: &InputTile) {
    for c in 0..tile.depth {
        // SAFETY: each of the pixels has `depth` channels.
        let value = |pixel: *const Activation| i32::from(unsafe { *pixel.add(c) }) - i32::from(CENTER);
        let lines = tile.pixels.map(|line| input_line(line.map(value)));
        let columns: [_; INNER] = std::array::from_fn(|x| input_line(std::array::from_fn(|y| lines[y][x])));
        for (x, column) in columns.into_iter().enumerate() {
            for (y, value) in column.into_iter().enumerate() {
                // SAFETY: each of the 36 matrices has a row of `depth` words for the tile.
                unsafe { *tile.to.add((y * INNER + x) * tile.stride + c) = value as i16 };
            }
        }
    }
}

/// # Safety
/// As [`Kernel::multiply`].
unsafe fn multiply(product: &Product) {
    let &Product { rows, depth, columns, .. } = product;
    // SAFETY: the product's factors and sums are as long as its sizes say.
    let (input, weights, sums) = unsafe {
        (
            std::slice::from_raw_parts(product.input, rows * depth),
            std::slice::from_raw_parts(product.weights, depth * columns),
            std::slice::from_raw_parts_mut(product.sums, rows * columns),
        )
    };
    for (row, sums) in input.chunks_exact(depth).zip(sums.chunks_exact_mut(columns)) {
        sums.fill(0);
        for (&value, weights) in row.iter().zip(weights.chunks_exact(columns)) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
            }
        }
    }
}

/// # Safety
/// As [`Kernel::output`].
unsafe fn output(tile: &OutputTile) {
    for column in 0..tile.columns {
        // SAFETY: each of the 36 matrices has `columns` sums for the tile.
        let sum = |y: usize, x: usize| unsafe { *tile.sums.add((y * INNER + x) * tile.stride + column) };
        let lines: [[i32; OUTER]; INNER] = std::array::from_fn(|y| output_line(std::array::from_fn(|x| sum(y, x))));
        let columns: [_; OUTER] = std::array::from_fn(|x| output_line(std::array::from_fn(|y| lines[y][x])));
        for (x, sums) in columns.into_iter().enumerate().take(tile.size[1]) {
            for (y, sum) in sums.into_iter().enumerate().take(tile.size[0]) {
                let sum = (sum.wrapping_mul(NINTH) >> shift(y, x)).wrapping_add(tile.bias[column]);
                let q = tile.output.quantize(sum as f32 * tile.multipliers[column]);
                let place = y * tile.steps[0] + x * tile.steps[1] + column;
                // SAFETY: the pixel is inside the image, and where another tensor is added, it has it, too.
                unsafe {
                    let other = || *tile.residual.add(place);
                    *tile.to.add(place) = tile.addition.map_or(q, |addition| addition.apply(q, other()));
                }
            }
        }
    }
}
