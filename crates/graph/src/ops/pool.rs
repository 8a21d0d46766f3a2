//! Average and maximum over windows of an image.

use super::operands::{
    Bytes, float_or_quantized, floats, floats_mut, moves, one_of, operand, rank, required, unchecked,
};
use super::product::cells;
use super::{Activation, Window};
use crate::qmath::{self, MeanParameters};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, ViewMut};

/// What is taken over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean of the elements that lie inside the image: padding is not counted.
    Average,
    /// The largest of them.
    Max,
    /// Where the largest of them is, the first if there are several: row · width + column, int64.
    MaxIndex,
}

impl PoolKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            PoolKind::Average => "AveragePool2d",
            PoolKind::Max => "MaxPool2d",
            PoolKind::MaxIndex => "MaxPoolIndex2d",
        }
    }
}

/// Average or maximum over the windows of an NHWC image.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool2d {
    /// Which of them.
    pub kind: PoolKind,
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// How the windows lie.
    pub window: Window,
    /// Applied to the result.
    pub activation: Activation,
}

impl Pool2d {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let [images, height, width, channels] = rank(required(inputs, 0)?, "input")?;
        let [out_height, out_width] = self.window.output_size([height, width], self.kernel)?;
        // With less padding than kernel, and an image that is not empty, no window lies in the padding alone. (The taps
        // of a dilated one may: then the largest of none is the least number, and the mean of none is 0.)
        let Window { padding_before, padding_after, dilation, .. } = self.window;
        let extent = |axis: usize| (self.kernel[axis] - 1) * dilation[axis] + 1;
        let outside = |axis: usize| padding_before[axis].max(padding_after[axis]) >= extent(axis);
        if outside(0) || outside(1) {
            return Err(GraphError::Attribute(format!(
                "the padding {padding_before:?}, {padding_after:?} leaves windows of {:?} without an element",
                self.kernel
            )));
        }
        Ok(vec![images, out_height, out_width, channels])
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let x = required(inputs, 0)?;
        let types = [DType::F32, DType::I8, DType::U8];
        match self.kind {
            PoolKind::Max => {
                one_of(x, "input", &types, "the operator takes float32 or 8-bit numbers")?;
                if self.activation != Activation::None {
                    float_or_quantized(&[("input", x), ("output", output)])?;
                }
                return moves(x, output);
            }
            PoolKind::MaxIndex => {
                one_of(x, "input", &types, "the operator takes float32 or 8-bit numbers")?;
                return one_of(output, "output", &[DType::I64], "places are int64");
            }
            PoolKind::Average => float_or_quantized(&[("input", x), ("output", output)])?,
        }
        match self.kind {
            PoolKind::Average if x.dtype.is_8_bit() => {
                MeanParameters::of_pool(x, output, self.activation)?;
                super::check_count(self.kernel[0].min(x.shape[1]).saturating_mul(self.kernel[1].min(x.shape[2])))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        let quantized = matches!(x.view, View::I8(_) | View::U8(_));
        match self.kind {
            PoolKind::Average if quantized => {
                let mean = MeanParameters::of_pool(x.ty, output.ty, self.activation)?;
                let (shape, elements, zero_point) = (&output.ty.shape, Bytes::new(&x)?, mean.zero_points[0]);
                let out = output.view.bytes_mut();
                let add = |sum, i| sum + (elements.get(i) - zero_point);
                self.each(x.ty, shape, 0i32, add, |index, sum, count| out[index] = mean.apply(sum, count.max(1)) as u8)
            }
            PoolKind::Max if quantized => {
                let (min, max) = match &output.ty.quantization {
                    Some(quantization) => qmath::activation_range(self.activation, output.ty.dtype, quantization),
                    None => output.ty.dtype.bounds_8_bit(),
                };
                let (shape, elements) = (&output.ty.shape, Bytes::new(&x)?);
                let out = output.view.bytes_mut();
                let larger = |largest: i32, i| largest.max(elements.get(i));
                self.each(x.ty, shape, min, larger, |index, largest, _| out[index] = largest.min(max) as u8)
            }
            PoolKind::Average => {
                let (shape, elements) = (&output.ty.shape, floats(&x)?);
                let out = floats_mut(output)?;
                let store = |index: usize, sum: f32, count: usize| {
                    out[index] = self.activation.clamp(sum / count.max(1) as f32)
                };
                self.each(x.ty, shape, 0.0, |sum, i| sum + elements[i], store)
            }
            PoolKind::MaxIndex => self.eval_index(x, output),
            PoolKind::Max => {
                let (shape, elements) = (&output.ty.shape, floats(&x)?);
                let out = floats_mut(output)?;
                let larger = |largest, i| if elements[i] > largest { elements[i] } else { largest };
                let store = |index: usize, largest, _| out[index] = self.activation.clamp(largest);
                self.each(x.ty, shape, f32::NEG_INFINITY, larger, store)
            }
        }
    }

    fn eval_index(&self, x: TensorRef<'_>, output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let &[_, height, width, channels] = x.ty.shape.as_slice() else { return Err(unchecked()) };
        let shape = &output.ty.shape;
        let ViewMut::I64(out) = &mut output.view else { return Err(unchecked()) };
        let store = |index: usize, largest: Option<usize>, _| {
            out[index] = largest.map_or(0, |largest| (largest / channels % (height * width)) as i64);
        };
        let first = |larger: &dyn Fn(usize, usize) -> bool, largest: Option<usize>, i: usize| match largest {
            Some(largest) if !larger(i, largest) => Some(largest),
            _ => Some(i),
        };
        match x.view {
            View::F32(elements) => {
                let larger = |i: usize, than: usize| elements[i] > elements[than];
                self.each(x.ty, shape, None, |largest, i| first(&larger, largest, i), store)
            }
            _ => {
                let elements = Bytes::new(&x)?;
                let larger = |i: usize, than: usize| elements.get(i) > elements.get(than);
                self.each(x.ty, shape, None, |largest, i| first(&larger, largest, i), store)
            }
        }
    }

    /// For every output element, in order: `add(sum, input index)` over the window's elements inside the image, rows
    /// first; then `store(output index, sum, how many they were)`.
    fn each<A: Copy>(
        &self,
        x: &TensorType,
        shape: &[usize],
        start: A,
        mut add: impl FnMut(A, usize) -> A,
        mut store: impl FnMut(usize, A, usize),
    ) -> Result<(), GraphError> {
        let (&[_, height, width, channels], &[images, out_height, out_width, _]) = (x.shape.as_slice(), shape) else {
            return Err(unchecked());
        };
        let inside = |at: usize, axis: usize, size: usize| {
            let (dilation, padding) = (self.window.dilation[axis], self.window.padding_before[axis]);
            let start = at * self.window.stride[axis];
            // The first tap at or behind the padding, and the first behind the image.
            let first = padding.saturating_sub(start).div_ceil(dilation);
            let end = (size + padding).saturating_sub(start).div_ceil(dilation).min(self.kernel[axis]);
            (start + first * dilation).saturating_sub(padding)
                ..(start + end.max(first) * dilation).saturating_sub(padding)
        };
        let [down, right] = self.window.dilation;
        let mut index = 0;
        for (image, y, x) in cells([images, out_height, out_width]) {
            let (rows, columns) = (inside(y, 0, height), inside(x, 1, width));
            for channel in 0..channels {
                let mut sum = start;
                let (rows, columns) = (rows.clone().step_by(down), columns.clone().step_by(right));
                let count = rows.len() * columns.len();
                for (row, column) in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
                    sum = add(sum, ((image * height + row) * width + column) * channels + channel);
                }
                store(index, sum, count);
                index += 1;
            }
        }
        Ok(())
    }
}
