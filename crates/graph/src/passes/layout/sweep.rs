//! The walk through a graph: which value each value is a permutation of, and the permutations that are carried out.

use std::collections::HashMap;

use super::permutation::{
    self, Permutation, identity, is_identity, moves_nothing, order_between, permuted_tensor, permuted_type,
};
use crate::ops::{Reshape, Transpose};
use crate::passes::budget::Budget;
use crate::{Graph, GraphError, Node, Op, Tensor, TensorType, ValueId};

/// What a value is: the source, its axes in the order of the permutation.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub source: ValueId,
    pub permutation: Permutation,
}

/// A graph on the way from one layout to another.
pub(super) struct Sweep {
    /// The new graph. A value whose node gives it in another order of axes has that order's shape already.
    pub graph: Graph,
    /// What each value of the old graph is in the new one.
    views: Vec<View>,
    /// The old graph's types of its values.
    pub types: Vec<TensorType>,
    is_output: Vec<bool>,
    /// For each value of the new graph that is a constant dequantized, that constant.
    dequantized: HashMap<ValueId, ValueId>,
    /// Values permuted, and reshaped to another number of axes, that there are already.
    permuted: HashMap<(ValueId, Permutation), ValueId>,
    reshaped: HashMap<(ValueId, Vec<usize>), ValueId>,
    budget: Budget,
}

/// The graph with its Transposes moved down as far as they go.
pub(super) fn sweep(old: &Graph) -> Result<Graph, GraphError> {
    let mut graph = old.clone();
    let nodes = std::mem::take(&mut graph.nodes);
    let mut is_output = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|id| is_output[id.0] = true);
    let view =
        |(index, ty): (usize, &TensorType)| View { source: ValueId(index), permutation: identity(ty.shape.len()) };
    let types: Vec<TensorType> = graph.values.iter().map(|value| value.ty.clone()).collect();
    let mut sweep = Sweep {
        budget: Budget::new(&graph),
        views: types.iter().enumerate().map(view).collect(),
        types,
        is_output,
        graph,
        dequantized: HashMap::new(),
        permuted: HashMap::new(),
        reshaped: HashMap::new(),
    };
    for node in nodes {
        let &[output] = &node.outputs[..] else {
            return Err(GraphError::Structure(format!("node {:?} has not one output", node.name)));
        };
        if !sweep.follow(&node, output)? {
            sweep.keep(node)?;
        }
    }
    Ok(sweep.graph)
}

impl Sweep {
    pub fn view(&self, id: ValueId) -> View {
        self.views[id.0].clone()
    }

