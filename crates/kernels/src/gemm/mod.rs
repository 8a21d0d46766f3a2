//! Convolution of floats as a matrix product: windows of the image by weights.
//!
//! Every row adds in the same order, so that all give the same bits: a sum begins as the bias, or 0, and takes the products by
//! fused multiply-adds in the order of the taps, rows before columns, and then of the channels; then it is clamped. Padding is
//! multiplied, too, which changes nothing but the sign of a zero, as long as weights are finite.

use std::ops::Range;

use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::im2col;
use crate::memory::{ALIGNMENT, Aligned};
use crate::simd::LANES;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// What the door knows of a row.
#[derive(Debug)]
pub struct Kernel {
    /// Pixels that a tile has at most.
    pixels: usize,
    /// Multiplies the rows of a matrix, `stride` apart, by a panel: one row of `tile` for each.
    run: Run,
}

/// # Safety
/// The CPU must have the instruction set of the row.
type Run = unsafe fn(panel: &Panel, rows: &[f32], stride: usize, tile: &mut [[f32; LANES]]);

/// The kernels for convolution of floats.
pub static TABLE: Table<Kernel> = Table {
    family: "gemm",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "gemm_f32_12x16_avx512", isa: Isa::Avx512, kernel: Kernel { pixels: 12, run: vector::avx512 } },
        #[cfg(target_arch = "x86_64")]
        Row { name: "gemm_f32_6x16_avx2", isa: Isa::Avx2, kernel: Kernel { pixels: 6, run: vector::avx2 } },
        #[cfg(target_arch = "aarch64")]
        Row { name: "gemm_f32_6x16_neon", isa: Isa::Neon, kernel: Kernel { pixels: 6, run: vector::neon } },
        Row { name: "gemm_f32_scalar", isa: Isa::Scalar, kernel: Kernel { pixels: 1, run: scalar::run } },
    ],
};

/// Pixels that a thread takes at a time: their windows are used by all panels, a panel by all tiles of these pixels. A
/// multiple of every row's `pixels`.
const BAND: usize = 48;

/// The weights of 16 output channels, and what is done with their sums.
#[derive(Debug)]
struct Panel<'a> {
    /// Of each element of a window, in order.
    weights: &'a [[f32; LANES]],
    bias: &'a [f32; LANES],
    bounds: [f32; 2],
}

/// A convolution of floats, packed for one kernel. With [`Geometry::matrix`], a matrix product.
#[derive(Debug)]
pub struct Conv2d {
    row: &'static Row<Kernel>,
    geometry: Geometry,
    /// `[group][panel][depth][16]`; absent channels have zeros.
    weights: Aligned<f32>,
    /// `[group][panel][16]`
    bias: Aligned<f32>,
    bounds: [f32; 2],
    threads: usize,
}

/// The part of the output that one task computes.
struct Task {
    pixels: Range<usize>,
    group: usize,
    panels: Range<usize>,
}

