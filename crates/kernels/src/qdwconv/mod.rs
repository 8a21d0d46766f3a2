//! Quantized depthwise convolution: each output channel is a small convolution of one input channel, in exact integers.
//!
//! The rows are the file `sweep.rs`, written once over the instructions of a CPU, and its plain counterpart `scalar.rs`.

use std::ops::Range;

use bytemuck::Pod;

use crate::Activation;
use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::memory::{ALIGNMENT, Aligned, AlignedBytes};
use crate::quantized::{Output, Requantize, Weights};
use crate::simd::LANES;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
mod scalar;
mod sweep;
#[cfg(test)]
mod tests;

/// What the door knows of a row.
#[derive(Debug)]
pub struct Kernel {
    /// Window rows that one instruction takes together.
    group: usize,
    /// What it multiplies by.
    weight: Weight,
    /// Computes rows of the output into `output`, which holds just those.
    run: Run,
}

/// How a kernel wants a weight, its zero point subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// `i8`: not every zero point leaves the differences in its range.
    Byte,
    /// `i16`: always exact.
    Word,
}

/// # Safety
/// The CPU must have the instruction set of the row.
type Run =
    unsafe fn(layer: &Layer, input: &[Activation], rows: Range<usize>, output: &mut [Activation], scratch: &mut [u8]);

/// The kernels for quantized depthwise convolution.
pub static TABLE: Table<Kernel> = Table {
    family: "qdwconv",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "qdwconv_u8s16s32_c16_avx512_vnni",
            isa: Isa::Avx512Vnni,
            kernel: Kernel { group: 2, weight: Weight::Word, run: avx512_vnni::run },
        },
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "qdwconv_u8s16s32_c16_avx2",
            isa: Isa::Avx2,
            kernel: Kernel { group: 2, weight: Weight::Word, run: avx2::run },
        },
        #[cfg(target_arch = "aarch64")]
        Row {
            name: "qdwconv_s8s8s32_c16_neon_dot",
            isa: Isa::NeonDot,
            kernel: Kernel { group: 4, weight: Weight::Byte, run: neon_dot::run },
        },
        #[cfg(target_arch = "aarch64")]
        Row {
            name: "qdwconv_s8s16s32_c16_neon",
            isa: Isa::Neon,
            kernel: Kernel { group: 1, weight: Weight::Word, run: neon::run },
        },
        Row {
            name: "qdwconv_scalar",
            isa: Isa::Scalar,
            kernel: Kernel { group: 1, weight: Weight::Word, run: scalar::run },
        },
    ],
};

/// Input and output bytes of the rows that a thread works on at a time: what stays in the cache while each block of
/// channels passes over them.
const BAND_BYTES: usize = 128 << 10;

/// A quantized depthwise convolution, packed for one kernel.
#[derive(Debug)]
pub struct QDepthwiseConv2d {
    row: &'static Row<Kernel>,
    layer: Layer,
    threads: usize,
}

/// Everything that a kernel reads besides the input.
#[derive(Debug)]
struct Layer {
    geometry: Geometry,
    /// Output channels that one input channel has.
    depth_multiplier: usize,
    packing: Packing,
    /// Cells of `LANES` channels by `packing.group` window rows, as `[block][group][window column][output row]`.
    weights: AlignedBytes,
    weight: Weight,
    /// Of whole blocks; the share of the input's zero point is taken off already.
    bias: Aligned<i32>,
    /// Of whole blocks.
    multipliers: Aligned<f32>,
    output: Output,
    /// What stands for padding: the real value 0.
    padding: Activation,
}

/// How the rows of a window are grouped.
///
/// A group of window rows is interleaved, so that one instruction multiplies all of them and adds the products. If windows
/// of neighbouring output rows overlap, the last group has room left that makes the same groups serve another output row.
#[derive(Clone, Copy, Debug)]
struct Packing {
    /// Window rows in a group.
    group: usize,
    /// Groups that cover the windows of all `rows`.
    groups: usize,
    /// Output rows computed together.
    rows: usize,
}

