//! Removes nodes and values that no output needs.

use crate::{Graph, GraphError, ValueId};

/// Removes nodes that no output needs, then values that nothing reads or makes; graph inputs stay.
pub fn dead_code(graph: &mut Graph) -> Result<usize, GraphError> {
    let mut needed = vec![false; graph.values.len()];
    for id in &graph.outputs {
        needed[id.0] = true;
    }
    let mut remove = vec![false; graph.nodes.len()];
    for (node, remove) in graph.nodes.iter().zip(&mut remove).rev() {
        *remove = !node.outputs.iter().any(|id| needed[id.0]);
        if !*remove {
            node.inputs.iter().flatten().chain(&node.outputs).for_each(|id| needed[id.0] = true);
        }
    }
    super::remove_nodes(graph, &remove);
    for id in &graph.inputs {
        needed[id.0] = true;
    }
    let nodes = remove.iter().filter(|remove| **remove).count();
    Ok(nodes + compact(graph, &needed))
}

/// Removes values that are not needed and renumbers the others.
fn compact(graph: &mut Graph, needed: &[bool]) -> usize {
    let mut place = 0;
    let places: Vec<ValueId> = needed
        .iter()
        .map(|needed| {
            place += usize::from(*needed);
            ValueId(place.saturating_sub(1))
        })
        .collect();
    let mut flags = needed.iter();
    graph.values.retain(|_| *flags.next().expect("one flag a value"));
    let inner = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten().chain(&mut node.outputs));
    for id in inner.chain(&mut graph.inputs).chain(&mut graph.outputs) {
        *id = places[id.0];
    }
    needed.len() - place
}
