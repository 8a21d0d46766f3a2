//! Convolution of floats as a matrix product: windows of the image by weights.
//!
//! Every row adds in the same order, so that all give the same bits: a sum begins as the bias, or 0, and takes the
//! products by fused multiply-adds in the order of the taps, rows before columns, and then of the channels; a residual
//! is added; then it is clamped. Padding is multiplied, too, which changes nothing but the sign of a zero, as long as
//! weights are finite.
//!
//! Windows are not copied: a kernel is given, for each piece of a window (the channels under a tap, or all taps of a
//! line), a pointer for each pixel. XNNPACK calls this an indirect convolution (Dukhan, "The Indirect Convolution
//! Algorithm", 2019).
//!
//! # A row of the table
//!
//! `unsafe fn(&Tile)` computes a tile of up to `Kernel::rows` pixels by up to `Kernel::columns` channels, its sums in
//! registers from the first product to the last. [`Tile`] says what lies where. The weights of a panel of `columns`
//! channels lie one element of the window after the other; a last panel that is narrower is as wide as its channels
//! need, on whole vectors of `Kernel::vector` channels, so that a kernel knows the distance between elements from
//! [`Tile::columns`].
//!
//! # Half precision
//!
//! `Conv2d<Half>` multiplies numbers of 16 bits, which costs accuracy and must be asked for: see [`Half`], and
//! [`HALF_TABLE`] for its rows, which again give the same bits as the plain one. The image and the output are of `f32`;
//! what the windows of a band read is rounded once, to scratch memory.

use std::ops::Range;

use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::memory::{ALIGNMENT, Aligned};
use crate::simd::positive_zeros;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod element;
mod mat_mul;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_fp16;
mod pieces;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use element::{Element, Half};
pub use mat_mul::MatMul;
use pieces::Pieces;

/// What the door knows of a row.
#[derive(Debug)]
pub struct Kernel<E: 'static = f32> {
    /// Pixels that a tile has at most.
    pub(crate) rows: usize,
    /// Channels of a panel, and so of a tile, at most: whole vectors.
    pub(crate) columns: usize,
    /// Channels of a vector.
    pub(crate) vector: usize,
    pub(crate) run: Run<E>,
    /// Rounds what is multiplied. The CPU must have the instruction set of the row; there are as many elements as
    /// floats.
    pub(crate) round: unsafe fn(&[f32], &mut [E]),
}

/// # Safety
/// The CPU must have the instruction set of the row. What the tile points to must be there, as [`Tile`] says, and nobody else
/// may use its part of the output.
pub(crate) type Run<E = f32> = unsafe fn(tile: &Tile<E>);

/// A tile of the output, and what it is computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<E = f32> {
    /// `[piece][row]`: where a piece of a row's window begins, less `offset`.
    pub pieces: *const *const E,
    /// How many pieces there are.
    pub count: usize,
    /// Elements between those pointers and the first one to read.
    pub offset: usize,
    /// Elements of each piece.
    pub len: usize,
    /// `[piece][len][columns, on whole vectors]`, or with elements that lie together
    /// `[piece][len / Element::TOGETHER, rounded up][columns, on whole vectors][Element::TOGETHER]`.
    pub weights: *const E,
    /// Weights that will be used soon, and how far a kernel gets ahead in them with each element.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the boards' CPUs foresee what is read in order")
    )]
    pub ahead: *const E,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "as above"))]
    pub ahead_step: usize,
    /// What the sums of each column begin as, on whole vectors; null where they begin as what is in the output.
    pub start: *const f32,
    /// The first element; rows are `stride` elements apart.
    pub output: *mut f32,
    /// As `output`, what is added at the end; null for nothing.
    pub residual: *const f32,
    pub stride: usize,
    /// From 1 to [`Kernel::rows`].
    pub rows: usize,
    /// From 1 to [`Kernel::columns`].
    pub columns: usize,
    /// The output is clamped to these, at last.
    pub bounds: [f32; 2],
}

/// The kernels for convolution of floats.
pub static TABLE: Table<Kernel> = Table {
    family: "gemm",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "gemm_f32_12x32_avx512",
            isa: Isa::Avx512,
            kernel: Kernel { rows: 12, columns: 32, vector: 16, run: vector::avx512, round: element::copy },
        },
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "gemm_f32_6x16_avx2",
            isa: Isa::Avx2,
            kernel: Kernel { rows: 6, columns: 16, vector: 16, run: vector::avx2, round: element::copy },
        },
        #[cfg(target_arch = "aarch64")]
        Row { name: "gemm_f32_4x16_neon", isa: Isa::Neon, kernel: neon::KERNEL },
        Row {
            name: "gemm_f32_scalar",
            isa: Isa::Scalar,
            kernel: Kernel { rows: 4, columns: 4, vector: 1, run: scalar::run, round: element::copy },
        },
    ],
};

