//! The vector rows, once for every CPU: sixteen channels at a time sweep over the rows of the image.
//!
//! For a block of 16 channels, and for each step down the image:
//!
//! 1. Groups of input rows are interleaved into lines of cells, a cell being one column of one group: padded on both
//!    sides, so that nothing after this asks where the border is. The lines form a ring, since most of them serve the
//!    next step, too.
//! 2. Windows slide over the lines: each cell of a window is one `dot` with a cell of weights.
//! 3. The sums are requantized while they are in registers.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{Io, Layer, Part, Rows};
use crate::Activation;
use crate::geometry::Geometry;
use crate::quantized::Output;
use crate::simd::{LANES, Simd};

/// Sixteen channels of `G` input rows.
type Taps<'a, const G: usize> = [&'a [Activation; LANES]; G];

/// What the sweep asks of an instruction set.
pub(super) trait Dot<const G: usize>: Copy {
    /// Its vectors.
    type Simd: Simd;
    /// 16 channels of `G` interleaved rows: element `channel * G + row`.
    type Cell: Pod;

    fn simd(self) -> Self::Simd;
    fn interleave(self, rows: Taps<'_, G>, cell: &mut Self::Cell);
    /// To each channel's sum adds its `G` products.
    fn dot(self, sums: Sums<Self, G>, cell: &Self::Cell, weights: &Self::Cell) -> Sums<Self, G>;
}

type Sums<D, const G: usize> = <<D as Dot<G>>::Simd as Simd>::I32;

/// Computes blocks with tiles of `X` columns.
///
/// # Safety
/// No other thread has the rows of the output.
#[inline(always)]
pub(super) unsafe fn run<D: Dot<G>, const G: usize, const X: usize>(
    isa: D,
    layer: &Layer,
    part: &Part,
    blocks: Range<usize>,
    io: Io<'_>,
) {
    let Io { input, rows, output, scratch } = io;
    // SAFETY: as above.
    let output = unsafe { output.slice(0..rows.len() * layer.geometry.output[1] * layer.geometry.output[2]) };
    let columns = layer.columns();
    let ring = bytemuck::cast_slice_mut(&mut scratch[..part.packing.groups * columns * size_of::<D::Cell>()]);
    for (channel, weights, bias, multipliers) in part.blocks::<D::Cell>(layer, blocks) {
        let parameters =
            (bias.first_chunk().expect("a whole block"), multipliers.first_chunk().expect("a whole block"));
        let block = Block::<D, G> { isa, layer, groups: part.packing.groups, columns, channel, weights, parameters };
        // The usual windows have loops and distances that are known at compile time.
        let Geometry { kernel, stride, dilation, .. } = layer.geometry;
        match (part.packing.rows, kernel, stride[1], dilation[1]) {
            (1, [3, 3], 1, 1) => block.sweep::<1, X, 3, 1>(input, rows.clone(), output, ring),
            (1, [3, 3], 2, 1) => block.sweep::<1, X, 3, 2>(input, rows.clone(), output, ring),
            (1, ..) => block.sweep::<1, X, 0, 0>(input, rows.clone(), output, ring),
            (_, [3, 3], 1, 1) => block.sweep::<2, X, 3, 1>(input, rows.clone(), output, ring),
            _ => block.sweep::<2, X, 0, 0>(input, rows.clone(), output, ring),
        }
    }
}

/// Up to 16 channels of the image.
struct Block<'a, D: Dot<G>, const G: usize> {
    isa: D,
    layer: &'a Layer,
    /// Groups of window rows.
    groups: usize,
    /// Cells of a line.
    columns: usize,
    /// The first of the channels.
    channel: usize,
    weights: &'a [D::Cell],
    /// Biases and multipliers.
    parameters: (&'a [i32; LANES], &'a [f32; LANES]),
}