impl Packing {
    fn new(geometry: &Geometry, group: usize) -> Packing {
        let groups = geometry.kernel[0].div_ceil(group);
        let room = groups * group - geometry.kernel[0];
        let overlap = geometry.stride[0] == 1 && geometry.dilation[0] == 1;
        Packing { group, groups, rows: if overlap && room > 0 { 2 } else { 1 } }
    }

    /// Cells of one block of channels.
    fn cells(&self, geometry: &Geometry) -> usize {
        self.groups * geometry.kernel[1] * self.rows
    }
}

impl Layer {
    fn new(geometry: &Geometry, weights: &Weights, zero_point: i32, requantize: &Requantize, kernel: &Kernel) -> Layer {
        let channels = geometry.output[2];
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let packing = Packing::new(geometry, kernel.group);
        let padded = channels.next_multiple_of(LANES);
        let mut bias = Aligned::<i32>::zeroed(padded);
        let mut multipliers = Aligned::<f32>::zeroed(padded);
        for channel in 0..channels {
            let sum = (0..taps).map(|tap| weight(weights, channels, tap, channel)).sum::<i32>();
            bias[channel] = weights.bias(channel).wrapping_sub(sum.wrapping_mul(zero_point));
            multipliers[channel] = requantize.multiplier(channel);
        }
        Layer {
            geometry: *geometry,
            depth_multiplier: channels / geometry.input[2],
            packing,
            weights: match kernel.weight {
                Weight::Byte => pack(geometry, weights, packing, |weight| weight as i8),
                Weight::Word => pack(geometry, weights, packing, |weight| weight as i16),
            },
            weight: kernel.weight,
            bias,
            multipliers,
            output: requantize.output(),
            padding: Activation::try_from(zero_point).expect("the input's zero point is a value of an activation"),
        }
    }

    /// What the channels of a block read of an input pixel; what absent channels get has no meaning.
    fn gather(&self, pixel: &[Activation], block: usize) -> [Activation; LANES] {
        let first = block * LANES;
        if let (1, Some(whole)) = (self.depth_multiplier, pixel.get(first..).and_then(<[_]>::first_chunk)) {
            return *whole;
        }
        std::array::from_fn(|lane| pixel[((first + lane) / self.depth_multiplier).min(pixel.len() - 1)])
    }

