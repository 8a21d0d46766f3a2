//! Element types, and constants: the elements of a tensor in whichever of its fields they are.

use half::f16;
use kinglet_graph::{DType, Data, MAX_RANK, Tensor, TensorType, checked_len};

use super::options::ExternalData;
use super::schema::{EXTERNAL, TensorProto};
use crate::ImportError;
use crate::budget::{BOOKKEEPING, Budget, shortened};

/// ONNX's names of element types, by number.
const ELEMENT_TYPES: [&str; 27] = [
    "UNDEFINED",
    "FLOAT",
    "UINT8",
    "INT8",
    "UINT16",
    "INT16",
    "INT32",
    "INT64",
    "STRING",
    "BOOL",
    "FLOAT16",
    "DOUBLE",
    "UINT32",
    "UINT64",
    "COMPLEX64",
    "COMPLEX128",
    "BFLOAT16",
    "FLOAT8E4M3FN",
    "FLOAT8E4M3FNUZ",
    "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ",
    "UINT4",
    "INT4",
    "FLOAT4E2M1",
    "FLOAT8E8M0",
    "UINT2",
    "INT2",
];

/// The element type of this number.
///
/// # Errors
/// A sentence that names a type which is not supported.
pub fn element_type(number: i64) -> Result<DType, String> {
    let name = usize::try_from(number).ok().and_then(|number| ELEMENT_TYPES.get(number).copied()).unwrap_or("unknown");
    Ok(match name {
        "FLOAT" => DType::F32,
        "FLOAT16" => DType::F16,
        "INT8" => DType::I8,
        "UINT8" | "BOOL" => DType::U8,
        "INT32" => DType::I32,
        "INT64" => DType::I64,
        _ => return Err(format!("elements of type {name} ({number}) are not supported")),
    })
}

/// Reads constants. Their memory is charged to the budget of the file.
pub struct Tensors<'a> {
    external: Option<&'a dyn ExternalData>,
    /// What may be taken still.
    pub budget: Budget,
}

impl<'a> Tensors<'a> {
    /// A reader of the tensors of a file of this size.
    pub fn new(file_bytes: usize, external: Option<&'a dyn ExternalData>) -> Tensors<'a> {
        Tensors { external, budget: Budget::of_file(file_bytes) }
    }

    /// The tensor of a message, which is used up.
    pub fn read(&mut self, mut proto: TensorProto) -> Result<Tensor, ImportError> {
        let name = std::mem::take(&mut proto.name);
        let wrong = |problem| ImportError::Tensor { tensor: shortened(&name).to_owned(), problem };
        let dtype = element_type(proto.data_type.into()).map_err(wrong)?;
        let ty = TensorType::new(dtype, shape(&proto.dims).map_err(wrong)?);
        self.budget.charge(BOOKKEEPING)?;
        let elements = match proto.data_location {
            EXTERNAL => Elements::Bytes(self.external(&proto, &ty).map_err(wrong)?),
            _ => stored(proto),
        };
        let found = elements.len(dtype);
        if found != ty.len() {
            return Err(wrong(format!("its shape {:?} has {} elements, but {found} are there", ty.shape, ty.len())));
        }
        self.budget.charge(ty.bytes())?;
        Ok(Tensor::with_type(ty, elements.into_data(dtype))?)
    }

    /// The elements of a tensor in another file.
    fn external(&mut self, proto: &TensorProto, ty: &TensorType) -> Result<Vec<u8>, String> {
        let entry = |key: &str| proto.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(value) => {
                value.parse::<u64>().map(Some).map_err(|_| format!("its {key} in another file is {value:?}"))
            }
        };
        let location = entry("location").ok_or("its elements lie in another file, which it does not name")?;
        require_inside(location)?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let bytes = ty.bytes();
        if length.is_some_and(|length| length != bytes as u64) {
            return Err(format!("it takes {bytes} bytes, but {} bytes of {location:?} are its", length.unwrap_or(0)));
        }
        let external = self.external.ok_or_else(|| {
            format!("its elements lie in the file {location:?}: open the model as a file beside that one")
        })?;
        let read = external.read(location, offset, Some(bytes as u64))?;
        // Data that are there justify as much memory as those in the file itself.
        self.budget.extend(read.len());
        Ok(read)
    }
}

/// Demands a path that cannot leave the model's folder.
fn require_inside(location: &str) -> Result<(), String> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    if location.split('/').all(plain) {
        Ok(())
    } else {
        Err(format!("its elements lie in {location:?}; only files beside the model are read"))
    }
}

/// Sizes of the axes.
pub fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("it has {} axes; at most {MAX_RANK} are supported", dims.len()));
    }
    let sizes: Result<Vec<usize>, _> = dims.iter().map(|&size| usize::try_from(size)).collect();
    let sizes = sizes.map_err(|_| format!("its shape {dims:?} has a negative size"))?;
    match checked_len(&sizes) {
        Some(_) => Ok(sizes),
        None => Err(format!("its shape {sizes:?} is larger than any that is supported")),
    }
}

/// Elements as a message holds them.
enum Elements {
    /// Little-endian.
    Bytes(Vec<u8>),
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// The field that the elements are in. Raw data stand for all others.
fn stored(proto: TensorProto) -> Elements {
    if let Some(raw) = proto.raw_data {
        return Elements::Bytes(raw);
    }
    if !proto.float_data.is_empty() {
        Elements::F32(proto.float_data)
    } else if !proto.int64_data.is_empty() {
        Elements::I64(proto.int64_data)
    } else {
        Elements::I32(proto.int32_data)
    }
}

impl Elements {
    /// How many elements of this type there are; `usize::MAX` where the field is not the type's.
    fn len(&self, dtype: DType) -> usize {
        match (self, dtype) {
            (Elements::Bytes(bytes), _) if bytes.len() % dtype.size() == 0 => bytes.len() / dtype.size(),
            (Elements::F32(values), DType::F32) => values.len(),
            (Elements::I64(values), DType::I64) => values.len(),
            (Elements::I32(values), DType::I32 | DType::I8 | DType::U8 | DType::F16) => values.len(),
            (Elements::I32(values), _) if values.is_empty() => 0,
            _ => usize::MAX,
        }
    }

    /// The elements. Their length must have been compared.
    fn into_data(self, dtype: DType) -> Data {
        match (self, dtype) {
            (Elements::Bytes(bytes), _) => from_little_endian(dtype, &bytes),
            (Elements::F32(values), _) => Data::F32(values),
            (Elements::I64(values), _) => Data::I64(values),
            (Elements::I32(values), DType::I8) => Data::I8(values.iter().map(|&value| value as i8).collect()),
            (Elements::I32(values), DType::U8) => Data::U8(values.iter().map(|&value| value as u8).collect()),
            (Elements::I32(values), DType::F16) => {
                Data::F16(values.iter().map(|&bits| f16::from_bits(bits as u16)).collect())
            }
            (Elements::I32(values), DType::I32) => Data::I32(values),
            (Elements::I32(_), _) => Data::zeroed(dtype, 0),
        }
    }
}

/// Numbers in the order of bytes that files have.
fn from_little_endian(dtype: DType, bytes: &[u8]) -> Data {
    let mut data = Data::zeroed(dtype, bytes.len() / dtype.size());
    let mut view = data.view_mut();
    let to = view.bytes_mut();
    to.copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        to.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    data
}
