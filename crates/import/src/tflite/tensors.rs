//! The file's tensors and buffers: element types, shapes, quantization, and the bytes of constants.

use kinglet_graph::{DType, Data, MAX_ELEMENTS, MAX_RANK, Quantization, Tensor, TensorType};

use super::builder::Form;
use super::flatbuffer::{Table, Tables};
use super::schema::{self, ELEMENT_TYPES};
use crate::ImportError;
use crate::budget::{Budget, MAX_NAME};

/// Where tensors and their elements are found.
#[derive(Debug)]
pub struct File<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// The subgraph's tensors.
    pub tensors: Tables<'a>,
    /// The model's buffers.
    pub buffers: Tables<'a>,
    /// What may be taken still.
    pub budget: Budget,
}

/// A tensor as the file describes it.
#[derive(Debug)]
pub struct FileTensor<'a> {
    /// Its name.
    pub name: String,
    /// Its type; unsigned bytes stay so.
    pub ty: TensorType,
    /// The bytes of a constant's elements.
    pub data: Option<&'a [u8]>,
    /// Whether two elements of a constant share a byte.
    packed: bool,
}

impl FileTensor<'_> {
    /// Whether it is quantized uint8, which operators read as int8.
    pub fn is_shifted(&self) -> bool {
        self.ty.dtype == DType::U8 && self.ty.quantization.is_some()
    }

    /// Its type in a form.
    pub fn type_in(&self, form: Form) -> TensorType {
        let mut ty = self.ty.clone();
        if form == Form::Signed && self.is_shifted() {
            ty.dtype = DType::I8;
            for zero_point in ty.quantization.iter_mut().flat_map(|q| &mut q.zero_points) {
                *zero_point -= 128;
            }
        }
        ty
    }
}

impl<'a> FileTensor<'a> {
    /// The constant that these are the elements of, in a form.
    pub fn constant(&self, form: Form, data: &[u8]) -> Result<Tensor, ImportError> {
        let ty = self.type_in(form);
        let elements = match ty.dtype {
            DType::I8 if self.is_shifted() => Data::I8(data.iter().map(|&byte| (byte ^ 0x80) as i8).collect()),
            DType::I8 if self.packed => Data::I8(unpack_nibbles(data, ty.len())),
            dtype => Data::from_little_endian(dtype, data),
        };
        Ok(Tensor::with_type(ty, elements)?)
    }
}

/// Signed 4-bit integers, two a byte, the lower half first.
fn unpack_nibbles(data: &[u8], len: usize) -> Vec<i8> {
    data.iter().flat_map(|&byte| [(byte << 4) as i8 >> 4, byte as i8 >> 4]).take(len).collect()
}

