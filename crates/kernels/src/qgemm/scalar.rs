//! The plain row: every other one must equal it bit for bit.

use super::{Block, Element, Kernel};
use crate::Activation;

/// One column at a time.
pub(super) const KERNEL: Kernel = Kernel {
    rows: 1,
    columns: 1,
    granule: 1,
    depth_multiple: 1,
    depth_group: 1,
    weights: Element::Word,
    input: Element::Byte,
    word_sums: false,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`].
unsafe fn multiply(block: &Block) {
    // SAFETY: the block's panel holds one column, `depth` words long, its bias and its multiplier.
    let (weights, bias, multiplier) = unsafe {
        (std::slice::from_raw_parts(block.weights.cast::<i16>(), block.depth), *block.bias, *block.multipliers)
    };
    for row in 0..block.rows {
        // SAFETY: the block's input has `rows` rows of `depth` activations.
        let input = unsafe { std::slice::from_raw_parts(block.input_row(row).cast::<Activation>(), block.depth) };
        let products = input.iter().zip(weights).map(|(&a, &w)| i32::from(a) * i32::from(w));
        let sum = products.fold(bias, i32::wrapping_add);
        // SAFETY: where another tensor is added, `residual` has as many rows as the output.
        let other = || unsafe { *block.residual_row(row) };
        // SAFETY: the output has `rows` rows of one column.
        unsafe { *block.output_row(row) = block.epilogue.finish(sum, multiplier, other) };
    }
}
