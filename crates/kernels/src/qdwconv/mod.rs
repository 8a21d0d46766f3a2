//! Quantized depthwise convolution: each output channel is a small convolution of one input channel, in exact integers.
//!
//! Two kinds of rows share a layer's channels. `slide.rs` knows the usual window, 3×3, and reads the image as it lies
//! in memory; `sweep.rs` knows every window, and interleaves the image first. Both are written once over the
//! instructions of a CPU; `scalar.rs` is their plain counterpart.

use std::ops::Range;

use bytemuck::Pod;

use crate::Activation;
use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::memory::{ALIGNMENT, Aligned, AlignedBytes};
use crate::quantized::{NEAR, Output, Requantize, Weights, reach};
use crate::simd::LANES;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
#[cfg(target_arch = "aarch64")]
mod neon_slide;
mod scalar;
mod slide;
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
    /// The windows that it can do.
    windows: Windows,
    /// Computes rows of the output.
    run: Run,
}

/// How a kernel wants a weight, its zero point subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// `i8`, from this one on: not every zero point leaves the differences in its range.
    Byte(i8),
    /// `i16`: always exact.
    Word,
}

impl Weight {
    fn holds(self, value: i16) -> bool {
        match self {
            Weight::Byte(least) => (least.into()..=i8::MAX.into()).contains(&value),
            Weight::Word => true,
        }
    }
}

/// The windows that a kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Windows {
    /// Any, in blocks of [`LANES`] channels, the last of which may have fewer.
    All,
    /// 3×3 without dilation, at strides of 1 or 2, in whole blocks of so many channels.
    ThreeByThree(usize),
}

/// Computes the blocks of a part in the rows that the output holds.
///
/// # Safety
/// The CPU must have the instruction set of the row, and the part must be packed for it. Nobody else has the channels
/// of the blocks in these rows of the output; for [`Windows::All`], nobody else has the rows.
type Run = unsafe fn(layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>);

/// The kernels for quantized depthwise convolution.
pub static TABLE: Table<Kernel> = Table {
    family: "qdwconv",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s8s32_3x3_c16_avx512_vnni", isa: Isa::Avx512Vnni, kernel: avx512_vnni::SLIDE },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s16s32_3x3_c16_avx512_vnni", isa: Isa::Avx512Vnni, kernel: avx512_vnni::SLIDE_WORDS },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s8s32_3x3_c8_avx_vnni", isa: Isa::AvxVnni, kernel: avx_vnni::SLIDE },
        // Above the next one, which is slow where there are fewer than 16 channels.
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s16s32_3x3_c8_avx2", isa: Isa::Avx2, kernel: avx2::SLIDE },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s16s32_c16_avx512_vnni", isa: Isa::Avx512Vnni, kernel: avx512_vnni::SWEEP },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qdwconv_u8s16s32_c16_avx2", isa: Isa::Avx2, kernel: avx2::SWEEP },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qdwconv_s8s8s32_3x3_c8_neon_dot", isa: Isa::NeonDot, kernel: neon_dot::SLIDE },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qdwconv_s8s8s32_c16_neon_dot", isa: Isa::NeonDot, kernel: neon_dot::SWEEP },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qdwconv_s8s8s32_3x3_c8_neon", isa: Isa::Neon, kernel: neon::SLIDE },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qdwconv_s8s16s32_c16_neon", isa: Isa::Neon, kernel: neon::SWEEP },
        Row { name: "qdwconv_scalar", isa: Isa::Scalar, kernel: scalar::KERNEL },
    ],
};

/// Input and output bytes of the rows that a thread works on at a time: what stays in the cache while each block of
/// channels passes over them.
const BAND_BYTES: usize = 128 << 10;

/// A quantized depthwise convolution, packed for the kernels that share its channels.
#[derive(Debug)]
pub struct QDepthwiseConv2d {
    layer: Layer,
    parts: Vec<Part>,
    threads: usize,
}

