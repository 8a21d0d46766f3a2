//! The plain row: element by element.

use super::{Function, Operation, functions};
use crate::Activation;
use crate::quantized::{Addition, Output};
use crate::simd::clamp;

pub(super) fn q_add(addition: &Addition, a: &[Activation], b: &[Activation], output: &mut [Activation]) {
    for ((output, &a), &b) in output.iter_mut().zip(a).zip(b) {
        *output = addition.apply(a, b);
    }
}

pub(super) fn lookup(table: &[Activation; 256], input: &[Activation], output: &mut [Activation]) {
    for (output, &input) in output.iter_mut().zip(input) {
        *output = table[usize::from(bytemuck::cast::<Activation, u8>(input))];
    }
}

/// `b` is as long as `a`, or one element for all of `a`.
pub(super) fn binary(operation: Operation, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) {
    for ((output, a), b) in output.iter_mut().zip(a).zip(b.iter().cycle()) {
        *output = clamp(functions::binary_of_two(operation, *a, *b), bounds);
    }
}

pub(super) fn unary(function: Function, input: &[f32], output: &mut [f32]) {
    for (output, input) in output.iter_mut().zip(input) {
        *output = functions::unary_of_one(function, *input);
    }
}

pub(super) fn quantize(scale: f32, range: &Output, input: &[f32], output: &mut [Activation]) {
    for (output, input) in output.iter_mut().zip(input) {
        *output = range.quantize(input / scale);
    }
}

pub(super) fn dequantize(scale: f32, zero_point: Activation, input: &[Activation], output: &mut [f32]) {
    for (output, &input) in output.iter_mut().zip(input) {
        *output = (i32::from(input) - i32::from(zero_point)) as f32 * scale;
    }
}
