//! Where the windows of a convolution lie: in pieces that are contiguous in memory, to which kernels are given pointers.

use std::ops::Range;

use super::tiles;
use crate::geometry::Geometry;
use crate::memory::ALIGNMENT;

/// With fewer channels, taps are too short to be pieces of their own.
const FEW_CHANNELS: usize = 16;

/// Pixels that lie a multiple of so many bytes apart share a set of the first-level cache, which holds fewer of them than a
/// tile has rows.
const ALIASES: usize = 4096;

/// How windows fall into pieces, in the order in which they are multiplied: the taps, or the lines of taps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// Pieces of a window.
    pub count: usize,
    /// Elements of a piece.
    pub len: usize,
    /// Whether a piece is all taps of a line.
    whole_lines: bool,
    copies: Copies,
}

/// What is copied so that pieces can point to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    /// Nothing: pieces lie in the image.
    Nothing,
    /// Lines with their padding, since pieces reach into it.
    Lines,
    /// Each piece, a cache line further from the one before than in the image.
    Each,
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
    pub fn new(geometry: &Geometry) -> Pieces {
        let Geometry { input: [_, width, channels], output, kernel, stride, dilation, padding, groups } = *geometry;
        let depth = channels / groups;
        let adjacent = kernel[1] > 1 && groups == 1 && dilation[1] == 1;
        let end = output[1].saturating_sub(1) * stride[1] + kernel[1];
        let inside = padding[1] == 0 && end <= width;
        let whole_lines = adjacent && (inside || channels < FEW_CHANNELS);
        if whole_lines {
            let copies = if inside { Copies::Nothing } else { Copies::Lines };
            Pieces { count: kernel[0], len: kernel[1] * depth, whole_lines, copies }
        } else {
            let aliases = (stride[1] * channels * size_of::<f32>()).is_multiple_of(ALIASES) && channels > 0;
            let copies = if aliases && kernel == [1, 1] && groups == 1 { Copies::Each } else { Copies::Nothing };
            Pieces { count: kernel[0] * kernel[1], len: depth, whole_lines, copies }
        }
    }

    /// Bytes of what windows of `band` pixels need a copy of.
    pub fn copies_bytes(&self, geometry: &Geometry, band: usize) -> usize {
        match self.copies {
            Copies::Nothing => return 0,
            Copies::Each => return band * (self.len * size_of::<f32>() + ALIGNMENT),
            Copies::Lines => {}
        }
        // A band may begin at the end of a line and end at the start of another.
        let lines = (band.saturating_sub(1).div_ceil(geometry.output[1].max(1)) + 1).min(geometry.output[0]);
        let lines = (lines.saturating_sub(1) * geometry.stride[0] + reach(geometry)).min(geometry.input[0]);
        (lines * line_len(geometry) * size_of::<f32>()).next_multiple_of(ALIGNMENT)
    }

    /// The windows in parts of about `len` elements.
    pub fn blocks(&self, len: usize) -> impl Iterator<Item = Block> + use<> {
        let Pieces { count, len: piece, .. } = *self;
        // Whole pieces at a time, or a part of one piece.
        let at_a_time = (len / piece.max(1)).clamp(1, count.max(1));
        let parts = if at_a_time == 1 { piece.div_ceil(len.max(1)).max(1) } else { 1 };
        let groups = count.div_ceil(at_a_time).max(1);
        (0..groups * parts).map(move |index| {
            let (group, part) = (index / parts, index % parts);
            let (first, offset) = (group * at_a_time, part * piece / parts);
            Block {
                first,
                count: at_a_time.min(count - first),
                offset,
                len: (part + 1) * piece / parts - offset,
                is_first: index == 0,
                is_last: index + 1 == groups * parts,
            }
        })
    }

    /// Elements of a window before those of `block`.
    pub fn at(&self, block: &Block) -> usize {
        block.first * self.len + block.offset
    }

    /// For each tile of the pixels, in order, the pointers `[piece][pixel]`; the tiles are those of [`tiles`]. `zeros` stands
    /// for padding; `scratch` has room for the pointers and for [`Pieces::copies_bytes`].
    ///
    /// # Panics
    /// When `scratch` is too small.
    pub fn point<'s>(
        &self,
        geometry: &Geometry,
        input: &[f32],
        zeros: &[f32],
        pixels: Range<usize>,
        rows: usize,
        scratch: &'s mut [u8],
    ) -> &'s [*const f32] {
        let count = pixels.len() * self.count;
        let bytes = (count * size_of::<*const f32>()).next_multiple_of(ALIGNMENT);
        let (pointers, copies) = scratch.split_at_mut(bytes);
        assert!(pointers.as_ptr().cast::<*const f32>().is_aligned(), "scratch begins on a cache line");
        let copies = bytemuck::cast_slice_mut::<u8, f32>(copies);
        let image = match self.copies {
            Copies::Lines => Image::padded(geometry, input, &pixels, copies),
            Copies::Nothing | Copies::Each => Image::of(geometry, input),
        };
        let start = pointers.as_mut_ptr().cast::<*const f32>();
        let mut to = start;
        for (first, height) in tiles(pixels.len(), rows) {
            let window = pixels.start + first;
            for piece in 0..self.count {
                let (ky, kx) = if self.whole_lines {
                    (piece, 0)
                } else {
                    (piece / geometry.kernel[1], piece % geometry.kernel[1])
                };
                let (mut y, mut x) = (window / geometry.output[1], window % geometry.output[1]);
                let mut line = image.line(geometry, y, ky);
                for _ in 0..height {
                    let pointer = line.and_then(|line| image.pixel(geometry, line, x, kx)).unwrap_or(zeros.as_ptr());
                    // SAFETY: there is room for `count` pointers, and this is the next of as many.
                    unsafe {
                        to.write(pointer);
                        to = to.add(1);
                    }
                    x += 1;
                    if x == geometry.output[1] {
                        (y, x) = (y + 1, 0);
                        line = image.line(geometry, y, ky);
                    }
                }
            }
        }
        // SAFETY: all of them were written.
        let pointers = unsafe { std::slice::from_raw_parts_mut(start, count) };
        if self.copies == Copies::Each {
            let pitch = self.len + ALIGNMENT / size_of::<f32>();
            for (pointer, copy) in pointers.iter_mut().zip(copies.chunks_exact_mut(pitch)) {
                // SAFETY: it points to a piece of the image, or to as many zeros.
                copy[..self.len].copy_from_slice(unsafe { std::slice::from_raw_parts(*pointer, self.len) });
                *pointer = copy.as_ptr();
            }
        }
        pointers
    }
}

