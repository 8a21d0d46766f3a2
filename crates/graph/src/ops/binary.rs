//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::operands::{Bytes, float_or_quantized, number, one_of, operand, plain, required, unchecked};
use super::walk::{Walk, broadcast, broadcast_shape};
use super::{Activation, clamp};
use crate::element::{Bool, Number};
use crate::qmath::{AddParameters, DivideParameters, MultiplyParameters, Rescale};
use crate::tensor::{Slices, each_number};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View};

/// Which function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryKind {
    /// a + b; integers wrap around, here and below.
    Add,
    /// a − b
    Subtract,
    /// a · b
    Multiply,
    /// a / b; of integers, cut toward zero, and 0 for a division by 0.
    Divide,
    /// What the division toward zero leaves of a, with its sign; of integers, a for a division by 0.
    Remainder,
    /// a − b · ⌊a / b⌋, with the sign of b; of integers, a for a division by 0.
    Modulo,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// a to the b.
    Power,
    /// a = b, a truth value like all below.
    Equal,
    /// a < b
    Less,
    /// a ≤ b
    LessOrEqual,
    /// a > b
    Greater,
    /// a ≥ b
    GreaterOrEqual,
    /// Both, of truth values.
    And,
    /// One or both, of truth values.
    Or,
}

impl BinaryKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            BinaryKind::Add => "Add",
            BinaryKind::Subtract => "Subtract",
            BinaryKind::Multiply => "Multiply",
            BinaryKind::Divide => "Divide",
            BinaryKind::Remainder => "Remainder",
            BinaryKind::Modulo => "Modulo",
            BinaryKind::Maximum => "Maximum",
            BinaryKind::Minimum => "Minimum",
            BinaryKind::Power => "Power",
            BinaryKind::Equal => "Equal",
            BinaryKind::Less => "Less",
            BinaryKind::LessOrEqual => "LessOrEqual",
            BinaryKind::Greater => "Greater",
            BinaryKind::GreaterOrEqual => "GreaterOrEqual",
            BinaryKind::And => "And",
            BinaryKind::Or => "Or",
        }
    }

    /// Whether the result is a truth value.
    pub fn is_predicate(self) -> bool {
        use BinaryKind::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Or};
        matches!(self, Equal | Less | LessOrEqual | Greater | GreaterOrEqual | And | Or)
    }

    /// The function's number; of NaN, NaN. Comparisons are written out, because CPUs disagree on which zero `f32::max`
    /// gives for −0 and 0.
    fn number<N: Number>(self, a: N, b: N) -> N {
        match self {
            BinaryKind::Add => a.add(b),
            BinaryKind::Subtract => a.subtract(b),
            BinaryKind::Multiply => a.multiply(b),
            BinaryKind::Divide => a.divide(b),
            BinaryKind::Remainder => a.remainder(b),
            BinaryKind::Modulo => {
                let rest = a.remainder(b);
                let other_sign = rest != N::ZERO && b != N::ZERO && (rest < N::ZERO) != (b < N::ZERO);
                if other_sign { rest.add(b) } else { rest }
            }
            BinaryKind::Maximum if a > b || a.is_nan() => a,
            BinaryKind::Minimum if a < b || a.is_nan() => a,
            BinaryKind::Maximum | BinaryKind::Minimum => b,
            BinaryKind::Power => a.power(b),
            predicate => {
                if predicate.holds(a, b) {
                    N::ONE
                } else {
                    N::ZERO
                }
            }
        }
    }

    /// The function's truth value; that of a number is whether it is another than 0.
    fn holds<N: Number>(self, a: N, b: N) -> bool {
        match self {
            BinaryKind::Equal => a == b,
            BinaryKind::Less => a < b,
            BinaryKind::LessOrEqual => a <= b,
            BinaryKind::Greater => a > b,
            BinaryKind::GreaterOrEqual => a >= b,
            BinaryKind::And => a != N::ZERO && b != N::ZERO,
            BinaryKind::Or => a != N::ZERO || b != N::ZERO,
            number => number.number(a, b) != N::ZERO,
        }
    }
}

/// An elementwise function of two tensors; shapes are broadcast as NumPy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which function.
    pub kind: BinaryKind,
    /// Applied to the result; none on integers.
    pub activation: Activation,
}

/// A binary operator on 8-bit numbers, its formula's parameters made.
enum Quantized {
    Add(AddParameters),
    Multiply(MultiplyParameters),
    Divide(DivideParameters),
    /// Both numbers are brought to the output's quantization and compared there.
    Maximum(Rescale, Rescale),
    Minimum(Rescale, Rescale),
}

impl Quantized {
    fn new(op: &Binary, a: &TensorType, b: &TensorType, output: &TensorType) -> Result<Quantized, GraphError> {
        let activation = op.activation;
        let rescale = |input| Rescale::new(input, output, activation);
        Ok(match op.kind {
            BinaryKind::Add => Quantized::Add(AddParameters::new(a, b, output, activation)?),
            BinaryKind::Subtract => Quantized::Add(AddParameters::new(a, b, output, activation)?.subtraction()),
            BinaryKind::Multiply => Quantized::Multiply(MultiplyParameters::new(a, b, output, activation)?),
            BinaryKind::Divide => Quantized::Divide(DivideParameters::new(a, b, output, activation)?),
            BinaryKind::Maximum => Quantized::Maximum(rescale(a)?, rescale(b)?),
            BinaryKind::Minimum => Quantized::Minimum(rescale(a)?, rescale(b)?),
            other => {
                let problem = format!("has a scale, and {} has no quantized form", other.name());
                return Err(GraphError::Quantization { what: "output".into(), problem });
            }
        })
    }

