//! The plain row: element by element.

use super::Tile;
use crate::simd::clamp;

/// # Safety
/// As [`super::Run`].
pub(super) unsafe fn run(tile: &Tile) {
    for row in 0..tile.rows {
        for column in 0..tile.columns {
            // SAFETY: row and column are inside the tile, piece and element inside the window. Panels have no more columns
            // than they need, as a vector is a single column.
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
