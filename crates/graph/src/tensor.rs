//! Tensors: owned data and borrowed views of it, of every element type.
//!
//! Data lie in row-major order; images are channels last (NHWC), convolution weights OHWI, depthwise weights 1HWO.

use half::{bf16, f16};

use crate::element::{Bool, Element, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, I2, I4, Number, U2, U4};
use crate::{GraphError, TensorType, checked_len};

/// Evaluates `$body` with the elements of `$view` as a slice of their type, whichever it is.
macro_rules! each_type {
    ($view:expr, $View:ident, |$elements:ident| $body:expr) => {
        $crate::tensor::for_types!(
            [F32 F16 BF16 F64 I8 U8 I16 U16 I32 U32 I64 U64 Bool F8E4M3FN F8E4M3FNUZ F8E5M2 F8E5M2FNUZ F8E8M0 F4E2M1 I4
             U4 I2 U2] $view, $View, |$elements| $body, {}
        )
    };
}

/// The same for the types that operators compute with, and `$other` for the rest.
macro_rules! each_number {
    ($view:expr, $View:ident, |$elements:ident| $body:expr, $other:expr) => {
        $crate::tensor::for_types!(
            [F32 F16 BF16 F64 I8 U8 I16 U16 I32 U32 I64 U64] $view, $View, |$elements| $body, { _ => $other }
        )
    };
}

macro_rules! for_types {
    ([$($variant:ident)*] $view:expr, $View:ident, |$elements:ident| $body:expr, { $($rest:tt)* }) => {
        match $view {
            $($crate::$View::$variant($elements) => $body,)*
            $($rest)*
        }
    };
}

pub(crate) use {each_number, each_type, for_types};

