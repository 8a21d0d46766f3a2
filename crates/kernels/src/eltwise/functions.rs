//! Functions of floats in a fixed order of operations, so that every CPU gives the same bits: over [`Simd`], and of one
//! float.

use super::{Function, Operation};
use crate::simd::Simd;

/// Where the exponential is taken for what it is at these bounds: all powers of two in between are normal floats.
const BOUNDS: [f32; 2] = [-87.0, 88.0];
/// Added and taken away again, it rounds what is far smaller to an integer, ties to even.
const ROUNDER: f32 = 12_582_912.0;
/// The natural logarithm of 2 in two parts; the first has so few bits that its products with exponents are exact.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
/// (exp(r) − 1 − r) / r² for |r| ≤ ln 2 / 2, highest power first. From the Cephes library's expf (Moshier, 1989).
const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// e to the x: 2ⁿ · exp(r) with x = n · ln 2 + r.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    // Bounds come first, so that NaN stays.
    let x = simd.min(simd.splat(BOUNDS[1]), simd.max(simd.splat(BOUNDS[0]), x));
    let rounder = simd.splat(ROUNDER);
    let n = simd.add(simd.fma(x, simd.splat(std::f32::consts::LOG2_E), rounder), simd.splat(-ROUNDER));
    let r = simd.fma(n, simd.splat(-LN_2[1]), simd.fma(n, simd.splat(-LN_2[0]), x));
    let mut sum = simd.splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = simd.fma(sum, r, simd.splat(*coefficient));
    }
    let power = simd.add(simd.fma(sum, simd.mul(r, r), r), simd.splat(1.0));
    simd.mul(power, simd.power_of_two(n))
}

/// 1 + exp(−x)
#[inline(always)]
fn one_plus_exp_minus<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    simd.add(simd.splat(1.0), exp(simd, simd.mul(x, simd.splat(-1.0))))
}

/// A function of one vector.
#[inline(always)]
pub(super) fn unary<S: Simd>(simd: S, function: Function, x: S::F32) -> S::F32 {
    match function {
        // As the slope is at most 1, the larger one is the one that is meant.
        Function::LeakyRelu { slope } => simd.max(simd.mul(simd.splat(slope), x), x),
        Function::HardSigmoid { alpha, beta } => {
            let line = simd.add(simd.mul(simd.splat(alpha), x), simd.splat(beta));
            simd.min(simd.splat(1.0), simd.max(simd.splat(0.0), line))
        }
        Function::HardSwish => {
            let gate = simd.add(x, simd.splat(3.0));
            let gate = simd.min(simd.splat(6.0), simd.max(simd.splat(0.0), gate));
            simd.div(simd.mul(x, gate), simd.splat(6.0))
        }
        Function::Logistic => simd.div(simd.splat(1.0), one_plus_exp_minus(simd, x)),
        Function::Silu => simd.div(x, one_plus_exp_minus(simd, x)),
    }
}

/// A function of two vectors.
#[inline(always)]
pub(super) fn binary<S: Simd>(simd: S, operation: Operation, a: S::F32, b: S::F32) -> S::F32 {
    match operation {
        Operation::Add => simd.add(a, b),
        Operation::Subtract => simd.add(a, simd.mul(b, simd.splat(-1.0))),
        Operation::Multiply => simd.mul(a, b),
        Operation::Divide => simd.div(a, b),
        Operation::Maximum => simd.if_nan(a, a, simd.max(a, b)),
        Operation::Minimum => simd.if_nan(a, a, simd.min(a, b)),
    }
}

/// [`exp`] of one float.
fn exp_of_one(x: f32) -> f32 {
    let x = if BOUNDS[0] > x { BOUNDS[0] } else { x };
    let x = if BOUNDS[1] < x { BOUNDS[1] } else { x };
    let n = x.mul_add(std::f32::consts::LOG2_E, ROUNDER) - ROUNDER;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let sum = POLYNOMIAL[1..].iter().fold(POLYNOMIAL[0], |sum, coefficient| sum.mul_add(r, *coefficient));
    let power_of_two = f32::from_bits(((n as i32 + 127) as u32) << 23);
    (sum.mul_add(r * r, r) + 1.0) * power_of_two
}

/// [`unary`] of one float.
pub(super) fn unary_of_one(function: Function, x: f32) -> f32 {
    match function {
        Function::LeakyRelu { slope } => {
            if slope * x > x {
                slope * x
            } else {
                x
            }
        }
        Function::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
        Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Function::Logistic => 1.0 / (1.0 + exp_of_one(-x)),
        Function::Silu => x / (1.0 + exp_of_one(-x)),
    }
}

/// [`binary`] of two floats.
pub(super) fn binary_of_two(operation: Operation, a: f32, b: f32) -> f32 {
    match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide => a / b,
        Operation::Maximum => {
            if a > b || a.is_nan() {
                a
            } else {
                b
            }
        }
        Operation::Minimum => {
            if a < b || a.is_nan() {
                a
            } else {
                b
            }
        }
    }
}
