//! Segmentation: a class for each pixel, from scores or from indices on a grid that is as fine as the model makes it.

use crate::preprocess::Placement;

/// What the one output holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cells {
    /// A score a class: [1, C, H, W], or [1, H, W, C] where the channels are last.
    Scores { channels_last: bool },
    /// One number: class 1 where it is above this, else class 0.
    Foreground { above: f32 },
    /// The class.
    Indices,
}

/// How the one output holds the classes of the picture's pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClassMap {
    pub(crate) cells: Cells,
    pub(crate) classes: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Width and height of the model's input in pixels.
    pub(crate) input: (usize, usize),
}

/// Memory that is kept from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    columns: Vec<Between>,
    row: Vec<f32>,
}

/// Two neighbouring cells of the grid, and how much of the second there is.
#[derive(Clone, Copy, Debug)]
struct Between {
    first: usize,
    second: usize,
    part: f32,
}

impl Between {
    fn nearest(self) -> usize {
        if self.part < 0.5 { self.first } else { self.second }
    }
}

impl ClassMap {
    /// Puts the classes of a picture of `size` pixels into `out`, row after row, by bilinear interpolation of the
    /// scores where there are any. `shown` is the size of the picture that `placement` is about: a mask may be coarser.
    pub(crate) fn read(
        &self,
        values: &[f32],
        placement: &Placement,
        shown: (u32, u32),
        size: (usize, usize),
        scratch: &mut Scratch,
        out: &mut Vec<u16>,
    ) {
        let between = |axis: usize, pixel: usize, pixels: usize, of: u32, cells: usize, side: usize| {
            let in_picture = (pixel as f32 + 0.5) * of as f32 / pixels as f32;
            let in_input = in_picture * placement.scale[axis] + placement.offset[axis];
            let at = (in_input * cells as f32 / side as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let first = at as usize;
            Between { first, second: (first + 1).min(cells - 1), part: at.fract() }
        };
        let Scratch { columns, row } = scratch;
        columns.clear();
        columns.extend((0..size.0).map(|x| between(0, x, size.0, shown.0, self.width, self.input.0)));
        out.clear();
        out.reserve(size.0 * size.1);
        for y in 0..size.1 {
            let rows = between(1, y, size.1, shown.1, self.height, self.input.1);
            match self.cells {
                Cells::Indices => {
                    let cells = &values[rows.nearest() * self.width..][..self.width];
                    // A conversion saturates.
                    out.extend(columns.iter().map(|column| cells[column.nearest()] as u16));
                }
                Cells::Foreground { above } => {
                    self.interpolate_row(values, rows, row);
                    let value =
                        |column: &Between| row[column.first] + (row[column.second] - row[column.first]) * column.part;
                    out.extend(columns.iter().map(|column| u16::from(value(column) > above)));
                }
                Cells::Scores { .. } => {
                    self.interpolate_row(values, rows, row);
                    out.extend(columns.iter().map(|column| self.best_class(row, column)));
                }
            }
        }
    }

    /// Scores a cell of the grid.
    fn depth(&self) -> usize {
        if matches!(self.cells, Cells::Scores { .. }) { self.classes } else { 1 }
    }

    /// The scores between two rows of the grid, those of a cell side by side.
    fn interpolate_row(&self, values: &[f32], rows: Between, row: &mut Vec<f32>) {
        let depth = self.depth();
        row.resize(self.width * depth, 0.0);
        let mix = |a: f32, b: f32| a + (b - a) * rows.part;
        if self.cells == (Cells::Scores { channels_last: false }) {
            let plane = self.height * self.width;
            for class in 0..depth {
                let from = |y: usize| &values[class * plane + y * self.width..][..self.width];
                for (x, (a, b)) in from(rows.first).iter().zip(from(rows.second)).enumerate() {
                    row[x * depth + class] = mix(*a, *b);
                }
            }
        } else {
            let from = |y: usize| &values[y * self.width * depth..][..self.width * depth];
            for (score, (a, b)) in row.iter_mut().zip(from(rows.first).iter().zip(from(rows.second))) {
                *score = mix(*a, *b);
            }
        }
    }

    fn best_class(&self, row: &[f32], column: &Between) -> u16 {
        let cell = |x: usize| &row[x * self.classes..][..self.classes];
        let (mut best, mut best_class) = (f32::NEG_INFINITY, 0);
        for (class, (a, b)) in cell(column.first).iter().zip(cell(column.second)).enumerate() {
            let score = a + (b - a) * column.part;
            if score > best {
                (best, best_class) = (score, class as u16);
            }
        }
        best_class
    }
}