    /// Whether a value is itself in the new graph.
    pub fn is_plain(&self, id: ValueId) -> bool {
        self.views[id.0].source == id && is_identity(&self.views[id.0].permutation)
    }

    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.graph.value(id).ty.shape
    }

    /// The node as it is, its inputs in the order of axes that they had.
    fn keep(&mut self, mut node: Node) -> Result<(), GraphError> {
        for input in node.inputs.iter_mut().flatten() {
            *input = self.plain(*input)?;
        }
        if let (Op::Dequantize, &[Some(input)]) = (&node.op, &node.inputs[..])
            && self.graph.constant(input).is_some()
        {
            self.dequantized.insert(node.outputs[0], input);
        }
        self.graph.nodes.push(node);
        Ok(())
    }

    /// The node with another operator and other inputs, whose result is the old one's with its axes permuted:
    /// `permutation` of the new result gives the old one.
    pub fn push(
        &mut self,
        node: &Node,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        permutation: Permutation,
    ) -> Result<(), GraphError> {
        let output = node.outputs[0];
        let ty = permuted_type(&self.types[output.0], &permutation::inverse(&permutation));
        let made = if self.is_output[output.0] && !is_identity(&permutation) {
            let name = format!("{}:before", self.graph.value(output).name);
            self.graph.add_value(name, ty)
        } else {
            self.graph.values[output.0].ty = ty;
            output
        };
        self.graph.add_node(node.name.clone(), op, inputs, vec![made]);
        self.define(output, View { source: made, permutation })
    }

    /// Says what a value of the old graph is. One that the graph gives is made at once.
    pub fn define(&mut self, id: ValueId, view: View) -> Result<(), GraphError> {
        self.views[id.0] = view;
        if !self.is_output[id.0] || self.is_plain(id) {
            return Ok(());
        }
        let View { source, permutation } = self.view(id);
        let name = self.graph.value(id).name.clone();
        self.graph.add_node(name, Op::Transpose(Transpose { permutation }), vec![Some(source)], vec![id]);
        self.views[id.0] = View { source: id, permutation: identity(self.shape(id).len()) };
        Ok(())
    }

    /// The value with its axes in the old graph's order.
    pub fn plain(&mut self, id: ValueId) -> Result<ValueId, GraphError> {
        let rank = self.types[id.0].shape.len();
        self.in_order(id, &identity(rank))
    }

    /// A value of which `permutation` gives the old graph's value.
    pub fn in_order(&mut self, id: ValueId, permutation: &[usize]) -> Result<ValueId, GraphError> {
        let view = self.view(id);
        let wanted = order_between(&view.permutation, permutation);
        self.permuted(view.source, &wanted)
    }

    /// The same for an operand that is broadcast to as many axes as the permutation has. A constant comes without
    /// leading axes of size 1.
    pub fn in_order_broadcast(&mut self, id: ValueId, permutation: &[usize]) -> Result<ValueId, GraphError> {
        let ty = &self.types[id.0];
        if ty.len() == 1 {
            return self.plain(id);
        }
        let missing = permutation.len() - ty.shape.len();
        let View { source, permutation: own } = self.view(id);
        let own: Permutation = (0..missing).chain(own.iter().map(|axis| axis + missing)).collect();
        let wanted = order_between(&own, permutation);
        if is_identity(&wanted) {
            return Ok(source);
        }
        let full = self.with_leading_axes(source, missing as isize)?;
        let made = self.permuted(full, &wanted)?;
        let leading = self.shape(made).iter().take_while(|size| **size == 1).count();
        if self.is_known(made) { self.with_leading_axes(made, -(leading as isize)) } else { Ok(made) }
    }

    /// Whether a value is a constant or one dequantized.
    fn is_known(&self, id: ValueId) -> bool {
        self.graph.constant(id).is_some() || self.dequantized.contains_key(&id)
    }

    /// The source with its axes permuted; done at once where it is a constant or a constant dequantized.
    pub fn permuted(&mut self, source: ValueId, permutation: &[usize]) -> Result<ValueId, GraphError> {
        if is_identity(permutation) {
            return Ok(source);
        }
        let key = (source, permutation.to_vec());
        if let Some(made) = self.permuted.get(&key) {
            return Ok(*made);
        }
        let ty = permuted_type(&self.graph.value(source).ty, permutation);
        let made = match self.known(source, |constant| permuted_tensor(constant, permutation))? {
            Some(made) => made,
            None if moves_nothing(self.shape(source), permutation) => self.reshape(source, ty.shape.clone()),
            None => {
                let op = Op::Transpose(Transpose { permutation: permutation.to_vec() });
                self.node(source, op, ty, "transposed")
            }
        };
        self.permuted.insert(key, made);
        Ok(made)
    }

    /// The source with so many more leading axes of size 1, or fewer.
    fn with_leading_axes(&mut self, source: ValueId, more: isize) -> Result<ValueId, GraphError> {
        if more == 0 {
            return Ok(source);
        }
        let shape = self.shape(source);
        let fewer = more.min(0).unsigned_abs();
        let shape = [vec![1; more.max(0) as usize], shape[fewer..].to_vec()].concat();
        let reshaped = |constant: &Tensor| {
            let mut ty = TensorType { shape: shape.clone(), ..constant.ty().clone() };
            if let Some(quantization) = &mut ty.quantization {
                quantization.axis = quantization.axis.and_then(|axis| axis.checked_add_signed(more));
            }
            Tensor::with_type(ty, constant.data().clone())
        };
        match self.known(source, reshaped)? {
            Some(made) => Ok(made),
            None => Ok(self.reshape(source, shape)),
        }
    }

    /// What `change` makes of a source that is a constant, or a constant dequantized; `None` where it is neither, or
    /// the budget for constants is spent.
    fn known(
        &mut self,
        source: ValueId,
        change: impl Fn(&Tensor) -> Result<Tensor, GraphError>,
    ) -> Result<Option<ValueId>, GraphError> {
        let dequantized = self.dequantized.get(&source).copied();
        let Some(constant) = self.graph.value(dequantized.unwrap_or(source)).constant.clone() else { return Ok(None) };
        let len = constant.data().len() as u64;
        if !self.budget.take(len, len) {
            return Ok(None);
        }
        let name = self.graph.value(dequantized.unwrap_or(source)).name.clone();
        let changed = self.graph.add_constant(name, change(&constant)?);
        if dequantized.is_none() {
            return Ok(Some(changed));
        }
        let ty = TensorType { shape: self.shape(changed).to_vec(), ..self.graph.value(source).ty.clone() };
        let made = self.node(changed, Op::Dequantize, ty, "transposed");
        let name = self.graph.value(source).name.clone();
        self.graph.values[made.0].name = name;
        self.dequantized.insert(made, changed);
        Ok(Some(made))
    }

    /// The source in another shape.
    pub fn reshape(&mut self, source: ValueId, shape: Vec<usize>) -> ValueId {
        let key = (source, shape);
        if let Some(made) = self.reshaped.get(&key) {
            return *made;
        }
        let ty = TensorType { shape: key.1.clone(), ..self.graph.value(source).ty.clone() };
        let made = self.node(source, Op::Reshape(Reshape { shape: key.1.clone() }), ty, "reshaped");
        self.reshaped.insert(key, made);
        made
    }

    /// A node of one input, and the value that it makes.
    fn node(&mut self, source: ValueId, op: Op, ty: TensorType, what: &str) -> ValueId {
        let name = format!("{}:{what}", self.graph.value(source).name);
        let made = self.graph.add_value(name.clone(), ty);
        self.graph.add_node(name, op, vec![Some(source)], vec![made]);
        made
    }
}
