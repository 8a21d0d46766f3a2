//! Executes a graph node by node in plain loops, without regard to speed: what every faster way is held to.

use crate::{Graph, GraphError, NodeId, Tensor, TensorRef, TensorType, ValueId};

/// Something that runs a graph: the reference here, or the runtime. Calibration asks for no more than this.
pub trait Execute {
    /// Runs the graph on one set of inputs, in the order and with the types of [`Graph::inputs`]; gives its outputs.
    fn execute(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError>;
}

/// The plain executor.
#[derive(Debug)]
pub struct Reference<'g> {
    graph: &'g Graph,
}

impl<'g> Reference<'g> {
    /// An executor of this graph.
    pub fn new(graph: &'g Graph) -> Result<Reference<'g>, GraphError> {
        graph.validate()?;
        Ok(Reference { graph })
    }

    /// Runs the graph and shows `observe` every tensor that a node makes, as it is made.
    pub fn observe(
        &self,
        inputs: &[Tensor],
        mut observe: impl FnMut(ValueId, &Tensor),
    ) -> Result<Vec<Tensor>, GraphError> {
        let graph = self.graph;
        check_inputs(graph, inputs)?;
        let mut tensors: Vec<Option<Tensor>> = vec![None; graph.values.len()];
        for (id, tensor) in graph.inputs.iter().zip(inputs) {
            tensors[id.0] = Some(tensor.clone());
        }
        let last_use = last_uses(graph);
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut outputs: Vec<Tensor> =
                node.outputs.iter().map(|id| Tensor::zeroed(graph.value(*id).ty.clone())).collect();
            {
                let read = |id: &ValueId| tensors[id.0].as_ref().or(graph.constant(*id)).map(Tensor::as_ref);
                let operands: Vec<Option<TensorRef<'_>>> =
                    node.inputs.iter().map(|id| id.as_ref().and_then(read)).collect();
                let mut results: Vec<_> = outputs.iter_mut().map(Tensor::as_mut).collect();
                node.op.eval(&operands, &mut results).map_err(|error| error.at(&node.name, node.op.name()))?;
            }
            for (id, tensor) in node.outputs.iter().zip(outputs) {
                observe(*id, &tensor);
                tensors[id.0] = Some(tensor);
            }
            for id in node.inputs.iter().flatten().filter(|id| last_use[id.0] == Some(NodeId(index))) {
                tensors[id.0] = None;
            }
        }
        let take =
            |id: &ValueId| tensors[id.0].clone().or(graph.constant(*id).cloned()).expect("validated: it is made");
        Ok(graph.outputs.iter().map(take).collect())
    }
}

impl Execute for Reference<'_> {
    fn execute(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.observe(inputs, |_, _| ())
    }
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), GraphError> {
    if inputs.len() != graph.inputs.len() {
        return Err(GraphError::Arity { expected: graph.inputs.len().to_string(), found: inputs.len() });
    }
    graph.inputs.iter().zip(inputs).try_for_each(|(id, tensor)| {
        let value = graph.value(*id);
        check_input(&value.name, &value.ty, tensor)
    })
}

/// Checks that `tensor` has the element type and the shape of the model's input `name`, whose type is `ty`.
pub fn check_input(name: &str, ty: &TensorType, tensor: &Tensor) -> Result<(), GraphError> {
    if tensor.ty().dtype != ty.dtype {
        return Err(GraphError::Type {
            what: format!("input {name:?}"),
            expected: format!("the model takes {}", ty.dtype),
            found: tensor.ty().dtype,
        });
    }
    if tensor.shape() != ty.shape {
        return Err(GraphError::Shape {
            what: format!("input {name:?}"),
            expected: format!("{:?}", ty.shape),
            found: tensor.shape().to_vec(),
        });
    }
    Ok(())
}

/// For each value that is no graph output, the node that reads it last.
fn last_uses(graph: &Graph) -> Vec<Option<NodeId>> {
    let mut last = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for id in node.inputs.iter().flatten() {
            last[id.0] = Some(NodeId(index));
        }
    }
    for id in &graph.outputs {
        last[id.0] = None;
    }
    last
}
