//! NEON for windows of 3×3 that move by one or two: four channels at a time slide along two lines of the output, and the columns
//! of the image that neighbouring windows share stay in registers.
//!
//! With the weights, these are as many registers as there are. Two lines of windows share lines of the image, too: by one, six
//! of their nine values are another window's, and are not loaded again.

use std::arch::aarch64::*;
use std::ops::Range;

use super::{Layer, vector};
use crate::geometry::Geometry;

/// Channels of a register.
const LANES: usize = 4;

/// Columns of the output that all channels pass before the next: what they read stays in the first-level cache.
const COLUMNS: usize = 28;

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
unsafe fn lines<const S: usize, const IN: usize>(layer: &Layer, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
    let Geometry { input: [_, in_w, channels], output: [_, out_w, _], padding, .. } = layer.geometry;
    assert_eq!(output.len(), rows.len() * out_w * channels);
    let ends_inside = layer.geometry.taps(1, out_w - 1).len() == 3;
    let mut y = rows.start;
    while y < rows.end {
        let taps = layer.geometry.taps(0, y);
        let (height, (first_tap, first_line)) = (taps.len(), taps.clone().next().expect("a window meets the image"));
        let is_pair = y + 1 < rows.end && height == 3 && layer.geometry.taps(0, y + 1).len() == 3;
        for x in (0..out_w).step_by(COLUMNS) {
            let end = out_w.min(x + COLUMNS);
            let column = (x * S).saturating_sub(padding[1]);
            for channel in (0..channels).step_by(LANES).map(|channel| channel.min(channels - LANES)) {
                let strip = Strip {
                    input: input[(first_line * in_w + column) * channels + channel..].as_ptr(),
                    input_line: in_w * channels,
                    output: output[((y - rows.start) * out_w + x) * channels + channel..].as_mut_ptr(),
                    output_line: out_w * channels,
                    weights: layer.weights[first_tap * 3 * channels + channel..].as_ptr(),
                    bias: layer.bias[channel..].as_ptr(),
                    channels,
                    count: end - x,
                    from_padding: x == 0 && padding[1] == 1,
                    into_padding: end == out_w && !ends_inside,
                    bounds: layer.bounds,
                };
                // SAFETY: the strip is inside the output, and the windows that it does not say are cut are inside the image.
                unsafe {
                    match height {
                        3 if is_pair => slide::<S, 2, IN, 3>(&strip),
                        3 => slide::<S, 1, 3, 3>(&strip),
                        2 => slide::<S, 1, 2, 2>(&strip),
                        _ => slide::<S, 1, 1, 1>(&strip),
                    }
                }
            }
        }
        y += if is_pair { 2 } else { 1 };
    }
}

/// A part of a line of windows, or of two, in four channels. Whatever is four channels begins at its first one.
struct Strip {
    /// The first value that the first window reads.
    input: *const f32,
    /// Elements of a line.
    input_line: usize,
    output: *mut f32,
    output_line: usize,
    /// Of the first line of taps that is not padding.
    weights: *const f32,
    bias: *const f32,
    channels: usize,
    /// Windows of a line.
    count: usize,
    /// Whether the first column of the first window is padding.
    from_padding: bool,
    /// Whether the last column of the last window is.
    into_padding: bool,
    bounds: [f32; 2],
}

/// Slides along `OUT` lines of windows, which read `IN` lines of the image, `H` each, and move by `S`.
///
/// # Safety
/// The CPU has NEON; the strip is inside the output, and its windows, less what is padding, inside the image.
#[target_feature(enable = "neon")]
unsafe fn slide<const S: usize, const OUT: usize, const IN: usize, const H: usize>(strip: &Strip) {
    // SAFETY: all that is loaded is in the windows, and all that is stored in the strip.
    unsafe {
        let mut windows = Windows::<S, OUT, IN, H>::new(strip);
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
    lines: [*const f32; IN],
    outputs: [*mut f32; OUT],
    /// Bytes from a pixel to the next.
    step: usize,
    /// Bytes from the start of a line to the next column to load, and to the next window to store.
    column: usize,
    window: usize,
}

impl<const S: usize, const OUT: usize, const IN: usize, const H: usize> Windows<S, OUT, IN, H> {
    /// # Safety
    /// As [`slide`].
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn new(strip: &Strip) -> Self {
        let mut windows = Windows {
            weights: [[vdupq_n_f32(0.0); 3]; H],
            // SAFETY: there is a bias for each channel.
            bias: unsafe { vld1q_f32(strip.bias) },
            bounds: strip.bounds.map(|bound| vdupq_n_f32(bound)),
            lines: [strip.input; IN],
            outputs: [strip.output; OUT],
            step: strip.channels * size_of::<f32>(),
            column: 0,
            window: 0,
        };
        for (y, line) in windows.lines.iter_mut().enumerate() {
            *line = line.wrapping_add(y * strip.input_line);
        }
        for (y, output) in windows.outputs.iter_mut().enumerate() {
            *output = output.wrapping_add(y * strip.output_line);
        }
        for (y, weights) in windows.weights.iter_mut().enumerate() {
            for (x, weights) in weights.iter_mut().enumerate() {
                // SAFETY: the window has `H` lines of three taps.
                *weights = unsafe { vld1q_f32(strip.weights.add((y * 3 + x) * strip.channels)) };
            }
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
        for (value, line) in column.iter_mut().zip(self.lines) {
            // SAFETY: as this function's.
            *value = unsafe { vld1q_f32(line.byte_add(self.column)) };
        }
        self.column += self.step;
        column
    }

    /// Computes and stores the next window of each line from its columns, `None` being padding.
    ///
    /// # Safety
    /// There is such a window.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply(&mut self, columns: [Option<&[float32x4_t; IN]>; 3]) {
        for (out, output) in self.outputs.iter().enumerate() {
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
            unsafe { vst1q_f32(output.byte_add(self.window), vminnmq_f32(vmaxnmq_f32(sum, min), max)) };
        }
        self.window += self.step;
    }
}
