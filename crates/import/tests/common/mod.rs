//! What the integration tests share: NumPy files, model files written on the spot, and the test data's directory.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod file;
pub mod torch;

use std::path::{Path, PathBuf};

use kinglet_graph::{Data, Tensor, TensorType};

/// The test data's directory, where there is one.
pub fn data() -> Option<PathBuf> {
    let data = std::env::var_os("KINGLET_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: KINGLET_DATA is not set");
    }
    data
}

/// Reads a `.npy` file in C order (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
pub fn read_npy(path: &Path) -> Tensor {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(bytes.starts_with(b"\x93NUMPY\x01"), "{} is no .npy file", path.display());
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, elements) = bytes[10..].split_at(length);
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let after = |key: &str| header.split_once(key).unwrap_or_else(|| panic!("no {key} in {header}")).1;
    let shape = after("'shape': (").split_once(')').unwrap().0.split(',');
    let shape: Vec<usize> =
        shape.map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().unwrap()).collect();
    fn numbers<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|chunk| from(chunk.try_into().unwrap())).collect()
    }
    let data: Data = match after("'descr': '").split_once('\'').unwrap().0 {
        "|u1" => elements.to_vec().into(),
        "|i1" => numbers(elements, i8::from_le_bytes).into(),
        "<i4" => numbers(elements, i32::from_le_bytes).into(),
        "<i8" => numbers(elements, i64::from_le_bytes).into(),
        "<f4" => numbers(elements, f32::from_le_bytes).into(),
        other => panic!("{}: element type {other}", path.display()),
    };
    Tensor::new(shape, data).unwrap()
}

/// Elements of this type, which must be of its element type and shape.
pub fn typed(tensor: &Tensor, ty: &TensorType) -> Tensor {
    assert_eq!((tensor.ty().dtype, tensor.shape()), (ty.dtype, &ty.shape[..]));
    Tensor::with_type(ty.clone(), tensor.data().clone()).unwrap()
}

/// The elements as numbers that any type's fit in.
pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.as_ref().view.to_f64()
}
