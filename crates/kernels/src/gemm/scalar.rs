//! The plain row: element by element.

use super::{Element, Half, Tile};
use crate::simd::clamp;

/// # Safety
/// As [`super::Run`].
pub(super) unsafe fn run(tile: &Tile) {
    for row in 0..tile.rows {
        for column in 0..tile.columns {
            // SAFETY: row and column are inside the tile, piece and element inside the window. Panels have no more
            // columns than they need, as a vector is a single column.
            unsafe {
                let output = tile.output.add(row * tile.stride + column);
                let mut sum = if tile.start.is_null() { *output } else { *tile.start.add(column) };
                for piece in 0..tile.count {
                    let values = (*tile.pieces.add(piece * tile.rows + row)).add(tile.offset);
                    for k in 0..tile.len {
                        let weight = *tile.weights.add((piece * tile.len + k) * tile.columns + column);
                        sum = (*values.add(k)).mul_add(weight, sum);
                    }
                }
                if !tile.residual.is_null() {
                    sum += *tile.residual.add(row * tile.stride + column);
                }
                *output = clamp(sum, tile.bounds);
            }
        }
    }
}

/// # Safety
/// As [`super::Run`].
pub(super) unsafe fn run_half(tile: &Tile<Half>) {
    for row in 0..tile.rows {
        for column in 0..tile.columns {
            // SAFETY: as above; elements that lie together do so for each column, and those that pad a piece are not
            // read.
            unsafe {
                let output = tile.output.add(row * tile.stride + column);
                let start = if tile.start.is_null() { *output } else { *tile.start.add(column) };
                let pitch = tile.len.next_multiple_of(Half::TOGETHER);
                let products = (0..tile.count).flat_map(|piece| {
                    let values = (*tile.pieces.add(piece * tile.rows + row)).add(tile.offset);
                    (0..tile.len).step_by(Half::TOGETHER).map(move |k| {
                        let at = (piece * pitch + k) * tile.columns + column * Half::TOGETHER;
                        std::array::from_fn(|i| {
                            let value = if k + i < tile.len { *values.add(k + i) } else { Half::default() };
                            [value, *tile.weights.add(at + i)]
                        })
                    })
                });
                let mut sum = Half::sum_of_products(start, products);
                if !tile.residual.is_null() {
                    sum += *tile.residual.add(row * tile.stride + column);
                }
                *output = clamp(sum, tile.bounds);
            }
        }
    }
}
