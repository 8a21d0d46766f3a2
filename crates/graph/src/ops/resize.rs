//! Images in another height and width.

use super::Activation;
use super::operands::{
    Bytes, float_or_quantized, floats, floats_mut, moves, operand, rank, required, same_elements, unchecked,
};
use super::product::cells;
use crate::qmath::{Rescale, interpolate};
use crate::{GraphError, TensorMut, TensorRef, TensorType, View};

/// How a pixel between pixels is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeKind {
    /// From the four around it, each by its nearness.
    Bilinear,
    /// From the nearest one.
    Nearest,
}

impl ResizeKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            ResizeKind::Bilinear => "ResizeBilinear",
            ResizeKind::Nearest => "ResizeNearest",
        }
    }
}

/// Where output pixel x lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinateMode {
    /// x · in / out
    Asymmetric,
    /// x · (in − 1) / (out − 1): the corner pixels' centers fall on each other.
    AlignCorners,
    /// (x + ½) · in / out − ½: the images' edges fall on each other.
    HalfPixel,
}

/// Gives an NHWC image another height and width.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// How a pixel is made.
    pub kind: ResizeKind,
    /// Where it lies.
    pub mode: CoordinateMode,
    /// The new height and width.
    pub size: [usize; 2],
}

impl Resize {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let [images, height, width, channels] = rank(required(inputs, 0)?, "input")?;
        let [out_height, out_width] = self.size;
        if [height, width, out_height, out_width].contains(&0) {
            return Err(GraphError::Attribute(format!(
                "an image of {height}×{width} cannot be resized to {out_height}×{out_width}"
            )));
        }
        Ok(vec![images, out_height, out_width, channels])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let x = required(inputs, 0)?;
        if self.kind == ResizeKind::Nearest {
            return moves(x, output);
        }
        float_or_quantized(&[("input", x), ("output", output)])?;
        if x.dtype.is_8_bit() {
            Rescale::new(x, output, Activation::None)?;
        }
        Ok(())
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let &[images, height, width, channels] = x.ty.shape.as_slice() else { return Err(unchecked()) };
        let image = Image { images, size: [height, width], channels };
        if self.kind == ResizeKind::Nearest {
            same_elements!(x.view, &mut output.view, |from, to| self.nearest(&image, from, to));
            return Ok(());
        }
        match x.view {
            View::I8(_) | View::U8(_) => {
                let rescale = Rescale::new(x.ty, output.ty, Activation::None)?;
                let (elements, zero_point) = (Bytes::new(&x)?, rescale.zero_points[0]);
                let out = output.view.bytes_mut();
                let read = |i| (elements.get(i) - zero_point) as f32;
                self.bilinear(&image, read, |index, value| out[index] = rescale.apply_real(value) as u8);
            }
            _ => {
                let (elements, out) = (floats(&x)?, floats_mut(output)?);
                self.bilinear(&image, |i| elements[i], |index, value| out[index] = value);
            }
        }
        Ok(())
    }

    fn nearest<T: Copy>(&self, image: &Image, from: &[T], to: &mut [T]) {
        if image.channels == 0 {
            return;
        }
        let pixels = cells([image.images, self.size[0], self.size[1]]);
        for ((n, y, x), to) in pixels.zip(to.chunks_exact_mut(image.channels)) {
            let row = self.mode.nearest(y, image.size[0], self.size[0]);
            let column = self.mode.nearest(x, image.size[1], self.size[1]);
            let first = image.pixel(n, row, column);
            to.copy_from_slice(&from[first..first + image.channels]);
        }
    }

    fn bilinear(&self, image: &Image, read: impl Fn(usize) -> f32, mut store: impl FnMut(usize, f32)) {
        let mut index = 0;
        for (n, y, x) in cells([image.images, self.size[0], self.size[1]]) {
            let (top, bottom, down) = self.mode.between(y, image.size[0], self.size[0]);
            let (left, right, rightwards) = self.mode.between(x, image.size[1], self.size[1]);
            let corners = [(top, left), (top, right), (bottom, left), (bottom, right)];
            let corners = corners.map(|(row, column)| image.pixel(n, row, column));
            for channel in 0..image.channels {
                store(index, interpolate(corners.map(|first| read(first + channel)), down, rightwards));
                index += 1;
            }
        }
    }
}

/// Sizes of the input.
struct Image {
    images: usize,
    size: [usize; 2],
    channels: usize,
}

impl Image {
    fn pixel(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.size[0] + row) * self.size[1] + column) * self.channels
    }
}

/// Coordinates are computed in `f32`, in TensorFlow Lite's order of operations, so that ties fall as they do there.
impl CoordinateMode {
    fn scale(self, from: usize, to: usize) -> f32 {
        match self {
            CoordinateMode::AlignCorners if to > 1 => (from - 1) as f32 / (to - 1) as f32,
            _ => from as f32 / to as f32,
        }
    }

    /// The input's row (or column) nearest to the output's row `at`.
    fn nearest(self, at: usize, from: usize, to: usize) -> usize {
        let scale = self.scale(from, to);
        let place = match self {
            CoordinateMode::Asymmetric => (at as f32 * scale).floor(),
            CoordinateMode::AlignCorners => (at as f32 * scale).round(),
            CoordinateMode::HalfPixel => ((at as f32 + 0.5) * scale).floor(),
        };
        (place as usize).min(from - 1)
    }

    /// The two rows of the input that the output's row `at` lies between, and how far it is from the first.
    fn between(self, at: usize, from: usize, to: usize) -> (usize, usize, f32) {
        let scale = self.scale(from, to);
        let place = match self {
            CoordinateMode::HalfPixel => ((at as f32 + 0.5) * scale - 0.5).max(0.0),
            _ => at as f32 * scale,
        };
        let first = (place.floor() as usize).min(from - 1);
        (first, (first + 1).min(from - 1), place - first as f32)
    }
}
