//! Changes of the element type: of the numbers as they are, into quantized ones, and out of them.

use super::Activation;
use super::operands::{Bytes, floats, one_of, operand, required, unchecked, unsupported};
use super::walk::Walk;
use crate::element::{Element, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, Number, Round};
use crate::qmath::{self, Rescale};
use crate::tensor::each_type;
use crate::{DType, GraphError, MAX_RANK, TensorMut, TensorRef, TensorType, View, ViewMut};

/// Another element type, the same numbers: ONNX's Cast. Floats become the nearest ones, ties to even; a float becomes
/// an integer by cutting it toward zero, and stops at the bounds; integers keep their low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Whether what is beyond the largest number of an 8-bit float becomes that number, not what the format has for it.
    pub saturate: bool,
    /// How numbers become powers of two, the type [`F8E8M0`].
    pub round: Round,
}

/// ONNX's defaults.
impl Default for Cast {
    fn default() -> Cast {
        Cast { saturate: true, round: Round::Up }
    }
}

impl Cast {
    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        for (what, ty) in [("input", required(inputs, 0)?), ("output", output)] {
            if ty.quantization.is_some() {
                let problem = "has a scale; Quantize and Dequantize convert quantized numbers".to_owned();
                return Err(GraphError::Quantization { what: what.to_owned(), problem });
            }
        }
        Ok(())
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        each_type!(operand(inputs, 0)?.view, View, |from| self.widen(from, &mut output.view));
        Ok(())
    }

    /// Casts a block at a time by way of the type that operators compute with: as many loops as there are types twice,
    /// not squared.
    fn widen<T: Element>(&self, from: &[T], to: &mut ViewMut<'_>) {
        let mut wide = [T::Wide::default(); BLOCK];
        for (block, from) in from.chunks(BLOCK).enumerate() {
            wide.iter_mut().zip(from).for_each(|(wide, x)| *wide = x.widen());
            let (start, wide) = (block * BLOCK, &mut wide[..from.len()]);
            if self.saturate {
                saturate(wide, to.dtype());
            }
            match &mut *to {
                ViewMut::F8E8M0(out) => {
                    let scale = |x: &T::Wide| F8E8M0::from_f64(x.to_f64_odd(), self.round, self.saturate);
                    out[start..].iter_mut().zip(wide).for_each(|(out, x)| *out = scale(x));
                }
                other => each_type!(other, ViewMut, |out| narrow(wide, &mut out[start..])),
            }
        }
    }
}

/// Elements that are cast at a time.
const BLOCK: usize = 64;

fn narrow<N: Number, T: Element>(wide: &[N], out: &mut [T]) {
    out.iter_mut().zip(wide).for_each(|(out, x)| *out = T::cast(*x));
}

/// Clamps numbers to the bounds of an 8-bit float. Those that are none stay.
fn saturate<N: Number>(numbers: &mut [N], dtype: DType) {
    let max = N::from_f64(f64::from(match dtype {
        DType::F8E4M3FN => F8E4M3FN::max(),
        DType::F8E4M3FNUZ => F8E4M3FNUZ::max(),
        DType::F8E5M2 => F8E5M2::max(),
        DType::F8E5M2FNUZ => F8E5M2FNUZ::max(),
        _ => return,
    }));
    let min = if N::LOWEST < N::ZERO { N::ZERO.subtract(max) } else { N::ZERO };
    for x in numbers {
        *x = if *x > max {
            max
        } else if *x < min {
            min
        } else {
            *x
        };
    }
}

pub(super) fn check_quantize(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    let x = required(inputs, 0)?;
    output.activation_quantization("output")?;
    one_of(x, "input", &[DType::F32, DType::I8, DType::U8], "the operator takes float32 or 8-bit numbers")?;
    if x.dtype.is_8_bit() {
        Rescale::new(x, output, Activation::None)?;
    }
    Ok(())
}

pub(super) fn eval_quantize(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let x = operand(inputs, 0)?;
    let quantization = output.ty.activation_quantization("output")?;
    if x.ty.dtype.is_8_bit() {
        let rescale = Rescale::new(x.ty, output.ty, Activation::None)?;
        for (out, q) in output.view.bytes_mut().iter_mut().zip(Bytes::new(&x)?.iter()) {
            *out = rescale.apply(q) as u8;
        }
        return Ok(());
    }
    let (scale, zero_point) = (quantization.scale(), quantization.zero_point());
    let (min, max) = output.ty.dtype.bounds_8_bit();
    for (out, x) in output.view.bytes_mut().iter_mut().zip(floats(&x)?) {
        *out = qmath::quantize(*x, scale, zero_point, min, max) as u8;
    }
    Ok(())
}

pub(super) fn check_dequantize(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    let x = required(inputs, 0)?;
    one_of(output, "output", &[DType::F32], "dequantized numbers are float32")?;
    match x.dtype {
        DType::F16 => Ok(()),
        DType::I8 | DType::U8 | DType::I32 if x.quantization.is_some() => Ok(()),
        DType::I8 | DType::U8 | DType::I32 => {
            Err(GraphError::Quantization { what: "input".into(), problem: "has no scale and zero point".into() })
        }
        other => Err(unsupported("input", "the operator takes quantized 8-bit numbers, int32 or float16", other)),
    }
}

pub(super) fn eval_dequantize(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    let x = operand(inputs, 0)?;
    let ViewMut::F32(out) = &mut output.view else { return Err(unchecked()) };
    if let View::F16(from) = x.view {
        out.iter_mut().zip(from).for_each(|(out, x)| *out = x.to_f32());
        return Ok(());
    }
    let quantization = x.ty.quantization.as_ref().ok_or_else(unchecked)?;
    // A walk that moves along the quantization's axis only counts its index.
    let mut strides = [0; MAX_RANK];
    if let Some(axis) = quantization.axis.filter(|_| quantization.scales.len() > 1) {
        strides[axis] = 1;
    }
    let channels = Walk::new(&x.ty.shape, [0], [strides]).map(|[channel]| channel);
    let real = |q: i32, channel: usize| {
        qmath::dequantize(q, quantization.scale_at(channel), quantization.zero_point_at(channel))
    };
    match x.view {
        View::I32(from) => {
            for ((out, q), channel) in out.iter_mut().zip(from).zip(channels) {
                *out = real(*q, channel);
            }
        }
        _ => {
            for ((out, q), channel) in out.iter_mut().zip(Bytes::new(&x)?.iter()).zip(channels) {
                *out = real(q, channel);
            }
        }
    }
    Ok(())
}
