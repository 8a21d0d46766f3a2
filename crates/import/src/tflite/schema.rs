//! What of TensorFlow Lite's schema (version 3) is read: tables with the numbers of their fields, and enumerations.
//!
//! A table of the schema is a module here, a field a constant that says its kind, number and default.

macro_rules! builtin_operators {
    ($($name:ident)*) => {
        /// The operators of the format, named as there, in the order of their codes.
        #[allow(non_camel_case_types, missing_docs, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Builtin { $($name,)* }

        impl Builtin {
            const ALL: &[Builtin] = &[$(Builtin::$name,)*];

            /// The operator's name.
            pub fn name(self) -> &'static str {
                match self { $(Builtin::$name => stringify!($name),)* }
            }
        }
    };
}

builtin_operators! {
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
    MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND
    TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
    LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL
    LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
    ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS
    SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG
    ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
    BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS
    HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
    ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE
    RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST
    BITWISE_XOR RIGHT_SHIFT
}

impl Builtin {
    /// The operator of this code; the codes after the last one here are StableHLO's and a few that are newer.
    pub fn from_code(code: i32) -> Option<Builtin> {
        usize::try_from(code).ok().and_then(|code| Builtin::ALL.get(code).copied())
    }
}

/// Names of the element types, in the order of their codes.
pub const ELEMENT_TYPES: [&str; 21] = [
    "FLOAT32",
    "FLOAT16",
    "INT32",
    "UINT8",
    "INT64",
    "STRING",
    "BOOL",
    "INT16",
    "COMPLEX64",
    "INT8",
    "FLOAT64",
    "COMPLEX128",
    "UINT64",
    "RESOURCE",
    "VARIANT",
    "UINT32",
    "UINT16",
    "INT4",
    "BFLOAT16",
    "INT2",
    "UINT4",
];

/// How windows lie at the border of an image.
pub mod padding {
    /// As many windows as steps fit, the last ones reaching over the border.
    pub const SAME: i8 = 0;
    /// Only windows that lie within the image.
    pub const VALID: i8 = 1;
}

/// Names of the functions that are fused into other operators, in the order of their codes.
pub const ACTIVATIONS: [&str; 6] = ["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"];

