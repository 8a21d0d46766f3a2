//! What happens to exact sums while they are still in registers: requantization, and the residual addition that may
//! follow.

use super::Block;
use crate::Activation;
use crate::quantized::{Addition, Output};
use crate::simd::{LANES, Simd};

/// All that a kernel must know to finish a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue {
    output: Output,
    addition: Option<Addition>,
    /// No scaled sum is further from 0.
    reach: f32,
}

impl Epilogue {
    /// `addition` adds a convolution's own result, first, and another tensor.
    pub(super) fn new(output: Output, addition: Option<Addition>, reach: f32) -> Epilogue {
        Epilogue { output, addition, reach }
    }

    /// What kernels that take shortcuts must know: how scaled sums become activations, how far those sums are from 0 at
    /// most, and what is added after that.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn parts(&self) -> (Output, f32, Option<Addition>) {
        (self.output, self.reach, self.addition)
    }

    /// Whether another tensor is added.
    pub(super) fn adds(&self) -> bool {
        self.addition.is_some()
    }

    /// The activation of one sum. `other` is looked at only if another tensor is added.
    #[inline]
    pub(super) fn finish(&self, sum: i32, multiplier: f32, other: impl FnOnce() -> Activation) -> Activation {
        let q = self.output.quantize(sum as f32 * multiplier);
        self.addition.map_or(q, |addition| addition.apply(q, other()))
    }

    /// [`finish`](Self::finish) for sixteen sums. `ADDS` is [`adds`](Self::adds).
    #[inline(always)]
    fn finish_lanes<S: Simd, const ADDS: bool>(
        &self,
        simd: S,
        sums: S::I32,
        multipliers: S::F32,
        other: impl FnOnce() -> [Activation; LANES],
    ) -> [Activation; LANES] {
        let mut result = [0; LANES];
        simd.quantize(simd.mul(simd.to_f32(sums), multipliers), &self.output, &mut result);
        if ADDS && let Some(addition) = &self.addition {
            let own = result;
            simd.add_quantized(addition, &own, &other(), &mut result);
        }
        result
    }
}

impl Block<'_> {
    /// Finishes sixteen sums and writes them: `P` pieces of `W` columns each, at these rows and columns of the block.
    /// Two pieces at the same place are the same.
    ///
    /// `ADDS` is [`Epilogue::adds`]; kernels branch on it once a tile, so that what only the addition needs stays out
    /// of the way of the rest. `epilogue` is a copy of the block's: the compiler need not expect that writing output
    /// changes it.
    ///
    /// # Safety
    /// The pieces are inside the block.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Simd, const P: usize, const W: usize, const ADDS: bool>(
        &self,
        simd: S,
        epilogue: &Epilogue,
        sums: S::I32,
        multipliers: S::F32,
        places: [(usize, usize); P],
    ) {
        let other = || {
            let mut pieces = [[0; W]; P];
            for (i, piece) in pieces.iter_mut().enumerate() {
                let (row, column) = places[i];
                // SAFETY: where another tensor is added, it has all the columns of all the block's rows.
                *piece = unsafe { self.residual_row(row).add(column).cast::<[Activation; W]>().read() };
            }
            bytemuck::must_cast(pieces)
        };
        let result = epilogue.finish_lanes::<S, ADDS>(simd, sums, multipliers, other);
        let pieces: [[Activation; W]; P] = bytemuck::must_cast(result);
        for (i, &piece) in pieces.iter().enumerate() {
            let (row, column) = places[i];
            // SAFETY: the output has all the columns of all the block's rows.
            unsafe { self.output_row(row).add(column).cast::<[Activation; W]>().write(piece) };
        }
    }
}
