//! The vector rows, once for every CPU: sixteen channels at a time sweep over the rows of the image.
//!
//! For a block of 16 channels, and for each step down the image:
//!
//! 1. Groups of input rows are interleaved into lines of cells, a cell being one column of one group: padded on both
//!    sides, so that nothing after this asks where the border is. The lines form a ring, since most of them serve the next
//!    step, too.
//! 2. Windows slide over the lines: each cell of a window is one `dot` with a cell of weights.
//! 3. The sums are requantized while they are in registers.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::Layer;
use crate::Activation;
use crate::geometry::Geometry;
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

/// Computes `rows` of the output with tiles of `X` columns.
#[inline(always)]
pub(super) fn run<D: Dot<G>, const G: usize, const X: usize>(
    isa: D,
    layer: &Layer,
    input: &[Activation],
    rows: Range<usize>,
    output: &mut [Activation],
    scratch: &mut [u8],
) {
    let size = layer.scratch_bytes() / size_of::<D::Cell>() * size_of::<D::Cell>();
    let ring = bytemuck::cast_slice_mut(&mut scratch[..size]);
    let weights: &[D::Cell] = bytemuck::cast_slice(&layer.weights);
    let blocks = weights.chunks_exact(layer.packing.cells(&layer.geometry));
    for (block, weights) in blocks.enumerate() {
        let block = Block { isa, layer, channel: block * LANES, weights };
        match layer.packing.rows {
            1 => block.sweep::<1, X>(input, rows.clone(), output, ring),
            _ => block.sweep::<2, X>(input, rows.clone(), output, ring),
        }
    }
}

/// Up to 16 channels of the image.
struct Block<'a, D: Dot<G>, const G: usize> {
    isa: D,
    layer: &'a Layer,
    /// The first of the channels.
    channel: usize,
    weights: &'a [D::Cell],
}