impl<'a> File<'a> {
    /// Reads the tensor of this number.
    pub fn tensor(&mut self, index: usize) -> Result<FileTensor<'a>, ImportError> {
        let table = self.tensors.get(index)?.ok_or_else(|| {
            ImportError::Damaged(format!("it refers to tensor {index}, but has only {}", self.tensors.len()))
        })?;
        let name = self.tensor_name(index);
        match self.described(&table) {
            Ok((ty, packed, data)) => Ok(FileTensor { name, ty, data, packed }),
            Err(Problem::Tensor(problem)) => Err(ImportError::Tensor { tensor: name, problem }),
            Err(Problem::Import(error)) => Err(error),
        }
    }

    /// The name of a tensor, cut short if it is absurd; empty if the tensor cannot be read.
    pub fn tensor_name(&self, index: usize) -> String {
        let table = self.tensors.get(index).ok().flatten();
        let name = table.and_then(|table| table.text(schema::tensor::NAME).ok()).unwrap_or_default();
        String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned()
    }

    fn described(&mut self, table: &Table<'a>) -> Result<(TensorType, bool, Option<&'a [u8]>), Problem> {
        use schema::tensor as t;
        if table.get(t::IS_VARIABLE)? {
            return problem("it is a variable, which keeps its value between runs; that is not supported");
        }
        if table.child(t::SPARSITY)?.is_some() {
            return problem("it is sparse, which is not supported; convert the model without sparsity");
        }
        let shape = shape(table)?;
        let (dtype, packed) = element_type(table.get(t::TYPE)?)?;
        let quantization = self.quantization(table, dtype, &shape)?;
        let ty = TensorType { dtype, shape, quantization };
        let data = self.data(table, &ty, packed)?;
        Ok((ty, packed, data))
    }

    fn quantization(
        &mut self,
        table: &Table<'a>,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Option<Quantization>, Problem> {
        use schema::quantization as q;
        let Some(table) = table.child(schema::tensor::QUANTIZATION)? else { return Ok(None) };
        if table.get(q::DETAILS_TYPE)? != 0 {
            return problem("it is quantized in a custom or blockwise way, which is not supported");
        }
        let (scales, zero_points) = (table.numbers(q::SCALE)?, table.numbers(q::ZERO_POINT)?);
        // Float tensors of quantized models carry the ranges that were observed; integers without a scale are plain
        // numbers.
        if scales.is_empty() || matches!(dtype, DType::F32 | DType::F16 | DType::I64) {
            return Ok(None);
        }
        let axis = if scales.len() == 1 {
            None
        } else {
            let axis = usize::try_from(table.get(q::QUANTIZED_DIMENSION)?).ok();
            if axis.and_then(|axis| shape.get(axis)) != Some(&scales.len()) {
                return problem(format!("it has {} scales, but no axis of that size for them", scales.len()));
            }
            axis
        };
        if zero_points.len() > 1 && zero_points.len() != scales.len() {
            return problem(format!("it has {} scales, but {} zero points", scales.len(), zero_points.len()));
        }
        self.budget.charge(8 * scales.len())?;
        let scales: Vec<f32> = scales.iter().collect();
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return problem(format!("it has the scale {scale}"));
        }
        let (min, max) = if dtype.is_8_bit() { dtype.bounds_8_bit() } else { (i32::MIN, i32::MAX) };
        let narrow = |wide: i64| i32::try_from(wide).ok().filter(|zero_point| (min..=max).contains(zero_point));
        let Some(mut zero_points) = zero_points.iter().map(narrow).collect::<Option<Vec<i32>>>() else {
            return problem(format!("it has a zero point that {dtype} cannot hold"));
        };
        let common = zero_points.first().copied().unwrap_or(0);
        zero_points.resize(scales.len(), common);
        Ok(Some(Quantization { scales, zero_points, axis }))
    }

    /// The bytes of a constant's elements; `None` for a tensor that is no constant.
    fn data(&self, table: &Table<'a>, ty: &TensorType, packed: bool) -> Result<Option<&'a [u8]>, Problem> {
        use schema::buffer as b;
        if table.get(schema::tensor::EXTERNAL_BUFFER)? != 0 {
            return problem("its elements lie in another file, which is not supported");
        }
        let index = table.get(schema::tensor::BUFFER)?;
        let buffer = usize::try_from(index).ok().map(|index| self.buffers.get(index)).transpose()?.flatten();
        let data = match buffer {
            // Files without constants may have no buffers at all.
            None if index == 0 => &[][..],
            None => return problem(format!("it refers to buffer {index}, but there are only {}", self.buffers.len())),
            Some(buffer) => match (buffer.get(b::OFFSET)?, buffer.get(b::SIZE)?) {
                (0 | 1, _) => buffer.numbers(b::DATA)?.bytes(),
                (offset, size) => match self.tail(offset, size) {
                    Some(data) => data,
                    None => return problem("its elements do not lie within the file; fetch it again"),
                },
            },
        };
        let expected = if packed { ty.len().div_ceil(2) } else { ty.bytes() };
        match data.len() {
            // A tensor without elements needs no data to be a constant.
            0 if expected > 0 => Ok(None),
            len if len == expected => Ok(Some(data)),
            len => problem(format!("its elements should take {expected} bytes, but take {len}")),
        }
    }

    fn tail(&self, offset: u64, size: u64) -> Option<&'a [u8]> {
        let (offset, size) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
        self.bytes.get(offset..offset.checked_add(size)?)
    }
}

/// What is wrong with a tensor, whose name the caller adds, or with the file.
enum Problem {
    Tensor(String),
    Import(ImportError),
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Problem {
        Problem::Import(error)
    }
}

fn problem<T>(problem: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Tensor(problem.into()))
}

/// Sizes of the axes. One that is left open (−1: the batch) is 1.
fn shape(table: &Table<'_>) -> Result<Vec<usize>, Problem> {
    let sizes = table.numbers(schema::tensor::SHAPE)?;
    if sizes.len() > MAX_RANK {
        return problem(format!("it has {} axes; at most {MAX_RANK} are supported", sizes.len()));
    }
    let size = |size: i32| if size == -1 { Ok(1) } else { usize::try_from(size) };
    let Ok(shape) = sizes.iter().map(size).collect::<Result<Vec<usize>, _>>() else {
        return problem("it has an axis of negative size");
    };
    // A size of 0 makes the product 0 whatever the others are, so those are bounded on their own.
    let elements = shape.iter().try_fold(1usize, |elements, &size| elements.checked_mul(size.max(1)));
    match elements {
        Some(elements) if elements <= MAX_ELEMENTS => Ok(shape),
        _ => problem(format!("its shape {shape:?} is larger than any that is supported")),
    }
}

/// What a code of an element type is, and whether two elements share a byte.
fn element_type(code: i8) -> Result<(DType, bool), Problem> {
    let name = usize::try_from(code).ok().and_then(|code| ELEMENT_TYPES.get(code).copied()).unwrap_or("unknown");
    let dtype = match name {
        "FLOAT32" => DType::F32,
        "FLOAT16" => DType::F16,
        "INT8" | "INT4" => DType::I8,
        "UINT8" => DType::U8,
        "BOOL" => DType::Bool,
        "INT32" => DType::I32,
        "INT64" => DType::I64,
        _ => {
            return problem(format!(
                "its element type {name} ({code}) is not supported; \
                 FLOAT32, FLOAT16, INT8, UINT8, INT4, INT32, INT64 and BOOL are"
            ));
        }
    };
    Ok((dtype, name == "INT4"))
}
