//! The vector rows: sixteen elements at a time, the last sixteen overlapping those before.

use super::{Function, Operation, functions, scalar};
use crate::Activation;
use crate::quantized::{Addition, Output};
use crate::simd::{LANES, Simd, rows, starts, vector, vector_mut};

pub(super) mod q_add {
    use super::*;
    rows! { fn(addition: &Addition, a: &[Activation], b: &[Activation], output: &mut [Activation]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, addition: &Addition, a: &[Activation], b: &[Activation], output: &mut [Activation]) {
        if output.len() < LANES {
            return scalar::q_add(addition, a, b, output);
        }
        for start in starts(output.len()) {
            simd.add_quantized(addition, vector(a, start), vector(b, start), vector_mut(output, start));
        }
    }
}

pub(super) mod binary {
    use super::*;
    rows! { fn(operation: Operation, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) = body }

    /// `b` is as long as `a`, or one element for all of `a`.
    #[inline(always)]
    fn body<S: Simd>(simd: S, operation: Operation, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) {
        if output.len() < LANES {
            return scalar::binary(operation, bounds, a, b, output);
        }
        // One loop for each operation, so that none decides anything inside.
        match operation {
            Operation::Add => each(simd, Operation::Add, bounds, a, b, output),
            Operation::Subtract => each(simd, Operation::Subtract, bounds, a, b, output),
            Operation::Multiply => each(simd, Operation::Multiply, bounds, a, b, output),
            Operation::Divide => each(simd, Operation::Divide, bounds, a, b, output),
            Operation::Maximum => each(simd, Operation::Maximum, bounds, a, b, output),
            Operation::Minimum => each(simd, Operation::Minimum, bounds, a, b, output),
        }
    }

    #[inline(always)]
    fn each<S: Simd>(simd: S, operation: Operation, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) {
        let bounds = simd.splat_bounds(bounds);
        if let &[b] = b {
            let b = simd.splat(b);
            for start in starts(output.len()) {
                let result = functions::binary(simd, operation, simd.load(vector(a, start)), b);
                simd.store(simd.clamp(result, bounds), vector_mut(output, start));
            }
            return;
        }
        for start in starts(output.len()) {
            let operands = (simd.load(vector(a, start)), simd.load(vector(b, start)));
            let result = functions::binary(simd, operation, operands.0, operands.1);
            simd.store(simd.clamp(result, bounds), vector_mut(output, start));
        }
    }
}

pub(super) mod unary {
    use super::*;
    rows! { fn(function: Function, input: &[f32], output: &mut [f32]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, function: Function, input: &[f32], output: &mut [f32]) {
        if output.len() < LANES {
            return scalar::unary(function, input, output);
        }
        for start in starts(output.len()) {
            let result = functions::unary(simd, function, simd.load(vector(input, start)));
            simd.store(result, vector_mut(output, start));
        }
    }
}

pub(super) mod quantize {
    use super::*;
    rows! { fn(scale: f32, range: &Output, input: &[f32], output: &mut [Activation]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, scale: f32, range: &Output, input: &[f32], output: &mut [Activation]) {
        if output.len() < LANES {
            return scalar::quantize(scale, range, input, output);
        }
        for start in starts(output.len()) {
            let scaled = simd.div(simd.load(vector(input, start)), simd.splat(scale));
            let number = simd.if_nan(scaled, simd.splat(0.0), scaled);
            simd.quantize(number, range, vector_mut(output, start));
        }
    }
}

pub(super) mod dequantize {
    use super::*;
    rows! { fn(scale: f32, zero_point: Activation, input: &[Activation], output: &mut [f32]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, scale: f32, zero_point: Activation, input: &[Activation], output: &mut [f32]) {
        if output.len() < LANES {
            return scalar::dequantize(scale, zero_point, input, output);
        }
        let shift = simd.splat_i32(-i32::from(zero_point));
        for start in starts(output.len()) {
            let shifted = simd.add_i32(simd.widen(vector(input, start)), shift);
            simd.store(simd.mul(simd.to_f32(shifted), simd.splat(scale)), vector_mut(output, start));
        }
    }
}
