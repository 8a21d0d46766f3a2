//! Average and maximum over windows.

use kinglet_graph::ops::{Activation, Mean, Pool2d, PoolKind};
use kinglet_graph::{Op, ValueId};

use super::spatial::Spatial;
use super::{Problem, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// AveragePool and MaxPool. Input: image `[N, C, …]`.
pub fn pool(b: &mut Builder<'_>, op: &Operator<'_>, kind: PoolKind) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let image = b.shape(x);
    let [_, _, height, width] = image[..] else { return unsupported(format!("over an image of shape {image:?}")) };
    let spatial = Spatial::of(op, 2, None)?.padded(op, &[height, width])?;
    let (kernel, window) = spatial.window();
    let x = b.channels_last(x)?;
    let y = b.emit(Op::Pool2d(Pool2d { kind, kernel, window, activation: Activation::None }), &[x])?;
    Ok(vec![b.channels_first(y)?])
}

/// GlobalAveragePool and GlobalMaxPool. Input: image `[N, C, …]`.
pub fn global_pool(b: &mut Builder<'_>, op: &Operator<'_>, kind: PoolKind) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let image = b.shape(x);
    let [n, channels, sizes @ ..] = &image[..] else { return invalid(format!("its image has the shape {image:?}")) };
    let x = b.channels_last(x)?;
    let rank = image.len();
    let y = match kind {
        PoolKind::Average => b.emit(Op::Mean(Mean { axes: (1..rank - 1).collect(), keep_dims: true }), &[x])?,
        PoolKind::Max => {
            let [kernel_height, kernel_width] = [sizes.iter().product(), 1];
            let kernel = [kernel_height, kernel_width];
            let x = b.reshape(x, &[*n, kernel_height, 1, *channels])?;
            let window = kinglet_graph::ops::Window::unit();
            let y = b.emit(Op::Pool2d(Pool2d { kind, kernel, window, activation: Activation::None }), &[x])?;
            let mut shape = vec![1; rank];
            (shape[0], shape[rank - 1]) = (*n, *channels);
            b.reshape(y, &shape)?
        }
    };
    Ok(vec![b.channels_first(y)?])
}
