//! Makes the graph while operators are translated one after another: tensors become values when they are first used.
//!
//! A quantized uint8 tensor can be had in two forms: as the file has it, and as int8, shifted by 128. Operators work on
//! the second; the graph's inputs and outputs, and the operators that convert between types, take the first. The form
//! that is made first is what the file's operator makes; the other one follows from it by a Quantize node when somebody
//! asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kinglet_graph::{DType, Graph, Op, Tensor, TensorType, ValueId, View};

use super::tensors::{File, FileTensor};
use crate::ImportError;
use crate::budget::{BOOKKEEPING, MAX_ACTIVATION_BYTES};

/// What is computed at import has at most this many elements: shapes and the values of attributes, not data.
const MAX_FOLDED: usize = 64;

/// How an operator reads or makes a quantized uint8 tensor. For any other tensor the forms are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// uint8, as in the file.
    Stored,
    /// int8, shifted by 128.
    Signed,
}

/// A tensor of the file, and the values that hold it.
#[derive(Debug)]
struct Slot<'a> {
    tensor: FileTensor<'a>,
    stored: Option<ValueId>,
    signed: Option<ValueId>,
}

impl Slot<'_> {
    fn value(&self, form: Form) -> Option<ValueId> {
        match form {
            Form::Stored => self.stored,
            Form::Signed => self.signed,
        }
    }

    /// Tensors that have one form only keep it as stored.
    fn form(&self, wanted: Form) -> Form {
        if self.tensor.is_shifted() { wanted } else { Form::Stored }
    }
}

/// The graph under construction.
pub struct Builder<'a> {
    file: File<'a>,
    slots: HashMap<usize, Slot<'a>>,
    /// The tensors that the graph will give.
    outputs: HashSet<usize>,
    graph: Graph,
    activation_bytes: usize,
}

impl<'a> Builder<'a> {
    /// An empty graph over this file's tensors.
    pub fn new(file: File<'a>, outputs: HashSet<usize>, name: &str) -> Builder<'a> {
        let graph = Graph { name: name.to_owned(), ..Graph::default() };
        Builder { file, slots: HashMap::new(), outputs, graph, activation_bytes: 0 }
    }

    /// Counts memory against what the file's size justifies.
    pub fn charge(&mut self, bytes: usize) -> Result<(), ImportError> {
        self.file.budget.charge(bytes)
    }

    fn slot(&mut self, tensor: usize) -> Result<&mut Slot<'a>, ImportError> {
        if !self.slots.contains_key(&tensor) {
            let slot = Slot { tensor: self.file.tensor(tensor)?, stored: None, signed: None };
            self.slots.insert(tensor, slot);
        }
        Ok(self.slots.get_mut(&tensor).expect("it was inserted"))
    }