impl<D: Dot<G>, const G: usize> Block<'_, D, G> {
    /// `rows` of the output, `R` at a time.
    #[inline(always)]
    fn sweep<const R: usize, const X: usize>(
        &self,
        input: &[Activation],
        rows: Range<usize>,
        output: &mut [Activation],
        ring: &mut [D::Cell],
    ) {
        let Geometry { output: [_, width, channels], stride, dilation, .. } = self.layer.geometry;
        let (groups, columns) = (self.layer.packing.groups, self.layer.columns());
        // How many groups further down the next step begins, if its groups are those of this step.
        let (step, period) = (R * stride[0], G * dilation[0]);
        let shift = if step.is_multiple_of(period) { (step / period).min(groups) } else { groups };
        let mut first = 0;
        let steps = rows.clone().step_by(R).zip(output.chunks_mut(R * width * channels));
        for (index, (y, output)) in steps.enumerate() {
            let fresh = if index == 0 { 0 } else { groups - shift };
            first = if index == 0 { 0 } else { (first + shift) % groups };
            for group in fresh..groups {
                let line = (first + group) % groups * columns;
                self.fill(input, y, group, &mut ring[line..line + columns]);
            }
            self.slide::<R, X>(ring, first, output);
        }
    }

    /// Interleaves the input rows under group `group` of the windows of output row `y`.
    #[inline(always)]
    fn fill(&self, input: &[Activation], y: usize, group: usize, line: &mut [D::Cell]) {
        let Geometry { input: [height, width, channels], stride, dilation, padding, .. } = self.layer.geometry;
        let zeros = [self.layer.padding; LANES];
        let mut empty = D::Cell::zeroed();
        self.isa.interleave([&zeros; G], &mut empty);
        let (left, line) = line.split_at_mut(padding[1].min(line.len()));
        let (line, right) = line.split_at_mut(width.min(line.len()));
        left.fill(empty);
        right.fill(empty);

        let rows: [Option<&[Activation]>; G] = std::array::from_fn(|g| {
            let row = (y * stride[0] + (group * G + g) * dilation[0]).checked_sub(padding[0])?;
            (row < height).then(|| &input[row * width * channels..][..width * channels])
        });
        if self.layer.depth_multiplier != 1 || self.channel + LANES > channels {
            for (x, cell) in line.iter_mut().enumerate() {
                let taps = rows.map(|row| row.map_or(zeros, |row| self.gather(&row[x * channels..])));
                self.isa.interleave(taps.each_ref(), cell);
            }
            return;
        }
        let sources = rows.map(|row| row.map_or((zeros.as_ptr(), 0), |row| (row[self.channel..].as_ptr(), channels)));
        for (x, cell) in line.iter_mut().enumerate() {
            // SAFETY: `x < width` and `channel + LANES <= channels`, so the 16 values lie in the row; padding has a step
            // of 0 and stays at its 16.
            let taps = sources.map(|(start, step)| unsafe { &*start.add(x * step).cast::<[Activation; LANES]>() });
            self.isa.interleave(taps, cell);
        }
    }

    /// What the channels of this block read of a pixel: in the last block, or with several output channels an input channel.
    fn gather(&self, pixel: &[Activation]) -> [Activation; LANES] {
        let channels = self.layer.geometry.output[2];
        let source = |channel: usize| pixel[channel.min(channels - 1) / self.layer.depth_multiplier];
        std::array::from_fn(|lane| source(self.channel + lane))
    }

    /// All windows of `R` output rows; `output` holds those of them that exist.
    #[inline(always)]
    fn slide<const R: usize, const X: usize>(&self, ring: &[D::Cell], first: usize, output: &mut [Activation]) {
        let width = self.layer.geometry.output[1];
        if width < X {
            for x in 0..width {
                self.tile::<R, 1>(ring, first, x, output);
            }
            return;
        }
        for x in (0..width).step_by(X) {
            // The last tile overlaps the one before.
            self.tile::<R, X>(ring, first, x.min(width - X), output);
        }
    }

    /// `R` rows by `X` columns of the output.
    #[inline(always)]
    fn tile<const R: usize, const X: usize>(
        &self,
        ring: &[D::Cell],
        first: usize,
        x: usize,
        output: &mut [Activation],
    ) {
        let Geometry { output: [_, width, channels], kernel, stride, dilation, .. } = self.layer.geometry;
        let (groups, columns) = (self.layer.packing.groups, self.layer.columns());
        let simd = self.isa.simd();
        let bias: &[i32; LANES] = self.layer.bias[self.channel..][..LANES].try_into().expect("a whole block");
        let mut sums = [[simd.load_i32(bias); R]; X];
        let mut weights = self.weights.chunks_exact(R);
        for group in 0..groups {
            let line = (first + group) % groups * columns;
            let line = &ring[line..line + columns];
            for (kx, weights) in (0..kernel[1]).zip(&mut weights) {
                for (i, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: a line has the columns that the windows of an output row reach, and `x + i` is one of them.
                    let cell = unsafe { line.get_unchecked((x + i) * stride[1] + kx * dilation[1]) };
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = self.isa.dot(*sum, cell, weights);
                    }
                }
            }
        }
        let multipliers = self.layer.multipliers[self.channel..][..LANES].try_into().expect("a whole block");
        let multipliers = simd.load(multipliers);
        for (i, sums) in sums.into_iter().enumerate() {
            for (sum, output) in sums.into_iter().zip(output.chunks_exact_mut(width * channels)) {
                let pixel = &mut output[(x + i) * channels..][..channels];
                self.store(simd.mul(simd.to_f32(sum), multipliers), &mut pixel[self.channel..]);
            }
        }
    }

    /// Requantizes into the rest of a pixel, from this block on.
    #[inline(always)]
    fn store(&self, scaled: <D::Simd as Simd>::F32, rest: &mut [Activation]) {
        let simd = self.isa.simd();
        if let Some(whole) = rest.first_chunk_mut() {
            simd.quantize(scaled, &self.layer.output, whole);
        } else {
            let mut whole = [0; LANES];
            simd.quantize(scaled, &self.layer.output, &mut whole);
            rest.copy_from_slice(&whole[..rest.len()]);
        }
    }
}