/// The kernels for convolution of floats in half precision. The plain one is the definition that the others are tested
/// against, and too slow to be of use: see [`Half::is_supported`].
pub static HALF_TABLE: Table<Kernel<Half>> = Table {
    family: "gemm_half",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "gemm_bf16_12x32_avx512_bf16", isa: Isa::Avx512Bf16, kernel: avx512_bf16::KERNEL },
        #[cfg(target_arch = "aarch64")]
        Row { name: "gemm_f16_8x16_neon_fp16", isa: Isa::NeonFp16, kernel: neon_fp16::KERNEL },
        Row {
            name: "gemm_half_scalar",
            isa: Isa::Scalar,
            kernel: Kernel { rows: 4, columns: 4, vector: 1, run: scalar::run_half, round: element::round },
        },
    ],
};

/// Bytes of the image that the pixels of a band read, about: they stay in the second-level cache while all panels pass.
const BAND_BYTES: usize = 384 << 10;
/// Bytes of pointers that a band has at most, unless a single tile has more.
const POINTERS_BYTES: usize = 64 << 10;
/// Bytes of a panel's weights that are used by all tiles of a band before the next: they stay in the first-level cache.
const BLOCK_BYTES: usize = 16 << 10;
/// Pixels of a thread for which reading all weights costs time that counts beside multiplying them.
const FEW_PIXELS: usize = 64;
/// A thread gets about so many tasks, so that one that is late delays the others little.
const TASKS: usize = 4;

/// A convolution of floats, packed for one kernel. With [`Geometry::matrix`], a matrix product.
#[derive(Debug)]
pub struct Conv2d<E: Element = f32> {
    row: &'static Row<Kernel<E>>,
    geometry: Geometry,
    pieces: Pieces,
    /// `[group][panel][depth][columns]`, as [`Tile::weights`]; absent channels of a panel's last vector have zeros.
    weights: Aligned<E>,
    /// `[group][panel][columns]`
    bias: Aligned<f32>,
    /// What padding points to.
    zeros: Aligned<E>,
    bounds: [f32; 2],
    threads: usize,
    /// Pixels that are computed at a time.
    band: usize,
    /// Tasks that share the panels of a band.
    cuts: usize,
}