    fn apply(&self, a: i32, b: i32) -> i32 {
        match self {
            Quantized::Add(add) => add.apply(a, b),
            Quantized::Multiply(multiply) => multiply.apply(a, b),
            Quantized::Divide(divide) => divide.apply(a, b),
            Quantized::Maximum(first, second) => first.apply(a).max(second.apply(b)),
            Quantized::Minimum(first, second) => first.apply(a).min(second.apply(b)),
        }
    }
}

impl Binary {
    pub(super) fn infer(&self, inputs: &[Option<&TensorType>]) -> Result<Vec<usize>, GraphError> {
        broadcast_shape(&required(inputs, 0)?.shape, &required(inputs, 1)?.shape)
    }

    pub(super) fn check(&self, inputs: &[Option<&TensorType>], output: &TensorType) -> Result<(), GraphError> {
        let (a, b) = (required(inputs, 0)?, required(inputs, 1)?);
        if self.kind.is_predicate() {
            return self.check_predicate(a, b, output);
        }
        if a.dtype.is_number() && a.quantization.is_none() {
            plain(&[("second input", b), ("output", output)])?;
            one_of(b, "second input", &[a.dtype], "it is of the first one's type")?;
            one_of(output, "output", &[a.dtype], "it is of the inputs' type")?;
            if a.dtype.is_integer() && self.activation != Activation::None {
                let name = self.kind.name();
                return Err(GraphError::Attribute(format!("{name} with {:?} has no integer form", self.activation)));
            }
            return Ok(());
        }
        float_or_quantized(&[("first input", a), ("second input", b), ("output", output)])?;
        if a.dtype.is_8_bit() {
            Quantized::new(self, a, b, output)?;
        }
        Ok(())
    }

    fn check_predicate(&self, a: &TensorType, b: &TensorType, output: &TensorType) -> Result<(), GraphError> {
        plain(&[("first input", a), ("second input", b)])?;
        match self.kind {
            BinaryKind::And | BinaryKind::Or => one_of(a, "first input", &[DType::Bool], "it is of truth values")?,
            BinaryKind::Equal if a.dtype == DType::Bool => (),
            _ => number(a, "first input")?,
        }
        one_of(b, "second input", &[a.dtype], "it is of the first one's type")?;
        one_of(output, "output", &[DType::Bool], "it is a truth value")?;
        if self.activation != Activation::None {
            return Err(GraphError::Attribute(format!("{:?} is not for truth values", self.activation)));
        }
        Ok(())
    }

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let shape = output.ty.shape.as_slice();
        let walk = Walk::new(shape, [0, 0], [broadcast(&a.ty.shape, shape), broadcast(&b.ty.shape, shape)]);
        if output.ty.quantization.is_some() {
            let formula = Quantized::new(self, a.ty, b.ty, output.ty)?;
            let (a, b) = (Bytes::new(&a)?, Bytes::new(&b)?);
            for ([i, j], out) in walk.zip(output.view.bytes_mut()) {
                *out = formula.apply(a.get(i), b.get(j)) as u8;
            }
            return Ok(());
        }
        match a.view {
            View::Bool(elements) => self.predicate(walk, elements, b.view, output),
            view => each_number!(
                view,
                View,
                |elements| match self.kind.is_predicate() {
                    true => self.predicate(walk, elements, b.view, output),
                    false => self.numbers(walk, elements, b.view, output),
                },
                Err(unchecked())
            ),
        }
    }

    fn numbers<T: Slices>(
        &self,
        walk: Walk<'_, 2>,
        a: &[T],
        b: View<'_>,
        output: &mut TensorMut<'_>,
    ) -> Result<(), GraphError> {
        let is_float = output.ty.dtype.is_float();
        let (b, out) = (T::of(b)?, T::of_mut(&mut output.view)?);
        let (min, max) = self.activation.bounds();
        let (min, max) = (T::Wide::from_f64(min.into()), T::Wide::from_f64(max.into()));
        for ([i, j], out) in walk.zip(out) {
            let mut result = self.kind.number(a[i].widen(), b[j].widen());
            if is_float {
                result = clamp(result, min, max);
            }
            *out = T::narrow(result);
        }
        Ok(())
    }

    fn predicate<T: Slices>(
        &self,
        walk: Walk<'_, 2>,
        a: &[T],
        b: View<'_>,
        output: &mut TensorMut<'_>,
    ) -> Result<(), GraphError> {
        let (b, out) = (T::of(b)?, Bool::of_mut(&mut output.view)?);
        for ([i, j], out) in walk.zip(out) {
            *out = self.kind.holds(a[i].widen(), b[j].widen()).into();
        }
        Ok(())
    }
}
