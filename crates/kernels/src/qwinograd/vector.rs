//! The transforms in vectors: sixteen channels at a time.

use super::transform::{INNER, NINTH, Ring, input_line, output_line, shift};
use super::{InputTile, OutputTile};
use crate::simd::{LANES, Simd, vector};

/// Sixteen lanes of 16 bits.
#[derive(Clone, Copy)]
struct Words<S: Simd>(S, S::I16);

impl<S: Simd> Ring for Words<S> {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Words(self.0, self.0.add_i16(self.1, other.1))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Words(self.0, self.0.sub_i16(self.1, other.1))
    }

    #[inline(always)]
    fn twice(self) -> Self {
        Words(self.0, self.0.add_i16(self.1, self.1))
    }

    #[inline(always)]
    fn four_times(self) -> Self {
        Words(self.0, self.0.shift_left_i16::<2>(self.1))
    }
}

/// Sixteen lanes of 32 bits.
#[derive(Clone, Copy)]
struct Sums<S: Simd>(S, S::I32);

impl<S: Simd> Ring for Sums<S> {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Sums(self.0, self.0.add_i32(self.1, other.1))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Sums(self.0, self.0.sub_i32(self.1, other.1))
    }

    #[inline(always)]
    fn twice(self) -> Self {
        Sums(self.0, self.0.add_i32(self.1, self.1))
    }

    #[inline(always)]
    fn four_times(self) -> Self {
        Sums(self.0, self.0.shift_left_i32::<2>(self.1))
    }
}

/// Calls a function for each of six indices, or of four. Written out: a loop may stay one, and its vectors in memory.
macro_rules! each {
    (6, |$i:ident| $body:expr) => {
        [
            each!($i, 0, $body),
            each!($i, 1, $body),
            each!($i, 2, $body),
            each!($i, 3, $body),
            each!($i, 4, $body),
            each!($i, 5, $body),
        ]
    };
    (4, |$i:ident| $body:expr) => {
        [each!($i, 0, $body), each!($i, 1, $body), each!($i, 2, $body), each!($i, 3, $body)]
    };
    ($i:ident, $index:literal, $body:expr) => {{
        const $i: usize = $index;
        $body
    }};
}

/// # Safety
/// As [`Kernel::input`](super::Kernel::input).
#[inline(always)]
unsafe fn transform_input<S: Simd>(simd: S, tile: &InputTile) {
    for start in (0..tile.depth).step_by(LANES) {
        // SAFETY: each of the pixels has `depth` channels, a multiple of sixteen.
        let value = |y: usize, x: usize| unsafe { &*tile.pixels[y][x].add(start).cast() };
        let columns: [_; INNER] = each!(6, |X| input_line(each!(6, |Y| Words(simd, simd.center(value(Y, X))))));
        each!(6, |Y| {
            let row = input_line(each!(6, |X| columns[X][Y]));
            each!(6, |X| {
                // SAFETY: each of the 36 matrices has a row of `depth` words for the tile.
                let to = unsafe { &mut *tile.to.add((Y * INNER + X) * tile.stride + start).cast() };
                simd.store_i16(row[X].1, to)
            })
        });
    }
}

/// # Safety
/// As [`Kernel::output`](super::Kernel::output).
#[inline(always)]
unsafe fn transform_output<S: Simd>(simd: S, tile: &OutputTile) {
    for start in (0..tile.columns).step_by(LANES) {
        // SAFETY: each of the 36 matrices has `columns` sums for the tile, a multiple of sixteen.
        let sum = |y: usize, x: usize| unsafe { &*tile.sums.add((y * INNER + x) * tile.stride + start).cast() };
        let rows: [_; INNER] = each!(6, |Y| output_line(each!(6, |X| Sums(simd, simd.load_i32(sum(Y, X))))));
        let bias = simd.load_i32(vector(tile.bias, start));
        let multipliers = simd.load(vector(tile.multipliers, start));
        each!(4, |X| if X < tile.size[1] {
            let sums = output_line(each!(6, |Y| rows[Y][X]));
            each!(4, |Y| if Y < tile.size[0] {
                let exact = simd.shift_right(simd.mul_i32(sums[Y].1, simd.splat_i32(NINTH)), shift(Y, X));
                let scaled = simd.mul(simd.to_f32(simd.add_i32(exact, bias)), multipliers);
                let place = Y * tile.steps[0] + X * tile.steps[1] + start;
                // SAFETY: the pixel is inside the image, and where another tensor is added, it has it, too.
                let (to, other) = unsafe { (&mut *tile.to.add(place).cast(), || &*tile.residual.add(place).cast()) };
                match &tile.addition {
                    None => simd.quantize(scaled, &tile.output, to),
                    Some(addition) => simd.add_to_quantized(scaled, &tile.output, addition, other(), to),
                }
            });
        });
    }
}

pub(super) mod input {
    use super::*;

    crate::simd::rows! { unsafe fn(tile: &InputTile) = transform_input }
}

pub(super) mod output {
    use super::*;

    crate::simd::rows! { unsafe fn(tile: &OutputTile) = transform_output }
}
