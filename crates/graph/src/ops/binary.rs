//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::Activation;
use super::operands::{Bytes, float_or_quantized, floats, floats_mut, one_of, operand, required, unchecked};
use super::walk::{Walk, broadcast, broadcast_shape};
use crate::qmath::{AddParameters, DivideParameters, MultiplyParameters, Rescale};
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, ViewMut};

/// Which function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryKind {
    /// a + b
    Add,
    /// a − b
    Subtract,
    /// a · b
    Multiply,
    /// a / b
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
}

impl BinaryKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            BinaryKind::Add => "Add",
            BinaryKind::Subtract => "Subtract",
            BinaryKind::Multiply => "Multiply",
            BinaryKind::Divide => "Divide",
            BinaryKind::Maximum => "Maximum",
            BinaryKind::Minimum => "Minimum",
        }
    }

    /// Comparisons are written out, because CPUs disagree on which zero `f32::max` gives for −0 and 0.
    fn float(self, a: f32, b: f32) -> f32 {
        match self {
            BinaryKind::Add => a + b,
            BinaryKind::Subtract => a - b,
            BinaryKind::Multiply => a * b,
            BinaryKind::Divide => a / b,
            BinaryKind::Maximum => {
                if a > b {
                    a
                } else {
                    b
                }
            }
            BinaryKind::Minimum => {
                if a < b {
                    a
                } else {
                    b
                }
            }
        }
    }

    /// Integers wrap around; their division is refused by the check.
    fn integer(self, a: i64, b: i64) -> i64 {
        match self {
            BinaryKind::Add => a.wrapping_add(b),
            BinaryKind::Subtract => a.wrapping_sub(b),
            BinaryKind::Multiply => a.wrapping_mul(b),
            BinaryKind::Divide => a.checked_div(b).unwrap_or(0),
            BinaryKind::Maximum => a.max(b),
            BinaryKind::Minimum => a.min(b),
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
        if matches!(a.dtype, DType::I32 | DType::I64) {
            one_of(b, "second input", &[a.dtype], "it is of the first one's type")?;
            one_of(output, "output", &[a.dtype], "it is of the inputs' type")?;
            if self.kind == BinaryKind::Divide || self.activation != Activation::None {
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

    pub(super) fn eval(&self, inputs: &[Option<TensorRef<'_>>], output: &mut TensorMut<'_>) -> Result<(), GraphError> {
        let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
        let shape = output.ty.shape.as_slice();
        let walk = Walk::new(shape, [0, 0], [broadcast(&a.ty.shape, shape), broadcast(&b.ty.shape, shape)]);
        match (a.view, b.view, &mut output.view) {
            (View::F32(_), ..) => {
                let (a, b) = (floats(&a)?, floats(&b)?);
                for ([i, j], out) in walk.zip(floats_mut(output)?) {
                    *out = self.activation.clamp(self.kind.float(a[i], b[j]));
                }
            }
            (View::I32(a), View::I32(b), ViewMut::I32(out)) => {
                for ([i, j], out) in walk.zip(out.iter_mut()) {
                    *out = self.kind.integer(a[i].into(), b[j].into()) as i32;
                }
            }
            (View::I64(a), View::I64(b), ViewMut::I64(out)) => {
                for ([i, j], out) in walk.zip(out.iter_mut()) {
                    *out = self.kind.integer(a[i], b[j]);
                }
            }
            (View::I8(_) | View::U8(_), ..) => {
                let formula = Quantized::new(self, a.ty, b.ty, output.ty)?;
                let (a, b) = (Bytes::new(&a)?, Bytes::new(&b)?);
                for ([i, j], out) in walk.zip(output.view.bytes_mut()) {
                    *out = formula.apply(a.get(i), b.get(j)) as u8;
                }
            }
            _ => return Err(unchecked()),
        }
        Ok(())
    }
}
