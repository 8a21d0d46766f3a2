//! Elementwise functions of one tensor.

use crate::{GraphError, TensorType, qmath};

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
            Unary::Sqrt => "Sqrt",
            Unary::Rsqrt => "Rsqrt",
            Unary::Exp => "Exp",
        }
    }

    /// The function itself, in double precision.
    fn real(&self, x: f64) -> f64 {
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
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Exp => libm::exp(x),
        }
    }
}

/// The table that a unary operator on 8-bit values looks its results up in: entry `q as u8` is the result's byte.
pub fn unary_table(unary: &Unary, input: &TensorType, output: &TensorType) -> Result<[u8; 256], GraphError> {
    let from = (input.dtype, input.activation_quantization("input")?);
    let to = (output.dtype, output.activation_quantization("output")?);
    Ok(qmath::lookup_table(|x| unary.real(x), from, to))
}
