//! Functions of the model's own: each node that calls one gives way to the nodes of the function.

use std::collections::HashMap;

use super::operator::{kind, label};
use super::outline;
use super::schema::{AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto};
use super::{domain, version, versions};
use crate::ImportError;
use crate::budget::{BOOKKEEPING, Budget, shortened};

/// How many calls may lie in each other.
const MAX_DEPTH: usize = 64;

/// A node that calls no function.
pub struct Inlined {
    pub node: NodeProto,
    /// The version of its domain's operator set.
    pub version: i64,
    /// Its place in the file, or that of the call that it belongs to.
    pub index: usize,
}

/// Replaces calls until there are none. Each node that a call makes is charged to a budget for a file of this size.
pub fn inline(
    nodes: Vec<NodeProto>,
    functions: &[FunctionProto],
    opsets: &[OperatorSetIdProto],
    file_bytes: usize,
) -> Result<Vec<Inlined>, ImportError> {
    let library = Library::new(functions)?;
    let (versions, budget) = (versions(opsets)?, Budget::of_file(file_bytes));
    let mut inliner = Inliner { library: &library, budget, active: Vec::new(), calls: 0, inlined: Vec::new() };
    for (index, node) in nodes.into_iter().enumerate() {
        inliner.add(node, index, &versions)?;
    }
    Ok(inliner.inlined)
}

/// The versions of the operators that something uses, by domain.
type Versions<'a> = HashMap<&'a str, i64>;

struct Library<'a> {
    functions: Vec<(&'a FunctionProto, Versions<'a>)>,
    /// Where each function is: domain, name, and what tells it from others of this name.
    places: HashMap<[&'a str; 3], usize>,
}

impl<'a> Library<'a> {
    fn new(functions: &'a [FunctionProto]) -> Result<Library<'a>, ImportError> {
        let key = |f: &'a FunctionProto| [domain(&f.domain), f.name.as_str(), f.overload.as_str()];
        let places = functions.iter().enumerate().map(|(place, function)| (key(function), place)).collect();
        let with_versions = |f: &'a FunctionProto| Ok((f, versions(&f.opset_import)?));
        Ok(Library { functions: functions.iter().map(with_versions).collect::<Result<_, ImportError>>()?, places })
    }

    fn find(&self, node: &NodeProto) -> Option<usize> {
        self.places.get(&[domain(&node.domain), &node.op_type, &node.overload]).copied()
    }
}

struct Inliner<'a> {
    library: &'a Library<'a>,
    budget: Budget,
    /// The functions whose nodes are being added, the outermost first.
    active: Vec<usize>,
    /// How many calls have been replaced: the number of each is part of its values' names.
    calls: usize,
    inlined: Vec<Inlined>,
}

impl Inliner<'_> {
    /// Adds a node, or the nodes of the function that it calls.
    fn add(&mut self, node: NodeProto, index: usize, versions: &Versions<'_>) -> Result<(), ImportError> {
        let Some(place) = self.library.find(&node) else {
            self.inlined.push(Inlined { version: version(versions, &node), node, index });
            return Ok(());
        };
        let library = self.library;
        let (function, versions) = &library.functions[place];
        require_arity(&node, function, index)?;
        if self.active.contains(&place) {
            return Err(ImportError::Damaged(format!("its function {:?} calls itself", shortened(&function.name))));
        }
        if self.active.len() == MAX_DEPTH {
            return Err(ImportError::Damaged(format!(
                "more than {MAX_DEPTH} calls of its functions lie in each other"
            )));
        }
        self.active.push(place);
        self.calls += 1;
        let call = Call::new(&node, function, self.calls, &mut self.budget)?;
        for inner in &function.node {
            let inner = call.instance(inner, &mut self.budget)?;
            self.add(inner, index, versions)?;
        }
        for alias in call.aliases() {
            self.add(alias, index, versions)?;
        }
        self.active.pop();
        Ok(())
    }
}