    /// Columns of the input, with padding, that the windows of an output row reach.
    fn columns(&self) -> usize {
        let Geometry { output, kernel, stride, dilation, .. } = self.geometry;
        (output[1].max(1) - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
    }

    /// Bytes of the interleaved rows that a thread keeps.
    fn scratch_bytes(&self) -> usize {
        let element = if self.weight == Weight::Byte { 1 } else { 2 };
        let cell = LANES * self.packing.group * element;
        (self.packing.groups * self.columns() * cell).next_multiple_of(ALIGNMENT)
    }

    /// Output rows that a thread computes at a time: few enough for the cache and to give each thread its share, and a
    /// multiple of those computed together.
    fn band(&self, threads: usize) -> usize {
        let Geometry { input, output, stride, .. } = self.geometry;
        let row_bytes = stride[0] * input[1] * input[2] + output[1] * output[2];
        let rows = (BAND_BYTES / row_bytes.max(1)).min(output[0].div_ceil(threads));
        rows.next_multiple_of(self.packing.rows).max(self.packing.rows)
    }
}

/// A weight without its zero point.
fn weight(weights: &Weights, channels: usize, tap: usize, channel: usize) -> i32 {
    i32::from(weights.values[tap * channels + channel]) - weights.zero_point(channel)
}

/// Lays the weights out as [`Layer::weights`] says.
fn pack<T: Pod>(geometry: &Geometry, weights: &Weights, packing: Packing, element: impl Fn(i32) -> T) -> AlignedBytes {
    let (channels, [kernel_h, kernel_w]) = (geometry.output[2], geometry.kernel);
    let Packing { group, rows, .. } = packing;
    let cells = packing.cells(geometry);
    let mut packed = Aligned::<T>::zeroed(channels.div_ceil(LANES) * cells * LANES * group);
    for (channel, tap) in (0..channels).flat_map(|channel| (0..kernel_h * kernel_w).map(move |tap| (channel, tap))) {
        let (ky, kx) = (tap / kernel_w, tap % kernel_w);
        for row in 0..rows {
            let cell = channel / LANES * cells + ((ky + row) / group * kernel_w + kx) * rows + row;
            let place = (cell * LANES + channel % LANES) * group + (ky + row) % group;
            packed[place] = element(weight(weights, channels, tap, channel));
        }
    }
    AlignedBytes::from(bytemuck::cast_slice::<T, u8>(&packed))
}

impl QDepthwiseConv2d {
    /// Packs a convolution for the best kernel that `choice` allows and pools of up to `threads` threads.
    ///
    /// `weights` are `[kernel height][kernel width][output channels]`. Output channel `o` reads input channel
    /// `o / (output channels / input channels)`. Padding is the real value 0.
    ///
    /// # Panics
    /// When lengths do not match the geometry, or a zero point, bound or multiplier is out of its range.
    pub fn new(
        choice: Choice,
        geometry: &Geometry,
        weights: &Weights,
        input_zero_point: i32,
        requantize: &Requantize,
        threads: usize,
    ) -> QDepthwiseConv2d {
        check(geometry, weights, requantize);
        let (channels, taps) = (geometry.output[2], geometry.kernel[0] * geometry.kernel[1]);
        let mut values = (0..taps * channels).map(|i| weight(weights, channels, i / channels, i % channels));
        let bytes = values.all(|weight| i8::try_from(weight).is_ok());
        let row = TABLE.pick_where(choice, |kernel| bytes || kernel.weight == Weight::Word);
        let layer = Layer::new(geometry, weights, input_zero_point, requantize, &row.kernel);
        QDepthwiseConv2d { row, layer, threads: threads.max(1) }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of weights, biases and multipliers as packed.
    pub fn weights_bytes(&self) -> usize {
        self.layer.weights.len() + size_of_val(&*self.layer.bias) + size_of_val(&*self.layer.multipliers)
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.threads * self.layer.scratch_bytes() + ALIGNMENT
    }

    /// Convolves one image. What `scratch` holds is of no matter.
    ///
    /// # Panics
    /// When a length does not match, the pool has more threads than was said, or `scratch` is too small.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [Activation], scratch: &mut [u8]) {
        let Geometry { output: [height, width, channels], .. } = self.layer.geometry;
        assert_eq!(input.len(), self.layer.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.layer.geometry.output_len(), "elements of the output");
        assert!(pool.threads() <= self.threads, "packed for {} threads, run by {}", self.threads, pool.threads());
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        if output.is_empty() {
            return;
        }
        let part = self.layer.scratch_bytes();
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let scratch = Disjoint::new(&mut scratch[start..]);
        let band = self.layer.band(pool.threads());
        pool.for_each_chunk(output, band * width * channels, |index, thread, output| {
            let rows = index * band..height.min((index + 1) * band);
            // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap.
            let scratch = unsafe { scratch.slice(thread * part..(thread + 1) * part) };
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.run)(&self.layer, input, rows, output, scratch) };
        });
    }
}

/// Holds what a caller gives to what `new` documents.
fn check(geometry: &Geometry, weights: &Weights, requantize: &Requantize) {
    let (inputs, outputs) = (geometry.input[2], geometry.output[2]);
    let taps = geometry.kernel[0] * geometry.kernel[1];
    assert!(taps > 0 && taps <= 1 << 17, "a window has 1 to 131072 taps");
    assert!(
        geometry.stride.iter().chain(&geometry.dilation).all(|&step| step > 0),
        "strides and dilations are positive"
    );
    assert!(inputs > 0 && outputs.is_multiple_of(inputs), "{outputs} output channels of {inputs} input channels");
    assert_eq!(weights.values.len(), taps * outputs, "weights");
    assert!([1, outputs].contains(&weights.zero_points.len()), "zero points of the weights");
    assert!(
        weights.zero_points.iter().all(|point| (-128..=127).contains(point)),
        "zero points of the weights are 8-bit"
    );
    assert!(weights.bias.is_none_or(|bias| bias.len() == outputs), "biases");
    assert!([1, outputs].contains(&requantize.multipliers.len()), "multipliers");
    assert!(requantize.multipliers.iter().all(|multiplier| multiplier.is_finite()), "multipliers are finite");
}
