//! Elementwise functions of one tensor.

use super::operands::{float_or_quantized, one_of, operand, required, unchecked, unsupported};
use super::{Activation, clamp};
use crate::element::Number;
use crate::tensor::{Slices, each_number};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, fmath, qmath};

/// Which function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// min(max(x, −1), 1)
    ReluN1To1,
    /// min(max(x, min), max)
    Clip {
        /// The lower bound; minus infinity for none.
        min: f32,
        /// The upper bound, not below the lower one; infinity for none.
        max: f32,
    },
    /// x where x ≥ 0, else slope · x
    LeakyRelu {
        /// The factor of negative numbers.
        slope: f32,
    },
    /// x where x ≥ 0, else alpha · (exp(x) − 1)
    Elu {
        /// The bound of negative results.
        alpha: f32,
    },
    /// 1 / (1 + exp(−x))
    Logistic,
    /// min(max(alpha · x + beta, 0), 1)
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The result at 0.
        beta: f32,
    },
    /// Hyperbolic tangent.
    Tanh,
    /// x · min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// x / (1 + exp(−x)), also called Swish
    Silu,
    /// x · tanh(ln(1 + exp(x))) (Misra, "Mish: a self regularized non-monotonic activation function", 2019)
    Mish,
    /// x · Φ(x), Φ being the distribution function of the standard normal distribution (Hendrycks and Gimpel, "Gaussian
    /// error linear units", 2016)
    Gelu,
    /// x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))), an approximation of the former
    GeluTanh,
    /// ln(1 + exp(x))
    Softplus,
    /// Square root.
    Sqrt,
    /// 1 / √x
    Rsqrt,
    /// 1 / x
    Reciprocal,
    /// e to the x.
    Exp,
    /// The natural logarithm.
    Log,
    /// The error function.
    Erf,
    /// The sine of radians.
    Sin,
    /// The cosine of radians.
    Cos,
    /// The distance from 0; of integers, too, where it wraps around.
    Abs,
    /// −x; of integers, too, where it wraps around.
    Negate,
    /// The largest integer that is not above x.
    Floor,
    /// The smallest integer that is not below x.
    Ceil,
    /// The nearest integer, ties to even.
    Round,
    /// The other truth value.
    Not,
}

