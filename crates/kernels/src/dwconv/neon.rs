//! NEON for windows of 3×3 that move by one or two: four channels at a time slide along two lines of the output, and
//! the columns of the image that neighbouring windows share stay in registers.
//!
//! With the weights, these are as many registers as there are. Two lines of windows share lines of the image, too: by
//! one, six of their nine values are another window's, and are not loaded again.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::{Layer, vector};
use crate::geometry::Geometry;

/// Channels of a register.
const LANES: usize = 4;

/// Columns of the output that all channels pass before the next: what four times four of them read stays in the
/// first-level cache.
const COLUMNS: usize = 28;

/// Lines of the output, likewise.
const LINES: usize = 8;

/// # Safety
/// The CPU has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    // SAFETY: the same condition; the layer is one that slides.
    unsafe {
        match layer.geometry.stride {
            [1, 1] if slides(layer) => lines::<1, 4>(layer, input, rows, output),
            [2, 2] if slides(layer) => lines::<2, 5>(layer, input, rows, output),
            _ => vector::neon(layer, input, rows, output),
        }
    }
}

/// Whether the windows are 3×3 without gaps and at most the outer taps of the first and the last column are padding.
fn slides(layer: &Layer) -> bool {
    let Geometry { input: [in_h, _, channels], output: [out_h, out_w, _], kernel, dilation, .. } = layer.geometry;
    let taps = |axis, window| {
        let taps = layer.geometry.taps(axis, window).map(|(tap, _)| tap);
        (taps.clone().next().unwrap_or(3), taps.len())
    };
    kernel == [3, 3]
        && dilation == [1, 1]
        && layer.depth_multiplier == 1
        && channels >= LANES
        && in_h > 0
        && out_w > 1
        && matches!(taps(1, 0), (0 | 1, count) if taps(1, 0).0 + count == 3)
        && matches!(taps(1, out_w - 1), (0, 2 | 3))
        && (0..out_h).all(|y| taps(0, y).1 > 0)
}

/// Computes lines of the output with windows that move by `S`, of which two read `IN` lines of the image.
///
/// # Safety
/// The CPU has NEON, and the layer [`slides`]. Input and output are those of the geometry.
#[target_feature(enable = "neon")]
unsafe fn lines<const S: usize, const IN: usize>(
    layer: &Layer,
    input: &[f32],
    mut rows: Range<usize>,
    output: &mut [f32],
) {
    let Geometry { input: [_, in_w, channels], output: [_, out_w, _], padding, .. } = layer.geometry;
    assert_eq!(input.len(), layer.geometry.input_len());
    assert_eq!(output.len(), rows.len() * out_w * channels);
    let cut = layer.geometry.taps(1, out_w - 1).len() < 3;
    for output in output.chunks_mut(LINES * out_w * channels) {
        let mut groups = [Group::default(); LINES];
        let groups = Group::of_rows(layer, rows.start..rows.end.min(rows.start + LINES), &mut groups);
        rows.start += LINES;
        for x in (0..out_w).step_by(COLUMNS) {
            let end = out_w.min(x + COLUMNS);
            let column = (x * S).saturating_sub(padding[1]);
            for channel in (0..channels).step_by(LANES).map(|channel| channel.min(channels - LANES)) {
                // The strip is inside the output, and the windows that it does not say are cut are inside the image.
                let strip = Strip {
                    input: input.as_ptr().wrapping_add(column * channels + channel),
                    output: output.as_mut_ptr().wrapping_add(x * channels + channel),
                    weights: layer.weights[channel..].as_ptr(),
                    bias: layer.bias[channel..].as_ptr(),
                    bounds: layer.bounds,
                    lines: [in_w * channels, out_w * channels],
                    channels,
                    count: end - x,
                    from_padding: x == 0 && padding[1] == 1,
                    into_padding: end == out_w && cut,
                };
                // SAFETY: there are weights of nine taps and a bias for each channel, and the strip is as it says.
                unsafe {
                    for group in groups {
                        match (group.height, group.pair) {
                            (3, true) => slide::<S, 2, IN, 3>(&strip, group),
                            (3, false) => slide::<S, 1, 3, 3>(&strip, group),
                            (2, _) => slide::<S, 1, 2, 2>(&strip, group),
                            _ => slide::<S, 1, 1, 1>(&strip, group),
                        }
                    }
                }
            }
        }
    }
}