/// What all kernels read besides the input.
#[derive(Debug)]
struct Layer {
    geometry: Geometry,
    /// Output channels that one input channel has.
    depth_multiplier: usize,
    output: Output,
    /// No scaled sum is further from 0.
    reach: f32,
    /// What stands for padding: the real value 0.
    padding: Activation,
}

/// The blocks of channels that one kernel computes, packed for it.
#[derive(Debug)]
struct Part {
    row: &'static Row<Kernel>,
    packing: Packing,
    /// The first channel of each block.
    channels: Vec<usize>,
    /// Cells of a block's channels by `packing.group` window rows, as `[block][group][window column][output row]`.
    weights: AlignedBytes,
    /// For each channel of each block; the share of the input's zero point is taken off already.
    bias: Aligned<i32>,
    /// For each channel of each block.
    multipliers: Aligned<f32>,
}

/// An image whose rows are at hand: all of them, or, as a convolution needs them in turn, the last few.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    data: &'a [Activation],
    /// Elements of a row.
    len: usize,
    /// Row `y` is in place `y % held`.
    held: usize,
}

impl<'a> Rows<'a> {
    /// # Panics
    /// When `data` does not hold so many rows of `len` elements.
    pub(crate) fn new(data: &'a [Activation], len: usize, held: usize) -> Rows<'a> {
        assert_eq!(data.len(), len * held, "elements of the rows that are held");
        Rows { data, len, held }
    }

    pub(crate) fn row(&self, y: usize) -> &'a [Activation] {
        &self.data[y % self.held * self.len..][..self.len]
    }
}

/// What a call of a kernel reads, writes and works with.
struct Io<'a> {
    input: Rows<'a>,
    /// The rows of the image that are computed.
    rows: Range<usize>,
    /// These rows, of all channels. Other threads may have some of the channels.
    output: &'a Disjoint<'a, Activation>,
    scratch: &'a mut [u8],
}

/// How the rows of a window are grouped.
///
/// A group of window rows is interleaved, so that one instruction multiplies all of them and adds the products. If
/// windows of neighbouring output rows overlap, the last group has room left that makes the same groups serve another
/// output row.
#[derive(Clone, Copy, Debug)]
struct Packing {
    /// Channels of a block.
    lanes: usize,
    /// Window rows in a group.
    group: usize,
    /// Groups that cover the windows of all `rows`.
    groups: usize,
    /// Output rows computed together.
    rows: usize,
}

impl Packing {
    fn new(geometry: &Geometry, kernel: &Kernel) -> Packing {
        let Kernel { group, windows, .. } = *kernel;
        let groups = geometry.kernel[0].div_ceil(group);
        let room = groups * group - geometry.kernel[0];
        let overlap = geometry.stride[0] == 1 && geometry.dilation[0] == 1;
        let lanes = match windows {
            Windows::All => LANES,
            Windows::ThreeByThree(lanes) => lanes,
        };
        Packing { lanes, group, groups, rows: if overlap && room > 0 { 2 } else { 1 } }
    }

    /// Cells of one block of channels.
    fn cells(&self, geometry: &Geometry) -> usize {
        self.groups * geometry.kernel[1] * self.rows
    }
}

