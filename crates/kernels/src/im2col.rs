//! im2col: turns the windows of a convolution into the rows of a matrix, a band of rows at a time, so that a matrix
//! product does the convolution.

use std::ops::Range;

use crate::geometry::Geometry;

/// Elements that a short run is copied by. Copying a fixed number is one or two moves, copying nine is a call.
const STEP: usize = 16;

/// Writes the windows of the output pixels `pixels` (numbered row by row), one a row of `stride` elements: the taps
/// `[kernel_h][kernel_w][channels of group]`, then `padding` up to the stride. Taps outside the image are `padding`.
///
/// # Panics
/// When `rows` is not `stride` long for each pixel, or `input` is not the geometry's.
pub(crate) fn gather<T: Copy>(
    geometry: &Geometry,
    group: usize,
    input: &[T],
    padding: T,
    pixels: Range<usize>,
    stride: usize,
    rows: &mut [T],
) {
    assert_eq!(input.len(), geometry.input_len());
    assert_eq!(rows.len(), pixels.len() * stride);
    let depth = window_len(geometry);
    let width = geometry.output[1];
    let (mut y, mut x) = (pixels.start / width.max(1), pixels.start % width.max(1));
    for i in 0..pixels.len() {
        // What a short copy writes past its run lies in rows that come later.
        let row = &mut rows[i * stride..];
        gather_window(geometry, group, input, padding, [y, x], row);
        row[depth..stride].iter_mut().for_each(|item| *item = padding);
        x += 1;
        if x == width {
            (y, x) = (y + 1, 0);
        }
    }
}

/// Elements of one window, within one group: the depth of the matrix product.
pub(crate) fn window_len(geometry: &Geometry) -> usize {
    geometry.kernel[0] * geometry.kernel[1] * (geometry.input[2] / geometry.groups)
}

/// Writes one window to the front of `row`.
fn gather_window<T: Copy>(
    geometry: &Geometry,
    group: usize,
    input: &[T],
    padding: T,
    [y, x]: [usize; 2],
    row: &mut [T],
) {
    let [_, width, channels] = geometry.input;
    let depth = channels / geometry.groups;
    let run = geometry.kernel[1] * depth;
    let inside = whole_run(geometry, x);
    for ky in 0..geometry.kernel[0] {
        let line = &mut row[ky * run..];
        let Some(iy) = geometry.tap(0, y, ky) else {
            line[..run].fill(padding);
            continue;
        };
        if let Some(left) = inside {
            copy(&input[(iy * width + left) * channels..], line, run);
            continue;
        }
        for kx in 0..geometry.kernel[1] {
            let tap = &mut line[kx * depth..];
            match geometry.tap(1, x, kx) {
                Some(ix) => copy(&input[(iy * width + ix) * channels + group * depth..], tap, depth),
                None => tap[..depth].fill(padding),
            }
        }
    }
}

/// The first input column of the window at `x`, where the window's taps in a line lie side by side in memory.
fn whole_run(geometry: &Geometry, x: usize) -> Option<usize> {
    let taps = geometry.kernel[1];
    if geometry.groups != 1 || (geometry.dilation[1] != 1 && taps > 1) {
        return None;
    }
    let left = geometry.tap(1, x, 0)?;
    (left + taps <= geometry.input[1]).then_some(left)
}

/// Copies `len` elements; may write up to [`STEP`] if both slices are that long.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T], len: usize) {
    if len <= STEP && from.len() >= STEP && to.len() >= STEP {
        to[..STEP].copy_from_slice(&from[..STEP]);
    } else {
        to[..len].copy_from_slice(&from[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tap by tap, in the order that the definition has.
    fn naive(geometry: &Geometry, group: usize, input: &[u16], pixel: usize) -> Vec<u16> {
        let [y, x] = [pixel / geometry.output[1], pixel % geometry.output[1]];
        let depth = geometry.input[2] / geometry.groups;
        let mut window = Vec::new();
        for ky in 0..geometry.kernel[0] {
            for kx in 0..geometry.kernel[1] {
                for channel in group * depth..(group + 1) * depth {
                    window.push(match (geometry.tap(0, y, ky), geometry.tap(1, x, kx)) {
                        (Some(iy), Some(ix)) => input[(iy * geometry.input[1] + ix) * geometry.input[2] + channel],
                        _ => u16::MAX,
                    });
                }
            }
        }
        window
    }

    #[test]
    fn windows_equal_the_definition() {
        for (input, output, kernel, stride, dilation, padding, groups) in [
            ([5, 6, 3], [3, 3, 1], [3, 3], [2, 2], [1, 1], [1, 1], 1),
            ([8, 9, 3], [8, 9, 1], [3, 3], [1, 1], [1, 1], [1, 1], 1),
            ([6, 6, 4], [3, 3, 2], [2, 2], [2, 2], [1, 1], [0, 0], 2),
            ([7, 5, 2], [7, 5, 1], [3, 3], [1, 1], [2, 2], [2, 2], 1),
            ([4, 4, 20], [4, 4, 1], [1, 3], [1, 1], [1, 1], [0, 1], 1),
            ([1, 1, 1], [2, 2, 1], [5, 5], [3, 3], [1, 1], [4, 4], 1),
            ([4, 4, 5], [2, 2, 1], [1, 1], [2, 2], [3, 3], [0, 0], 1),
        ] {
            let geometry = Geometry { input, output, kernel, stride, dilation, padding, groups };
            let image: Vec<u16> = (0..geometry.input_len() as u16).collect();
            let (depth, pixels) = (window_len(&geometry), output[0] * output[1]);
            for (group, slack) in (0..groups).flat_map(|group| [(group, 0), (group, 3)]) {
                for range in [0..pixels, 1..pixels, 0..pixels - 1] {
                    let stride = depth + slack;
                    let mut rows = vec![12345; range.len() * stride];
                    gather(&geometry, group, &image, u16::MAX, range.clone(), stride, &mut rows);
                    for (row, pixel) in rows.chunks(stride).zip(range) {
                        assert_eq!(row[..depth], naive(&geometry, group, &image, pixel), "{geometry:?}, pixel {pixel}");
                        assert!(row[depth..].iter().all(|&item| item == u16::MAX));
                    }
                }
            }
        }
    }
}
