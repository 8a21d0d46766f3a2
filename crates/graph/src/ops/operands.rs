//! What every operator needs of its operands: checks of their types, and access to their elements.

pub(super) use crate::tensor::unchecked;
use crate::{DType, GraphError, TensorMut, TensorRef, TensorType, View, ViewMut};

/// The type of a required input. The number of inputs has been checked; this one may have been left out.
pub(super) fn required<'a>(inputs: &[Option<&'a TensorType>], index: usize) -> Result<&'a TensorType, GraphError> {
    inputs
        .get(index)
        .copied()
        .flatten()
        .ok_or_else(|| GraphError::Attribute(format!("input {index} is left out; the operator needs it")))
}

/// Demands this many axes.
pub(super) fn rank<const N: usize>(ty: &TensorType, what: &str) -> Result<[usize; N], GraphError> {
    ty.shape.as_slice().try_into().map_err(|_| GraphError::Shape {
        what: what.to_owned(),
        expected: format!("{N} axes"),
        found: ty.shape.clone(),
    })
}

/// Demands that an axis exists.
pub(super) fn axis(axis: usize, ty: &TensorType) -> Result<usize, GraphError> {
    ty.shape.get(axis).copied().ok_or_else(|| GraphError::Attribute(format!("{:?} has no axis {axis}", ty.shape)))
}

/// The error for an element type that the operator does not take.
pub(super) fn unsupported(what: &str, expected: &str, found: DType) -> GraphError {
    GraphError::Type { what: what.to_owned(), expected: expected.to_owned(), found }
}

/// Demands one of these element types.
pub(super) fn one_of(ty: &TensorType, what: &str, allowed: &[DType], expected: &str) -> Result<(), GraphError> {
    if allowed.contains(&ty.dtype) { Ok(()) } else { Err(unsupported(what, expected, ty.dtype)) }
}

/// Demands a type that arithmetic is defined on.
pub(super) fn number(ty: &TensorType, what: &str) -> Result<(), GraphError> {
    let expected = "the operator takes floats of 16 bits and more, and integers of 8 bits and more";
    if ty.dtype.is_number() { Ok(()) } else { Err(unsupported(what, expected, ty.dtype)) }
}

/// Demands numbers without a scale.
pub(super) fn plain(types: &[(&str, &TensorType)]) -> Result<(), GraphError> {
    match types.iter().find(|(_, ty)| ty.quantization.is_some()) {
        None => Ok(()),
        Some((what, _)) => {
            let problem = "has a scale; the operator takes plain numbers".to_owned();
            Err(GraphError::Quantization { what: (*what).to_owned(), problem })
        }
    }
}

/// Demands that all are float32, or all 8-bit with one scale each.
pub(super) fn float_or_quantized(types: &[(&str, &TensorType)]) -> Result<(), GraphError> {
    let float = types[0].1.dtype == DType::F32;
    for (what, ty) in types {
        if float {
            one_of(ty, what, &[DType::F32], "the operator's other tensors are float32")?;
        } else {
            one_of(ty, what, &[DType::I8, DType::U8], "the operator takes float32, or 8-bit numbers throughout")?;
            ty.activation_quantization(what)?;
        }
    }
    Ok(())
}

/// Demands that elements can be moved from one tensor to the other as they are: types that mean the same.
pub(super) fn moves(input: &TensorType, output: &TensorType) -> Result<(), GraphError> {
    if input.dtype != output.dtype {
        return Err(unsupported("output", &format!("the operator keeps its input's {}", input.dtype), output.dtype));
    }
    if input.quantization.as_ref().is_some_and(|quantization| quantization.scales.len() != 1) {
        let problem = "has one scale a channel; the operator moves elements between channels".to_owned();
        return Err(GraphError::Quantization { what: "input".into(), problem });
    }
    if !input.means_same(output) {
        let problem = "differs from the input's scale and zero point; the operator only moves elements".to_owned();
        return Err(GraphError::Quantization { what: "output".into(), problem });
    }
    Ok(())
}

