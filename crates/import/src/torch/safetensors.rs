//! Hugging Face's safetensors: a header in JSON that names tensors, then their elements.

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::state_dict::{Element, StateDict, StoredTensor};
use crate::ImportError;

/// Reads the named tensors of a file.
pub(super) fn read(bytes: &[u8]) -> Result<StateDict<'_>, ImportError> {
    let damaged = |error: SafeTensorError| ImportError::Damaged(format!("its header is wrong: {error}"));
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = StateDict::new();
    for (name, view) in file.iter() {
        let wrong = |problem| ImportError::Tensor { tensor: name.to_owned(), problem };
        let element = element(view.dtype()).map_err(wrong)?;
        let tensor = StoredTensor::contiguous(element, view.shape().to_vec(), view.data()).map_err(wrong)?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

fn element(dtype: Dtype) -> Result<Element, String> {
    Ok(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U8 | Dtype::BOOL => Element::U8,
        other => return Err(format!("elements of {other:?} are not supported")),
    })
}
