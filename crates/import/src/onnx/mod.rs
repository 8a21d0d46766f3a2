//! ONNX: from the bytes of a `.onnx` file to a graph.
//!
//! `schema` names the fields of the protocol buffers, `outline` says what decoding them would take, `functions`
//! replaces calls of the model's own functions, `tensors` reads constants, `inputs` decides the shapes of what the
//! graph is given, `builder` makes values and nodes, and `operators` says what each operator is in the graph.
//!
//! Shapes are static: sizes that the file leaves open are bound by [`Options`], and every shape follows from those.
//! Images are channels first in the file and channels last in the graph, so operators on images stand between
//! transposes, which the graph's passes remove. The graph's inputs and outputs keep the names, shapes and element types
//! of the file.

mod builder;
mod functions;
mod inputs;
mod operator;
mod operators;
mod options;
mod outline;
mod schema;
mod tensors;

use std::collections::{BTreeSet, HashMap};

use kinglet_graph::Tensor;
use prost::Message;

use builder::Builder;
use operator::Operator;
use operators::Problem;
pub use options::{ExternalData, Options};
pub use outline::is_model;
use schema::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use tensors::Tensors;

use crate::budget::shortened;
use crate::unsupported::Unsupported;
use crate::{ImportError, Model};

/// The versions of ONNX's own operator set that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// Reads an ONNX model. `name` becomes the graph's name.
pub fn import(bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Model, ImportError> {
    outline::require_moderate(bytes)?;
    let mut model = ModelProto::decode(bytes).map_err(damaged)?;
    let Some(mut graph) = model.graph.take() else {
        return Err(ImportError::Damaged("it has no graph".to_owned()));
    };
    if !graph.sparse_initializer.is_empty() {
        let problem = "it has sparse constants, which are not supported".to_owned();
        return Err(ImportError::Tensor { tensor: String::new(), problem });
    }
    let nodes = functions::inline(std::mem::take(&mut graph.node), &model.functions, &model.opset_import, bytes.len())?;
    let nodes: Vec<Operator<'_>> = nodes.iter().map(Operator::from).collect();
    require_known_operators(&nodes)?;
    let mut builder = start(bytes.len(), name, &mut graph, options)?;
    translate(&nodes, &graph, &mut builder)?;
    for output in &graph.output {
        builder.add_output(&output.name)?;
    }
    let graph = builder.finish();
    graph.validate()?;
    let metadata = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    Ok(Model { graph, description: model.doc_string, metadata, architecture: None })
}

/// Reads a tensor that is a file of its own, as ONNX's tests come with, and its name.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Tensor), ImportError> {
    outline::require_moderate_tensor(bytes)?;
    let tensor = TensorProto::decode(bytes).map_err(damaged)?;
    Ok((tensor.name.clone(), Tensors::new(bytes.len(), None).read(tensor)?))
}

/// The operators that a model uses, also in its functions, with the domain of those that are not ONNX's own: `Conv`,
/// `com.microsoft.QGemm`.
pub fn operators(bytes: &[u8]) -> Result<BTreeSet<String>, ImportError> {
    outline::require_moderate(bytes)?;
    let model = ModelProto::decode(bytes).map_err(damaged)?;
    let nodes = model.graph.unwrap_or_default().node;
    let nodes = functions::inline(nodes, &model.functions, &model.opset_import, bytes.len())?;
    Ok(nodes.iter().map(|inlined| operator::kind(&inlined.node)).collect())
}

/// Whether an operator of this name, as [`operators`] gives it, is supported, at least in some of its uses.
pub fn is_supported(operator: &str) -> bool {
    let (domain, name) = operator.rsplit_once('.').unwrap_or(("", operator));
    operators::is_known(domain, name)
}

fn damaged(error: prost::DecodeError) -> ImportError {
    ImportError::Damaged(error.to_string())
}

/// The version of each domain's operators.
fn versions(imports: &[OperatorSetIdProto]) -> Result<HashMap<&str, i64>, ImportError> {
    let versions: HashMap<&str, i64> = imports.iter().map(|set| (domain(&set.domain), set.version)).collect();
    match versions.get("") {
        Some(version) if !OPSETS.contains(version) => Err(ImportError::Version(format!(
            "it uses version {version} of ONNX's operators; {} to {} are supported: export it for one of those",
            OPSETS.start(),
            OPSETS.end()
        ))),
        _ => Ok(versions),
    }
}