/// An operand of an evaluation.
pub(super) fn operand<'a>(inputs: &[Option<TensorRef<'a>>], index: usize) -> Result<TensorRef<'a>, GraphError> {
    inputs.get(index).copied().flatten().ok_or_else(unchecked)
}

/// The index at a place among indices, which counts from the end where it is negative, into an axis of this size.
pub(super) fn index_in(indices: View<'_>, place: usize, size: usize) -> Result<usize, GraphError> {
    let index = match indices {
        View::I32(indices) => i64::from(indices[place]),
        View::I64(indices) => indices[place],
        _ => return Err(unchecked()),
    };
    let forward = if index < 0 { index.saturating_add(size as i64) } else { index };
    usize::try_from(forward)
        .ok()
        .filter(|forward| *forward < size)
        .ok_or_else(|| GraphError::Attribute(format!("the index {index} lies outside an axis of {size}")))
}

/// Float elements.
pub(super) fn floats<'a>(tensor: &TensorRef<'a>) -> Result<&'a [f32], GraphError> {
    match tensor.view {
        View::F32(elements) => Ok(elements),
        _ => Err(unchecked()),
    }
}

/// Float elements to write.
pub(super) fn floats_mut<'t>(tensor: &'t mut TensorMut<'_>) -> Result<&'t mut [f32], GraphError> {
    match &mut tensor.view {
        ViewMut::F32(elements) => Ok(elements),
        _ => Err(unchecked()),
    }
}

/// 8-bit elements, signed or not, read as integers. To write one, store `q as u8` in the tensor's bytes: the byte of an
/// integer in the type's range is the same for both.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    /// 128 where the top bit is a sign: flipping it and taking 128 away extends the sign without a branch.
    sign: u8,
}

impl<'a> Bytes<'a> {
    /// The elements of an 8-bit tensor.
    pub(super) fn new(tensor: &TensorRef<'a>) -> Result<Bytes<'a>, GraphError> {
        match tensor.view {
            View::I8(elements) => Ok(Bytes { bytes: bytemuck::must_cast_slice(elements), sign: 0x80 }),
            View::U8(bytes) => Ok(Bytes { bytes, sign: 0 }),
            _ => Err(unchecked()),
        }
    }

    /// Element `index`.
    pub(super) fn get(&self, index: usize) -> i32 {
        i32::from(self.bytes[index] ^ self.sign) - i32::from(self.sign)
    }

    /// The elements in order.
    pub(super) fn iter(self) -> impl Iterator<Item = i32> {
        self.bytes.iter().map(move |byte| i32::from(byte ^ self.sign) - i32::from(self.sign))
    }
}

/// Evaluates `$body` with the elements of `$input` and `$output`, of one common type, as slices of unsigned integers of
/// their size: to move elements, their size is all that matters.
macro_rules! same_elements {
    ($input:expr, $output:expr, |$from:ident, $to:ident| $body:expr) => {{
        let (input, output): ($crate::View<'_>, &mut $crate::ViewMut<'_>) = ($input, $output);
        if input.dtype() != output.dtype() {
            return Err($crate::ops::operands::unchecked());
        }
        $crate::ops::operands::same_elements!(@sizes input, output, $from, $to, $body, 1 u8, 2 u16, 4 u32, 8 u64)
    }};
    (@sizes $input:ident, $output:ident, $from:ident, $to:ident, $body:expr, $($size:literal $type:ident),*) => {
        match $input.dtype().size() {
            $($size => {
                let $from: &[$type] = bytemuck::cast_slice($input.bytes());
                let $to: &mut [$type] = bytemuck::cast_slice_mut($output.bytes_mut());
                $body
            })*
            _ => return Err($crate::ops::operands::unchecked()),
        }
    };
}
pub(super) use same_elements;
