//! A node as the file describes it: its attributes, inputs and outputs.

use kinglet_graph::{DType, Tensor, ValueId};

use super::builder::Builder;
use super::functions::Inlined;
use super::operators::{Problem, invalid, unsupported};
use super::schema::{AttributeProto, NodeProto};
use crate::ImportError;
use crate::budget::shortened;

/// A node, and the version of the operators that it is one of.
#[derive(Clone, Copy)]
pub struct Operator<'a> {
    /// Its place in the file; in a function, that of the call.
    pub index: usize,
    /// What the file says.
    pub node: &'a NodeProto,
    /// The version of its domain's operator set.
    pub version: i64,
    /// Whether its inputs that are other floats are given to the translation as float32.
    pub in_float32: bool,
    /// What is given to the translation for its first input, if it is not that itself.
    pub first: Option<ValueId>,
}

impl<'a> From<&'a Inlined> for Operator<'a> {
    fn from(inlined: &'a Inlined) -> Operator<'a> {
        let Inlined { node, version, index } = inlined;
        Operator { index: *index, node, version: *version, in_float32: false, first: None }
    }
}

impl<'a> Operator<'a> {
    /// By which name people find it in the file.
    pub fn label(&self) -> &'a str {
        label(self.node)
    }

    /// What it is, with the domain where that is not ONNX's own.
    pub fn kind(&self) -> String {
        kind(self.node)
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// An attribute that is an integer.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.attribute(name).map(|attribute| attribute.i.ok_or_else(|| wrong_kind(name, "an integer"))).transpose()
    }

    /// The same, with a value for when it is left out.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Problem> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An attribute that is 0 or 1, and 0 when it is left out.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.int_or(name, 0)? != 0)
    }

    /// An attribute that is a real number.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Problem> {
        self.attribute(name).map(|attribute| attribute.f.ok_or_else(|| wrong_kind(name, "a number"))).transpose()
    }

    /// The same, with a value for when it is left out.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, Problem> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// An attribute that is a list of integers.
    pub fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// An attribute that is a list of real numbers.
    pub fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    /// An attribute that is text, with a value for when it is left out.
    pub fn text_or<'t>(&self, name: &str, default: &'t str) -> Result<&'t str, Problem>
    where
        'a: 't,
    {
        match self.attribute(name).map(|attribute| attribute.s.as_deref().and_then(|s| std::str::from_utf8(s).ok())) {
            None => Ok(default),
            Some(Some(text)) => Ok(text),
            Some(None) => Err(wrong_kind(name, "text")),
        }
    }

    /// An attribute that is a tensor.
    pub fn tensor(&self, b: &mut Builder<'_>, name: &str) -> Result<Option<Tensor>, Problem> {
        match self.attribute(name).map(|attribute| attribute.t.as_deref()) {
            None => Ok(None),
            Some(Some(tensor)) => Ok(Some(b.read_tensor(tensor)?)),
            Some(None) => Err(wrong_kind(name, "a tensor")),
        }
    }

    /// The value of an input.
    pub fn input(&self, b: &mut Builder<'_>, index: usize) -> Result<ValueId, Problem> {
        match self.optional(b, index)? {
            Some(id) => Ok(id),
            None => invalid(format!("input {index} is left out")),
        }
    }

    /// The value of an input that may be left out.
    pub fn optional(&self, b: &mut Builder<'_>, index: usize) -> Result<Option<ValueId>, Problem> {
        if let (0, Some(first)) = (index, self.first) {
            return Ok(Some(first));
        }
        match self.node.input.get(index).filter(|name| !name.is_empty()) {
            Some(name) => {
                let id = b.value(name)?;
                if self.in_float32 && b.dtype(id).is_float() { Ok(Some(b.cast(id, DType::F32)?)) } else { Ok(Some(id)) }
            }
            None => Ok(None),
        }
    }

    /// The values of all inputs, none of which may be left out.
    pub fn inputs(&self, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Problem> {
        b.charge(size_of::<ValueId>() * self.node.input.len())?;
        (0..self.node.input.len()).map(|index| self.input(b, index)).collect()
    }

    /// The integers of an input that must be known now, `what` they are.
    pub fn integers(&self, b: &mut Builder<'_>, index: usize, what: &str) -> Result<Vec<i64>, Problem> {
        let id = self.input(b, index)?;
        match b.integers(id)? {
            Some(integers) => Ok(integers),
            None => Err(self.unknown(b, id, what)),
        }
    }

    /// The same of an input that may be left out.
    pub fn optional_integers(
        &self,
        b: &mut Builder<'_>,
        index: usize,
        what: &str,
    ) -> Result<Option<Vec<i64>>, Problem> {
        match self.optional(b, index)? {
            Some(_) => Ok(Some(self.integers(b, index, what)?)),
            None => Ok(None),
        }
    }

    /// The real numbers of an input that must be known now.
    pub fn numbers(&self, b: &mut Builder<'_>, index: usize, what: &str) -> Result<Vec<f32>, Problem> {
        let id = self.input(b, index)?;
        match b.floats(id)? {
            Some(numbers) => Ok(numbers),
            None => Err(self.unknown(b, id, what)),
        }
    }

    /// The problem of a value that would have to be known when the model is read.
    pub fn unknown(&self, b: &Builder<'_>, id: ValueId, what: &str) -> Problem {
        if b.constant(id).is_some() {
            return Problem::Invalid(format!("{what} of type {}", b.dtype(id)));
        }
        match b.origin(id) {
            Some(input) => Problem::Import(ImportError::Unbound {
                input: input.to_owned(),
                node: self.index,
                operator: self.kind(),
                what: what.to_owned(),
            }),
            None => Problem::Unsupported(format!("with {what} that only a run would tell")),
        }
    }

    /// Whether something is to read an output.
    pub fn wants(&self, index: usize) -> bool {
        self.node.output.get(index).is_some_and(|name| !name.is_empty())
    }

    /// Demands that no output from this one on is read.
    pub fn gives_only(&self, count: usize) -> Result<(), Problem> {
        match (count..self.node.output.len()).find(|index| self.wants(*index)) {
            Some(index) => unsupported(format!("with its output {index}")),
            None => Ok(()),
        }
    }
}

/// A node's own name or else that of its first output.
pub fn label(node: &NodeProto) -> &str {
    let first = node.output.first().map_or("", String::as_str);
    shortened(if node.name.is_empty() { first } else { &node.name })
}

/// A node's operator, with the domain where that is not ONNX's own.
pub fn kind(node: &NodeProto) -> String {
    let NodeProto { domain, op_type, .. } = node;
    let kind = if domain.is_empty() || domain == "ai.onnx" { op_type.clone() } else { format!("{domain}.{op_type}") };
    shortened(&kind).to_owned()
}

fn wrong_kind(name: &str, expected: &str) -> Problem {
    Problem::Invalid(format!("its attribute {name:?} is not {expected}"))
}
