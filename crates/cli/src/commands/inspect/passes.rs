//! `kinglet inspect --passes`: the graph as the file has it, what each pass made of it, and what runs.

use std::collections::BTreeMap;

use anyhow::Result;
use kinglet::Model;
use kinglet::graph::Graph;
use kinglet::graph::passes::{Precision, optimize_observed};
use serde::Serialize;

use crate::arguments::Common;
use crate::output;
use crate::table::{Table, left, right};

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    before: State,
    passes: Vec<Applied>,
    after: State,
}

/// A graph: how often it has each operator, and what it is as text.
#[derive(Serialize)]
struct State {
    nodes: usize,
    operators: Counts,
    text: String,
}

/// A pass that rewrote something.
#[derive(Serialize)]
struct Applied {
    pass: &'static str,
    rewrites: usize,
    /// How close results stay to what they were: `exact`, `rounding` or `step`.
    precision: &'static str,
    nodes: usize,
    /// The operators whose number changed.
    operators: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    operator: &'static str,
    before: usize,
    after: usize,
}

type Counts = BTreeMap<&'static str, usize>;

/// Optimizes a model that is as it was imported, and reports how.
pub fn run(model: &Model, common: &Common) -> Result<()> {
    let mut graph = model.graph().clone();
    let before = State::of(&graph);
    let mut counts = before.operators.clone();
    let mut passes = Vec::new();
    optimize_observed(&mut graph, |pass, rewrites, graph| {
        let after = operators(graph);
        if rewrites > 0 {
            let precision = match pass.precision {
                Precision::Exact => "exact",
                Precision::Rounding => "rounding",
                Precision::Step => "step",
            };
            let operators = changes(&counts, &after);
            passes.push(Applied { pass: pass.name, rewrites, precision, nodes: graph.nodes.len(), operators });
        }
        counts = after;
    })?;
    let report = Report { model: model.name(), before, passes, after: State::of(&graph) };
    if common.json { output::json(&report) } else { print(&report) }
}

impl State {
    fn of(graph: &Graph) -> State {
        State { nodes: graph.nodes.len(), operators: operators(graph), text: graph.to_string() }
    }
}

fn operators(graph: &Graph) -> Counts {
    let mut counts = Counts::new();
    for node in &graph.nodes {
        *counts.entry(node.op.name()).or_default() += 1;
    }
    counts
}

fn changes(before: &Counts, after: &Counts) -> Vec<Change> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let count = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or(0);
    let names = after.keys().chain(gone).copied();
    let changes = names.map(|name| Change { operator: name, before: count(before, name), after: count(after, name) });
    changes.filter(|change| change.before != change.after).collect()
}

fn print(report: &Report<'_>) -> Result<()> {
    print_graph("As imported", &report.before)?;
    let columns = [left("pass"), right("rewrites"), left("precision"), right("nodes"), left("operators")];
    let mut table = Table::new(&columns);
    for Applied { pass, rewrites, precision, nodes, operators } in &report.passes {
        let change = |Change { operator, before, after }: &Change| format!("{operator} {before} to {after}");
        let changes = operators.iter().map(change).collect::<Vec<_>>().join(", ");
        table.row([(*pass).to_owned(), rewrites.to_string(), (*precision).to_owned(), nodes.to_string(), changes]);
    }
    output::line(format!("{table}\n"))?;
    print_graph("Optimized", &report.after)
}

fn print_graph(title: &str, state: &State) -> Result<()> {
    output::line(format!("{title}: {} nodes", state.nodes))?;
    state.text.lines().try_for_each(|line| output::line(output::plain(line)))?;
    output::line("")
}
