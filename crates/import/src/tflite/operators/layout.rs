//! Operators that move elements: other shapes, other orders, joined and padded tensors.

use kinglet_graph::ops::{Concat, Pad, PadMode, Reshape, Transpose};
use kinglet_graph::{DType, Op, Tensor, TensorType, View, qmath};

use super::{Operator, Problem, axis, invalid, unsupported};
use crate::tflite::builder::Builder;
use crate::tflite::schema;

/// RESHAPE. The shape is the second input or an option, with −1 at most once for what is left over. Where it is
/// computed, as exporters do for a batch that is left open, the output's own shape stands for it.
pub fn reshape(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=2, 1)?;
    let elements = op.shape(b, 0)?.iter().product();
    let operand = op.optional(1)?.map(|tensor| b.integers(tensor)).transpose()?.flatten();
    let wanted = match operand {
        Some(sizes) => Some(sizes),
        None => op.option_numbers(schema::reshape::NEW_SHAPE)?,
    };
    let shape = match wanted {
        Some(sizes) => resolve(&sizes, elements)?,
        None => b.tensor(op.output(0)?)?.ty.shape.clone(),
    };
    reshape_to(b, op, shape)
}

/// The shape that these sizes mean for so many elements.
fn resolve(sizes: &[i64], elements: usize) -> Result<Vec<usize>, Problem> {
    // Files of the format's first years write a scalar so.
    if sizes == [0] && elements == 1 {
        return Ok(Vec::new());
    }
    let known = sizes
        .iter()
        .filter(|&&size| size != -1)
        .try_fold(1usize, |product, &size| usize::try_from(size).ok().and_then(|size| product.checked_mul(size)));
    let open = sizes.iter().filter(|&&size| size == -1).count();
    let rest = known.and_then(|known| elements.checked_div(known)).unwrap_or(0);
    let fits = known.is_some_and(|known| if open == 1 { known * rest == elements } else { known == elements });
    if open > 1 || !fits {
        return invalid(format!("{elements} elements cannot take the shape {sizes:?}"));
    }
    Ok(sizes.iter().map(|&size| if size == -1 { rest } else { size as usize }).collect())
}

fn reshape_to(b: &mut Builder<'_>, op: &Operator<'_>, shape: Vec<usize>) -> Result<(), Problem> {
    let input = op.value(b, 0)?;
    op.emit(b, Op::Reshape(Reshape { shape }), vec![Some(input)])
}

/// SQUEEZE: takes axes of size 1 away, all of them or those that are listed.
pub fn squeeze(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let shape = op.shape(b, 0)?;
    let listed = op.option_numbers(schema::squeeze::AXES)?;
    let mut goes: Vec<bool> = shape.iter().map(|&size| listed.is_none() && size == 1).collect();
    for number in listed.unwrap_or_default() {
        goes[axis(number, shape.len())?] = true;
    }
    if shape.iter().zip(&goes).any(|(&size, &goes)| goes && size != 1) {
        return invalid(format!("it takes axes away from {shape:?} that are not of size 1"));
    }
    let kept = shape.iter().zip(&goes).filter(|(_, goes)| !**goes).map(|(size, _)| *size).collect();
    reshape_to(b, op, kept)
}

/// EXPAND_DIMS. Inputs: tensor, the place of a new axis of size 1.
pub fn expand_dims(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let mut shape = op.shape(b, 0)?;
    let place = axis(op.integer(b, 1, "an axis")?, shape.len() + 1)?;
    shape.insert(place, 1);
    reshape_to(b, op, shape)
}

/// SHAPE: known, since shapes are.
pub fn shape(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=1, 1)?;
    let sizes = op.shape(b, 0)?;
    let output = op.output(0)?;
    // Sizes are bounded far below either type's largest number.
    let constant = match b.tensor(output)?.ty.dtype {
        DType::I32 => Tensor::new([sizes.len()], sizes.iter().map(|&size| size as i32).collect::<Vec<_>>()),
        DType::I64 => Tensor::new([sizes.len()], sizes.iter().map(|&size| size as i64).collect::<Vec<_>>()),
        other => return invalid(format!("its output is of type {other}")),
    };
    Ok(b.set_constant(output, constant.map_err(crate::ImportError::from)?)?)
}