macro_rules! tables {
    ($($(#[doc = $doc:literal])* $table:ident { $($field:ident: $kind:ident $(<$type:ty>)? = $id:literal $(or $default:literal)?,)* })*) => {
        $($(#[doc = $doc])* #[allow(missing_docs)] pub mod $table {
            $(pub const $field: $crate::tflite::flatbuffer::$kind $(<$type>)? = tables!(@ $kind $id $($default)?);)*
        })*
    };
    (@ Scalar $id:literal) => { $crate::tflite::flatbuffer::Scalar::with_default($id, 0) };
    (@ Scalar $id:literal $default:literal) => { $crate::tflite::flatbuffer::Scalar::with_default($id, $default) };
    (@ Numbers $id:literal) => { $crate::tflite::flatbuffer::Numbers($id, std::marker::PhantomData) };
    (@ $kind:ident $id:literal) => { $crate::tflite::flatbuffer::$kind($id) };
}

tables! {
    /// The root.
    model {
        VERSION: Scalar<u32> = 0,
        OPERATOR_CODES: Children = 1,
        SUBGRAPHS: Children = 2,
        DESCRIPTION: Text = 3,
        BUFFERS: Children = 4,
    }

    /// An operator that the model uses.
    operator_code {
        DEPRECATED_BUILTIN_CODE: Scalar<i8> = 0,
        CUSTOM_CODE: Text = 1,
        VERSION: Scalar<i32> = 2 or 1,
        BUILTIN_CODE: Scalar<i32> = 3,
    }

    /// Elements of constants: in the file's tail at `OFFSET` where that is more than 1, else in `DATA`.
    buffer {
        DATA: Numbers<u8> = 0,
        OFFSET: Scalar<u64> = 1,
        SIZE: Scalar<u64> = 2,
    }

    /// Tensors, and operators in execution order. Numbers of tensors are places in `TENSORS`, −1 an input that is left
    /// out.
    subgraph {
        TENSORS: Children = 0,
        INPUTS: Numbers<i32> = 1,
        OUTPUTS: Numbers<i32> = 2,
        OPERATORS: Children = 3,
    }

    /// A tensor, constant if its buffer has data.
    tensor {
        SHAPE: Numbers<i32> = 0,
        TYPE: Scalar<i8> = 1,
        BUFFER: Scalar<u32> = 2,
        NAME: Text = 3,
        QUANTIZATION: Child = 4,
        IS_VARIABLE: Scalar<bool> = 5 or false,
        SPARSITY: Child = 6,
        EXTERNAL_BUFFER: Scalar<u32> = 10,
    }

    /// real = (q − zero point) · scale.
    quantization {
        SCALE: Numbers<f32> = 2,
        ZERO_POINT: Numbers<i64> = 3,
        DETAILS_TYPE: Scalar<u8> = 4,
        QUANTIZED_DIMENSION: Scalar<i32> = 6,
    }

    /// A use of an operator.
    operator {
        OPCODE_INDEX: Scalar<u32> = 0,
        INPUTS: Numbers<i32> = 1,
        OUTPUTS: Numbers<i32> = 2,
        BUILTIN_OPTIONS: Child = 4,
        CUSTOM_OPTIONS: Numbers<u8> = 5,
    }

    /// CONV_2D
    conv_2d {
        PADDING: Scalar<i8> = 0,
        STRIDE_W: Scalar<i32> = 1,
        STRIDE_H: Scalar<i32> = 2,
        ACTIVATION: Scalar<i8> = 3,
        DILATION_W: Scalar<i32> = 4 or 1,
        DILATION_H: Scalar<i32> = 5 or 1,
    }

    /// DEPTHWISE_CONV_2D; the depth multiplier follows from the shapes.
    depthwise_conv_2d {
        PADDING: Scalar<i8> = 0,
        STRIDE_W: Scalar<i32> = 1,
        STRIDE_H: Scalar<i32> = 2,
        ACTIVATION: Scalar<i8> = 4,
        DILATION_W: Scalar<i32> = 5 or 1,
        DILATION_H: Scalar<i32> = 6 or 1,
    }

    /// AVERAGE_POOL_2D, MAX_POOL_2D
    pool_2d {
        PADDING: Scalar<i8> = 0,
        STRIDE_W: Scalar<i32> = 1,
        STRIDE_H: Scalar<i32> = 2,
        FILTER_W: Scalar<i32> = 3,
        FILTER_H: Scalar<i32> = 4,
        ACTIVATION: Scalar<i8> = 5,
    }

    /// FULLY_CONNECTED
    fully_connected {
        ACTIVATION: Scalar<i8> = 0,
        WEIGHTS_FORMAT: Scalar<i8> = 1,
    }

    /// ADD, SUB, MUL, DIV
    binary {
        ACTIVATION: Scalar<i8> = 0,
    }

    /// SOFTMAX
    softmax {
        BETA: Scalar<f32> = 0 or 0.0,
    }

    /// CONCATENATION
    concatenation {
        AXIS: Scalar<i32> = 0,
        ACTIVATION: Scalar<i8> = 1,
    }

    /// RESHAPE
    reshape {
        NEW_SHAPE: Numbers<i32> = 0,
    }

    /// RESIZE_BILINEAR, whose first two fields are of the past
    resize_bilinear {
        ALIGN_CORNERS: Scalar<bool> = 2 or false,
        HALF_PIXEL_CENTERS: Scalar<bool> = 3 or false,
    }

    /// RESIZE_NEAREST_NEIGHBOR
    resize_nearest_neighbor {
        ALIGN_CORNERS: Scalar<bool> = 0 or false,
        HALF_PIXEL_CENTERS: Scalar<bool> = 1 or false,
    }

    /// GATHER
    gather {
        AXIS: Scalar<i32> = 0,
        BATCH_DIMS: Scalar<i32> = 1,
    }

    /// SQUEEZE; all axes of size 1 where none is listed
    squeeze {
        AXES: Numbers<i32> = 0,
    }

    /// MEAN
    reducer {
        KEEP_DIMS: Scalar<bool> = 0 or false,
    }

    /// STRIDED_SLICE
    strided_slice {
        BEGIN_MASK: Scalar<i32> = 0,
        END_MASK: Scalar<i32> = 1,
        ELLIPSIS_MASK: Scalar<i32> = 2,
        NEW_AXIS_MASK: Scalar<i32> = 3,
        SHRINK_AXIS_MASK: Scalar<i32> = 4,
        OFFSET: Scalar<bool> = 5 or false,
    }

    /// LEAKY_RELU
    leaky_relu {
        ALPHA: Scalar<f32> = 0 or 0.0,
    }

    /// PACK, UNPACK
    pack {
        AXIS: Scalar<i32> = 1,
    }
}