impl<E: Element> Conv2d<E> {
    /// Packs a convolution for the best kernel that `choice` allows and pools of up to `threads` threads.
    ///
    /// `weights` are `[output channels][kernel height][kernel width][input channels / groups]`. The output is clamped
    /// to `min..=max`.
    ///
    /// # Panics
    /// When lengths do not match the geometry.
    pub fn new(
        choice: Choice,
        geometry: &Geometry,
        weights: &[f32],
        bias: Option<&[f32]>,
        [min, max]: [f32; 2],
        threads: usize,
    ) -> Conv2d<E> {
        let (inputs, outputs, groups) = (geometry.input[2], geometry.output[2], geometry.groups);
        let steps = geometry.stride.iter().chain(&geometry.dilation);
        assert!(steps.into_iter().all(|&step| step > 0), "strides and dilations are positive");
        assert!(groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups), "{groups} groups");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "biases");
        assert!(!E::ROUNDS || groups == 1, "only a convolution without groups is computed in half precision");
        let pieces = Pieces::new::<E>(geometry);
        assert_eq!(weights.len(), outputs * pieces.count * pieces.len, "weights");

        let row = E::table().pick(choice);
        let threads = threads.max(1);
        let Kernel { rows, columns, vector, .. } = row.kernel;
        let channels = outputs / groups;
        let (width, depth) = (channels.next_multiple_of(vector), pieces.depth());
        let mut packed = Aligned::zeroed(groups * width * depth);
        let mut packed_bias = Aligned::zeroed(groups * width);
        for output in 0..outputs {
            let (group, channel) = (output / channels, output % channels);
            let panel = channel / columns * columns;
            let (lanes, lane) = (columns.min(width - panel), channel - panel);
            let packed = &mut packed[(group * width + panel) * depth..];
            let weights = weights[output * pieces.count * pieces.len..].chunks_exact(pieces.len.max(1));
            for (piece, weights) in weights.take(pieces.count).enumerate() {
                for (k, &weight) in weights.iter().enumerate() {
                    let k = piece * pieces.pitch + k;
                    packed[k / E::TOGETHER * E::TOGETHER * lanes + lane * E::TOGETHER + k % E::TOGETHER] =
                        E::of(weight);
                }
            }
            packed_bias[group * width + channel] = bias.map_or(0.0, |bias| bias[output]);
        }

        let panels = channels.div_ceil(columns);
        let (band, cuts) = share(geometry, &pieces, rows, panels, threads);
        Conv2d {
            row,
            geometry: *geometry,
            weights: packed,
            bias: packed_bias,
            zeros: Aligned::zeroed(inputs.max(pieces.len)),
            pieces,
            bounds: positive_zeros([min, max]),
            threads,
            band,
            cuts,
        }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of weights and biases as packed.
    pub fn weights_bytes(&self) -> usize {
        size_of_val(&*self.weights) + size_of_val(&*self.bias)
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        let bytes = self.threads * self.part_bytes();
        if bytes == 0 { 0 } else { bytes + ALIGNMENT }
    }

    /// Bytes of scratch memory of a thread, on whole cache lines.
    fn part_bytes(&self) -> usize {
        let pointers = self.band * self.pieces.count * size_of::<*const E>();
        pointers.next_multiple_of(ALIGNMENT) + self.pieces.copies_bytes::<E>(&self.geometry, self.band)
    }

    /// Convolves one image, and adds `residual`, which has the shape of the output. What `scratch` holds is of no
    /// matter.
    ///
    /// # Panics
    /// When a length does not match, the pool has more threads than was said, or `scratch` is too small.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
        scratch: &mut [u8],
    ) {
        assert_eq!(input.len(), self.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.geometry.output_len(), "elements of the output");
        assert!(residual.is_none_or(|residual| residual.len() == output.len()), "elements of the residual");
        assert!(pool.threads() <= self.threads, "packed for {} threads, run by {}", self.threads, pool.threads());
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        if output.is_empty() {
            return;
        }
        let part = self.part_bytes();
        let start = if part == 0 { 0 } else { scratch.as_ptr().align_offset(ALIGNMENT) };
        let (scratch, output) = (Disjoint::new(&mut scratch[start..]), Disjoint::new(output));

        let (pixels, groups) = (self.geometry.output[0] * self.geometry.output[1], self.geometry.groups);
        let panels = (self.geometry.output[2] / groups).div_ceil(self.row.kernel.columns);
        let bands = pixels.div_ceil(self.band);
        pool.run(bands * groups * self.cuts, &|index, thread| {
            let (band, group, cut) = (index / self.cuts / groups, index / self.cuts % groups, index % self.cuts);
            let task = Task {
                pixels: band * self.band..pixels.min((band + 1) * self.band),
                group,
                panels: cut * panels / self.cuts..(cut + 1) * panels / self.cuts,
            };
            // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap.
            let scratch = unsafe { scratch.slice(thread * part..(thread + 1) * part) };
            self.compute(&task, input, residual, scratch, &output);
        });
    }

    /// Computes one task; no other one that runs at the same time may have elements of the output in common with it.
    fn compute(
        &self,
        task: &Task,
        input: &[f32],
        residual: Option<&[f32]>,
        scratch: &mut [u8],
        output: &Disjoint<f32>,
    ) {
        let Kernel { rows, columns, vector, run, round } = self.row.kernel;
        let channels = self.geometry.output[2] / self.geometry.groups;
        let (width, depth) = (channels.next_multiple_of(vector), self.pieces.depth());
        let round = |from: &[f32], to: &mut [E]| {
            assert_eq!(from.len(), to.len(), "elements to round");
            // SAFETY: the table gives only rows that this CPU can run, and the lengths are equal.
            unsafe { round(from, to) }
        };
        let pixels = task.pixels.clone();
        let pointers = self.pieces.point(&self.geometry, input, &self.zeros, pixels, rows, round, scratch);
        let stride = self.geometry.output[2];
        for panel in task.panels.clone().map(|panel| panel * columns) {
            let lanes = columns.min(width - panel);
            let first = task.group * channels + panel;
            let weights = &self.weights[(task.group * width + panel) * depth..][..lanes * depth];
            let bias = &self.bias[task.group * width + panel..][..lanes];
            for block in self.pieces.blocks((BLOCK_BYTES / size_of::<E>() / lanes).min(E::MOST_SUMMED)) {
                let at = self.pieces.at(&block) * lanes;
                let len = block.count * block.len.next_multiple_of(E::TOGETHER) * lanes;
                let count = task.pixels.len().div_ceil(rows);
                for (index, (start, height)) in tiles(task.pixels.len(), rows).enumerate() {
                    let place = (task.pixels.start + start) * stride + first;
                    let columns = columns.min(channels - panel);
                    // The last element of the tile is inside the output, and so is that of the residual.
                    debug_assert!(place + (height - 1) * stride + columns <= self.geometry.output_len());
                    let residual = residual.filter(|_| block.is_last);
                    let tile = Tile {
                        pieces: pointers[start * self.pieces.count + block.first * height..].as_ptr(),
                        count: block.count,
                        offset: task.group * (self.geometry.input[2] / self.geometry.groups) + block.offset,
                        len: block.len,
                        weights: weights[at..][..len].as_ptr(),
                        // The next block, of which each tile has a share fetched.
                        ahead: weights.as_ptr().wrapping_add(at + len + len * index / count),
                        ahead_step: lanes * E::TOGETHER / count,
                        start: if block.is_first { bias.as_ptr() } else { std::ptr::null() },
                        output: output.start().wrapping_add(place),
                        residual: residual.map_or(std::ptr::null(), |residual| residual[place..].as_ptr()),
                        stride,
                        rows: height,
                        columns,
                        bounds: if block.is_last { self.bounds } else { [f32::NEG_INFINITY, f32::INFINITY] },
                    };
                    // SAFETY: the table gives only rows that this CPU can run. The pieces are those of this band, the
                    // weights and the bias those of this panel, and these channels of these pixels are this task's
                    // alone.
                    unsafe { run(&tile) };
                }
            }
        }
    }
}

