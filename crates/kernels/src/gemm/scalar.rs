//! The plain row: element by element.

use super::Panel;
use crate::simd::{LANES, clamp};

pub(super) fn run(panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]) {
    for (i, tile) in tile.iter_mut().enumerate() {
        let row = &rows[i * stride..][..panel.weights.len()];
        for (lane, output) in tile.iter_mut().enumerate() {
            let mut sum = panel.bias[lane];
            for (value, weights) in row.iter().zip(panel.weights) {
                sum = value.mul_add(weights[lane], sum);
            }
            *output = clamp(sum, panel.bounds);
        }
    }
}