impl Layer {
    /// What the channels of a block read of an input pixel; what absent channels get has no meaning.
    fn gather(&self, pixel: &[Activation], first: usize) -> [Activation; LANES] {
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

    /// Whether the kernels for 3×3 windows can do it, `lanes` channels at a time.
    fn slides(&self, lanes: usize) -> bool {
        let Geometry { kernel, stride, dilation, padding, output, .. } = self.geometry;
        kernel == [3, 3]
            && dilation == [1, 1]
            && (stride == [1, 1] || stride == [2, 2])
            && padding[1] <= 2
            && self.depth_multiplier == 1
            && output[2] >= lanes
            && self.reach < NEAR
    }

    /// Output rows that a thread computes at a time: few enough for the cache and to give each thread its share, and a
    /// multiple of those computed together.
    fn band(&self, threads: usize, multiple: usize) -> usize {
        let Geometry { input, output, stride, .. } = self.geometry;
        let row_bytes = stride[0] * input[1] * input[2] + output[1] * output[2];
        let rows = (BAND_BYTES / row_bytes.max(1)).min(output[0].div_ceil(threads));
        rows.next_multiple_of(multiple).max(multiple)
    }
}

impl Part {
    /// Packs the blocks that begin at these channels.
    fn new(
        row: &'static Row<Kernel>,
        layer: &Layer,
        weights: &Weights,
        input_zero_point: i32,
        requantize: &Requantize,
        channels: Vec<usize>,
    ) -> Part {
        let (count, packing) = (layer.geometry.output[2], Packing::new(&layer.geometry, &row.kernel));
        let mut bias = Aligned::<i32>::zeroed(channels.len() * packing.lanes);
        let mut multipliers = Aligned::<f32>::zeroed(channels.len() * packing.lanes);
        for (block, &first) in channels.iter().enumerate() {
            for channel in first..count.min(first + packing.lanes) {
                let place = block * packing.lanes + channel - first;
                bias[place] = folded_bias(weights, &layer.geometry, channel, input_zero_point);
                multipliers[place] = requantize.multiplier(channel);
            }
        }
        let weights = match row.kernel.weight {
            Weight::Byte(_) => pack(&layer.geometry, weights, packing, &channels, |weight| weight as i8),
            Weight::Word => pack(&layer.geometry, weights, packing, &channels, |weight| weight),
        };
        Part { row, packing, channels, weights, bias, multipliers }
    }

    /// For each of these blocks its first channel, weights, biases and multipliers.
    fn blocks<C: Pod>(
        &self,
        layer: &Layer,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, &[C], &[i32], &[f32])> {
        let weights: &[C] = bytemuck::cast_slice(&self.weights);
        let parameters =
            self.bias.chunks_exact(self.packing.lanes).zip(self.multipliers.chunks_exact(self.packing.lanes));
        let blocks = weights.chunks_exact(self.packing.cells(&layer.geometry)).zip(parameters);
        self.channels
            .iter()
            .zip(blocks)
            .map(|(&first, (weights, (bias, multipliers)))| (first, weights, bias, multipliers))
            .skip(range.start)
            .take(range.len())
    }

    /// Bytes of memory that a thread works with.
    fn scratch_bytes(&self, layer: &Layer) -> usize {
        let bytes = match self.row.kernel.windows {
            // A row of padding.
            Windows::ThreeByThree(_) => layer.geometry.input[1] * layer.geometry.input[2],
            // The interleaved rows.
            Windows::All => {
                let element = if self.row.kernel.weight == Weight::Word { 2 } else { 1 };
                self.packing.groups * layer.columns() * LANES * self.packing.group * element
            }
        };
        bytes.next_multiple_of(ALIGNMENT)
    }
}

/// The weights of a channel's window, row by row, without their zero point.
fn window<'a>(weights: &'a Weights, geometry: &Geometry, channel: usize) -> impl Iterator<Item = i16> + 'a {
    let point = weights.zero_point(channel);
    let taps = weights.values[channel..].iter().step_by(geometry.output[2]);
    taps.map(move |&value| (i32::from(value) - point) as i16)
}

/// A channel's bias, with the share of the input's zero point taken off.
fn folded_bias(weights: &Weights, geometry: &Geometry, channel: usize, input_zero_point: i32) -> i32 {
    let sum = window(weights, geometry, channel).map(i32::from).sum::<i32>();
    weights.bias(channel).wrapping_sub(sum.wrapping_mul(input_zero_point))
}

