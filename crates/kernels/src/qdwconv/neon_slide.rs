//! What both NEON kernels for the usual window share: eight channels of two points fill a vector of sixteen sums.

use std::arch::aarch64::*;
use std::ops::Range;

use super::{Io, Layer, Part, slide};
use crate::Activation;
use crate::simd::Neon;
use crate::simd::neon_quantize::{Constants, Magic, Quantize, Saturating, Short, Way};

/// How an instruction set multiplies.
pub(super) trait Multiply: Copy {
    /// A column of eight channels of the rows under the windows.
    type Cell: Copy;
    /// The weights of eight channels.
    type Weights: Copy;

    /// The token of the CPU's NEON.
    fn simd(self) -> Neon;

    /// As [`slide::Window::mark_loop`].
    fn mark_loop(self, begins: bool);

    /// # Safety
    /// There are so many cells of weights as a block has at the pointer.
    unsafe fn weights(self, from: *const u8, cells: usize) -> Self::Weights;

    /// As [`slide::Window::cell`].
    ///
    /// # Safety
    /// At each pointer there are eight activations.
    unsafe fn cell<const ROWS: usize>(self, rows: [*const Activation; 4]) -> Self::Cell;

    /// As [`slide::Window::above`], from the bias on.
    fn above(self, bias: [int32x4_t; 2], weights: &Self::Weights, cells: [Self::Cell; 3]) -> [int32x4_t; 4];

    /// As [`slide::Window::beside`], from the bias on.
    fn beside(self, bias: [int32x4_t; 2], weights: &Self::Weights, cells: [Self::Cell; 5]) -> [int32x4_t; 4];
}

/// Computes blocks in the shortest way that the layer's sums allow.
///
/// # Safety
/// As [`slide::run`].
#[inline(always)]
pub(super) unsafe fn run<M: Multiply>(multiply: M, layer: &Layer, part: &Part, blocks: Range<usize>, io: Io<'_>) {
    let constants = Constants::new(layer.output);
    // The same for each way; no closure, since that might be compiled without the CPU's instructions.
    macro_rules! by {
        ($quantize:ty) => {
            slide::run(Window(multiply, <$quantize>::new(multiply.simd(), &constants)), layer, part, blocks, io)
        };
    }
    // SAFETY: as this function's.
    unsafe {
        match Way::of(&layer.output, layer.reach) {
            Way::Saturating => by!(Saturating),
            Way::Bounded => by!(Short::<true>),
            Way::Unbounded => by!(Short::<false>),
            Way::Magic => by!(Magic),
        }
    }
}

/// How an instruction set multiplies, and how its sums become activations.
#[derive(Clone, Copy)]
struct Window<M, Q>(M, Q);

/// What a block of eight channels has in registers.
#[derive(Clone, Copy)]
struct Block<W> {
    weights: W,
    bias: [int32x4_t; 2],
    multipliers: [float32x4_t; 2],
}

impl<M: Multiply, Q: Quantize> slide::Window for Window<M, Q> {
    type Cell = M::Cell;
    type Block = Block<M::Weights>;
    type Sums = [int32x4_t; 4];

    #[inline(always)]
    unsafe fn block(self, layer: &Layer, part: &Part, block: usize) -> Block<M::Weights> {
        let cells = part.packing.cells(&layer.geometry);
        let bytes = part.weights.len() / part.channels.len();
        // SAFETY: NEON as the token says; a block has so many cells, and eight biases and multipliers.
        unsafe {
            let (bias, multipliers) = (part.bias.as_ptr().add(8 * block), part.multipliers.as_ptr().add(8 * block));
            Block {
                weights: self.0.weights(part.weights.as_ptr().add(bytes * block), cells),
                bias: [vld1q_s32(bias), vld1q_s32(bias.add(4))],
                multipliers: [vld1q_f32(multipliers), vld1q_f32(multipliers.add(4))],
            }
        }
    }

    #[inline(always)]
    fn mark_loop(self, begins: bool) {
        self.0.mark_loop(begins);
    }

    #[inline(always)]
    unsafe fn cell<const ROWS: usize>(self, _: &Block<M::Weights>, rows: [*const Activation; 4]) -> M::Cell {
        // SAFETY: as this function's.
        unsafe { self.0.cell::<ROWS>(rows) }
    }

    #[inline(always)]
    fn above(self, block: &Block<M::Weights>, cells: [M::Cell; 3]) -> [int32x4_t; 4] {
        self.0.above(block.bias, &block.weights, cells)
    }

    #[inline(always)]
    fn beside(self, block: &Block<M::Weights>, cells: [M::Cell; 5]) -> [int32x4_t; 4] {
        self.0.beside(block.bias, &block.weights, cells)
    }

    #[inline(always)]
    unsafe fn store(self, block: &Block<M::Weights>, [a, b, c, d]: [int32x4_t; 4], to: [*mut Activation; 2]) {
        let [low, high] = block.multipliers;
        // SAFETY: NEON as the token says; there is room for eight activations at each pointer.
        unsafe {
            let scaled = [
                vmulq_f32(vcvtq_f32_s32(a), low),
                vmulq_f32(vcvtq_f32_s32(b), high),
                vmulq_f32(vcvtq_f32_s32(c), low),
                vmulq_f32(vcvtq_f32_s32(d), high),
            ];
            let bytes = self.1.bytes(scaled);
            vst1_s8(to[1], vget_high_s8(bytes));
            vst1_s8(to[0], vget_low_s8(bytes));
        }
    }
}