    /// A tensor of the file.
    pub fn tensor(&mut self, tensor: usize) -> Result<&FileTensor<'a>, ImportError> {
        Ok(&self.slot(tensor)?.tensor)
    }

    /// The name of a tensor of the file.
    pub fn tensor_name(&self, tensor: usize) -> String {
        self.file.tensor_name(tensor)
    }

    /// Whether a tensor is one of the graph's outputs.
    pub fn is_output(&self, tensor: usize) -> bool {
        self.outputs.contains(&tensor)
    }

    /// Whether a tensor has a value already.
    pub fn is_made(&mut self, tensor: usize) -> Result<bool, ImportError> {
        let slot = self.slot(tensor)?;
        Ok(slot.tensor.data.is_some() || slot.stored.is_some() || slot.signed.is_some())
    }

    /// Makes a tensor an input of the graph.
    pub fn add_input(&mut self, tensor: usize) -> Result<(), ImportError> {
        let id = self.write(tensor, Form::Stored)?;
        self.graph.inputs.push(id);
        Ok(())
    }

    /// Makes a tensor an output of the graph.
    pub fn add_output(&mut self, tensor: usize) -> Result<(), ImportError> {
        let id = self.read(tensor, Form::Stored)?;
        self.graph.outputs.push(id);
        Ok(())
    }

    /// The value of a tensor that exists already: made by a node, an input or a constant.
    pub fn read(&mut self, tensor: usize, form: Form) -> Result<ValueId, ImportError> {
        let slot = self.slot(tensor)?;
        let form = slot.form(form);
        if let Some(id) = slot.value(form) {
            return Ok(id);
        }
        let other = slot.stored.or(slot.signed);
        let id = match (slot.tensor.data, other) {
            (Some(data), _) => self.constant(tensor, form, data)?,
            (None, Some(other)) => self.convert(tensor, form, other)?,
            (None, None) => {
                let (tensor, problem) = (slot.tensor.name.clone(), "is read before anything makes it".to_owned());
                return Err(ImportError::Tensor { tensor, problem });
            }
        };
        self.hold(tensor, form, id)
    }

    /// The value of a tensor in the form that exists already.
    pub fn read_either(&mut self, tensor: usize) -> Result<ValueId, ImportError> {
        let form = if self.slot(tensor)?.stored.is_some() { Form::Stored } else { Form::Signed };
        self.read(tensor, form)
    }

    /// The value of a tensor that a node is about to make.
    pub fn write(&mut self, tensor: usize, form: Form) -> Result<ValueId, ImportError> {
        let made = self.is_made(tensor)?;
        let slot = self.slot(tensor)?;
        let form = slot.form(form);
        let (name, ty) = (slot.tensor.name.clone(), slot.tensor.type_in(form));
        if made {
            let problem = if ty.is_empty() { "has no elements" } else { "is made twice" };
            return Err(ImportError::Tensor { tensor: name, problem: problem.to_owned() });
        }
        let id = self.add_value(name, ty)?;
        self.hold(tensor, form, id)
    }

    /// The same for a tensor whose type the file leaves open, or has wrong.
    pub fn write_as(&mut self, tensor: usize, ty: TensorType) -> Result<ValueId, ImportError> {
        let id = self.write(tensor, Form::Stored)?;
        self.graph.values[id.0].ty = ty;
        Ok(id)
    }

    fn hold(&mut self, tensor: usize, form: Form, id: ValueId) -> Result<ValueId, ImportError> {
        let slot = self.slot(tensor)?;
        match form {
            Form::Stored => slot.stored = Some(id),
            Form::Signed => slot.signed = Some(id),
        }
        Ok(id)
    }

    fn constant(&mut self, tensor: usize, form: Form, data: &[u8]) -> Result<ValueId, ImportError> {
        let slot = self.slot(tensor)?;
        let size = BOOKKEEPING + slot.tensor.name.len() + slot.tensor.ty.bytes();
        self.charge(size)?;
        let tensor = &self.slot(tensor)?.tensor;
        let (name, constant) = (tensor.name.clone(), tensor.constant(form, data)?);
        Ok(self.graph.add_constant(name, constant))
    }

    /// The other form of a quantized uint8 tensor. The stored one keeps the tensor's name.
    fn convert(&mut self, tensor: usize, form: Form, from: ValueId) -> Result<ValueId, ImportError> {
        let file = &self.slot(tensor)?.tensor;
        let (name, ty) = (file.name.clone(), file.type_in(form));
        let signed_name = format!("{name} as int8");
        let id = match form {
            Form::Signed => self.add_value(signed_name.clone(), ty)?,
            Form::Stored => {
                self.graph.values[from.0].name.clone_from(&signed_name);
                self.add_value(name.clone(), ty)?
            }
        };
        let node = if form == Form::Signed { signed_name } else { name };
        self.add_node(node, Op::Quantize, vec![Some(from)], vec![id])?;
        Ok(id)
    }

    /// A value that a node will make and the file has no tensor for.
    pub fn add_value(&mut self, name: String, ty: TensorType) -> Result<ValueId, ImportError> {
        self.charge(BOOKKEEPING + name.len())?;
        self.activation_bytes = self.activation_bytes.saturating_add(ty.bytes());
        if self.activation_bytes > MAX_ACTIVATION_BYTES {
            return Err(ImportError::TooLarge("its tensors take more than 4 GiB together".to_owned()));
        }
        Ok(self.graph.add_value(name, ty))
    }

    /// Adds a node, or its result where that is a small constant which may become an attribute: arithmetic on shapes,
    /// and numbers that are stored as half floats.
    pub fn add_node(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        outputs: Vec<ValueId>,
    ) -> Result<(), ImportError> {
        self.charge(BOOKKEEPING + name.len() + size_of::<Option<ValueId>>() * (inputs.len() + outputs.len()))?;
        if !self.fold(&name, &op, &inputs, &outputs)? {
            self.graph.add_node(name, op, inputs, outputs);
        }
        Ok(())
    }

    fn fold(
        &mut self,
        name: &str,
        op: &Op,
        inputs: &[Option<ValueId>],
        outputs: &[ValueId],
    ) -> Result<bool, ImportError> {
        let small = |ty: &TensorType| {
            (matches!(ty.dtype, DType::I32 | DType::I64) || *op == Op::Dequantize) && ty.len() <= MAX_FOLDED
        };
        let mut operands = Vec::with_capacity(inputs.len());
        for input in inputs {
            match input.and_then(|id| self.graph.constant(id)) {
                Some(constant) if small(constant.ty()) => operands.push(Some(constant.as_ref())),
                _ => return Ok(false),
            }
        }
        let types: Vec<_> = outputs.iter().map(|id| &self.graph.value(*id).ty).collect();
        if !types.iter().all(|ty| small(ty)) {
            return Ok(false);
        }
        let operand_types: Vec<_> = operands.iter().map(|operand| operand.map(|operand| operand.ty)).collect();
        let at_node = |error: kinglet_graph::GraphError| error.at(name, op.name());
        op.check(&operand_types, &types).map_err(at_node)?;
        let mut results: Vec<Tensor> = types.into_iter().map(|ty| Tensor::zeroed(ty.clone())).collect();
        op.eval(&operands, &mut results.iter_mut().map(Tensor::as_mut).collect::<Vec<_>>()).map_err(at_node)?;
        for (id, result) in outputs.iter().zip(results) {
            self.graph.values[id.0].constant = Some(Arc::new(result));
        }
        Ok(true)
    }

    /// Makes a tensor a constant that the file does not have but that follows from it.
    pub fn set_constant(&mut self, tensor: usize, elements: Tensor) -> Result<(), ImportError> {
        let id = self.write(tensor, Form::Stored)?;
        let value = &mut self.graph.values[id.0];
        value.ty = elements.ty().clone();
        value.constant = Some(Arc::new(elements));
        Ok(())
    }

    /// The integers of a tensor if they are known.
    pub fn integers(&mut self, tensor: usize) -> Result<Option<Vec<i64>>, ImportError> {
        let id = self.read(tensor, Form::Stored)?;
        // Any number of operators may ask for the same integers.
        self.charge(size_of::<i64>() * self.graph.constant(id).map_or(0, |constant| constant.ty().len()))?;
        Ok(match self.graph.constant(id).map(|constant| constant.as_ref().view) {
            Some(View::I32(values)) => Some(values.iter().map(|&value| i64::from(value)).collect()),
            Some(View::I64(values)) => Some(values.to_vec()),
            _ => None,
        })
    }

    /// The type of a value.
    pub fn value_type(&self, id: ValueId) -> &TensorType {
        &self.graph.value(id).ty
    }

    /// The elements of a value if they are known.
    pub fn constant_of(&self, id: ValueId) -> Option<&Tensor> {
        self.graph.constant(id)
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}