impl<D: Dot<G>, const G: usize> Block<'_, D, G> {
    /// `rows` of the output, `R` at a time. `K` is the height and width of the window and `S` its horizontal stride,
    /// without dilation; or both are 0, for any.
    #[inline(always)]
    fn sweep<const R: usize, const X: usize, const K: usize, const S: usize>(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [Activation],
        ring: &mut [D::Cell],
    ) {
        let Geometry { output: [_, width, channels], stride, dilation, .. } = self.layer.geometry;
        let groups = self.groups;
        // How many groups further down the next step begins, if its groups are those of this step.
        let (step, period) = (R * stride[0], G * dilation[0]);
        let shift = if step.is_multiple_of(period) { (step / period).min(groups) } else { groups };
        let (mut first, mut fresh) = (0, 0);
        for (y, output) in rows.step_by(R).zip(output.chunks_mut(R * width * channels)) {
            for group in fresh..groups {
                let line = (first + group) % groups * self.columns;
                self.fill(input, y, group, &mut ring[line..line + self.columns]);
            }
            self.slide::<R, X, K, S>(ring, first, output);
            first = (first + shift) % groups;
            fresh = groups - shift;
        }
    }

    /// Interleaves the input rows under group `group` of the windows of output row `y`.
    #[inline(always)]
    fn fill(&self, input: Rows<'_>, y: usize, group: usize, line: &mut [D::Cell]) {
        let Geometry { input: [height, width, channels], stride, dilation, padding, .. } = self.layer.geometry;
        let zeros = [self.layer.padding; LANES];
        let mut empty = D::Cell::zeroed();
        self.isa.interleave([&zeros; G], &mut empty);
        let (left, line) = line.split_at_mut(padding[1].min(line.len()));
        let (line, right) = line.split_at_mut(width.min(line.len()));
        left.fill(empty);
        right.fill(empty);

        // Padding has a row of its own, of which every pixel is the first.
        let mut rows = [(&zeros[..], 0); G];
        for (g, row) in rows.iter_mut().enumerate() {
            let above = y * stride[0] + (group * G + g) * dilation[0];
            if let Some(inside) = above.checked_sub(padding[0]).filter(|&inside| inside < height) {
                *row = (input.row(inside), channels);
            }
        }
        if self.layer.depth_multiplier != 1 || self.channel + LANES > channels {
            return self.fill_by_copies(rows, line);
        }
        let mut sources = [(zeros.as_ptr(), 0); G];
        for (source, (row, step)) in sources.iter_mut().zip(rows) {
            let first = if step == 0 { 0 } else { self.channel };
            *source = (row[first..].as_ptr(), step);
        }
        for cell in line {
            let mut taps = [&zeros; G];
            for g in 0..G {
                let (source, step) = sources[g];
                // SAFETY: the cells are at most as many as the row has pixels, and `channel + LANES <= channels`, so
                // that the 16 values lie in the row; padding stays at its 16.
                taps[g] = unsafe { &*source.cast::<[Activation; LANES]>() };
                sources[g].0 = source.wrapping_add(step);
            }
            self.isa.interleave(taps, cell);
        }
    }

    /// The same where 16 channels do not lie side by side in the rows: in the last block, or where several output
    /// channels read one input channel.
    #[inline(always)]
    fn fill_by_copies(&self, rows: [(&[Activation], usize); G], line: &mut [D::Cell]) {
        for (x, cell) in line.iter_mut().enumerate() {
            let mut copies = [[self.layer.padding; LANES]; G];
            for (copy, (row, step)) in copies.iter_mut().zip(rows) {
                if step != 0 {
                    *copy = self.layer.gather(&row[x * step..][..step], self.channel);
                }
            }
            let mut taps = [&copies[0]; G];
            for (tap, copy) in taps.iter_mut().zip(&copies) {
                *tap = copy;
            }
            self.isa.interleave(taps, cell);
        }
    }

    /// All windows of `R` output rows; `output` holds those of them that exist.
    #[inline(always)]
    fn slide<const R: usize, const X: usize, const K: usize, const S: usize>(
        &self,
        ring: &[D::Cell],
        first: usize,
        output: &mut [Activation],
    ) {
        let width = self.layer.geometry.output[1];
        let tail = Tail::new(self, output.len());
        if width < X {
            for x in 0..width {
                tail.store(self.tile::<R, 1, K, S>(ring, first, x), x, output);
            }
            return;
        }
        for x in (0..width).step_by(X) {
            // The last tile overlaps the one before.
            let x = x.min(width - X);
            tail.store(self.tile::<R, X, K, S>(ring, first, x), x, output);
        }
    }

    /// The sums of `R` rows by `X` columns of the output, from column `x` on.
    #[inline(always)]
    fn tile<const R: usize, const X: usize, const K: usize, const S: usize>(
        &self,
        ring: &[D::Cell],
        first: usize,
        x: usize,
    ) -> [[Sums<D, G>; R]; X] {
        let Geometry { stride, dilation, kernel, .. } = self.layer.geometry;
        let (width, stride, dilation) = if K == 0 { (kernel[1], stride[1], dilation[1]) } else { (K, S, 1) };
        let groups = if K == 0 { self.groups } else { K.div_ceil(G) };
        let mut sums = [[self.isa.simd().load_i32(self.parameters.0); R]; X];
        debug_assert!(self.weights.len() == groups * width * R && ring.len() == groups * self.columns);
        debug_assert!((x + X - 1) * stride + (width - 1) * dilation < self.columns);
        for group in 0..groups {
            let slot = if first + group < groups { first + group } else { first + group - groups };
            // SAFETY: there is a line for each group, with the columns that the windows of an output row reach; there
            // is a cell of weights for each group, window column and row.
            let (cells, weights) = unsafe {
                let cells = ring.as_ptr().add(slot * self.columns + x * stride);
                (cells, self.weights.as_ptr().add(group * width * R))
            };
            for kx in 0..width {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: as above; `x + i` is a window of the row.
                        let (cell, weights) =
                            unsafe { (&*cells.add(i * stride + kx * dilation), &*weights.add(kx * R + r)) };
                        *sum = self.isa.dot(*sum, cell, weights);
                    }
                }
            }
        }
        sums
    }
}