fn require_arity(node: &NodeProto, function: &FunctionProto, index: usize) -> Result<(), ImportError> {
    let (given, taken) = (node.input.len(), function.input.len());
    let (read, made) = (node.output.len(), function.output.len());
    let problem = match () {
        () if given > taken => format!("it has {given} inputs, but the function takes {taken}"),
        () if read > made => format!("it has {read} outputs, but the function gives {made}"),
        () => return Ok(()),
    };
    Err(ImportError::Operator { node: index, operator: kind(node), name: label(node).to_owned(), problem })
}

/// A node that calls a function.
struct Call<'a> {
    node: &'a NodeProto,
    function: &'a FunctionProto,
    /// For inputs and outputs of the function, what the caller calls them; nothing for an input that is left out.
    names: HashMap<&'a str, &'a str>,
    /// What the function's other values have before their names.
    prefix: String,
    /// The values of attributes that the function's nodes refer to.
    attributes: HashMap<&'a str, &'a AttributeProto>,
}

impl<'a> Call<'a> {
    fn new(
        node: &'a NodeProto,
        function: &'a FunctionProto,
        number: usize,
        budget: &mut Budget,
    ) -> Result<Call<'a>, ImportError> {
        let counts =
            [function.input.len(), function.output.len(), function.attribute_proto.len(), node.attribute.len()];
        budget.charge(BOOKKEEPING + counts.iter().sum::<usize>() * size_of::<[&str; 2]>())?;
        let given = node.output.iter().map(String::as_str).chain(std::iter::repeat(""));
        let mut names: HashMap<&str, &str> = HashMap::new();
        for (name, given) in function.output.iter().zip(given).filter(|(_, given)| !given.is_empty()) {
            names.entry(name).or_insert(given);
        }
        let given = node.input.iter().map(String::as_str).chain(std::iter::repeat(""));
        names.extend(function.input.iter().map(String::as_str).zip(given));
        let attributes = function.attribute_proto.iter().chain(&node.attribute);
        let attributes = attributes.map(|attribute| (attribute.name.as_str(), attribute)).collect();
        let prefix = format!("{}#{number}/", shortened(&function.name));
        Ok(Call { node, function, names, prefix, attributes })
    }

    /// What a value of the function is called outside it.
    fn name(&self, inner: &str) -> String {
        match self.names.get(inner) {
            Some(name) => (*name).to_owned(),
            None if inner.is_empty() => String::new(),
            None => format!("{}{}", self.prefix, shortened(inner)),
        }
    }

    /// A node of the function as it is in this call.
    fn instance(&self, inner: &NodeProto, budget: &mut Budget) -> Result<NodeProto, ImportError> {
        let mut attribute = Vec::new();
        for own in &inner.attribute {
            let value = match own.ref_attr_name.as_str() {
                "" => own,
                // One that the caller leaves out is left out here, too.
                reference => match self.attributes.get(reference) {
                    Some(value) => value,
                    None => continue,
                },
            };
            outline::charge_attribute(budget, value)?;
            attribute.push(AttributeProto { name: own.name.clone(), ..value.clone() });
        }
        let mut rename = |names: &[String]| {
            let renamed = names.iter().map(|name| {
                let name = self.name(name);
                budget.charge(size_of::<String>() + name.len())?;
                Ok(name)
            });
            renamed.collect::<Result<Vec<String>, ImportError>>()
        };
        let (input, output) = (rename(&inner.input)?, rename(&inner.output)?);
        let name = format!("{}/{}", label(self.node), label(inner));
        let name = shortened(&name).to_owned();
        budget.charge(BOOKKEEPING + size_of::<Inlined>() + name.len())?;
        Ok(NodeProto {
            input,
            output,
            name,
            attribute,
            op_type: inner.op_type.clone(),
            domain: inner.domain.clone(),
            overload: inner.overload.clone(),
        })
    }

    /// Nodes for outputs that the function does not make itself, or under another name.
    fn aliases(&self) -> Vec<NodeProto> {
        let outputs = self.function.output.iter().zip(&self.node.output).filter(|(_, given)| !given.is_empty());
        let others = outputs.map(|(name, given)| (self.name(name), given)).filter(|(name, given)| name != *given);
        let alias = |(name, given): (String, &String)| NodeProto {
            op_type: "Identity".to_owned(),
            input: vec![name],
            output: vec![given.clone()],
            ..NodeProto::default()
        };
        others.map(alias).collect()
    }
}
