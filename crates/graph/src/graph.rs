//! The graph: values, and nodes that make values out of values, in execution order.

use std::sync::Arc;

use crate::{GraphError, Op, Tensor, TensorType};

/// The place of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// The place of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A tensor of the graph: an input, a constant, or what a node makes.
#[derive(Clone, Debug)]
pub struct Value {
    /// The name it has in the model file.
    pub name: String,
    /// Element type, shape, quantization.
    pub ty: TensorType,
    /// Its elements, where they are known before the graph runs. Shared, since graphs are copied and weights are large.
    pub constant: Option<Arc<Tensor>>,
}

/// An operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name it has in the model file, or one made from its operator and place.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads; `None` for an optional input that is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What it makes.
    pub outputs: Vec<ValueId>,
}

/// A model: nodes in an order in which each value is made before it is read.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The model's name, for people.
    pub name: String,
    /// Every tensor.
    pub values: Vec<Value>,
    /// Every operator, in execution order.
    pub nodes: Vec<Node>,
    /// What the graph is given.
    pub inputs: Vec<ValueId>,
    /// What it gives.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// Adds a value that is an input or will be made by a node.
    pub fn add_value(&mut self, name: impl Into<String>, ty: TensorType) -> ValueId {
        self.values.push(Value { name: name.into(), ty, constant: None });
        ValueId(self.values.len() - 1)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.values.push(Value { name: name.into(), ty: tensor.ty().clone(), constant: Some(Arc::new(tensor)) });
        ValueId(self.values.len() - 1)
    }

    /// Adds a node.
    pub fn add_node(&mut self, name: impl Into<String>, op: Op, inputs: Vec<Option<ValueId>>, outputs: Vec<ValueId>) {
        self.nodes.push(Node { name: name.into(), op, inputs, outputs });
    }

    /// The value of this id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The elements of this value if they are known.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.values[id.0].constant.as_deref()
    }

    /// For each value, the node that makes it.
    pub fn producers(&self) -> Vec<Option<NodeId>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.0] = Some(NodeId(index));
            }
        }
        producers
    }

    /// For each value, the nodes that read it (once for each time they do). Being a graph output does not count.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers = vec![Vec::new(); self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten() {
                consumers[input.0].push(NodeId(index));
            }
        }
        consumers
    }

    /// Checks that every id exists, that each value has one maker and is made before it is read, that constants fit
    /// their types, and that every operator accepts its inputs and gives the types that its outputs claim to have.
    pub fn validate(&self) -> Result<(), GraphError> {
        let structure = |message: String| Err(GraphError::Structure(message));
        let known = |id: &ValueId| id.0 < self.values.len();
        if let Some(id) = self.inputs.iter().chain(&self.outputs).find(|id| !known(id)) {
            return structure(format!("there is no value {}", id.0));
        }
        let mut made: Vec<bool> = self.values.iter().map(|value| value.constant.is_some()).collect();
        for value in &self.values {
            value.ty.check(&value.name)?;
            if value.constant.as_ref().is_some_and(|constant| constant.ty() != &value.ty) {
                return structure(format!("the constant {:?} is not of the type that its value has", value.name));
            }
        }
        for input in &self.inputs {
            if std::mem::replace(&mut made[input.0], true) {
                return structure(format!("the input {:?} is a constant or is listed twice", self.value(*input).name));
            }
        }
        for node in &self.nodes {
            for id in node.inputs.iter().flatten() {
                if !known(id) || !made[id.0] {
                    return structure(format!("node {:?} reads value {} before it is made", node.name, id.0));
                }
            }
            for id in &node.outputs {
                if !known(id) || std::mem::replace(&mut made[id.0], true) {
                    return structure(format!("node {:?} makes value {}, which is made already", node.name, id.0));
                }
            }
            self.check_types(node).map_err(|error| error.at(&node.name, node.op.name()))?;
        }
        match self.outputs.iter().find(|id| !made[id.0]) {
            Some(id) => structure(format!("nothing makes the output {:?}", self.value(*id).name)),
            None => Ok(()),
        }
    }

    fn check_types(&self, node: &Node) -> Result<(), GraphError> {
        let inputs: Vec<_> = node.inputs.iter().map(|id| id.map(|id| &self.value(id).ty)).collect();
        let outputs: Vec<_> = node.outputs.iter().map(|id| &self.value(*id).ty).collect();
        node.op.check(&inputs, &outputs)
    }
}