/// A line of windows, or two that read three lines of the image each.
#[derive(Clone, Copy, Default)]
struct Group {
    /// The first line of the image and the line of the output.
    line: usize,
    output: usize,
    /// The first line of taps that is not padding, and how many there are.
    first: usize,
    height: usize,
    pair: bool,
}

impl Group {
    /// The groups of some rows, at most as many as there is room for.
    fn of_rows<'g>(layer: &Layer, rows: Range<usize>, groups: &'g mut [Group]) -> &'g [Group] {
        let (mut y, mut count) = (rows.start, 0);
        while y < rows.end {
            let taps = |y| layer.geometry.taps(0, y);
            let (first, line) = taps(y).next().expect("a window meets the image");
            let height = taps(y).len();
            let pair = y + 1 < rows.end && height == 3 && taps(y + 1).len() == 3;
            groups[count] = Group { line, output: y - rows.start, first, height, pair };
            count += 1;
            y += if pair { 2 } else { 1 };
        }
        &groups[..count]
    }
}

/// A part of the columns of the output, in four channels. Whatever is four channels begins at its first one.
struct Strip {
    /// In the first line, the first value that the first window reads.
    input: *const f32,
    output: *mut f32,
    /// Of nine taps, `channels` elements apart.
    weights: *const f32,
    bias: *const f32,
    bounds: [f32; 2],
    /// Elements of a line of the input, and of the output.
    lines: [usize; 2],
    channels: usize,
    /// Windows of a line.
    count: usize,
    /// Whether the first column of the first window is padding.
    from_padding: bool,
    /// Whether the last column of the last window is.
    into_padding: bool,
}

/// Slides along `OUT` lines of windows, which read `IN` lines of the image, `H` each, and move by `S`.
///
/// # Safety
/// The CPU has NEON; the strip is inside the output, and its windows, less what is padding, inside the image.
#[target_feature(enable = "neon")]
unsafe fn slide<const S: usize, const OUT: usize, const IN: usize, const H: usize>(strip: &Strip, group: &Group) {
    // SAFETY: all that is loaded is in the windows, and all that is stored in the strip.
    unsafe {
        let mut windows = Windows::<S, OUT, IN, H>::new(strip, group);
        let mut count = strip.count - usize::from(strip.from_padding) - usize::from(strip.into_padding);
        let mut a = windows.next_column();
        if S == 1 {
            let mut b = windows.next_column();
            if strip.from_padding {
                windows.multiply([None, Some(&a), Some(&b)]);
            }
            while count >= 3 {
                let c = windows.next_column();
                windows.multiply([Some(&a), Some(&b), Some(&c)]);
                a = windows.next_column();
                windows.multiply([Some(&b), Some(&c), Some(&a)]);
                b = windows.next_column();
                windows.multiply([Some(&c), Some(&a), Some(&b)]);
                count -= 3;
            }
            while count > 0 {
                let c = windows.next_column();
                windows.multiply([Some(&a), Some(&b), Some(&c)]);
                (a, b) = (b, c);
                count -= 1;
            }
            if strip.into_padding {
                windows.multiply([Some(&a), Some(&b), None]);
            }
        } else {
            if strip.from_padding {
                let b = windows.next_column();
                windows.multiply([None, Some(&a), Some(&b)]);
                a = b;
            }
            while count >= 2 {
                let b = windows.next_column();
                let c = windows.next_column();
                windows.multiply([Some(&a), Some(&b), Some(&c)]);
                let b = windows.next_column();
                a = windows.next_column();
                windows.multiply([Some(&c), Some(&b), Some(&a)]);
                count -= 2;
            }
            if count > 0 {
                let b = windows.next_column();
                let c = windows.next_column();
                windows.multiply([Some(&a), Some(&b), Some(&c)]);
                a = c;
            }
            if strip.into_padding {
                let b = windows.next_column();
                windows.multiply([Some(&a), Some(&b), None]);
            }
        }
    }
}