/// From sums to the output.
struct Tail<S: Simd> {
    simd: S,
    multipliers: S::F32,
    output: Output,
    /// The output's elements, those of a row, and its rows.
    len: usize,
    row: usize,
    rows: usize,
    /// Elements of a pixel, the first channel of the block, and how many there are.
    pixel: usize,
    first: usize,
    present: usize,
}

impl<S: Simd> Tail<S> {
    /// For an output of `len` elements, which are whole rows.
    #[inline(always)]
    fn new<D: Dot<G, Simd = S>, const G: usize>(block: &Block<D, G>, len: usize) -> Tail<S> {
        let Geometry { output: [_, width, channels], .. } = block.layer.geometry;
        let simd = block.isa.simd();
        Tail {
            simd,
            multipliers: simd.load(block.parameters.1),
            output: block.layer.output,
            len,
            row: width * channels,
            rows: len / (width * channels),
            pixel: channels,
            first: block.channel,
            present: LANES.min(channels - block.channel),
        }
    }

    /// Requantizes those rows of a tile that exist; its first column is `x`.
    #[inline(always)]
    fn store<const R: usize, const X: usize>(&self, tile: [[S::I32; R]; X], x: usize, output: &mut [Activation]) {
        debug_assert!(output.len() == self.len && (x + X) * self.pixel <= self.row);
        for (i, sums) in tile.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                if r >= self.rows {
                    break;
                }
                let scaled = self.simd.mul(self.simd.to_f32(sum), self.multipliers);
                let start = r * self.row + (x + i) * self.pixel + self.first;
                // SAFETY: the row, the pixel and the block's channels of it are inside the output.
                let place = unsafe { output.get_unchecked_mut(start..start + self.present) };
                if let Some(whole) = place.first_chunk_mut() {
                    self.simd.quantize(scaled, &self.output, whole);
                } else {
                    let mut whole = [0; LANES];
                    self.simd.quantize(scaled, &self.output, &mut whole);
                    place.copy_from_slice(&whole[..self.present]);
                }
            }
        }
    }
}
