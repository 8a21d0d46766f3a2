//! Depthwise convolution of floats: each output channel is a small convolution of one input channel.
//!
//! Every row adds in the same order, so that all give the same bits: a sum begins as the bias, or 0, and takes the
//! products of the taps that are not padding, row by row, by fused multiply-adds; then it is clamped.

use std::ops::Range;

use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::memory::Aligned;
use crate::simd::positive_zeros;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// Computes rows of the output into `output`, which holds just those.
///
/// # Safety
/// The CPU must have the instruction set of the row.
pub type Kernel = unsafe fn(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]);

/// The kernels for depthwise convolution of floats.
pub static TABLE: Table<Kernel> = Table {
    family: "dwconv",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "dwconv_f32_c16_avx512", isa: Isa::Avx512, kernel: vector::avx512 },
        #[cfg(target_arch = "x86_64")]
        Row { name: "dwconv_f32_c16_avx2", isa: Isa::Avx2, kernel: vector::avx2 },
        #[cfg(target_arch = "aarch64")]
        Row { name: "dwconv_f32_slide_neon", isa: Isa::Neon, kernel: neon::run },
        Row { name: "dwconv_f32_scalar", isa: Isa::Scalar, kernel: scalar::run },
    ],
};

/// A thread gets about so many tasks.
const TASKS: usize = 4;

/// Everything that a kernel reads besides the input.
#[derive(Debug)]
pub struct Layer {
    geometry: Geometry,
    /// Output channels that one input channel has.
    depth_multiplier: usize,
    /// `[kernel height][kernel width][channels]`
    weights: Aligned<f32>,
    bias: Aligned<f32>,
    bounds: [f32; 2],
}

/// A depthwise convolution of floats.
#[derive(Debug)]
pub struct DepthwiseConv2d {
    row: &'static Row<Kernel>,
    layer: Layer,
}

impl DepthwiseConv2d {
    /// `weights` are `[kernel height][kernel width][output channels]`. Output channel `o` reads input channel
    /// `o / (output channels / input channels)`. The output is clamped to `min..=max`.
    ///
    /// # Panics
    /// When lengths do not match the geometry.
    pub fn new(
        choice: Choice,
        geometry: &Geometry,
        weights: &[f32],
        bias: Option<&[f32]>,
        [min, max]: [f32; 2],
    ) -> DepthwiseConv2d {
        let (inputs, outputs) = (geometry.input[2], geometry.output[2]);
        let steps = geometry.stride.iter().chain(&geometry.dilation);
        assert!(steps.into_iter().all(|&step| step > 0), "strides and dilations are positive");
        assert!(inputs > 0 && outputs.is_multiple_of(inputs), "{outputs} output channels of {inputs} input channels");
        assert_eq!(weights.len(), geometry.kernel[0] * geometry.kernel[1] * outputs, "weights");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "biases");
        let layer = Layer {
            geometry: *geometry,
            depth_multiplier: outputs / inputs,
            weights: Aligned::from(weights),
            bias: bias.map_or_else(|| Aligned::zeroed(outputs), Aligned::from),
            bounds: positive_zeros([min, max]),
        };
        DepthwiseConv2d { row: TABLE.pick(choice), layer }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of weights and biases.
    pub fn weights_bytes(&self) -> usize {
        size_of_val(&*self.layer.weights) + size_of_val(&*self.layer.bias)
    }

    /// Convolves one image.
    ///
    /// # Panics
    /// When a length does not match the geometry.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32]) {
        let Geometry { output: [height, width, channels], .. } = self.layer.geometry;
        assert_eq!(input.len(), self.layer.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.layer.geometry.output_len(), "elements of the output");
        if output.is_empty() {
            return;
        }
        // Several tasks for each thread, so that one that is late delays the others little.
        let tasks = match pool.threads() {
            1 => 1,
            threads => (threads * TASKS).min(height.next_multiple_of(threads)),
        };
        let output = Disjoint::new(output);
        pool.run(tasks, &|task, _| {
            let rows = task * height / tasks..(task + 1) * height / tasks;
            if !rows.is_empty() {
                // SAFETY: the rows of tasks do not overlap.
                let output = unsafe { output.slice(rows.start * width * channels..rows.end * width * channels) };
                // SAFETY: the table gives only rows that this CPU can run.
                unsafe { (self.row.kernel)(&self.layer, input, rows, output) };
            }
        });
    }
}
