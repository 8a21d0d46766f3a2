//! Element types, and constants: the elements of a tensor in whichever of its fields they are.

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
        "UINT8" => DType::U8,
        "UINT16" => DType::U16,
        "INT16" => DType::I16,
        "INT32" => DType::I32,
        "INT64" => DType::I64,
        "BOOL" => DType::Bool,
        "DOUBLE" => DType::F64,
        "UINT32" => DType::U32,
        "UINT64" => DType::U64,
        "BFLOAT16" => DType::BF16,
        "FLOAT8E4M3FN" => DType::F8E4M3FN,
        "FLOAT8E4M3FNUZ" => DType::F8E4M3FNUZ,
        "FLOAT8E5M2" => DType::F8E5M2,
        "FLOAT8E5M2FNUZ" => DType::F8E5M2FNUZ,
        "UINT4" => DType::U4,
        "INT4" => DType::I4,
        "FLOAT4E2M1" => DType::F4E2M1,
        "FLOAT8E8M0" => DType::F8E8M0,
        "UINT2" => DType::U2,
        "INT2" => DType::I2,
        _ => return Err(format!("elements of type {name} ({number}) are not supported")),
    })
}

/// Whether it is one of the floats of eight bits and fewer.
pub fn is_small_float(dtype: DType) -> bool {
    use DType as D;
    matches!(dtype, D::F8E4M3FN | D::F8E4M3FNUZ | D::F8E5M2 | D::F8E5M2FNUZ | D::F8E8M0 | D::F4E2M1)
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
        self.budget.charge(ty.bytes())?;
        let data = elements.into_data(&ty).map_err(wrong)?;
        Ok(Tensor::with_type(ty, data)?)
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
        let bytes = stored_bytes(ty);
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

/// Elements as a message holds them: raw data stand for all other fields.
enum Elements {
    /// Little-endian, elements of fewer than eight bits packed.
    Bytes(Vec<u8>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Integers of up to 32 bits, and the bits of smaller floats, packed where several fit a byte.
    I32(Vec<i32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
}

/// The field that the elements are in.
fn stored(proto: TensorProto) -> Elements {
    if let Some(raw) = proto.raw_data {
        return Elements::Bytes(raw);
    }
    if !proto.float_data.is_empty() {
        Elements::F32(proto.float_data)
    } else if !proto.double_data.is_empty() {
        Elements::F64(proto.double_data)
    } else if !proto.int64_data.is_empty() {
        Elements::I64(proto.int64_data)
    } else if !proto.uint64_data.is_empty() {
        Elements::U64(proto.uint64_data)
    } else {
        Elements::I32(proto.int32_data)
    }
}

/// How many elements of a type the file has in a byte.
fn packed(dtype: DType) -> usize {
    match dtype {
        DType::I4 | DType::U4 | DType::F4E2M1 => 2,
        DType::I2 | DType::U2 => 4,
        _ => 1,
    }
}

/// The bytes that a tensor takes in a file.
fn stored_bytes(ty: &TensorType) -> usize {
    ty.bytes().div_ceil(packed(ty.dtype))
}

impl Elements {
    /// The elements of a tensor of this type.
    fn into_data(self, ty: &TensorType) -> Result<Data, String> {
        let dtype = ty.dtype;
        let expected = if let Elements::Bytes(_) = self { stored_bytes(ty) } else { ty.len().div_ceil(packed(dtype)) };
        let found = match &self {
            Elements::Bytes(values) => values.len(),
            Elements::F32(values) => values.len(),
            Elements::F64(values) => values.len(),
            Elements::I32(values) => values.len(),
            Elements::I64(values) => values.len(),
            Elements::U64(values) => values.len(),
        };
        if found != expected {
            return Err(format!("its shape {:?} takes {expected} numbers or bytes, but {found} are there", ty.shape));
        }
        match (self, dtype) {
            (Elements::Bytes(bytes), _) => Ok(from_bytes(ty, &bytes)),
            (Elements::F32(values), DType::F32) => Ok(Data::F32(values)),
            (Elements::F64(values), DType::F64) => Ok(Data::F64(values)),
            (Elements::I64(values), DType::I64) => Ok(Data::I64(values)),
            (Elements::U64(values), DType::U64) => Ok(Data::U64(values)),
            (Elements::U64(values), DType::U32) => Ok(Data::U32(values.iter().map(|&value| value as u32).collect())),
            (Elements::I32(values), DType::Bool) => {
                Ok(Data::Bool(values.iter().map(|&value| (value != 0).into()).collect()))
            }
            // The low bytes of each number are the element, or several.
            (Elements::I32(values), dtype) if dtype.size() <= size_of::<i32>() || values.is_empty() => {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(dtype.size()));
                Ok(from_bytes(ty, &bytes.collect::<Vec<u8>>()))
            }
            _ => Err(format!("its elements are not in the field that {dtype} has")),
        }
    }
}

/// Elements as raw data have them: the first of a byte in its lowest bits.
fn from_bytes(ty: &TensorType, bytes: &[u8]) -> Data {
    let packed = packed(ty.dtype);
    if packed == 1 {
        return Data::from_little_endian(ty.dtype, bytes);
    }
    let bits = 8 / packed;
    let elements = bytes.iter().flat_map(|byte| (0..packed).map(move |place| byte >> (place * bits)));
    Data::from_little_endian(ty.dtype, &elements.take(ty.len()).collect::<Vec<u8>>())
}
