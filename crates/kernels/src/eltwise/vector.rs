//! The vector rows: sixteen elements at a time, the last sixteen overlapping those before.

use super::scalar;
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

pub(super) mod add {
    use super::*;
    rows! { fn(bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) {
        if output.len() < LANES {
            return scalar::add(bounds, a, b, output);
        }
        for start in starts(output.len()) {
            let sum = simd.add(simd.load(vector(a, start)), simd.load(vector(b, start)));
            simd.store(simd.clamp(sum, simd.splat_bounds(bounds)), vector_mut(output, start));
        }
    }
}

pub(super) mod multiply {
    use super::*;
    rows! { fn(bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) = body }

    #[inline(always)]
    fn body<S: Simd>(simd: S, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]) {
        if output.len() < LANES {
            return scalar::multiply(bounds, a, b, output);
        }
        for start in starts(output.len()) {
            let product = simd.mul(simd.load(vector(a, start)), simd.load(vector(b, start)));
            simd.store(simd.clamp(product, simd.splat_bounds(bounds)), vector_mut(output, start));
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
            simd.quantize(simd.nan_to_zero(scaled), range, vector_mut(output, start));
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
