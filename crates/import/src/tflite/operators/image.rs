//! Pooling and resizing of images.

use kinglet_graph::Op;
use kinglet_graph::ops::{CoordinateMode, Pool2d, PoolKind, Resize, ResizeKind};

use super::convolution::Grid;
use super::{Operator, Problem, invalid, positive};
use crate::tflite::builder::Builder;
use crate::tflite::schema;

/// AVERAGE_POOL_2D, MAX_POOL_2D. Padding is not counted in an average.
pub fn pool_2d(b: &mut Builder<'_>, op: &Operator<'_>, kind: PoolKind) -> Result<(), Problem> {
    use schema::pool_2d as o;
    op.arity(1..=1, 1)?;
    let image = op.shape(b, 0)?;
    let [_, height, width, _] = image[..] else { return invalid(format!("its image has the shape {image:?}")) };
    let kernel = [positive(op.option(o::FILTER_H)?, "filter size")?, positive(op.option(o::FILTER_W)?, "filter size")?];
    let grid = Grid {
        stride: [positive(op.option(o::STRIDE_H)?, "stride")?, positive(op.option(o::STRIDE_W)?, "stride")?],
        dilation: [1, 1],
        padding: op.option(o::PADDING)?,
    };
    let window = grid.window([height, width], kernel)?;
    let activation = op.activation(o::ACTIVATION)?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Pool2d(Pool2d { kind, kernel, window, activation }), vec![Some(input)])
}

/// RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR. Inputs: image, size (height, width).
pub fn resize(b: &mut Builder<'_>, op: &Operator<'_>, kind: ResizeKind) -> Result<(), Problem> {
    use schema::{resize_bilinear, resize_nearest_neighbor};
    op.arity(2..=2, 1)?;
    let (align_corners, half_pixel_centers) = match kind {
        ResizeKind::Bilinear => (resize_bilinear::ALIGN_CORNERS, resize_bilinear::HALF_PIXEL_CENTERS),
        ResizeKind::Nearest => (resize_nearest_neighbor::ALIGN_CORNERS, resize_nearest_neighbor::HALF_PIXEL_CENTERS),
    };
    let mode = match (op.option(align_corners)?, op.option(half_pixel_centers)?) {
        (false, false) => CoordinateMode::Asymmetric,
        (true, false) => CoordinateMode::AlignCorners,
        (false, true) => CoordinateMode::HalfPixel,
        (true, true) => return invalid("it wants both aligned corners and half-pixel centers"),
    };
    let size = op.integers(b, 1, "a size")?;
    let [Ok(height), Ok(width)] = size.iter().map(|&size| usize::try_from(size)).collect::<Vec<_>>()[..] else {
        return invalid(format!("its size is {size:?}"));
    };
    let input = op.value(b, 0)?;
    op.emit(b, Op::Resize(Resize { kind, mode, size: [height, width] }), vec![Some(input)])
}