/// Lays the weights out as [`Part::weights`] says.
fn pack<T: Pod>(
    geometry: &Geometry,
    weights: &Weights,
    packing: Packing,
    blocks: &[usize],
    element: impl Fn(i16) -> T,
) -> AlignedBytes {
    let width = geometry.kernel[1];
    let Packing { lanes, group, rows, .. } = packing;
    let cells = packing.cells(geometry);
    let mut packed = Aligned::<T>::zeroed(blocks.len() * cells * lanes * group);
    for (block, &first) in blocks.iter().enumerate() {
        for channel in first..geometry.output[2].min(first + lanes) {
            for (tap, weight) in window(weights, geometry, channel).enumerate() {
                for row in 0..rows {
                    let ky = tap / width + row;
                    let cell = block * cells + (ky / group * width + tap % width) * rows + row;
                    packed[(cell * lanes + channel - first) * group + ky % group] = element(weight);
                }
            }
        }
    }
    AlignedBytes::from(bytemuck::cast_slice::<T, u8>(&packed))
}

impl QDepthwiseConv2d {
    /// Packs a convolution for the best kernels that `choice` allows and pools of up to `threads` threads.
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
        let far = |channel: usize| {
            let bias = folded_bias(weights, geometry, channel, input_zero_point);
            reach(window(weights, geometry, channel), bias, requantize.multiplier(channel))
        };
        let layer = Layer {
            geometry: *geometry,
            depth_multiplier: geometry.output[2] / geometry.input[2],
            output: requantize.output(),
            reach: (0..geometry.output[2]).map(far).fold(0.0, f32::max),
            padding: Activation::try_from(input_zero_point)
                .expect("the input's zero point is a value of an activation"),
        };
        let part = |(row, blocks)| Part::new(row, &layer, weights, input_zero_point, requantize, blocks);
        let parts = share(choice, &layer, weights).into_iter().map(part).collect();
        QDepthwiseConv2d { layer, parts, threads: threads.max(1) }
    }

    /// The kernel that was picked, for the most channels if there are several.
    pub fn kernel_name(&self) -> &'static str {
        let part = self.parts.iter().max_by_key(|part| part.channels.len() * part.packing.lanes);
        part.expect("a layer has channels").row.name
    }

    /// Bytes of weights, biases and multipliers as packed.
    pub fn weights_bytes(&self) -> usize {
        let bytes = |part: &Part| part.weights.len() + size_of_val(&*part.bias) + size_of_val(&*part.multipliers);
        self.parts.iter().map(bytes).sum()
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.threads * self.thread_scratch_bytes() + ALIGNMENT
    }

    /// The shape of an image.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.layer.geometry
    }

    /// Bytes of scratch memory of one thread, a multiple of [`ALIGNMENT`].
    pub(crate) fn thread_scratch_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.scratch_bytes(&self.layer)).max().unwrap_or(0)
    }

    /// Output rows that are best computed together.
    pub(crate) fn rows_together(&self) -> usize {
        let pairs = |part: &Part| part.row.kernel.windows != Windows::All && self.layer.geometry.stride[0] == 1;
        self.parts.iter().map(|part| if pairs(part) { 2 } else { part.packing.rows }).max().unwrap_or(1)
    }

    /// Convolves one image. What `scratch` holds is of no matter.
    ///
    /// # Panics
    /// When a length does not match, the pool has more threads than was said, or `scratch` is too small.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [Activation], scratch: &mut [u8]) {
        let Geometry { input: [in_height, in_width, in_channels], output: [height, width, channels], .. } =
            self.layer.geometry;
        assert_eq!(input.len(), self.layer.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.layer.geometry.output_len(), "elements of the output");
        assert!(pool.threads() <= self.threads, "packed for {} threads, run by {}", self.threads, pool.threads());
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        if output.is_empty() {
            return;
        }
        let input = Rows::new(input, in_width * in_channels, in_height);
        let part = self.thread_scratch_bytes();
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let scratch = Disjoint::new(&mut scratch[start..]);
        // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap.
        let scratch_of = |thread: usize| unsafe { scratch.slice(thread * part..(thread + 1) * part) };
        if self.shares_channels(pool.threads()) {
            let (output, threads) = (Disjoint::new(output), pool.threads());
            return pool.run(threads, &|task, thread| {
                for part in &self.parts {
                    let share = |task: usize| part.channels.len() * task / threads;
                    let io = Io { input, rows: 0..height, output: &output, scratch: scratch_of(thread) };
                    // SAFETY: as in `run_rows`; each block is in one share. Only the last block of all overlaps
                    // another, which is the last or the last but one of its part: shares are so large that one thread
                    // has both.
                    unsafe { (part.row.kernel.run)(&self.layer, part, share(task)..share(task + 1), io) };
                }
            });
        }
        let band = self.layer.band(pool.threads(), self.rows_together());
        pool.for_each_chunk(output, band * width * channels, |index, thread, output| {
            let rows = index * band..height.min((index + 1) * band);
            self.run_rows(input, rows, output, scratch_of(thread));
        });
    }

    /// Whether threads share the channels of the image instead of its rows, of which one would get too many.
    fn shares_channels(&self, threads: usize) -> bool {
        let steps = self.layer.geometry.output[0].div_ceil(self.rows_together());
        let most = steps.div_ceil(threads) * threads;
        let even = |part: &Part| part.row.kernel.windows != Windows::All && part.channels.len() >= 4 * threads;
        most * 20 > steps * 21 && self.parts.iter().all(even)
    }

    /// Computes `rows` of the output, on this thread, from an input that has the rows under their windows.
    ///
    /// # Panics
    /// When `output` does not hold just those rows.
    pub(crate) fn run_rows(&self, input: Rows, rows: Range<usize>, output: &mut [Activation], scratch: &mut [u8]) {
        let Geometry { output: [_, width, channels], .. } = self.layer.geometry;
        assert_eq!(output.len(), rows.len() * width * channels, "elements of the output's rows");
        let output = Disjoint::new(output);
        for part in &self.parts {
            let io = Io { input, rows: rows.clone(), output: &output, scratch: &mut *scratch };
            // SAFETY: the table gives only rows that this CPU can run, and the part was packed for its own; this thread
            // has the whole output.
            unsafe { (part.row.kernel.run)(&self.layer, part, 0..part.channels.len(), io) };
        }
    }
}