impl Conv2d {
    /// Packs a convolution for the best kernel that `choice` allows and pools of up to `threads` threads.
    ///
    /// `weights` are `[output channels][kernel height][kernel width][input channels / groups]`. The output is clamped to
    /// `min..=max`.
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
    ) -> Conv2d {
        let (inputs, outputs, groups) = (geometry.input[2], geometry.output[2], geometry.groups);
        let steps = geometry.stride.iter().chain(&geometry.dilation);
        assert!(steps.into_iter().all(|&step| step > 0), "strides and dilations are positive");
        assert!(groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups), "{groups} groups");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "biases");
        let depth = im2col::window_len(geometry);
        assert_eq!(weights.len(), outputs * depth, "weights");

        let channels = outputs / groups;
        let panels = channels.div_ceil(LANES);
        let mut packed = Aligned::zeroed(groups * panels * depth * LANES);
        let mut packed_bias = Aligned::zeroed(groups * panels * LANES);
        for output in 0..outputs {
            let (group, channel) = (output / channels, output % channels);
            let (panel, lane) = (group * panels + channel / LANES, channel % LANES);
            for (k, &weight) in weights[output * depth..][..depth].iter().enumerate() {
                packed[(panel * depth + k) * LANES + lane] = weight;
            }
            packed_bias[panel * LANES + lane] = bias.map_or(0.0, |bias| bias[output]);
        }
        Conv2d {
            row: TABLE.pick(choice),
            geometry: *geometry,
            weights: packed,
            bias: packed_bias,
            bounds: [min, max],
            threads: threads.max(1),
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
        let bytes = self.threads * self.windows_len() * size_of::<f32>();
        if bytes == 0 { 0 } else { bytes + ALIGNMENT }
    }

    /// Elements of the windows of a band, on whole cache lines; none where they lie in the image.
    fn windows_len(&self) -> usize {
        if self.geometry.is_pointwise() {
            return 0;
        }
        (BAND * im2col::window_len(&self.geometry)).next_multiple_of(ALIGNMENT / size_of::<f32>())
    }

    /// Convolves one image. What `scratch` holds is of no matter.
    ///
    /// # Panics
    /// When a length does not match, the pool has more threads than was said, or `scratch` is too small.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32], scratch: &mut [u8]) {
        assert_eq!(input.len(), self.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.geometry.output_len(), "elements of the output");
        assert!(pool.threads() <= self.threads, "packed for {} threads, run by {}", self.threads, pool.threads());
        let part = self.windows_len();
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        let start = if part == 0 { 0 } else { scratch.as_ptr().align_offset(ALIGNMENT) };
        let (_, scratch, _) = bytemuck::pod_align_to_mut::<u8, f32>(&mut scratch[start..]);
        let (scratch, output) = (Disjoint::new(scratch), Disjoint::new(output));

        let [height, width, outputs] = self.geometry.output;
        let (pixels, groups) = (height * width, self.geometry.groups);
        let panels = (outputs / groups).div_ceil(LANES);
        let bands = pixels.div_ceil(BAND);
        // Few bands, as of a single vector, are cut across the panels, too.
        let cuts = if bands * groups >= pool.threads() { 1 } else { panels.min(pool.threads()) };
        pool.run(bands * groups * cuts, &|index, thread| {
            let (band, group, cut) = (index / cuts / groups, index / cuts % groups, index % cuts);
            let task = Task {
                pixels: band * BAND..pixels.min((band + 1) * BAND),
                group,
                panels: cut * panels / cuts..(cut + 1) * panels / cuts,
            };
            // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap.
            let windows = unsafe { scratch.slice(thread * part..(thread + 1) * part) };
            self.compute(&task, input, windows, &output);
        });
    }

    /// Computes one task; no other one that runs at the same time may have elements of the output in common with it.
    fn compute(&self, task: &Task, input: &[f32], windows: &mut [f32], output: &Disjoint<f32>) {
        let (outputs, depth) = (self.geometry.output[2], im2col::window_len(&self.geometry));
        let channels = outputs / self.geometry.groups;
        let rows = if self.geometry.is_pointwise() {
            &input[task.pixels.start * depth..task.pixels.end * depth]
        } else {
            let windows = &mut windows[..task.pixels.len() * depth];
            im2col::gather(&self.geometry, task.group, input, 0.0, task.pixels.clone(), depth, windows);
            &*windows
        };
        for panel in task.panels.clone() {
            let weights = self.panel(task.group, panel);
            let first = task.group * channels + panel * LANES;
            let present = LANES.min(channels - panel * LANES);
            for start in task.pixels.clone().step_by(self.row.kernel.pixels) {
                let mut tile = [[0.0; LANES]; BAND];
                let tile = &mut tile[..self.row.kernel.pixels.min(task.pixels.end - start)];
                let rows = &rows[(start - task.pixels.start) * depth..];
                // SAFETY: the table gives only rows that this CPU can run.
                unsafe { (self.row.kernel.run)(&weights, rows, depth, tile) };
                for (pixel, values) in (start..).zip(tile) {
                    let place = pixel * outputs + first;
                    // SAFETY: these channels of this pixel are this task's alone.
                    let place = unsafe { output.slice(place..place + present) };
                    place.copy_from_slice(&values[..present]);
                }
            }
        }
    }

    fn panel(&self, group: usize, panel: usize) -> Panel<'_> {
        let panels = (self.geometry.output[2] / self.geometry.groups).div_ceil(LANES);
        let (index, depth) = (group * panels + panel, im2col::window_len(&self.geometry));
        let weights = &self.weights[index * depth * LANES..][..depth * LANES];
        let bias = self.bias[index * LANES..].first_chunk().expect("a bias for each panel");
        Panel { weights: weights.as_chunks().0, bias, bounds: self.bounds }
    }
}