/// An element type that a view may be of.
pub(crate) trait Slices: Element {
    /// The elements of a view, which must be of this type.
    fn of(view: View<'_>) -> Result<&[Self], GraphError>;

    /// The elements of a view, to write them.
    fn of_mut<'t>(view: &'t mut ViewMut<'_>) -> Result<&'t mut [Self], GraphError>;
}

/// The error of an evaluation whose operands are not what a check let pass.
pub(crate) fn unchecked() -> GraphError {
    GraphError::Structure("the tensors are not of the types that the operator was checked with".into())
}

macro_rules! element_types {
    ($($variant:ident, $type:ty, $name:literal, $doc:literal;)*) => {
        /// The type of a tensor's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DType { $(#[doc = $doc] $variant,)* }

        impl DType {
            /// Every type.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// The name of it in NumPy and, where that has none, in its extension `ml_dtypes`.
            pub fn name(self) -> &'static str {
                match self { $(DType::$variant => $name,)* }
            }

            /// Bytes an element.
            pub fn size(self) -> usize {
                match self { $(DType::$variant => size_of::<$type>(),)* }
            }
        }

        /// Owned elements.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data { $(#[doc = $doc] $variant(Vec<$type>),)* }

        /// Borrowed elements.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum View<'a> { $(#[doc = $doc] $variant(&'a [$type]),)* }

        /// Mutably borrowed elements.
        #[derive(Debug, PartialEq)]
        pub enum ViewMut<'a> { $(#[doc = $doc] $variant(&'a mut [$type]),)* }

        impl Data {
            /// `len` zeros.
            pub fn zeroed(dtype: DType, len: usize) -> Data {
                match dtype { $(DType::$variant => Data::$variant(vec![<$type as bytemuck::Zeroable>::zeroed(); len]),)* }
            }

            /// The type of the elements.
            pub fn dtype(&self) -> DType {
                match self { $(Data::$variant(_) => DType::$variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Data::$variant(v) => v.len(),)* }
            }

            /// Whether there are no elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Borrows the elements.
            pub fn view(&self) -> View<'_> {
                match self { $(Data::$variant(v) => View::$variant(v),)* }
            }

            /// Borrows the elements to write them.
            pub fn view_mut(&mut self) -> ViewMut<'_> {
                match self { $(Data::$variant(v) => ViewMut::$variant(v),)* }
            }
        }

        impl<'a> View<'a> {
            /// The type of the elements.
            pub fn dtype(&self) -> DType {
                match self { $(View::$variant(_) => DType::$variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(View::$variant(v) => v.len(),)* }
            }

            /// Whether there are no elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The elements as bytes in this machine's order.
            pub fn bytes(&self) -> &'a [u8] {
                match self { $(View::$variant(v) => bytemuck::must_cast_slice(v),)* }
            }

            /// A copy that owns its elements.
            pub fn to_data(&self) -> Data {
                match self { $(View::$variant(v) => Data::$variant(v.to_vec()),)* }
            }

            /// Views aligned bytes in this machine's order as elements.
            ///
            /// # Panics
            /// When the bytes are misaligned or no whole number of elements.
            pub fn from_bytes(dtype: DType, bytes: &'a [u8]) -> View<'a> {
                match dtype { $(DType::$variant => View::$variant(bytemuck::cast_slice(bytes)),)* }
            }
        }

        impl<'a> ViewMut<'a> {
            /// The type of the elements.
            pub fn dtype(&self) -> DType {
                match self { $(ViewMut::$variant(_) => DType::$variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(ViewMut::$variant(v) => v.len(),)* }
            }

            /// Whether there are no elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The elements as bytes in this machine's order.
            pub fn bytes_mut(&mut self) -> &mut [u8] {
                match self { $(ViewMut::$variant(v) => bytemuck::must_cast_slice_mut(v),)* }
            }

            /// Views aligned bytes in this machine's order as elements.
            ///
            /// # Panics
            /// When the bytes are misaligned or no whole number of elements.
            pub fn from_bytes(dtype: DType, bytes: &'a mut [u8]) -> ViewMut<'a> {
                match dtype { $(DType::$variant => ViewMut::$variant(bytemuck::cast_slice_mut(bytes)),)* }
            }
        }

        $(impl Slices for $type {
            fn of(view: View<'_>) -> Result<&[$type], GraphError> {
                match view {
                    View::$variant(elements) => Ok(elements),
                    _ => Err(unchecked()),
                }
            }

            fn of_mut<'t>(view: &'t mut ViewMut<'_>) -> Result<&'t mut [$type], GraphError> {
                match view {
                    ViewMut::$variant(elements) => Ok(elements),
                    _ => Err(unchecked()),
                }
            }
        })*

        $(impl From<Vec<$type>> for Data {
            fn from(values: Vec<$type>) -> Data {
                Data::$variant(values)
            }
        })*
    };
}

element_types! {
    F32, f32, "float32", "IEEE 754 single precision.";
    F16, f16, "float16", "IEEE 754 half precision.";
    BF16, bf16, "bfloat16", "Single precision cut to its upper half.";
    F64, f64, "float64", "IEEE 754 double precision.";
    I8, i8, "int8", "Signed bytes: the quantized type.";
    U8, u8, "uint8", "Unsigned bytes: an older quantized type.";
    I16, i16, "int16", "Signed integers of 16 bits.";
    U16, u16, "uint16", "Unsigned integers of 16 bits.";
    I32, i32, "int32", "Indices and biases.";
    U32, u32, "uint32", "Unsigned integers of 32 bits.";
    I64, i64, "int64", "Indices.";
    U64, u64, "uint64", "Unsigned integers of 64 bits.";
    Bool, Bool, "bool", "Truth values.";
    F8E4M3FN, F8E4M3FN, "float8_e4m3fn", "Floats of four bits of exponent and three of mantissa, without infinity.";
    F8E4M3FNUZ, F8E4M3FNUZ, "float8_e4m3fnuz", "The same without −0.";
    F8E5M2, F8E5M2, "float8_e5m2", "Floats of five bits of exponent and two of mantissa.";
    F8E5M2FNUZ, F8E5M2FNUZ, "float8_e5m2fnuz", "The same without infinity and −0.";
    F8E8M0, F8E8M0, "float8_e8m0fnu", "Powers of two.";
    F4E2M1, F4E2M1, "float4_e2m1fn", "Floats of two bits of exponent and one of mantissa, one a byte.";
    I4, I4, "int4", "Signed integers of four bits, one a byte.";
    U4, U4, "uint4", "Unsigned integers of four bits, one a byte.";
    I2, I2, "int2", "Signed integers of two bits, one a byte.";
    U2, U2, "uint2", "Unsigned integers of two bits, one a byte.";
}

impl View<'_> {
    /// The elements as floats, the nearest ones.
    pub fn to_f64(&self) -> Vec<f64> {
        each_type!(*self, View, |elements| elements.iter().map(|x| x.widen().to_f64()).collect())
    }
}

