//! The transforms in vectors: sixteen channels at a time.

use super::transform::{INNER, NINTH, OUTER, Ring, input_line, output_line, shift};
use super::{InputTile, Inputs, OutputTile};
use crate::simd::{LANES, Simd, vector, vector_mut};

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

#[inline(always)]
fn transform_input<S: Simd>(simd: S, tile: &InputTile, inputs: &mut Inputs) {
    let depth = tile.pixels[0][0].len();
    for start in (0..depth).step_by(LANES) {
        // Vertical lines first: a column of the tile is `lines[x]`.
        let mut lines = [[Words(simd, simd.splat_i16(0)); INNER]; INNER];
        for (x, line) in lines.iter_mut().enumerate() {
            let mut column = *line;
            for (value, pixels) in column.iter_mut().zip(&tile.pixels) {
                *value = Words(simd, simd.center(vector(pixels[x], start)));
            }
            *line = input_line(column);
        }
        let first = tile.index * depth + start;
        for y in 0..INNER {
            let [a, b, c, d, e, f] = lines;
            let row = input_line([a[y], b[y], c[y], d[y], e[y], f[y]]);
            for (x, value) in row.into_iter().enumerate() {
                simd.store_i16(value.1, vector_mut(inputs.words, first + (y * INNER + x) * inputs.stride));
            }
        }
    }
}

/// # Safety
/// As [`Kernel::output`](super::Kernel::output).
#[inline(always)]
unsafe fn transform_output<S: Simd>(simd: S, tile: &OutputTile) {
    for start in (0..tile.columns).step_by(LANES) {
        let mut lines = [[Sums(simd, simd.splat_i32(0)); OUTER]; INNER];
        for (y, line) in lines.iter_mut().enumerate() {
            let mut row = [Sums(simd, simd.splat_i32(0)); INNER];
            for (x, value) in row.iter_mut().enumerate() {
                *value = Sums(simd, simd.load_i32(vector(tile.sums, (y * INNER + x) * tile.stride + start)));
            }
            *line = output_line(row);
        }
        let bias = simd.load_i32(vector(tile.bias, start));
        let multipliers = simd.load(vector(tile.multipliers, start));
        let ninth = simd.splat_i32(NINTH);
        for x in 0..tile.size[1] {
            let [a, b, c, d, e, f] = lines;
            let sums = output_line([a[x], b[x], c[x], d[x], e[x], f[x]]);
            for (y, sum) in sums.into_iter().enumerate().take(tile.size[0]) {
                let exact = simd.shift_right(simd.mul_i32(sum.1, ninth), shift(y, x));
                let scaled = simd.mul(simd.to_f32(simd.add_i32(exact, bias)), multipliers);
                let place = y * tile.steps[0] + x * tile.steps[1] + start;
                // SAFETY: the pixel is inside the image, and where another tensor is added, it has it, too.
                let (to, other) = unsafe { (&mut *tile.to.add(place).cast(), || &*tile.residual.add(place).cast()) };
                match &tile.addition {
                    None => simd.quantize(scaled, &tile.output, to),
                    Some(addition) => simd.add_to_quantized(scaled, &tile.output, addition, other(), to),
                }
            }
        }
    }
}

pub(super) mod input {
    use super::*;

    crate::simd::rows! { fn(tile: &InputTile, inputs: &mut Inputs) = transform_input }
}

pub(super) mod output {
    use super::*;

    crate::simd::rows! { unsafe fn(tile: &OutputTile) = transform_output }
}
