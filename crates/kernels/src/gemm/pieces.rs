//! Where the windows of a convolution lie: in pieces that are contiguous in memory, to which kernels are given
//! pointers.

use std::ops::Range;

use super::{Element, tiles};
use crate::geometry::Geometry;
use crate::memory::ALIGNMENT;

/// With fewer channels, taps are too short to be pieces of their own.
const FEW_CHANNELS: usize = 16;

/// Pixels that lie a multiple of so many bytes apart share a set of the first-level cache, which holds fewer of them
/// than a tile has rows.
const ALIASES: usize = 4096;

/// Parts of a piece begin at multiples of so many elements, which kernels take at a time, and whose weights may lie
/// together.
const PART: usize = 8;

/// How windows fall into pieces, in the order in which they are multiplied: the taps, or the lines of taps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// Pieces of a window.
    pub count: usize,
    /// Elements of a piece.
    pub len: usize,
    /// Elements from the weights of a piece to those of the next.
    pub pitch: usize,
    /// Whether a piece is all taps of a line.
    whole_lines: bool,
    copies: Copies,
}

/// What is copied so that pieces can point to it, and rounded where that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    /// Nothing: pieces lie in the image.
    Nothing,
    /// Lines with their padding, since pieces reach into it.
    Lines,
    /// Each pixel, so many elements from the one before. It is a window and its only piece.
    Pixels(usize),
}

/// A part of all windows that is multiplied before the next.
pub(super) struct Block {
    /// The first piece, and how many there are.
    pub first: usize,
    pub count: usize,
    /// The first element in each piece, and how many there are.
    pub offset: usize,
    pub len: usize,
    pub is_first: bool,
    pub is_last: bool,
}

impl Pieces {
    pub fn new<E: Element>(geometry: &Geometry) -> Pieces {
        let Geometry { input: [_, width, channels], output, kernel, stride, dilation, padding, groups } = *geometry;
        let depth = channels / groups;
        let adjacent = kernel[1] > 1 && groups == 1 && dilation[1] == 1;
        let end = output[1].saturating_sub(1) * stride[1] + kernel[1];
        let inside = padding[1] == 0 && end <= width;
        let whole_lines = adjacent && (E::ROUNDS || inside || channels < FEW_CHANNELS);
        let aliases = |step: usize| (step * channels * size_of::<E>()).is_multiple_of(ALIASES) && channels > 0;
        let is_pixel = kernel == [1, 1] && groups == 1;
        let copies = if is_pixel && aliases(if E::ROUNDS { 1 } else { stride[1] }) {
            Copies::Pixels(channels + ALIGNMENT / size_of::<E>())
        } else if is_pixel && E::ROUNDS {
            Copies::Pixels(channels)
        } else if E::ROUNDS || whole_lines && !inside {
            Copies::Lines
        } else {
            Copies::Nothing
        };
        let (count, len) = if whole_lines { (kernel[0], kernel[1] * depth) } else { (kernel[0] * kernel[1], depth) };
        Pieces { count, len, pitch: len.next_multiple_of(E::TOGETHER), whole_lines, copies }
    }

    /// Elements of the weights of a channel.
    pub fn depth(&self) -> usize {
        self.count * self.pitch
    }

    /// Bytes of what windows of `band` pixels need a copy of.
    pub fn copies_bytes<E: Element>(&self, geometry: &Geometry, band: usize) -> usize {
        match self.copies {
            Copies::Nothing => return 0,
            Copies::Pixels(pitch) => return (band * pitch * size_of::<E>()).next_multiple_of(ALIGNMENT),
            Copies::Lines => {}
        }
        // A band may begin at the end of a line and end at the start of another.
        let lines = (band.saturating_sub(1).div_ceil(geometry.output[1].max(1)) + 1).min(geometry.output[0]);
        let lines = (lines.saturating_sub(1) * geometry.stride[0] + reach(geometry, 0)).min(geometry.input[0]);
        (lines * line_len(geometry) * size_of::<E>()).next_multiple_of(ALIGNMENT)
    }

