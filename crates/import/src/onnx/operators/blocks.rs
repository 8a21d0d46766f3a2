//! Blocks of pixels as channels, and back.

use kinglet_graph::ValueId;

use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// An image's shape, and the height and width of its blocks.
fn image(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(ValueId, [usize; 4], usize), Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    let block = usize::try_from(op.int_or("blocksize", 0)?).ok().filter(|block| (1..=0xffff).contains(block));
    match (<[usize; 4]>::try_from(shape.as_slice()), block) {
        (Ok(shape), Some(block)) => Ok((x, shape, block)),
        _ => invalid(format!("an image of shape {shape:?} has no such blocks")),
    }
}

/// DepthToSpace. The channels that become a block come first among its channels (DCR), or last (CRD).
pub fn depth_to_space(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, [n, c, h, w], block) = image(b, op)?;
    if !c.is_multiple_of(block * block) {
        return invalid(format!("{c} channels do not fill blocks of {block} by {block}"));
    }
    let left = c / (block * block);
    let (apart, permutation) = match op.text_or("mode", "DCR")? {
        "DCR" => ([n, block, block, left, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, left, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        other => return unsupported(format!("in the mode {other:?}")),
    };
    let x = b.reshape(x, &apart)?;
    let x = b.transpose(x, &permutation)?;
    Ok(vec![b.reshape(x, &[n, left, h * block, w * block])?])
}

/// SpaceToDepth. A block becomes the first of the channels that its pixels make (DCR), or the last (CRD).
pub fn space_to_depth(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let (x, [n, c, h, w], block) = image(b, op)?;
    if !h.is_multiple_of(block) || !w.is_multiple_of(block) {
        return invalid(format!("an image of {h} by {w} does not fall into blocks of {block} by {block}"));
    }
    let (rows, columns) = (h / block, w / block);
    let permutation = match op.text_or("mode", "DCR")? {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return unsupported(format!("in the mode {other:?}")),
    };
    let x = b.reshape(x, &[n, c, rows, block, columns, block])?;
    let x = b.transpose(x, &permutation)?;
    Ok(vec![b.reshape(x, &[n, c * block * block, rows, columns])?])
}
