//! Makes the graph while nodes are translated one after another: names of the file become values, operators become
//! nodes whose shapes are inferred at once, and what follows from constants alone becomes a constant.

use std::collections::HashMap;

use kinglet_graph::ops::{Activation, Binary, BinaryKind, Cast, Reshape, Transpose, Unary};
use kinglet_graph::{DType, Graph, GraphError, Op, Quantization, Tensor, TensorType, ValueId, View};

use super::operators::{Problem, unsupported};
use super::schema::TensorProto;
use super::tensors::Tensors;
use crate::ImportError;
use crate::budget::{BOOKKEEPING, MAX_ACTIVATION_BYTES};

/// What is computed at import has at most this many elements, where they are no integers: attributes, not data.
const MAX_FOLDED: usize = 64;

/// The most elements that one operator makes at import: a bound on the time that a hostile file takes.
const MAX_FOLDED_INTEGERS: usize = 1 << 20;

/// What a name of the file stands for.
#[derive(Clone, Copy, Debug)]
enum Binding {
    Value(ValueId),
    /// The result of a node that was not translated.
    Missing,
}

/// The graph under construction.
pub struct Builder<'a> {
    graph: Graph,
    tensors: Tensors<'a>,
    bindings: HashMap<String, Binding>,
    /// Constants of the file that nothing has read yet.
    initializers: HashMap<String, TensorProto>,
    /// For each value, whether it has its final name: one of the file.
    named: Vec<bool>,
    /// For each value, the node that makes it.
    producers: Vec<Option<usize>>,
    /// For each value, whether a node reads it.
    read: Vec<bool>,
    /// For each value, how many names stand for it that have not been let go of.
    names: Vec<usize>,
    activation_bytes: usize,
    /// The name of the node that is being translated.
    node: String,
}