/// Shares the channels out: the best row gets the blocks that it can do, the next ones what is left.
fn share(choice: Choice, layer: &Layer, weights: &Weights) -> Vec<(&'static Row<Kernel>, Vec<usize>)> {
    let count = layer.geometry.output[2];
    let holds = |weight: Weight, channels: Range<usize>| {
        channels.into_iter().all(|channel| window(weights, &layer.geometry, channel).all(|value| weight.holds(value)))
    };
    let mut left: Vec<usize> = (0..count).step_by(LANES).collect();
    let mut parts = Vec::new();
    for row in TABLE.allowed(choice) {
        let Kernel { weight, windows, .. } = row.kernel;
        let mut taken = Vec::new();
        left.retain(|&first| {
            let end = count.min(first + LANES);
            match windows {
                Windows::All if holds(weight, first..end) => taken.push(first),
                Windows::ThreeByThree(lanes) if layer.slides(lanes) => {
                    // The last block overlaps the one before, so that it is whole.
                    let start = |at: usize| at.min(count - lanes);
                    if !holds(weight, start(first)..end) {
                        return true;
                    }
                    taken.extend((first..end).step_by(lanes).map(start));
                }
                _ => return true,
            }
            false
        });
        if !taken.is_empty() {
            parts.push((row, taken));
        }
    }
    parts
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
    assert!(
        inputs > 0 && outputs > 0 && outputs.is_multiple_of(inputs),
        "{outputs} output channels of {inputs} input channels"
    );
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
