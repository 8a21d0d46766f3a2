//! TensorFlow Lite: from the bytes of a `.tflite` file to a graph.
//!
//! `flatbuffer` reads tables wherever they lie, `schema` names their fields, `tensors` reads tensors and constants,
//! `builder` makes values and nodes, and `operators` says what each operator of the format is in the graph.
//!
//! Quantized uint8 is read as int8, shifted by 128; the graph's inputs and outputs keep the file's own types. An axis
//! that is left open, the batch usually, has size 1.

mod builder;
mod flatbuffer;
mod flexbuffer;
mod operators;
mod schema;
mod tensors;

use std::collections::BTreeMap;

use builder::Builder;
use flatbuffer::{Table, Tables};
use operators::{Operator, OperatorCode, Problem};
use tensors::File;

use crate::budget::{Budget, MAX_NAME};
use crate::unsupported::Unsupported;
use crate::{ImportError, Model};

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
    Ok(Model { graph, description, metadata: BTreeMap::new(), architecture: None })
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
            add_unsupported(&mut unsupported, &operator, String::new(), builder);
        }
    }
    unsupported.finish()
}

fn add_unsupported(unsupported: &mut Unsupported, operator: &Operator<'_>, reason: String, builder: &Builder<'_>) {
    let (name, version) = (operator.code.name(), operator.code.version);
    unsupported.add(name, version, reason, operator.index, || operator.label(builder));
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
            add_unsupported(unsupported, &operator, reason, builder);
            operator.make_outputs(builder)
        }
        Err(Problem::Invalid(problem)) => {
            let (operator, name) = (operator.code.name(), operator.label(builder));
            Err(ImportError::Operator { node: index, operator, name, problem })
        }
        Err(Problem::Import(error)) => Err(error),
    }
}
