//! Changes of the element type: of the numbers as they are, into quantized ones, and out of them.

use half::f16;

use super::Activation;
use super::operands::{Bytes, floats, one_of, operand, required, unchecked, unsupported};
use super::walk::Walk;
use crate::qmath::{self, Rescale};
use crate::{DType, GraphError, MAX_RANK, TensorMut, TensorRef, TensorType, View, ViewMut};

pub(super) fn check_cast(inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
    for (what, ty) in [("input", required(inputs, 0)?), ("output", output)] {
        if ty.quantization.is_some() {
            let problem = "has a scale; Quantize and Dequantize convert quantized numbers".to_owned();
            return Err(GraphError::Quantization { what: what.to_owned(), problem });
        }
    }
    Ok(())
}

/// Floats are cut to integers toward zero and stop at their bounds, integers wrap around.
pub(super) fn eval_cast(inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
    macro_rules! cast {
        ($from:expr, |$x:ident| $float:expr) => {
            match &mut output.view {
                ViewMut::F32(out) => out.iter_mut().zip($from).for_each(|(out, $x)| *out = $float as f32),
                ViewMut::F16(out) => {
                    out.iter_mut().zip($from).for_each(|(out, $x)| *out = f16::from_f64($float as f64))
                }
                ViewMut::I8(out) => out.iter_mut().zip($from).for_each(|(out, $x)| *out = $float as i8),
                ViewMut::U8(out) => out.iter_mut().zip($from).for_each(|(out, $x)| *out = $float as u8),
                ViewMut::I32(out) => out.iter_mut().zip($from).for_each(|(out, $x)| *out = $float as i32),
                ViewMut::I64(out) => out.iter_mut().zip($from).for_each(|(out, $x)| *out = $float as i64),
            }
        };
    }
    match operand(inputs, 0)?.view {
        View::F32(from) => cast!(from, |x| *x),
        View::F16(from) => cast!(from, |x| x.to_f32()),
        View::I8(from) => cast!(from, |x| *x),
        View::U8(from) => cast!(from, |x| *x),
        View::I32(from) => cast!(from, |x| *x),
        View::I64(from) => cast!(from, |x| *x),
    }
    Ok(())
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
