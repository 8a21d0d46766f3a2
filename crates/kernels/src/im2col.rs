//! im2col: turns the windows of a convolution into the rows of a matrix, a band of rows at a time, so that a matrix
//! product does the convolution.

use std::ops::Range;

use crate::geometry::Geometry;

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
    let (depth, width) = (window_len(geometry), geometry.output[1]);
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        // What is left of one line of the output.
        let (y, x) = (pixel / width, pixel % width);
        let count = (width - x).min(pixels.end - pixel);
        let rows = &mut rows[(pixel - pixels.start) * stride..][..count * stride];
        for tap in 0..geometry.kernel[0] {
            gather_line(geometry, group, input, padding, [y, tap], x..x + count, stride, rows);
        }
        pixel += count;
    }
    // Column by column: filling a byte or two at the end of each row would be a call for each.
    for column in depth..stride {
        rows.iter_mut().skip(column).step_by(stride).for_each(|item| *item = padding);
    }
}

/// Elements of one window, within one group: the depth of the matrix product.
pub(crate) fn window_len(geometry: &Geometry) -> usize {
    geometry.kernel[0] * geometry.kernel[1] * (geometry.input[2] / geometry.groups)
}

/// Writes the part of the windows `xs` that comes from one line of the input: the vertical tap `tap` of the windows at
/// `y`.
#[expect(clippy::too_many_arguments, reason = "the loop body of `gather`, which has nearly as many")]
fn gather_line<T: Copy>(
    geometry: &Geometry,
    group: usize,
    input: &[T],
    padding: T,
    [y, tap]: [usize; 2],
    xs: Range<usize>,
    stride: usize,
    rows: &mut [T],
) {
    let [_, width, channels] = geometry.input;
    let depth = channels / geometry.groups;
    let run = geometry.kernel[1] * depth;
    let parts = tap * run..(tap + 1) * run;
    let Some(line) = geometry.tap(0, y, tap) else {
        return rows.chunks_exact_mut(stride).for_each(|row| row[parts.clone()].fill(padding));
    };
    let line = &input[line * width * channels..][..width * channels];
    let whole = whole_runs(geometry);
    let whole = whole.start.clamp(xs.start, xs.end)..whole.end.clamp(xs.start, xs.end);
    for x in (xs.start..whole.start).chain(whole.end.max(whole.start)..xs.end) {
        let part = &mut rows[(x - xs.start) * stride..][parts.clone()];
        for (kx, to) in part.chunks_exact_mut(depth).enumerate() {
            match geometry.tap(1, x, kx) {
                Some(ix) => to.copy_from_slice(&line[ix * channels + group * depth..][..depth]),
                None => to.fill(padding),
            }
        }
    }
    if !whole.is_empty() {
        let from = (whole.start * geometry.stride[1] - geometry.padding[1]) * channels + group * depth;
        let to = (whole.start - xs.start) * stride + parts.start;
        let steps = [geometry.stride[1] * channels, stride];
        copy_runs(&line[from..], &mut rows[to..], steps, run, whole.len());
    }
}

/// The windows of a line whose horizontal taps all lie inside the image and side by side in memory.
fn whole_runs(geometry: &Geometry) -> Range<usize> {
    let (taps, step, padding) = (geometry.kernel[1], geometry.stride[1], geometry.padding[1]);
    let adjacent = taps == 1 || (geometry.groups == 1 && geometry.dilation[1] == 1);
    match (geometry.input[1] + padding).checked_sub(taps) {
        Some(last) if adjacent => padding.div_ceil(step)..last / step + 1,
        _ => 0..0,
    }
}

/// Copies `count` runs of `len` elements, which begin `steps` elements apart in the source and in the destination.
fn copy_runs<T: Copy>(from: &[T], to: &mut [T], steps: [usize; 2], len: usize, count: usize) {
    let Some(last) = count.checked_sub(1) else { return };
    assert!(from.len() >= last * steps[0] + len && to.len() >= last * steps[1] + len, "the last run is inside");
    // SAFETY: the last runs are inside the slices, which do not overlap.
    unsafe { copy_runs_unchecked(from.as_ptr(), to.as_mut_ptr(), steps, len, count) };
}

/// [`copy_runs`] from and to places that the caller has checked. A short run is two moves that overlap, where `memcpy`
/// would be a call.
///
/// # Safety
/// All runs can be read or written, and no destination overlaps a source.
pub(crate) unsafe fn copy_runs_unchecked<T: Copy>(
    from: *const T,
    to: *mut T,
    steps: [usize; 2],
    len: usize,
    count: usize,
) {
    // SAFETY: as this function's; a short run has from `N` to `2 · N` elements.
    unsafe {
        match len {
            2..=4 => copy_short_runs::<T, 2>(from, to, steps, len, count),
            5..=8 => copy_short_runs::<T, 4>(from, to, steps, len, count),
            9..=16 => copy_short_runs::<T, 8>(from, to, steps, len, count),
            17..=32 => copy_short_runs::<T, 16>(from, to, steps, len, count),
            _ => (0..count).for_each(|i| to.add(i * steps[1]).copy_from_nonoverlapping(from.add(i * steps[0]), len)),
        }
    }
}

/// [`copy_runs_unchecked`] for runs of `N` to `2 · N` elements.
///
/// # Safety
/// As there.
unsafe fn copy_short_runs<T: Copy, const N: usize>(
    mut from: *const T,
    mut to: *mut T,
    steps: [usize; 2],
    len: usize,
    count: usize,
) {
    for _ in 0..count {
        // SAFETY: either move is inside its run. Arrays of `T` ask for no more alignment than `T`.
        unsafe {
            let (start, end) = (from.cast::<[T; N]>().read(), from.add(len - N).cast::<[T; N]>().read());
            to.cast::<[T; N]>().write(start);
            to.add(len - N).cast::<[T; N]>().write(end);
        }
        (from, to) = (from.wrapping_add(steps[0]), to.wrapping_add(steps[1]));
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
            ([2, 2, 3], [4, 4, 1], [4, 4], [1, 1], [1, 1], [2, 2], 1),
            ([3, 9, 12], [3, 5, 6], [1, 1], [1, 2], [1, 1], [0, 1], 3),
            ([3, 7, 9], [3, 7, 1], [1, 2], [1, 1], [1, 1], [0, 1], 1),
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