    /// The windows in parts of about `len` elements.
    pub fn blocks(&self, len: usize) -> impl Iterator<Item = Block> + use<> {
        let Pieces { count, len: piece, .. } = *self;
        // Whole pieces at a time, or a part of one piece.
        let at_a_time = (len / piece.max(1)).clamp(1, count.max(1));
        let parts = if at_a_time == 1 { piece.div_ceil(len.max(1)).max(1) } else { 1 };
        let part_start = move |part: usize| (part * piece / parts).next_multiple_of(PART).min(piece);
        let groups = count.div_ceil(at_a_time).max(1);
        (0..groups * parts).map(move |index| {
            let (group, part) = (index / parts, index % parts);
            let (first, offset) = (group * at_a_time, part_start(part));
            Block {
                first,
                count: at_a_time.min(count - first),
                offset,
                len: part_start(part + 1) - offset,
                is_first: index == 0,
                is_last: index + 1 == groups * parts,
            }
        })
    }

    /// Elements of a channel's weights before those of `block`.
    pub fn at(&self, block: &Block) -> usize {
        block.first * self.pitch + block.offset
    }

    /// For each tile of the pixels, in order, the pointers `[piece][pixel]`; the tiles are those of [`tiles`]. `zeros`
    /// stands for padding; `round` makes elements of what is copied; `scratch` has room for the pointers and for
    /// [`Pieces::copies_bytes`].
    ///
    /// # Panics
    /// When `scratch` is too small.
    #[expect(clippy::too_many_arguments, reason = "each is another thing")]
    pub fn point<'s, E: Element>(
        &self,
        geometry: &Geometry,
        input: &[f32],
        zeros: &[E],
        pixels: Range<usize>,
        rows: usize,
        round: impl Fn(&[f32], &mut [E]),
        scratch: &'s mut [u8],
    ) -> &'s [*const E] {
        let count = pixels.len() * self.count;
        let bytes = (count * size_of::<*const E>()).next_multiple_of(ALIGNMENT);
        let (pointers, copies) = scratch.split_at_mut(bytes);
        assert!(pointers.as_ptr().cast::<*const E>().is_aligned(), "scratch begins on a cache line");
        let copies = bytemuck::cast_slice_mut::<u8, E>(copies);
        let start = pointers.as_mut_ptr().cast::<*const E>();
        let mut to = start;
        let mut push = |pointer: *const E| {
            // SAFETY: there is room for `count` pointers; below, each of as many tiles' pixels has one for each piece.
            unsafe {
                to.write(pointer);
                to = to.add(1);
            }
        };
        let image = match self.copies {
            Copies::Pixels(pitch) => {
                let copies = &mut copies[..pixels.len() * pitch];
                copy_pixels(geometry, input, pixels.clone(), pitch, round, copies);
                (0..pixels.len()).for_each(|pixel| push(copies[pixel * pitch..].as_ptr()));
                // SAFETY: all of them were written: a pixel is a single piece.
                return unsafe { std::slice::from_raw_parts(start, count) };
            }
            Copies::Lines => Image::padded(geometry, input, &pixels, round, copies),
            Copies::Nothing => Image::of(geometry, bytemuck::cast_slice(input)),
        };
        let width = geometry.output[1].max(1);
        let mut first = [pixels.start / width, pixels.start % width];
        for (_, height) in tiles(pixels.len(), rows) {
            let mut next = first;
            for piece in 0..self.count {
                let (ky, kx) = if self.whole_lines {
                    (piece, 0)
                } else {
                    (piece / geometry.kernel[1], piece % geometry.kernel[1])
                };
                let mut left = height;
                next = first;
                while left > 0 {
                    let [y, x] = next;
                    let end = width.min(x + left);
                    left -= end - x;
                    match image.line(geometry, y, ky) {
                        Some(line) => (x..end).for_each(|x| push(image.pixel(geometry, line, x, kx, zeros))),
                        None => (x..end).for_each(|_| push(zeros.as_ptr())),
                    }
                    next = if end == width { [y + 1, 0] } else { [y, end] };
                }
            }
            first = next;
        }
        // SAFETY: all of them were written.
        unsafe { std::slice::from_raw_parts(start, count) }
    }
}

