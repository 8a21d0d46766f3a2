//! The 3×3 window, once for every CPU: it slides along rows that lie in memory as the layer before wrote them.
//!
//! For a block of channels, whose weights stay in registers, and two neighbouring points of the output at a time, one
//! above the other at stride 1 and side by side at stride 2:
//!
//! 1. A *cell* is loaded: one column of the four rows (stride 1) or three rows (stride 2) under the windows.
//! 2. Of the last three cells (stride 1) or five (stride 2), both points' sums are made.
//! 3. They are requantized while they are in registers.
//!
//! Rows outside of the image are a row of padding in scratch memory; columns outside are that row's, too.

use std::ops::Range;

use super::{Io, Layer, Part, Rows};
use crate::Activation;
use crate::geometry::Geometry;
use crate::simd::LANES;
use crate::threads::Disjoint;

/// Bytes of the rows that blocks of channels pass over in turn: about a first-level cache.
const AREA_BYTES: usize = 24 << 10;

/// The most steps down the image in one area.
const MOST_LINES: usize = 16;

/// What a slide asks of an instruction set.
pub(super) trait Window: Copy {
    /// A column of the rows under the windows.
    type Cell: Copy;
    /// A block's weights, biases and multipliers, and how sums become activations.
    type Block: Copy;
    /// The sums of two points.
    type Sums: Copy;

    /// # Safety
    /// The part was packed for this kernel and has the block.
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Self::Block;

    /// The cell of `ROWS` rows, 3 or 4; a fourth one is not read if there are 3.
    ///
    /// # Safety
    /// At each pointer there are as many activations as a block has channels.
    unsafe fn cell<const ROWS: usize>(self, block: &Self::Block, rows: [*const Activation; 4]) -> Self::Cell;

    /// The sums of two points, one above the other, under cells of four rows.
    fn above(self, block: &Self::Block, cells: [Self::Cell; 3]) -> Self::Sums;

    /// The sums of two points, side by side at stride 2, under cells of three rows.
    fn beside(self, block: &Self::Block, cells: [Self::Cell; 5]) -> Self::Sums;

    /// Marks where the innermost loop begins and ends, for llvm-mca (`benchmarks/mca`).
    #[inline(always)]
    fn mark_loop(self, _begins: bool) {}

    /// Requantizes the sums. The second point is written first: if it does not exist, it is in the first one's place.
    ///
    /// # Safety
    /// At each pointer there is room for as many activations as a block has channels.
    unsafe fn store(self, block: &Self::Block, sums: Self::Sums, to: [*mut Activation; 2]);
}

/// Computes blocks.
///
/// # Safety
/// Nobody else has these channels of the output's rows. The part was packed for this kernel, with stride 1 or 2 and
/// blocks inside the image's channels.
#[inline(always)]
pub(super) unsafe fn run<W: Window>(isa: W, layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    let Geometry { input: [_, in_width, channels], output: [_, width, _], stride, .. } = layer.geometry;
    let padding = &mut io.scratch[..in_width * channels];
    let padding: &mut [Activation] = bytemuck::cast_slice_mut(padding);
    padding.fill(layer.padding);
    let Io { input, rows, output, .. } = io;
    let area = Area { isa, layer, part, blocks, input, padding, first: rows.start, output };
    // As many rows as the cache holds; where not even those of one step fit, as many columns.
    let row_bytes = in_width * channels;
    let held = (AREA_BYTES / row_bytes.max(1)).saturating_sub(2) / stride[0];
    let step = held.max(1).next_multiple_of(2).min(MOST_LINES);
    let columns = if held >= 1 { width } else { (AREA_BYTES / (4 * channels) / stride[1]).max(2 * LANES) };
    for y in rows.clone().step_by(step) {
        for x in (0..width).step_by(columns) {
            let (ys, xs) = (y..rows.end.min(y + step), x..width.min(x + columns));
            // SAFETY: as this function's; the area is inside the output.
            unsafe {
                if stride[0] == 1 {
                    area.one(ys, xs);
                } else {
                    area.two(ys, xs);
                }
            }
        }
    }
}

/// What the blocks of channels pass over.
struct Area<'a, W> {
    isa: W,
    layer: &'a Layer,
    part: &'a Part,
    blocks: Range<usize>,
    input: Rows<'a>,
    /// A row of padding.
    padding: &'a [Activation],
    /// The row of the image that `output` begins with.
    first: usize,
    output: &'a Disjoint<'a, Activation>,
}