/// TRANSPOSE. Inputs: tensor, permutation.
pub fn transpose(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    let rank = op.shape(b, 0)?.len();
    let permutation = op.integers(b, 1, "a permutation")?;
    let permutation = permutation.into_iter().map(|number| axis(number, rank)).collect::<Result<Vec<usize>, _>>()?;
    let input = op.value(b, 0)?;
    op.emit(b, Op::Transpose(Transpose { permutation }), vec![Some(input)])
}

/// CONCATENATION
pub fn concatenation(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    use schema::concatenation as o;
    op.arity(1..=usize::MAX, 1)?;
    let rank = op.shape(b, 0)?.len();
    let axis = axis(i64::from(op.option(o::AXIS)?), rank)?;
    let activation = op.activation(o::ACTIVATION)?;
    let inputs = op.values(b)?.into_iter().map(Some).collect();
    op.emit(b, Op::Concat(Concat { axis, activation }), inputs)
}

/// PACK: joins tensors along a new axis.
pub fn pack(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(1..=usize::MAX, 1)?;
    let mut shape = op.shape(b, 0)?;
    let axis = axis(i64::from(op.option(schema::pack::AXIS)?), shape.len() + 1)?;
    shape.insert(axis, 1);
    let mut inputs = Vec::new();
    for (index, input) in op.values(b)?.into_iter().enumerate() {
        let ty = TensorType { shape: shape.clone(), ..b.value_type(input).clone() };
        let reshape = Op::Reshape(Reshape { shape: shape.clone() });
        inputs.push(Some(op.emit_between(b, &index.to_string(), reshape, vec![Some(input)], ty)?));
    }
    op.emit(b, Op::Concat(Concat { axis, activation: Default::default() }), inputs)
}

/// PAD: with what means zero. Inputs: tensor, `[rank, 2]` paddings.
pub fn pad(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(2..=2, 1)?;
    pad_with(b, op, 0.0)
}

/// PADV2. Inputs: tensor, `[rank, 2]` paddings, the value, which is quantized as the tensor is.
pub fn pad_with_value(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(3..=3, 1)?;
    let (input, value) = (op.value(b, 0)?, op.value(b, 2)?);
    let input = b.value_type(input);
    let Some(constant) = b.constant_of(value) else { return unsupported("with a value that is not constant") };
    let quantization = constant.ty().quantization.as_ref().or(input.quantization.as_ref());
    let value = match (constant.as_ref().view, quantization) {
        (View::F32(&[value]), _) => value,
        (View::I8(&[value]), Some(q)) => qmath::dequantize(i32::from(value), q.scale(), q.zero_point()),
        (View::I8(&[value]), None) => f32::from(value),
        (View::U8(&[value]), _) => f32::from(value),
        // Any other integer may be no f32.
        (View::I32(&[0]) | View::I64(&[0]), _) => 0.0,
        _ => return unsupported("with a value of this type"),
    };
    pad_with(b, op, value)
}

fn pad_with(b: &mut Builder<'_>, op: &Operator<'_>, value: f32) -> Result<(), Problem> {
    let rank = op.shape(b, 0)?.len();
    let paddings = op.integers(b, 1, "paddings")?;
    let sizes: Result<Vec<usize>, _> = paddings.iter().map(|&padding| usize::try_from(padding)).collect();
    let sizes = match sizes {
        Ok(sizes) if sizes.len() == 2 * rank => sizes,
        _ => return invalid(format!("its paddings are {paddings:?}, for {rank} axes")),
    };
    let before = sizes.iter().step_by(2).copied().collect();
    let after = sizes.iter().skip(1).step_by(2).copied().collect();
    let input = op.value(b, 0)?;
    op.emit(b, Op::Pad(Pad { before, after, mode: PadMode::Constant(value.into()) }), vec![Some(input)])
}