/// Copies the pixels under windows of one pixel, each `pitch` elements from the one before; zeros for padding.
fn copy_pixels<E: Element>(
    geometry: &Geometry,
    input: &[f32],
    pixels: Range<usize>,
    pitch: usize,
    round: impl Fn(&[f32], &mut [E]),
    copies: &mut [E],
) {
    let [_, width, channels] = geometry.input;
    if geometry.is_pointwise() && pitch == channels {
        return round(&input[pixels.start * channels..pixels.end * channels], copies);
    }
    for (pixel, copy) in pixels.zip(copies.chunks_exact_mut(pitch.max(1))) {
        let (y, x) = (pixel / geometry.output[1], pixel % geometry.output[1]);
        match geometry.tap(0, y, 0).zip(geometry.tap(1, x, 0)) {
            Some((y, x)) => round(&input[(y * width + x) * channels..][..channels], &mut copy[..channels]),
            None => copy[..channels].fill(E::default()),
        }
    }
}

/// Lines of the image, or of a copy with padding.
struct Image<E> {
    /// Column 0 of the line `first`.
    start: *const E,
    first: usize,
    line_len: usize,
    /// Columns left of the start, and columns that there are from the start on.
    padding: usize,
    width: usize,
}

impl<E: Element> Image<E> {
    fn of(geometry: &Geometry, input: &[E]) -> Image<E> {
        let [_, width, channels] = geometry.input;
        Image { start: input.as_ptr(), first: 0, line_len: width * channels, padding: geometry.padding[1], width }
    }

    /// Copies the lines under the windows `pixels`.
    fn padded(
        geometry: &Geometry,
        input: &[f32],
        pixels: &Range<usize>,
        round: impl Fn(&[f32], &mut [E]),
        copy: &mut [E],
    ) -> Image<E> {
        let Geometry { input: [height, width, channels], output: [_, out_width, _], stride, padding, .. } = *geometry;
        let (first, last) = (pixels.start / out_width, (pixels.end - 1) / out_width);
        let first = (first * stride[0]).saturating_sub(padding[0]).min(height);
        let end = (last * stride[0] + reach(geometry, 0)).saturating_sub(padding[0]).clamp(first, height);
        let (line_len, before) = (line_len(geometry), padding[1] * channels);
        let copy = &mut copy[..(end - first) * line_len];
        let lines = input[first * width * channels..end * width * channels].chunks_exact((width * channels).max(1));
        for (line, to) in lines.zip(copy.chunks_exact_mut(line_len)) {
            let kept = line.len().min(line_len - before.min(line_len));
            to[..before.min(line_len)].fill(E::default());
            round(&line[..kept], &mut to[before.min(line_len)..][..kept]);
            to[before.min(line_len) + kept..].fill(E::default());
        }
        Image { start: copy.as_ptr(), first, line_len, padding: 0, width: line_len / channels.max(1) }
    }

    /// The line under the vertical tap `ky` of the windows at `y`; `None` for padding.
    fn line(&self, geometry: &Geometry, y: usize, ky: usize) -> Option<*const E> {
        let line = geometry.tap(0, y, ky)?;
        Some(self.start.wrapping_add((line - self.first) * self.line_len))
    }

    /// The pixel of a line under the horizontal tap `kx` of the window at `x`; `zeros` for padding.
    fn pixel(&self, geometry: &Geometry, line: *const E, x: usize, kx: usize, zeros: &[E]) -> *const E {
        // Left of the image it wraps around to what is beyond its width.
        let at = (x * geometry.stride[1] + kx * geometry.dilation[1]).wrapping_sub(self.padding);
        if at < self.width { line.wrapping_add(at * geometry.input[2]) } else { zeros.as_ptr() }
    }
}

/// Lines (axis 0) or columns (axis 1) from the first tap of a window to the last.
fn reach(geometry: &Geometry, axis: usize) -> usize {
    geometry.kernel[axis].saturating_sub(1) * geometry.dilation[axis] + 1
}

/// Elements of a line with its padding: up to the end of the last window.
fn line_len(geometry: &Geometry) -> usize {
    let windows = geometry.output[1].saturating_sub(1) * geometry.stride[1] + reach(geometry, 1);
    windows * geometry.input[2]
}