impl<W: Window> Area<'_, W> {
    /// The block's channels of a point.
    #[inline(always)]
    fn point(&self, y: usize, x: usize, channel: usize) -> *mut Activation {
        let Geometry { output: [_, width, channels], .. } = self.layer.geometry;
        self.output.start().wrapping_add(((y - self.first) * width + x) * channels + channel)
    }

    /// The points of rows `ys` and columns `xs`, at stride 1.
    ///
    /// # Safety
    /// As [`run`]; the points are in the output.
    #[inline(always)]
    unsafe fn one(&self, ys: Range<usize>, xs: Range<usize>) {
        let lines = self.lines::<4>(ys.clone().step_by(2));
        for index in self.blocks.clone() {
            let channel = self.part.channels[index];
            // SAFETY: the part has the block.
            let block = unsafe { self.isa.block(self.layer, self.part, index) };
            for (y, line) in ys.clone().step_by(2).zip(&lines) {
                let line = line.of(channel);
                let upper = self.point(y, xs.start, channel);
                // The lower row of the last pair may not exist.
                let lower = if y + 1 < ys.end { self.point(y + 1, xs.start, channel) } else { upper };
                // SAFETY: the line has the columns under the points; the rows that exist have the points.
                unsafe { line.slide_one(self.isa, &block, xs.clone(), [upper, lower]) };
            }
        }
    }

    /// The points of rows `ys` and columns `xs`, at stride 2.
    ///
    /// # Safety
    /// As [`run`]; the points are in the output.
    #[inline(always)]
    unsafe fn two(&self, ys: Range<usize>, xs: Range<usize>) {
        let lines = self.lines::<3>(ys.clone().map(|y| 2 * y));
        for index in self.blocks.clone() {
            let channel = self.part.channels[index];
            // SAFETY: the part has the block.
            let block = unsafe { self.isa.block(self.layer, self.part, index) };
            for (y, line) in ys.clone().zip(&lines) {
                let line = line.of(channel);
                let output = self.point(y, xs.start, channel);
                // SAFETY: the line has the columns under the points, and the row has the points.
                unsafe { line.slide_two(self.isa, &block, xs.clone(), output) };
            }
        }
    }

    /// For each of these rows of the padded image, it and the `ROWS - 1` rows after it.
    #[inline(always)]
    fn lines<const ROWS: usize>(&self, tops: impl Iterator<Item = usize>) -> [Line; MOST_LINES] {
        let Geometry { input: [height, width, channels], padding, .. } = self.layer.geometry;
        let outside = self.padding.as_ptr();
        let mut lines = [Line { rows: [outside; 4], outside, width, channels, padding: padding[1] }; MOST_LINES];
        for (line, top) in lines.iter_mut().zip(tops) {
            for (i, row) in line.rows.iter_mut().enumerate().take(ROWS) {
                if let Some(inside) = (top + i).checked_sub(padding[0]).filter(|&inside| inside < height) {
                    *row = self.input.row(inside).as_ptr();
                }
            }
        }
        lines
    }
}

/// The pointer, of which the compiler does not know where it comes from: it would keep one for each row and cell and
/// add to all of them in the loop, instead of adding one common offset in the loads.
#[expect(clippy::pointers_in_nomem_asm_block, reason = "only the address goes in and out")]
#[inline(always)]
pub(super) fn opaque<T>(mut pointer: *const T) -> *const T {
    // SAFETY: a comment does nothing.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags)) };
    pointer
}

/// The rows under one step of the windows.
#[derive(Clone, Copy)]
struct Line {
    /// The first pixel of each row, from a block's channels on.
    rows: [*const Activation; 4],
    /// Padding for one pixel.
    outside: *const Activation,
    /// Pixels of a row.
    width: usize,
    /// Elements of a pixel.
    channels: usize,
    /// Columns of padding before the first.
    padding: usize,
}

impl Line {
    /// The same from channel `channel` on.
    #[inline(always)]
    fn of(&self, channel: usize) -> Line {
        Line { rows: self.at(channel).map(opaque), ..*self }
    }