/// The function of floats of one width, by the portable mathematics of the crate `libm`, and of the exponential `gate`
/// in the logistic function. The clamps are another matter.
macro_rules! real_function {
    ($unary:expr, $x:ident, $type:ident, $clip:expr, $gate:path, $exp:ident, $expm1:ident, $log:ident, $log1p:ident,
        $tanh:ident, $erf:ident, $sin:ident, $cos:ident) => {
        match $unary {
            Unary::Relu => $clip(Activation::Relu),
            Unary::Relu6 => $clip(Activation::Relu6),
            Unary::ReluN1To1 => $clip(Activation::ReluN1To1),
            Unary::Clip { min, max } => $clip(Activation::Clip { min, max }),
            Unary::LeakyRelu { slope } if $x < 0.0 => $type::from(slope) * $x,
            Unary::LeakyRelu { .. } => $x,
            Unary::Elu { alpha } if $x < 0.0 => $type::from(alpha) * libm::$expm1($x),
            Unary::Elu { .. } => $x,
            Unary::Logistic => 1.0 / (1.0 + $gate(-$x)),
            Unary::HardSigmoid { alpha, beta } => ($type::from(alpha) * $x + $type::from(beta)).clamp(0.0, 1.0),
            Unary::Tanh => libm::$tanh($x),
            Unary::HardSwish => $x * ($x + 3.0).clamp(0.0, 6.0) / 6.0,
            Unary::Silu => $x / (1.0 + $gate(-$x)),
            Unary::Mish => $x * libm::$tanh(softplus!($x, $exp, $log1p)),
            Unary::Gelu => $x * 0.5 * (1.0 + libm::$erf($x * std::$type::consts::FRAC_1_SQRT_2)),
            Unary::GeluTanh => {
                let inner = std::$type::consts::FRAC_2_SQRT_PI
                    * std::$type::consts::FRAC_1_SQRT_2
                    * ($x + 0.044715 * $x * $x * $x);
                $x * 0.5 * (1.0 + libm::$tanh(inner))
            }
            Unary::Softplus => softplus!($x, $exp, $log1p),
            Unary::Sqrt => $x.sqrt(),
            Unary::Rsqrt => 1.0 / $x.sqrt(),
            Unary::Reciprocal => 1.0 / $x,
            Unary::Exp => libm::$exp($x),
            Unary::Log => libm::$log($x),
            Unary::Erf => libm::$erf($x),
            Unary::Sin => libm::$sin($x),
            Unary::Cos => libm::$cos($x),
            Unary::Abs => $x.abs(),
            Unary::Negate => -$x,
            Unary::Floor => $x.floor(),
            Unary::Ceil => $x.ceil(),
            Unary::Round => $x.round_ties_even(),
            Unary::Not => {
                if $x == 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
        }
    };
}

/// ln(1 + exp(x)), written so that the exponential of a large x is not infinite.
macro_rules! softplus {
    ($x:ident, $exp:ident, $log1p:ident) => {
        $x.max(0.0) + libm::$log1p(libm::$exp(-$x.abs()))
    };
}

impl Unary {
    /// The operator's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Unary::Relu => "Relu",
            Unary::Relu6 => "Relu6",
            Unary::ReluN1To1 => "ReluN1To1",
            Unary::Clip { .. } => "Clip",
            Unary::LeakyRelu { .. } => "LeakyRelu",
            Unary::Elu { .. } => "Elu",
            Unary::Logistic => "Logistic",
            Unary::HardSigmoid { .. } => "HardSigmoid",
            Unary::Tanh => "Tanh",
            Unary::HardSwish => "HardSwish",
            Unary::Silu => "Silu",
            Unary::Mish => "Mish",
            Unary::Gelu => "Gelu",
            Unary::GeluTanh => "GeluTanh",
            Unary::Softplus => "Softplus",
            Unary::Sqrt => "Sqrt",
            Unary::Rsqrt => "Rsqrt",
            Unary::Reciprocal => "Reciprocal",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Erf => "Erf",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
            Unary::Abs => "Abs",
            Unary::Negate => "Negate",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round => "Round",
            Unary::Not => "Not",
        }
    }

    /// The clamp that it is, if it is one.
    pub fn as_activation(&self) -> Option<Activation> {
        match *self {
            Unary::Relu => Some(Activation::Relu),
            Unary::Relu6 => Some(Activation::Relu6),
            Unary::ReluN1To1 => Some(Activation::ReluN1To1),
            Unary::Clip { min, max } => Some(Activation::Clip { min, max }),
            _ => None,
        }
    }

    /// The function on floats.
    pub fn float(&self, x: f32) -> f32 {
        let clip = |activation: Activation| activation.clamp(x);
        real_function!(*self, x, f32, clip, fmath::exp, expf, expm1f, logf, log1pf, tanhf, erff, sinf, cosf)
    }

    /// The function in double precision, for the tables of 8-bit values as well.
    fn double(&self, x: f64) -> f64 {
        let clip = |activation: Activation| {
            let (min, max) = activation.bounds();
            clamp(x, min.into(), max.into())
        };
        real_function!(*self, x, f64, clip, libm::exp, exp, expm1, log, log1p, tanh, erf, sin, cos)
    }

    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        let attributes = match *self {
            Unary::LeakyRelu { slope } => [slope, 0.0],
            Unary::Elu { alpha } => [alpha, 0.0],
            Unary::HardSigmoid { alpha, beta } => [alpha, beta],
            _ => [0.0; 2],
        };
        if let Some(wrong) = attributes.iter().find(|attribute| !attribute.is_finite()) {
            return Err(GraphError::Attribute(format!("the attribute {wrong} is not finite")));
        }
        self.as_activation().map_or(Ok(()), Activation::check)?;
        Ok(required(inputs, 0)?.shape.clone())
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let x = required(inputs, 0)?;
        if x.quantization.is_some() || output.quantization.is_some() {
            return float_or_quantized(&[("input", x), ("output", output)]);
        }
        let name = self.name();
        match self {
            Unary::Not => one_of(x, "input", &[DType::Bool], "the operator takes truth values")?,
            Unary::Abs | Unary::Negate if x.dtype.is_integer() => (),
            _ if x.dtype.is_float() => (),
            _ => return Err(unsupported("input", &format!("{name} takes floats and quantized numbers"), x.dtype)),
        }
        one_of(output, "output", &[x.dtype], "it is of the input's type")
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let x = operand(inputs, 0)?;
        if x.ty.quantization.is_some() {
            let table = unary_table(self, x.ty, output.ty)?;
            for (out, byte) in output.view.bytes_mut().iter_mut().zip(x.view.bytes()) {
                *out = table[usize::from(*byte)];
            }
            return Ok(());
        }
        match x.view {
            View::F32(x) => map(x, output, |x| self.float(x)),
            View::F16(x) => map(x, output, |x| self.float(x)),
            View::BF16(x) => map(x, output, |x| self.float(x)),
            View::F64(x) => map(x, output, |x| self.double(x)),
            View::Bool(x) => map(x, output, |x| u64::from(x == 0)),
            view => each_number!(view, View, |x| map(x, output, |x| self.integer(x)), Err(unchecked())),
        }
    }

    /// The function of an integer.
    fn integer<N: Number>(&self, x: N) -> N {
        if *self == Unary::Negate || x < N::ZERO { N::ZERO.subtract(x) } else { x }
    }
}

fn map<T: Slices>(
    x: &[T],
    output: &mut TensorMut<'_>,
    function: impl Fn(T::Wide) -> T::Wide,
) -> Result<(), GraphError> {
    let out = T::of_mut(&mut output.view)?;
    out.iter_mut().zip(x).for_each(|(out, x)| *out = T::narrow(function(x.widen())));
    Ok(())
}

/// The table that a unary operator on 8-bit values looks its results up in: entry `q as u8` is the result's byte.
pub fn unary_table(unary: &Unary, input: &TensorType, output: &TensorType) -> Result<[u8; 256], GraphError> {
    let from = (input.dtype, input.activation_quantization("input")?);
    let to = (output.dtype, output.activation_quantization("output")?);
    Ok(qmath::lookup_table(|x| unary.double(x), from, to))
}
