//! Elementwise functions of one tensor.

use super::Activation;
use super::operands::{float_or_quantized, floats, floats_mut, operand, required};
use crate::{GraphError, TensorMut, TensorRef, TensorType, View, fmath, qmath};

/// Which function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// min(max(x, −1), 1)
    ReluN1To1,
    /// x where x ≥ 0, else slope · x
    LeakyRelu {
        /// The factor of negative numbers.
        slope: f32,
    },
    /// 1 / (1 + exp(−x))
    Logistic,
    /// Hyperbolic tangent.
    Tanh,
    /// x · min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// x / (1 + exp(−x)), also called Swish
    Silu,
    /// Square root.
    Sqrt,
    /// 1 / √x
    Rsqrt,
    /// e to the x.
    Exp,
}

impl Unary {
    /// The operator's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Unary::Relu => "Relu",
            Unary::Relu6 => "Relu6",
            Unary::ReluN1To1 => "ReluN1To1",
            Unary::LeakyRelu { .. } => "LeakyRelu",
            Unary::Logistic => "Logistic",
            Unary::Tanh => "Tanh",
            Unary::HardSwish => "HardSwish",
            Unary::Silu => "Silu",
            Unary::Sqrt => "Sqrt",
            Unary::Rsqrt => "Rsqrt",
            Unary::Exp => "Exp",
        }
    }

    /// The clamp that it is, if it is one.
    pub fn as_activation(&self) -> Option<Activation> {
        match self {
            Unary::Relu => Some(Activation::Relu),
            Unary::Relu6 => Some(Activation::Relu6),
            Unary::ReluN1To1 => Some(Activation::ReluN1To1),
            _ => None,
        }
    }

    /// The function on floats, by [`fmath`] and the portable mathematics of the crate `libm`.
    pub fn float(&self, x: f32) -> f32 {
        match *self {
            Unary::Relu => Activation::Relu.clamp(x),
            Unary::Relu6 => Activation::Relu6.clamp(x),
            Unary::ReluN1To1 => Activation::ReluN1To1.clamp(x),
            Unary::LeakyRelu { slope } => {
                if x >= 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Unary::Logistic => 1.0 / (1.0 + fmath::exp(-x)),
            Unary::Tanh => libm::tanhf(x),
            Unary::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Unary::Silu => x / (1.0 + fmath::exp(-x)),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Exp => libm::expf(x),
        }
    }

    /// The function in double precision, for the tables of 8-bit values.
    fn double(&self, x: f64) -> f64 {
        match *self {
            Unary::Relu => x.max(0.0),
            Unary::Relu6 => x.clamp(0.0, 6.0),
            Unary::ReluN1To1 => x.clamp(-1.0, 1.0),
            Unary::LeakyRelu { slope } => {
                if x >= 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Unary::Logistic => 1.0 / (1.0 + libm::exp(-x)),
            Unary::Tanh => libm::tanh(x),
            Unary::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Unary::Silu => x / (1.0 + libm::exp(-x)),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Exp => libm::exp(x),
        }
    }

    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        match self {
            Unary::LeakyRelu { slope } if !slope.is_finite() => {
                Err(GraphError::Attribute(format!("the slope {slope} is not finite")))
            }
            _ => Ok(required(inputs, 0)?.shape.clone()),
        }
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        float_or_quantized(&[("input", required(inputs, 0)?), ("output", output)])
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        match x.view {
            View::I8(_) | View::U8(_) => {
                let table = unary_table(self, x.ty, output.ty)?;
                for (out, byte) in output.view.bytes_mut().iter_mut().zip(x.view.bytes()) {
                    *out = table[usize::from(*byte)];
                }
            }
            _ => {
                for (out, x) in floats_mut(output)?.iter_mut().zip(floats(&x)?) {
                    *out = self.float(*x);
                }
            }
        }
        Ok(())
    }
}

/// The table that a unary operator on 8-bit values looks its results up in: entry `q as u8` is the result's byte.
pub fn unary_table(unary: &Unary, input: &TensorType, output: &TensorType) -> Result<[u8; 256], GraphError> {
    let from = (input.dtype, input.activation_quantization("input")?);
    let to = (output.dtype, output.activation_quantization("output")?);
    Ok(qmath::lookup_table(|x| unary.double(x), from, to))
}