impl<'a> Builder<'a> {
    /// An empty graph; constants are read when something asks for them.
    pub fn new(name: &str, tensors: Tensors<'a>, initializers: HashMap<String, TensorProto>) -> Builder<'a> {
        Builder {
            graph: Graph { name: name.to_owned(), ..Graph::default() },
            tensors,
            bindings: HashMap::new(),
            initializers,
            named: Vec::new(),
            producers: Vec::new(),
            read: Vec::new(),
            names: Vec::new(),
            activation_bytes: 0,
            node: String::new(),
        }
    }

    /// Counts memory against what the file's size justifies.
    pub fn charge(&mut self, bytes: usize) -> Result<(), ImportError> {
        self.tensors.budget.charge(bytes)
    }

    /// Says which node's translation follows.
    pub fn begin(&mut self, node: &str) {
        node.clone_into(&mut self.node);
    }

    fn track(&mut self, id: ValueId, named: bool, producer: Option<usize>) -> ValueId {
        self.named.push(named);
        self.producers.push(producer);
        self.read.push(false);
        self.names.push(0);
        id
    }

    /// Makes a name an input of the graph.
    pub fn add_input(&mut self, name: &str, ty: TensorType) -> Result<(), ImportError> {
        self.count_activation(&ty, name)?;
        let id = self.graph.add_value(name, ty);
        self.track(id, true, None);
        self.graph.inputs.push(id);
        self.bind_new(name, Binding::Value(id))
    }

    /// Makes a name stand for a constant that the caller gives.
    pub fn add_bound(&mut self, name: &str, tensor: Tensor) -> Result<(), ImportError> {
        self.charge(BOOKKEEPING + name.len())?;
        let id = self.graph.add_constant(name, tensor);
        self.track(id, true, None);
        self.bind_new(name, Binding::Value(id))
    }

    fn bind_new(&mut self, name: &str, binding: Binding) -> Result<(), ImportError> {
        let taken = self.initializers.contains_key(name) || self.bindings.contains_key(name);
        if taken {
            return Err(ImportError::Tensor { tensor: name.to_owned(), problem: "is made twice".to_owned() });
        }
        if let Binding::Value(id) = binding {
            self.names[id.0] += 1;
        }
        self.bindings.insert(name.to_owned(), binding);
        Ok(())
    }

    /// Makes a value known by a name of the file, which becomes its own if it has none.
    pub fn bind(&mut self, name: &str, id: ValueId) -> Result<(), ImportError> {
        self.charge(name.len())?;
        self.bind_new(name, Binding::Value(id))?;
        if !std::mem::replace(&mut self.named[id.0], true) {
            name.clone_into(&mut self.graph.values[id.0].name);
        }
        Ok(())
    }

    /// Notes that a name has no value, since the node that makes it was not translated.
    pub fn bind_missing(&mut self, name: &str) -> Result<(), ImportError> {
        self.bind_new(name, Binding::Missing)
    }

    /// Whether a name stands for the result of a node that was not translated.
    pub fn is_missing(&self, name: &str) -> bool {
        matches!(self.bindings.get(name), Some(Binding::Missing))
    }

    /// The value of a name.
    pub fn value(&mut self, name: &str) -> Result<ValueId, ImportError> {
        if let Some(proto) = self.initializers.remove(name) {
            let tensor = self.tensors.read(proto)?;
            self.add_bound(name, tensor)?;
        }
        match self.bindings.get(name) {
            Some(Binding::Value(id)) => Ok(*id),
            _ => {
                let problem = "is read before anything makes it".to_owned();
                Err(ImportError::Tensor { tensor: name.to_owned(), problem })
            }
        }
    }

    /// Reads a constant that is an attribute.
    pub fn read_tensor(&mut self, proto: &TensorProto) -> Result<Tensor, ImportError> {
        self.tensors.read(proto.clone())
    }

    /// Makes a name an output of the graph. A value has one name, so a value that has another one is copied.
    pub fn add_output(&mut self, name: &str) -> Result<(), ImportError> {
        let mut id = self.value(name)?;
        if self.graph.value(id).name != name || self.graph.outputs.contains(&id) || self.graph.inputs.contains(&id) {
            let ty = self.graph.value(id).ty.clone();
            self.begin(name);
            let copy = Op::Reshape(Reshape { shape: ty.shape.clone() });
            id = self.add_node(copy, &[Some(id)], ty)?;
            name.clone_into(&mut self.graph.values[id.0].name);
        }
        self.graph.outputs.push(id);
        Ok(())
    }

    /// Lets go of a constant's elements if no node reads them and no other name stands for them: they were made into
    /// others.
    pub fn release(&mut self, name: &str) {
        if let Some(Binding::Value(id)) = self.bindings.get(name) {
            self.names[id.0] = self.names[id.0].saturating_sub(1);
            if self.names[id.0] == 0 && !self.read[id.0] {
                self.graph.values[id.0].constant = None;
            }
        }
    }

    /// The finished graph, without values that nothing uses.
    pub fn finish(self) -> Graph {
        let mut graph = self.graph;
        let mut used = vec![false; graph.values.len()];
        let nodes = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs));
        for id in nodes.chain(&graph.inputs).chain(&graph.outputs) {
            used[id.0] = true;
        }
        let mut places = Vec::with_capacity(used.len());
        let mut next = 0;
        for used in &used {
            places.push(ValueId(next));
            next += usize::from(*used);
        }
        let mut flags = used.iter();
        graph.values.retain(|_| *flags.next().expect("one flag a value"));
        let nodes = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten().chain(&mut node.outputs));
        for id in nodes.chain(&mut graph.inputs).chain(&mut graph.outputs) {
            *id = places[id.0];
        }
        graph
    }

    /// The type of a value.
    pub fn ty(&self, id: ValueId) -> &TensorType {
        &self.graph.value(id).ty
    }

    /// The element type of a value.
    pub fn dtype(&self, id: ValueId) -> DType {
        self.ty(id).dtype
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> Vec<usize> {
        self.ty(id).shape.clone()
    }

    /// The elements of a value if they are known.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.graph.constant(id)
    }

    /// The integers of a value if they are known.
    pub fn integers(&mut self, id: ValueId) -> Result<Option<Vec<i64>>, ImportError> {
        // Any number of operators may ask for the same integers.
        self.charge(size_of::<i64>() * self.graph.constant(id).map_or(0, |constant| constant.ty().len()))?;
        Ok(match self.graph.constant(id).map(|constant| constant.as_ref().view) {
            Some(View::I64(values)) => Some(values.to_vec()),
            Some(view) if is_integer(view.dtype()) => {
                // No other type has more digits than a float holds.
                Some(view.to_f64().into_iter().map(|value| value as i64).collect())
            }
            _ => None,
        })
    }

    /// The real numbers of a value if they are known.
    pub fn floats(&mut self, id: ValueId) -> Result<Option<Vec<f32>>, ImportError> {
        self.charge(size_of::<f32>() * self.graph.constant(id).map_or(0, |constant| constant.ty().len()))?;
        Ok(match self.graph.constant(id).map(|constant| constant.as_ref().view) {
            Some(View::F32(values)) => Some(values.to_vec()),
            Some(view) if view.dtype().is_float() => {
                Some(view.to_f64().into_iter().map(|value| value as f32).collect())
            }
            _ => None,
        })
    }

    /// An input of the graph that a value follows from, if there is one.
    pub fn origin(&self, id: ValueId) -> Option<&str> {
        let mut seen = vec![false; self.graph.values.len()];
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if std::mem::replace(&mut seen[id.0], true) {
                continue;
            }
            if self.graph.inputs.contains(&id) {
                return Some(&self.graph.value(id).name);
            }
            if let Some(node) = self.producers[id.0] {
                waiting.extend(self.graph.nodes[node].inputs.iter().flatten());
            }
        }
        None
    }

    /// A constant that the file does not have.
    pub fn add_constant(&mut self, tensor: Tensor) -> Result<ValueId, ImportError> {
        self.charge(BOOKKEEPING + tensor.ty().bytes())?;
        let name = format!("{}/{}", self.node, self.graph.values.len());
        let id = self.graph.add_constant(name, tensor);
        Ok(self.track(id, false, None))
    }

    fn count_activation(&mut self, ty: &TensorType, name: &str) -> Result<(), ImportError> {
        self.charge(BOOKKEEPING + name.len())?;
        ty.check(name)?;
        self.activation_bytes = self.activation_bytes.saturating_add(ty.bytes());
        if self.activation_bytes > MAX_ACTIVATION_BYTES {
            return Err(ImportError::TooLarge("its tensors take more than 4 GiB together".to_owned()));
        }
        Ok(())
    }

    fn add_node(&mut self, op: Op, inputs: &[Option<ValueId>], ty: TensorType) -> Result<ValueId, ImportError> {
        self.charge(BOOKKEEPING + self.node.len() + size_of::<Option<ValueId>>() * (inputs.len() + 1))?;
        let name = format!("{}/{}", self.node, self.graph.values.len());
        self.count_activation(&ty, &name)?;
        let id = self.graph.add_value(name, ty);
        self.track(id, false, Some(self.graph.nodes.len()));
        for input in inputs.iter().flatten() {
            self.read[input.0] = true;
        }
        self.graph.add_node(self.node.clone(), op, inputs.to_vec(), vec![id]);
        Ok(id)
    }

    /// Applies an operator whose result is of the first input's type.
    pub fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        let TensorType { dtype, quantization, .. } = self.ty(inputs[0]).clone();
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.emit_as(op, &inputs, dtype, quantization)
    }

    /// Applies an operator whose result is of this type: a node, or a constant where all that it reads is constant and
    /// the result is integers (arithmetic on shapes) or small.
    pub fn emit_as(
        &mut self,
        op: Op,
        inputs: &[Option<ValueId>],
        dtype: DType,
        quantization: Option<Quantization>,
    ) -> Result<ValueId, Problem> {
        let types: Vec<_> = inputs.iter().map(|id| id.map(|id| self.ty(id))).collect();
        let shape = op.infer(&types).map_err(refusal)?.remove(0);
        let ty = TensorType { dtype, shape, quantization };
        op.check(&types, &[&ty]).map_err(refusal)?;
        let integers = !dtype.is_float();
        let limit = if integers { MAX_FOLDED_INTEGERS } else { MAX_FOLDED };
        let moves = matches!(op, Op::Reshape(_) | Op::Transpose(_));
        // Passes look for quantized weights and operands, however small.
        let limit = if op == Op::Dequantize { 1 } else { limit };
        let work = op.steps(&types, &[&ty]);
        if (moves || ty.len() <= limit) && work <= MAX_FOLDED_INTEGERS as u64 {
            let operands: Option<Vec<_>> = inputs
                .iter()
                .map(|id| match id {
                    Some(id) => self.graph.constant(*id).map(|constant| Some(constant.as_ref())),
                    None => Some(None),
                })
                .collect();
            if let Some(operands) = operands {
                self.tensors.budget.charge(BOOKKEEPING + ty.bytes())?;
                let mut result = Tensor::zeroed(ty);
                op.eval(&operands, &mut [result.as_mut()]).map_err(refusal)?;
                return Ok(self.add_constant(result)?);
            }
        }
        Ok(self.add_node(op, inputs, ty)?)
    }

    /// Numbers in the shape of a tensor of their own.
    pub fn constant_of(&mut self, shape: &[usize], data: impl Into<kinglet_graph::Data>) -> Result<ValueId, Problem> {
        let tensor = Tensor::new(shape, data).map_err(refusal)?;
        Ok(self.add_constant(tensor)?)
    }

    /// One number of an element type, as a tensor without axes.
    pub fn scalar(&mut self, dtype: DType, value: f32) -> Result<ValueId, Problem> {
        let real = self.constant_of(&[], vec![value])?;
        self.cast(real, dtype)
    }

    /// The same numbers as another element type.
    pub fn cast(&mut self, x: ValueId, dtype: DType) -> Result<ValueId, Problem> {
        let x = self.plain(x)?;
        if self.dtype(x) == dtype { Ok(x) } else { self.emit_as(Op::Cast(Cast::default()), &[Some(x)], dtype, None) }
    }

    /// The same elements in another shape.
    pub fn reshape(&mut self, x: ValueId, shape: &[usize]) -> Result<ValueId, Problem> {
        if self.ty(x).shape == shape { Ok(x) } else { self.emit(Op::Reshape(Reshape { shape: shape.to_vec() }), &[x]) }
    }

    /// Axes in another order: axis i of the result is axis `permutation[i]` of the input.
    pub fn transpose(&mut self, x: ValueId, permutation: &[usize]) -> Result<ValueId, Problem> {
        if permutation.iter().enumerate().all(|(to, &from)| to == from) && permutation.len() == self.ty(x).shape.len() {
            return Ok(x);
        }
        if let Some(weights) = self.dequantized_constant(x) {
            let weights = self.transpose_constant(weights, permutation)?;
            return self.emit_as(Op::Dequantize, &[Some(weights)], DType::F32, None);
        }
        if self.constant(x).is_some() && self.ty(x).quantization.is_some() {
            return self.transpose_constant(x, permutation);
        }
        self.emit(Op::Transpose(Transpose { permutation: permutation.to_vec() }), &[x])
    }

    /// Whether a value is a constant, or the real numbers of a quantized one.
    pub fn is_known(&self, x: ValueId) -> bool {
        self.constant(x).is_some() || self.dequantized_constant(x).is_some()
    }

    /// The quantized constant whose real numbers a value is. Axes are permuted in the constant, so that the numbers
    /// need not be made and passes find quantized weights.
    fn dequantized_constant(&self, x: ValueId) -> Option<ValueId> {
        let node = &self.graph.nodes[self.producers[x.0]?];
        match (&node.op, &node.inputs[..]) {
            (Op::Dequantize, &[Some(weights)]) => self.constant(weights).map(|_| weights),
            _ => None,
        }
    }

    /// A constant with its axes in another order, its scales' axis among them.
    fn transpose_constant(&mut self, id: ValueId, permutation: &[usize]) -> Result<ValueId, Problem> {
        let ty = self.ty(id).clone();
        let mut quantization = ty.quantization.clone();
        if let Some(axis) = quantization.as_mut().and_then(|quantization| quantization.axis.as_mut()) {
            *axis = permutation.iter().position(|from| from == axis).unwrap_or(*axis);
        }
        let op = Op::Transpose(Transpose { permutation: permutation.to_vec() });
        // Only the integers move; what they mean follows from their place before and after.
        let plain = TensorType { quantization: None, ..ty.clone() };
        let shape = op.infer(&[Some(&plain)]).map_err(refusal)?.remove(0);
        self.charge(ty.bytes())?;
        let constant = self.graph.constant(id).map(Tensor::data).cloned();
        let Some(data) = constant else { return unsupported("of what is no constant") };
        let from = Tensor::with_type(plain, data).map_err(refusal)?;
        let mut to = Tensor::zeroed(TensorType::new(ty.dtype, shape.clone()));
        op.eval(&[Some(from.as_ref())], &mut [to.as_mut()]).map_err(refusal)?;
        let to = Tensor::with_type(TensorType { shape, quantization, ..ty }, to.data().clone()).map_err(refusal)?;
        Ok(self.add_constant(to)?)
    }

    /// N, C, … to N, …, C: how the graph's image operators want their input.
    pub fn channels_last(&mut self, x: ValueId) -> Result<ValueId, Problem> {
        let rank = self.ty(x).shape.len();
        let permutation: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
        self.transpose(x, &permutation)
    }

    /// N, …, C back to N, C, …
    pub fn channels_first(&mut self, x: ValueId) -> Result<ValueId, Problem> {
        let rank = self.ty(x).shape.len();
        let permutation: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        self.transpose(x, &permutation)
    }

    /// The same integers with this scale and zero point.
    pub fn quantized(&mut self, x: ValueId, quantization: &Quantization) -> Result<ValueId, Problem> {
        let ty = TensorType { quantization: Some(quantization.clone()), ..self.ty(x).clone() };
        ty.check("input").map_err(refusal)?;
        if self.ty(x).means_same(&ty) {
            return Ok(x);
        }
        match self.graph.constant(x) {
            Some(constant) => {
                let constant = Tensor::with_type(ty, constant.data().clone()).map_err(refusal)?;
                Ok(self.add_constant(constant)?)
            }
            None => self.emit_as(Op::Reinterpret, &[Some(x)], ty.dtype, ty.quantization),
        }
    }

    /// The integers of a quantized tensor as mere numbers, which is what arithmetic of the file means by them.
    pub fn plain(&mut self, x: ValueId) -> Result<ValueId, Problem> {
        match self.ty(x) {
            TensorType { quantization: None, .. } => Ok(x),
            ty => self.emit_as(Op::Reinterpret, &[Some(x)], ty.dtype, None),
        }
    }

    /// An elementwise function of two tensors, with broadcasting.
    pub fn binary(&mut self, kind: BinaryKind, a: ValueId, b: ValueId) -> Result<ValueId, Problem> {
        let (a, b) = (self.plain(a)?, self.plain(b)?);
        let dtype = if kind.is_predicate() { DType::Bool } else { self.dtype(a) };
        self.emit_as(Op::Binary(Binary { kind, activation: Activation::None }), &[Some(a), Some(b)], dtype, None)
    }

    /// An elementwise function of one tensor.
    pub fn unary(&mut self, unary: Unary, x: ValueId) -> Result<ValueId, Problem> {
        let x = self.plain(x)?;
        self.emit(Op::Unary(unary), &[x])
    }
}

/// Whether it is an integer type whose numbers a float holds.
fn is_integer(dtype: DType) -> bool {
    let narrow = matches!(dtype, DType::I4 | DType::U4 | DType::I2 | DType::U2);
    narrow || (dtype.is_integer() && dtype != DType::U64)
}

/// What a refusal of the graph means: an element type that an operator does not take is a lack, the rest is the file's
/// fault.
pub fn refusal(error: GraphError) -> Problem {
    match error {
        GraphError::Type { .. } | GraphError::Quantization { .. } => Problem::Unsupported(error.to_string()),
        error => Problem::Invalid(error.to_string()),
    }
}