/// ONNX's own operators have a domain without a name, which may also be written out.
fn domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn version(versions: &HashMap<&str, i64>, node: &NodeProto) -> i64 {
    versions.get(domain(&node.domain)).copied().unwrap_or(1)
}

/// A builder with the graph's inputs and constants.
fn start<'a>(
    file_bytes: usize,
    name: &str,
    graph: &mut GraphProto,
    options: &'a Options<'a>,
) -> Result<Builder<'a>, ImportError> {
    let mut initializers = HashMap::with_capacity(graph.initializer.len());
    for tensor in std::mem::take(&mut graph.initializer) {
        if let Some(twice) = initializers.insert(tensor.name.clone(), tensor) {
            let tensor = shortened(&twice.name).to_owned();
            return Err(ImportError::Tensor { tensor, problem: "is made twice".to_owned() });
        }
    }
    // Inputs that have a constant are only defaults, and listed by files of older versions.
    graph.input.retain(|input| !initializers.contains_key(&input.name) || options.values.contains_key(&input.name));
    graph.input.iter().filter(|input| options.values.contains_key(&input.name)).for_each(|input| {
        initializers.remove(&input.name);
    });
    let mut builder = Builder::new(name, Tensors::new(file_bytes, options.external), initializers);
    inputs::add(&mut builder, &graph.input, options)?;
    Ok(builder)
}

/// Refuses a file with operators that are not known, naming all of them, before anything else in it is looked at.
fn require_known_operators(nodes: &[Operator<'_>]) -> Result<(), ImportError> {
    let mut unsupported = Unsupported::default();
    for operator in nodes.iter().filter(|operator| !operators::is_known(&operator.node.domain, &operator.node.op_type))
    {
        add_unsupported(&mut unsupported, operator, String::new());
    }
    unsupported.finish()
}

fn add_unsupported(unsupported: &mut Unsupported, operator: &Operator<'_>, reason: String) {
    let version = i32::try_from(operator.version).unwrap_or(i32::MAX);
    unsupported.add(operator.kind(), version, reason, operator.index, || operator.label().to_owned());
}

/// Translates the nodes one after another, and goes on where one is used in an unsupported way, to name all of those.
fn translate(nodes: &[Operator<'_>], graph: &GraphProto, builder: &mut Builder<'_>) -> Result<(), ImportError> {
    let last_uses = last_uses(nodes, graph);
    let mut unsupported = Unsupported::default();
    for (place, operator) in nodes.iter().enumerate() {
        if let Err(error) = translate_node(operator, builder, &mut unsupported) {
            // After an operator that was left out, what is wrong may only follow from that.
            unsupported.finish()?;
            return Err(error);
        }
        let mut read: Vec<&str> = operator.node.input.iter().map(String::as_str).collect();
        read.sort_unstable();
        read.dedup();
        for input in read.into_iter().filter(|name| last_uses.get(name) == Some(&place)) {
            builder.release(input);
        }
    }
    unsupported.finish()
}

/// For each name that is no output of the graph, which of the nodes reads it last.
fn last_uses<'a>(nodes: &[Operator<'a>], graph: &GraphProto) -> HashMap<&'a str, usize> {
    let reads =
        nodes.iter().enumerate().flat_map(|(place, op)| op.node.input.iter().map(move |name| (name.as_str(), place)));
    let mut last_uses: HashMap<&str, usize> = reads.collect();
    for output in &graph.output {
        last_uses.remove(output.name.as_str());
    }
    last_uses
}

fn translate_node(
    operator: &Operator<'_>,
    builder: &mut Builder<'_>,
    unsupported: &mut Unsupported,
) -> Result<(), ImportError> {
    let outputs = || operator.node.output.iter().filter(|name| !name.is_empty());
    if operator.node.input.iter().any(|name| builder.is_missing(name)) {
        return outputs().try_for_each(|name| builder.bind_missing(name));
    }
    builder.begin(operator.label());
    match operators::translate(builder, operator) {
        Ok(values) => {
            let named = operator.node.output.iter().zip(values).filter(|(name, _)| !name.is_empty());
            for (name, id) in named {
                builder.bind(name, id)?;
            }
            Ok(())
        }
        Err(Problem::Unsupported(reason)) => {
            add_unsupported(unsupported, operator, reason);
            outputs().try_for_each(|name| builder.bind_missing(name))
        }
        Err(Problem::Invalid(problem)) => Err(ImportError::Operator {
            node: operator.index,
            operator: operator.kind(),
            name: operator.label().to_owned(),
            problem,
        }),
        Err(Problem::Import(error)) => Err(error),
    }
}