/// Lines of the image, or of a copy with padding.
struct Image {
    /// Column 0 of the line `first`.
    start: *const f32,
    first: usize,
    line_len: usize,
    /// Columns left of the start, and columns that there are from the start on.
    padding: usize,
    width: usize,
}

impl Image {
    fn of(geometry: &Geometry, input: &[f32]) -> Image {
        let [_, width, channels] = geometry.input;
        Image { start: input.as_ptr(), first: 0, line_len: width * channels, padding: geometry.padding[1], width }
    }

    /// Copies the lines under the windows `pixels`.
    fn padded(geometry: &Geometry, input: &[f32], pixels: &Range<usize>, copy: &mut [f32]) -> Image {
        let Geometry { input: [height, width, channels], output: [_, out_width, _], stride, padding, .. } = *geometry;
        let (first, last) = (pixels.start / out_width, (pixels.end - 1) / out_width);
        let first = (first * stride[0]).saturating_sub(padding[0]).min(height);
        let end = (last * stride[0] + reach(geometry)).saturating_sub(padding[0]).clamp(first, height);
        let (line_len, before) = (line_len(geometry), padding[1] * channels);
        let copy = &mut copy[..(end - first) * line_len];
        let lines = input[first * width * channels..end * width * channels].chunks_exact((width * channels).max(1));
        for (line, to) in lines.zip(copy.chunks_exact_mut(line_len)) {
            let kept = line.len().min(line_len - before.min(line_len));
            to[..before.min(line_len)].fill(0.0);
            to[before.min(line_len)..][..kept].copy_from_slice(&line[..kept]);
            to[before.min(line_len) + kept..].fill(0.0);
        }
        Image { start: copy.as_ptr(), first, line_len, padding: 0, width: line_len / channels.max(1) }
    }

    /// The line under the vertical tap `ky` of the windows at `y`; `None` for padding.
    fn line(&self, geometry: &Geometry, y: usize, ky: usize) -> Option<*const f32> {
        let line = geometry.tap(0, y, ky)?;
        Some(self.start.wrapping_add((line - self.first) * self.line_len))
    }

    /// The pixel of a line under the horizontal tap `kx` of the window at `x`; `None` for padding.
    fn pixel(&self, geometry: &Geometry, line: *const f32, x: usize, kx: usize) -> Option<*const f32> {
        let at = (x * geometry.stride[1] + kx * geometry.dilation[1]).checked_sub(self.padding)?;
        (at < self.width).then(|| line.wrapping_add(at * geometry.input[2]))
    }
}

/// Lines from the first tap of a window to the last.
fn reach(geometry: &Geometry) -> usize {
    geometry.kernel[0].saturating_sub(1) * geometry.dilation[0] + 1
}

/// Elements of a line with its padding: up to the end of the last window.
fn line_len(geometry: &Geometry) -> usize {
    let windows = geometry.output[1].saturating_sub(1) * geometry.stride[1] + geometry.kernel[1];
    windows * geometry.input[2]
}