    /// The cell of column `column` of the padded image.
    ///
    /// # Safety
    /// Rows have `width` pixels, and so many channels as a block has from their start.
    #[inline(always)]
    unsafe fn cell<W: Window, const ROWS: usize>(&self, isa: W, block: &W::Block, column: usize) -> W::Cell {
        let rows = match column.checked_sub(self.padding) {
            Some(inside) if inside < self.width => self.at(inside * self.channels),
            _ => [self.outside; 4],
        };
        // SAFETY: the column is in the image, or the pointers are to padding.
        unsafe { isa.cell::<ROWS>(block, rows) }
    }

    /// What lies `offset` elements after the rows' first pixels.
    #[inline(always)]
    fn at(&self, offset: usize) -> [*const Activation; 4] {
        let mut rows = self.rows;
        for row in &mut rows {
            *row = row.wrapping_add(offset);
        }
        rows
    }

    /// Pairs of points of two rows, of columns `xs`, the first of each row where `to` says.
    ///
    /// # Safety
    /// As [`cell`](Self::cell); there is room for the points.
    #[inline(always)]
    unsafe fn slide_one<W: Window>(&self, isa: W, block: &W::Block, xs: Range<usize>, to: [*mut Activation; 2]) {
        let channels = self.channels;
        let mut written = 0;
        // No closure: it might not be inlined, and would then lack the CPU's instructions.
        macro_rules! put {
            ($cells:expr) => {
                isa.store(block, isa.above(block, $cells), [to[0].wrapping_add(written), to[1].wrapping_add(written)]);
                written += channels;
            };
        }
        // SAFETY: as this function's. Inside of `whole`, columns are in the image.
        unsafe {
            let whole = xs.end.min((self.width + self.padding).saturating_sub(2));
            let mut a = self.cell::<W, 4>(isa, block, xs.start);
            let mut b = self.cell::<W, 4>(isa, block, xs.start + 1);
            let (mut x, mut offset) = (xs.start, (xs.start + 2).wrapping_sub(self.padding).wrapping_mul(channels));
            // The three cells take turns, so that none is moved.
            while x + 3 <= whole {
                isa.mark_loop(true);
                let c = isa.cell::<4>(block, self.at(offset));
                put!([a, b, c]);
                a = isa.cell::<4>(block, self.at(offset + channels));
                put!([b, c, a]);
                b = isa.cell::<4>(block, self.at(offset + 2 * channels));
                put!([c, a, b]);
                x += 3;
                offset += 3 * channels;
                isa.mark_loop(false);
            }
            while x < xs.end {
                let c = self.cell::<W, 4>(isa, block, x + 2);
                put!([a, b, c]);
                (a, b) = (b, c);
                x += 1;
            }
        }
    }

    /// Pairs of points of one row, of columns `xs`, the first at `to`.
    ///
    /// # Safety
    /// As [`cell`](Self::cell); there is room for the points.
    #[inline(always)]
    unsafe fn slide_two<W: Window>(&self, isa: W, block: &W::Block, xs: Range<usize>, to: *mut Activation) {
        let (channels, padding) = (self.channels, self.padding);
        let (mut x, mut written) = (xs.start, 0);
        macro_rules! put {
            ($cells:expr) => {
                // The second point of the last pair may not exist.
                let second = if x + 1 < xs.end { written + channels } else { written };
                isa.store(block, isa.beside(block, $cells), [to.wrapping_add(written), to.wrapping_add(second)]);
                written += 2 * channels;
                x += 2;
            };
        }
        // Pairs with columns outside of the image, and those without, have loops of their own: in one, the compiler
        // would choose between them for each load.
        macro_rules! edge {
            ($cells:ident, while $more:expr) => {
                while $more {
                    for i in 1..5 {
                        $cells[i] = self.cell::<W, 3>(isa, block, 2 * x + i);
                    }
                    put!($cells);
                    $cells[0] = $cells[4];
                }
            };
        }
        // SAFETY: as this function's. Before `whole`, and from the first column on, columns are in the image.
        unsafe {
            let whole = xs.end.min((self.width + padding).saturating_sub(3) / 2);
            let mut cells = [self.cell::<W, 3>(isa, block, 2 * xs.start); 5];
            edge!(cells, while x < xs.end && 2 * x + 1 < padding);
            let mut offset = (2 * x + 1).wrapping_sub(padding).wrapping_mul(channels);
            while x < whole {
                for cell in &mut cells[1..] {
                    *cell = isa.cell::<3>(block, self.at(offset));
                    offset += channels;
                }
                put!(cells);
                cells[0] = cells[4];
            }
            edge!(cells, while x < xs.end);
        }
    }
}
