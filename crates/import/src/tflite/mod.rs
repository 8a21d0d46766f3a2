//! TensorFlow Lite: from the bytes of a `.tflite` file to a graph.
//!
//! `flatbuffer` reads tables wherever they lie, `schema` names their fields, `tensors` reads tensors and constants,
//! `builder` makes values and nodes, and `operators` says what each operator of the format is in the graph.
//!
//! Quantized uint8 is read as int8, shifted by 128; the graph's inputs and outputs keep the file's own types. An axis that is
//! left open, the batch usually, has size 1.

mod builder;
mod flatbuffer;
mod operators;
mod schema;
mod tensors;

use builder::Builder;
use flatbuffer::{Table, Tables};
use operators::{Operator, OperatorCode, Problem};
use tensors::{Budget, File, MAX_NAME};

use crate::{ImportError, Model, UnsupportedOperator};

/// The version of the schema that is read.
const SCHEMA_VERSION: u32 = 3;

/// Reads a TensorFlow Lite model. `name` becomes the graph's name.
pub fn import(bytes: &[u8], name: &str) -> Result<Model, ImportError> {
    let model = Table::root(bytes)?;
    let version = model.get(schema::model::VERSION)?;
    if version != SCHEMA_VERSION {
        return Err(ImportError::Damaged(format!("it claims version {version} of the schema, not {SCHEMA_VERSION}")));
    }
    // Subgraphs after the first are reached only through operators for control flow, none of which is supported.
    let Some(subgraph) = model.children(schema::model::SUBGRAPHS)?.get(0)? else {
        return Err(ImportError::Damaged("it has no subgraph".to_owned()));
    };
    let numbers =
        |field| subgraph.numbers(field)?.iter().map(tensor_number).collect::<Result<Vec<usize>, ImportError>>();
    let (inputs, outputs) = (numbers(schema::subgraph::INPUTS)?, numbers(schema::subgraph::OUTPUTS)?);
    let mut budget = Budget::of_file(bytes.len());
    let description = text(&mut budget, model.text(schema::model::DESCRIPTION)?)?;
    let codes = operator_codes(&mut budget, model.children(schema::model::OPERATOR_CODES)?)?;
    let file = File {
        bytes,
        tensors: subgraph.children(schema::subgraph::TENSORS)?,
        buffers: model.children(schema::model::BUFFERS)?,
        budget,
    };
    let mut builder = Builder::new(file, outputs.iter().copied().collect(), name);
    let nodes = subgraph.children(schema::subgraph::OPERATORS)?;
    require_known_operators(nodes, &codes, &builder)?;
    for tensor in inputs {
        builder.add_input(tensor)?;
    }
    translate(nodes, &codes, &mut builder)?;
    for tensor in outputs {
        builder.add_output(tensor)?;
    }
    let graph = builder.finish();
    graph.validate()?;
    Ok(Model { graph, description, architecture: None })
}

fn text(budget: &mut Budget, bytes: &[u8]) -> Result<String, ImportError> {
    budget.charge(bytes.len())?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn tensor_number(number: i32) -> Result<usize, ImportError> {
    usize::try_from(number).map_err(|_| ImportError::Damaged(format!("it refers to a tensor {number}")))
}

fn operator_codes(budget: &mut Budget, tables: Tables<'_>) -> Result<Vec<OperatorCode>, ImportError> {
    let mut codes = Vec::new();
    for table in tables.iter() {
        let table = table?;
        budget.charge(size_of::<OperatorCode>())?;
        let custom = table.text(schema::operator_code::CUSTOM_CODE)?;
        let custom = text(budget, &custom[..custom.len().min(MAX_NAME)])?;
        // Codes beyond a byte came later and have a field of their own; the older field then holds a placeholder.
        let byte = table.get(schema::operator_code::DEPRECATED_BUILTIN_CODE)?;
        let code = table.get(schema::operator_code::BUILTIN_CODE)?.max(i32::from(byte));
        codes.push(OperatorCode::new(code, custom, table.get(schema::operator_code::VERSION)?));
    }
    Ok(codes)
}

/// Refuses a file with operators that are not known, naming all of them, before anything else in it is looked at.
fn require_known_operators(
    nodes: Tables<'_>,
    codes: &[OperatorCode],
    builder: &Builder<'_>,
) -> Result<(), ImportError> {
    let mut unsupported = Unsupported::default();
    for (index, table) in nodes.iter().enumerate() {
        let operator = Operator::read(index, table?, codes)?;
        if !operators::is_known(&operator) {
            unsupported.add(&operator, String::new(), builder);
        }
    }
    unsupported.finish()
}

/// Translates the nodes one after another, and goes on where one is of an unsupported kind, to name all of those.
fn translate(nodes: Tables<'_>, codes: &[OperatorCode], builder: &mut Builder<'_>) -> Result<(), ImportError> {
    let mut unsupported = Unsupported::default();
    for (index, table) in nodes.iter().enumerate() {
        if let Err(error) = translate_node(index, table?, codes, builder, &mut unsupported) {
            // After an operator that was left out, what is wrong may only follow from that.
            unsupported.finish()?;
            return Err(error);
        }
    }
    unsupported.finish()
}

fn translate_node(
    index: usize,
    table: Table<'_>,
    codes: &[OperatorCode],
    builder: &mut Builder<'_>,
    unsupported: &mut Unsupported,
) -> Result<(), ImportError> {
    let operator = Operator::read(index, table, codes)?;
    match operators::translate(builder, &operator) {
        Ok(()) => Ok(()),
        Err(Problem::Unsupported(reason)) => {
            unsupported.add(&operator, reason, builder);
            operator.make_outputs(builder)
        }
        Err(Problem::Invalid(problem)) => {
            let (operator, name) = (operator.code.name(), operator.label(builder));
            Err(ImportError::Operator { node: index, operator, name, problem })
        }
        Err(Problem::Import(error)) => Err(error),
    }
}

/// Unsupported operators, each kind once.
#[derive(Default)]
struct Unsupported(Vec<UnsupportedOperator>);

impl Unsupported {
    /// The most kinds that are listed.
    const MAX: usize = 64;

    fn add(&mut self, operator: &Operator<'_>, reason: String, builder: &Builder<'_>) {
        let (name, version) = (operator.code.name(), operator.code.version);
        let same = |u: &&mut UnsupportedOperator| u.operator == name && u.version == version && u.reason == reason;
        if let Some(known) = self.0.iter_mut().find(same) {
            known.more += 1;
        } else if self.0.len() < Unsupported::MAX {
            let (node, label) = (operator.index, operator.label(builder));
            self.0.push(UnsupportedOperator { operator: name, version, reason, node, name: label, more: 0 });
        }
    }

    fn finish(self) -> Result<(), ImportError> {
        if self.0.is_empty() { Ok(()) } else { Err(ImportError::Unsupported(self.0)) }
    }
}
