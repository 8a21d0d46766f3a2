//! Outlines of objects from prototypes (YOLACT, Bolya et al., 2019): an object's mask is a weighted sum of maps that
//! all objects share, inside of its box.

use super::{Bounds, Outline};
use crate::preprocess::Placement;

/// The maps: [1, M, H, W] or [1, H, W, M].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prototypes {
    pub(crate) count: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels_last: bool,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

impl Prototypes {
    /// The pixels of the picture within `bounds` (of the picture, too) where the weighted sum is positive. `sum` is
    /// memory that is kept.
    pub(crate) fn outline(
        &self,
        maps: &[f32],
        coefficients: &[f32],
        bounds: &Bounds,
        placement: &Placement,
        sum: &mut Vec<f32>,
    ) -> Outline {
        let (left, top) = (bounds.x0.floor() as usize, bounds.y0.floor() as usize);
        let width = (bounds.x1.ceil() as usize).saturating_sub(left);
        let height = (bounds.y1.ceil() as usize).saturating_sub(top);
        // Where in the maps the centre of a pixel of the picture lies; the centre of the first cell is 0.
        let in_maps = |axis: usize, pixel: usize, cells: usize, side: usize| {
            let in_input = (pixel as f32 + 0.5) * placement.scale[axis] + placement.offset[axis];
            (in_input * cells as f32 / side as f32 - 0.5).clamp(0.0, (cells - 1) as f32)
        };
        let column = |x: usize| in_maps(0, x, self.width, self.input.0);
        let row = |y: usize| in_maps(1, y, self.height, self.input.1);
        // Only the cells around the box are summed.
        let reach = |from: f32, to: f32, cells: usize| (from as usize, (to as usize + 1).min(cells - 1));
        let (x0, x1) = reach(column(left), column(left + width), self.width);
        let (y0, y1) = reach(row(top), row(top + height), self.height);
        self.sum(maps, coefficients, (x0, x1), (y0, y1), sum);
        let columns = x1 - x0 + 1;
        let at = |x: usize, y: usize| sum[(y.min(y1) - y0) * columns + x.min(x1) - x0];
        let mut inside = Vec::with_capacity(width * height);
        for y in top..top + height {
            let (cell_y, part_y) = (row(y) as usize, row(y).fract());
            for x in left..left + width {
                let (cell_x, part_x) = (column(x) as usize, column(x).fract());
                let upper = at(cell_x, cell_y) * (1.0 - part_x) + at(cell_x + 1, cell_y) * part_x;
                let lower = at(cell_x, cell_y + 1) * (1.0 - part_x) + at(cell_x + 1, cell_y + 1) * part_x;
                inside.push(upper * (1.0 - part_y) + lower * part_y > 0.0);
            }
        }
        Outline { left, top, width, inside }
    }

    /// The weighted sum of the maps over a rectangle of cells, both ends included.
    fn sum(
        &self,
        maps: &[f32],
        coefficients: &[f32],
        (x0, x1): (usize, usize),
        (y0, y1): (usize, usize),
        sum: &mut Vec<f32>,
    ) {
        let columns = x1 - x0 + 1;
        sum.clear();
        sum.resize(columns * (y1 - y0 + 1), 0.0);
        for (y, sum) in (y0..=y1).zip(sum.chunks_exact_mut(columns)) {
            for (map, coefficient) in coefficients.iter().enumerate().take(self.count) {
                for (x, sum) in (x0..=x1).zip(sum.iter_mut()) {
                    let cell = y * self.width + x;
                    let place = if self.channels_last {
                        cell * self.count + map
                    } else {
                        map * self.height * self.width + cell
                    };
                    *sum += coefficient * maps[place];
                }
            }
        }
    }
}