impl Data {
    /// Floats as elements of a type, as the operator Cast makes them.
    pub fn from_f64(dtype: DType, values: &[f64]) -> Data {
        let mut data = Data::zeroed(dtype, values.len());
        each_type!(data.view_mut(), ViewMut, |elements| elements
            .iter_mut()
            .zip(values)
            .for_each(|(to, x)| *to = Element::cast(*x)));
        data
    }

    /// Elements in the order of bytes that files have, of as many bytes as are whole elements.
    pub fn from_little_endian(dtype: DType, bytes: &[u8]) -> Data {
        let mut data = Data::zeroed(dtype, bytes.len() / dtype.size());
        let mut view = data.view_mut();
        let to = view.bytes_mut();
        to.copy_from_slice(&bytes[..to.len()]);
        if cfg!(target_endian = "big") {
            to.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
        }
        data
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl DType {
    /// Whether arithmetic is defined on it: floats and integers of eight bits and more, but for the small floats.
    pub fn is_number(self) -> bool {
        self.is_float() || self.is_integer()
    }

    /// Whether it is a float that operators compute with.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64)
    }

    /// Whether it is an integer that operators compute with.
    pub fn is_integer(self) -> bool {
        let signed = matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64);
        signed || matches!(self, DType::U8 | DType::U16 | DType::U32 | DType::U64)
    }

    /// Whether it is one of the 8-bit types that quantized operators compute with.
    pub fn is_8_bit(self) -> bool {
        matches!(self, DType::I8 | DType::U8)
    }

    /// Smallest and largest value of an 8-bit type.
    ///
    /// # Panics
    /// For any other type.
    pub fn bounds_8_bit(self) -> (i32, i32) {
        match self {
            DType::I8 => (-128, 127),
            DType::U8 => (0, 255),
            other => panic!("{other} is no 8-bit type"),
        }
    }
}

/// A tensor that owns its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type, shape, quantization. Private to this module's constructors: it always fits the data.
    ty: TensorType,
    data: Data,
}

impl Tensor {
    /// A tensor of plain numbers.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Result<Tensor, GraphError> {
        let data = data.into();
        Tensor::with_type(TensorType::new(data.dtype(), shape), data)
    }

    /// A tensor of this type.
    pub fn with_type(ty: TensorType, data: impl Into<Data>) -> Result<Tensor, GraphError> {
        let data = data.into();
        if checked_len(&ty.shape) != Some(data.len()) || ty.dtype != data.dtype() {
            return Err(GraphError::Shape {
                what: format!("{} {} elements", data.len(), data.dtype()),
                expected: format!("{:?} of {}", ty.shape, ty.dtype),
                found: vec![data.len()],
            });
        }
        Ok(Tensor { ty, data })
    }

    /// A tensor of zero bits.
    pub fn zeroed(ty: TensorType) -> Tensor {
        let data = Data::zeroed(ty.dtype, ty.len());
        Tensor { ty, data }
    }

    /// Element type, shape and quantization.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, to write them.
    pub fn data_mut(&mut self) -> ViewMut<'_> {
        self.data.view_mut()
    }

    /// Borrows type and elements.
    pub fn as_ref(&self) -> TensorRef<'_> {
        TensorRef { ty: &self.ty, view: self.data.view() }
    }

    /// Borrows type and elements, to write them.
    pub fn as_mut(&mut self) -> TensorMut<'_> {
        TensorMut { ty: &self.ty, view: self.data.view_mut() }
    }
}

/// A borrowed tensor: what an operator reads.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    /// Element type, shape, quantization.
    pub ty: &'a TensorType,
    /// As many elements as the type says.
    pub view: View<'a>,
}

/// A mutably borrowed tensor: what an operator writes.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// Element type, shape, quantization.
    pub ty: &'a TensorType,
    /// As many elements as the type says.
    pub view: ViewMut<'a>,
}