/// Where windows have got to.
struct Windows<const S: usize, const OUT: usize, const IN: usize, const H: usize> {
    weights: [[float32x4_t; 3]; H],
    bias: float32x4_t,
    bounds: [float32x4_t; 2],
    /// The next pixel of each line.
    lines: [*const f32; IN],
    /// The next window of each line.
    outputs: [*mut f32; OUT],
    /// Bytes from a pixel to the next.
    step: usize,
}

impl<const S: usize, const OUT: usize, const IN: usize, const H: usize> Windows<S, OUT, IN, H> {
    /// # Safety
    /// As [`slide`].
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn new(strip: &Strip, group: &Group) -> Self {
        let [input_line, output_line] = strip.lines;
        let step = strip.channels * size_of::<f32>();
        let mut windows = Windows {
            weights: [[vdupq_n_f32(0.0); 3]; H],
            // SAFETY: there is a bias for each channel.
            bias: unsafe { vld1q_f32(strip.bias) },
            bounds: strip.bounds.map(|bound| vdupq_n_f32(bound)),
            lines: [strip.input.wrapping_add(group.line * input_line); IN],
            outputs: [strip.output.wrapping_add(group.output * output_line); OUT],
            step,
        };
        for y in 1..IN {
            windows.lines[y] = windows.lines[y - 1].wrapping_add(input_line);
        }
        for y in 1..OUT {
            windows.outputs[y] = windows.outputs[y - 1].wrapping_add(output_line);
        }
        let mut from = strip.weights.wrapping_add(group.first * 3 * strip.channels);
        for weight in windows.weights.as_flattened_mut() {
            // SAFETY: the window has `H` lines of three taps.
            *weight = unsafe { load_next(&mut from, step) };
        }
        windows
    }

    /// Loads the next column of the image.
    ///
    /// # Safety
    /// It is there.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn next_column(&mut self) -> [float32x4_t; IN] {
        let mut column = [self.bias; IN];
        for (value, line) in column.iter_mut().zip(&mut self.lines) {
            // SAFETY: as this function's.
            *value = unsafe { load_next(line, self.step) };
        }
        column
    }

    /// Computes and stores the next window of each line from its columns, `None` being padding.
    ///
    /// # Safety
    /// There is such a window.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply(&mut self, columns: [Option<&[float32x4_t; IN]>; 3]) {
        for (out, output) in self.outputs.iter_mut().enumerate() {
            let mut sum = self.bias;
            for (y, weights) in self.weights.iter().enumerate() {
                for (&weights, column) in weights.iter().zip(columns) {
                    if let Some(column) = column {
                        sum = vfmaq_f32(sum, column[out * S + y], weights);
                    }
                }
            }
            let [min, max] = self.bounds;
            // SAFETY: as this function's.
            unsafe { store_next(vminq_f32(vmaxq_f32(sum, min), max), output, self.step) };
        }
    }
}

/// Loads four floats and goes on by `step` bytes, in the one instruction that the compiler does not make of it.
///
/// # Safety
/// The CPU has NEON, and the floats can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_next(from: &mut *const f32, step: usize) -> float32x4_t {
    let value;
    // SAFETY: as this function's.
    unsafe {
        asm!(
            "ld1 {{{value:v}.4s}}, [{from}], {step}",
            value = lateout(vreg) value,
            from = inout(reg) *from,
            step = in(reg) step,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    value
}

/// Stores four floats, likewise.
///
/// # Safety
/// The CPU has NEON, and the floats can be written.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store_next(value: float32x4_t, to: &mut *mut f32, step: usize) {
    // SAFETY: as this function's.
    unsafe {
        asm!(
            "st1 {{{value:v}.4s}}, [{to}], {step}",
            value = in(vreg) value,
            to = inout(reg) *to,
            step = in(reg) step,
            options(nostack, preserves_flags),
        );
    }
}
