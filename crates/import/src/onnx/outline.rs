//! What a protocol buffer holds, told without decoding it: its fields are walked over as they lie.
//!
//! Decoded, a message can take a hundred times the memory that it takes in the file, so that a small file could ask for
//! much. What decoding would take is therefore added up first.

use prost::Message;

use super::schema::{
    AttributeProto, Dimension, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::ImportError;
use crate::budget::Budget;

/// A field as it lies in the file.
struct Field<'a> {
    number: u64,
    /// The content of one with a length; `None` for a number.
    content: Option<&'a [u8]>,
}

/// The fields of a message (<https://protobuf.dev/programming-guides/encoding/>); ends early, with `None`, where the
/// bytes are none.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => self.varint().map(|_| None),
            1 => self.take(8).map(|_| None),
            2 => self.varint().and_then(|length| self.take(length)).map(Some),
            5 => self.take(4).map(|_| None),
            _ => None,
        };
        Some(Field { number: key >> 3, content: content? })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Option<Field<'a>>> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Whether the bytes are a model: fields that ModelProto has, among them a graph and a version of the operators.
pub fn is_model(bytes: &[u8]) -> bool {
    const KNOWN: [u64; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26, 27];
    const GRAPH: u64 = 7;
    const OPSET: u64 = 8;
    let (mut graph, mut opset) = (false, false);
    for field in Fields(bytes) {
        let Some(Field { number, content }) = field.filter(|field| KNOWN.contains(&field.number)) else { return false };
        graph |= number == GRAPH && content.is_some();
        opset |= number == OPSET && content.is_some();
    }
    graph && opset
}

/// What decoding one kind of message takes.
struct Kind {
    /// The bytes of the decoded message itself.
    size: usize,
    /// Fields that are messages: number and kind.
    messages: &'static [(u64, &'static Kind)],
    /// Fields of which every number takes a place in a vector: number, and how the numbers lie.
    numbers: &'static [(u64, Numbers)],
}

/// Numbers of a field, and the bytes that each takes in memory.
#[derive(Clone, Copy)]
enum Numbers {
    /// As they lie in memory.
    Fixed(usize),
    /// In as few bytes as they need, the last of which is below 128.
    Varint(usize),
}

use Numbers::{Fixed, Varint};

const fn leaf<T>() -> Kind {
    Kind { size: size_of::<T>(), messages: &[], numbers: &[] }
}

static TENSOR: Kind = Kind {
    size: size_of::<TensorProto>(),
    messages: &[(13, &leaf::<StringStringEntryProto>())],
    numbers: &[(1, Varint(8)), (4, Fixed(4)), (5, Varint(4)), (7, Varint(8)), (10, Fixed(8)), (11, Varint(8))],
};
static ATTRIBUTE: Kind =
    Kind { size: size_of::<AttributeProto>(), messages: &[(5, &TENSOR)], numbers: &[(7, Fixed(4)), (8, Varint(8))] };
static NODE: Kind = Kind { size: size_of::<NodeProto>(), messages: &[(5, &ATTRIBUTE)], numbers: &[] };
static SHAPE: Kind = Kind { size: size_of::<TensorShapeProto>(), messages: &[(1, &leaf::<Dimension>())], numbers: &[] };
static TENSOR_TYPE: Kind = Kind { size: size_of::<TensorTypeProto>(), messages: &[(2, &SHAPE)], numbers: &[] };
static TYPE: Kind = Kind { size: size_of::<TypeProto>(), messages: &[(1, &TENSOR_TYPE)], numbers: &[] };
static VALUE: Kind = Kind { size: size_of::<ValueInfoProto>(), messages: &[(2, &TYPE)], numbers: &[] };
static GRAPH: Kind = Kind {
    size: size_of::<GraphProto>(),
    messages: &[(1, &NODE), (5, &TENSOR), (11, &VALUE), (12, &VALUE), (15, &leaf::<()>())],
    numbers: &[],
};
static FUNCTION: Kind = Kind {
    size: size_of::<FunctionProto>(),
    messages: &[(7, &NODE), (9, &leaf::<OperatorSetIdProto>()), (11, &ATTRIBUTE)],
    numbers: &[],
};
static MODEL: Kind = Kind {
    size: size_of::<ModelProto>(),
    messages: &[
        (7, &GRAPH),
        (8, &leaf::<OperatorSetIdProto>()),
        (14, &leaf::<StringStringEntryProto>()),
        (25, &FUNCTION),
    ],
    numbers: &[],
};

/// Refuses bytes that would take far more memory, decoded, than they are.
pub fn require_moderate(bytes: &[u8]) -> Result<(), ImportError> {
    charge(&mut Budget::of_file(bytes.len()), bytes, &MODEL)
}

/// The same for a tensor.
pub fn require_moderate_tensor(bytes: &[u8]) -> Result<(), ImportError> {
    charge(&mut Budget::of_file(bytes.len()), bytes, &TENSOR)
}

/// Charges the memory of an attribute's copy.
pub fn charge_attribute(budget: &mut Budget, attribute: &AttributeProto) -> Result<(), ImportError> {
    charge(budget, &attribute.encode_to_vec(), &ATTRIBUTE)
}

fn charge(budget: &mut Budget, bytes: &[u8], kind: &Kind) -> Result<(), ImportError> {
    budget.charge(kind.size)?;
    for field in Fields(bytes) {
        let Some(Field { number, content }) = field else {
            return Err(ImportError::Damaged("it ends within a field".to_owned()));
        };
        let message = kind.messages.iter().find(|(field, _)| *field == number);
        let numbers = kind.numbers.iter().find(|(field, _)| *field == number).map(|(_, numbers)| *numbers);
        match (content, message, numbers) {
            (Some(content), Some((_, kind)), _) => charge(budget, content, kind)?,
            (Some(content), _, Some(Varint(size))) => {
                let count = content.iter().filter(|byte| **byte < 0x80).count();
                budget.charge(count.saturating_mul(size))?;
            }
            (Some(content), ..) => budget.charge(content.len() + size_of::<String>())?,
            (None, _, Some(Fixed(size) | Varint(size))) => budget.charge(size)?,
            (None, ..) => {}
        }
    }
    Ok(())
}