/// The part of the output that one task computes.
struct Task {
    pixels: Range<usize>,
    group: usize,
    panels: Range<usize>,
}

/// Where the tiles of so many pixels begin, and their heights, which differ by one at most: a tile of few rows hides
/// less of the time that an instruction takes.
pub(crate) fn tiles(pixels: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = pixels.div_ceil(rows);
    let start = move |index: usize| index * pixels / count;
    (0..count).map(move |index| (start(index), start(index + 1) - start(index)))
}

/// How many pixels a band has, and how many tasks share its panels.
fn share(geometry: &Geometry, pieces: &Pieces, rows: usize, panels: usize, threads: usize) -> (usize, usize) {
    let pixels = (geometry.output[0] * geometry.output[1]).max(1);
    // What a pixel reads and those before it did not.
    let steps = [0, 1].map(|axis| geometry.stride[axis].min(geometry.kernel[axis]));
    let pixel = steps[0] * steps[1] * geometry.input[2] * size_of::<f32>();
    let image = pixels * pixel;
    let weights = geometry.output[2] / geometry.groups * pieces.count * pieces.len * size_of::<f32>();
    let of_cache = (BAND_BYTES / pixel.max(1)).max(rows);
    let of_pointers = (POINTERS_BYTES / (pieces.count * size_of::<*const f32>()).max(1)).max(rows);
    let most = of_cache.min(of_pointers).min(pixels);
    if threads == 1 {
        return (even(pixels, most, rows), 1);
    }
    // Threads that share columns read each weight once; those that share pixels read each pixel once, and most of it is
    // what they wrote themselves. A weight that serves many pixels costs little more to be read by each of them.
    if weights > image && pixels < threads * FEW_PIXELS && panels * geometry.groups >= threads {
        let cuts = panels.min((threads * TASKS).div_ceil(geometry.groups));
        return (even(pixels, most, rows), cuts.max(1));
    }
    let tasks = threads * TASKS / geometry.groups;
    let band = most.min(pixels.div_ceil(tasks.max(1))).max(rows);
    let bands = pixels.div_ceil(band) * geometry.groups;
    let cuts = if bands >= threads { 1 } else { panels.min(threads.div_ceil(bands)).max(1) };
    (even(pixels, band.min(pixels), rows), cuts)
}

/// The size of bands of nearly `most` pixels each, which are nearly equal, and of whole tiles where there are several.
fn even(pixels: usize, most: usize, rows: usize) -> usize {
    let count = pixels.div_ceil(most);
    if count == 1 { pixels } else { pixels.div_ceil(count).next_multiple_of(rows) }
}
