//! What `torch.save` writes: a pickle, and the storages that its tensors share. Since version 1.6 these are the records
//! of a zip archive; before, they followed each other in one file. Source: `torch/serialization.py` and
//! `torch/_utils.py`.

use std::collections::{BTreeMap, HashSet};

use super::pickle::{Id, Instance, Object, Pickle};
use super::reader::{Reader, size};
use super::state_dict::{Element, StateDict, StoredTensor};
use super::zip;
use crate::ImportError;

/// The first pickle of a file before version 1.6.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Where training scripts keep the parameters in a checkpoint, the likeliest first.
const CONTAINERS: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights"];

/// How deep in dictionaries parameters are searched, and how many wrappers a tensor may have.
const MAX_DEPTH: usize = 4;

/// Elements of the storages, by key.
type Storages<'a> = BTreeMap<&'a str, &'a [u8]>;

/// Reads the zip format.
pub(super) fn from_zip<'a>(bytes: &'a [u8]) -> Result<StateDict<'a>, ImportError> {
    let records = zip::records(bytes)?;
    let is_pickle = |name: &&str| name.strip_suffix("/data.pkl").is_some_and(|folder| !folder.contains('/'));
    let name = records.keys().copied().find(is_pickle).ok_or_else(|| {
        ImportError::Checkpoint("it is a zip archive without data.pkl, which torch.save puts into it".to_owned())
    })?;
    let folder = name.trim_end_matches("data.pkl");
    if records.contains_key(format!("{folder}constants.pkl").as_str()) {
        let problem = "it is TorchScript, a program; save its parameters instead: torch.save(model.state_dict(), PATH)";
        return Err(ImportError::Checkpoint(problem.to_owned()));
    }
    let stored = |name: &str, content: &Option<&'a [u8]>| {
        let compressed = || format!("its record {name:?} is compressed or encrypted, which torch.save never does");
        content.ok_or_else(|| ImportError::Checkpoint(compressed()))
    };
    if let Some(order) = records.get(format!("{folder}byteorder").as_str())
        && stored("byteorder", order)? != b"little"
    {
        return Err(big_endian());
    }
    let pickle = Pickle::read(&mut Reader::new(stored(name, &records[name])?))?;
    let mut storages = Storages::new();
    for (name, content) in &records {
        if let Some(key) = name.strip_prefix(folder).and_then(|rest| rest.strip_prefix("data/")) {
            storages.insert(key, stored(name, content)?);
        }
    }
    Checkpoint { pickle: &pickle, storages: &storages }.state_dict()
}

/// Reads the format before version 1.6: pickles of magic number, protocol, system, content and storage keys, then the
/// storages, each after its number of elements.
pub(super) fn from_legacy(bytes: &[u8]) -> Result<StateDict<'_>, ImportError> {
    let mut reader = Reader::new(bytes);
    for expected in [MAGIC, PROTOCOL] {
        let pickle = Pickle::read(&mut reader)?;
        if pickle.integer(pickle.root()) != Some(expected) {
            return Err(ImportError::Checkpoint("it is a pickle, but none that torch.save made".to_owned()));
        }
    }
    let system = Pickle::read(&mut reader)?;
    if let Object::Dict(items) = system.get(system.root())
        && items
            .iter()
            .any(|(key, value)| system.text(*key) == Some("little_endian") && system.integer(*value) == Some(0))
    {
        return Err(big_endian());
    }
    let (pickle, keys) = (Pickle::read(&mut reader)?, Pickle::read(&mut reader)?);
    // The content says which elements a storage has, and the storage how many.
    let elements: BTreeMap<&str, Element> = pickle
        .objects()
        .filter_map(|object| storage(&pickle, object).ok())
        .map(|found| (found.key, found.element))
        .collect();
    let mut storages = Storages::new();
    for key in keys.sequence(keys.root()).ok_or_else(|| damaged("its storages have no names"))? {
        let key = keys.text(*key).ok_or_else(|| damaged("a storage's name is no text"))?;
        let element = elements.get(key).ok_or_else(|| damaged("a storage's type is not known"))?;
        let bytes =
            size(reader.u64()?)?.checked_mul(element.size()).ok_or_else(|| damaged("a storage is too large"))?;
        storages.insert(key, reader.take(bytes)?);
    }
    Checkpoint { pickle: &pickle, storages: &storages }.state_dict()
}

/// What a storage's persistent identifier says.
struct Storage<'a> {
    element: Element,
    key: &'a str,
    /// The element with which it begins, where it is itself a part of one (before version 0.4).
    start: usize,
}

/// Reads `("storage", torch.FloatStorage, key, location, elements, view)`.
fn storage<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> Result<Storage<'a>, String> {
    let wrong = || "its storage is none".to_owned();
    let Object::Persistent(id) = object else { return Err(wrong()) };
    let Some(&[kind, class, key, _, _, ref view @ ..]) = pickle.sequence(*id) else { return Err(wrong()) };
    let (Some("storage"), Object::Global(class), Some(key)) = (pickle.text(kind), pickle.get(class), pickle.text(key))
    else {
        return Err(wrong());
    };
    let element = match (class.module, class.name) {
        ("torch" | "torch.cuda", "DoubleStorage") => Element::F64,
        ("torch" | "torch.cuda", "FloatStorage") => Element::F32,
        ("torch" | "torch.cuda", "HalfStorage") => Element::F16,
        ("torch" | "torch.cuda", "BFloat16Storage") => Element::BF16,
        ("torch" | "torch.cuda", "LongStorage") => Element::I64,
        ("torch" | "torch.cuda", "IntStorage") => Element::I32,
        ("torch" | "torch.cuda", "ShortStorage") => Element::I16,
        ("torch" | "torch.cuda", "CharStorage") => Element::I8,
        ("torch" | "torch.cuda", "ByteStorage" | "BoolStorage") => Element::U8,
        _ => return Err(format!("elements of {class} are not supported")),
    };
    let start = match view.first().and_then(|view| pickle.sequence(*view)) {
        Some(&[_, start, _]) => pickle.integer(start).ok_or_else(wrong)?,
        _ => 0,
    };
    Ok(Storage { element, key, start })
}

/// A checkpoint's pickle with its storages.
struct Checkpoint<'p, 'a> {
    pickle: &'p Pickle<'a>,
    storages: &'p Storages<'a>,
}

impl<'a> Checkpoint<'_, 'a> {
    /// The parameters, wherever they are in the checkpoint.
    fn state_dict(&self) -> Result<StateDict<'a>, ImportError> {
        let root = self.pickle.root();
        let Some(items) = self.search(root, 0, &mut HashSet::new()) else {
            return Err(ImportError::Checkpoint(match self.pickle.get(root) {
                Object::Instance(instance) if self.items(root).is_none() => format!(
                    "it is an object of {}, which cannot be read without running its code; save its parameters instead: \
                     torch.save(model.state_dict(), PATH)",
                    instance.callee
                ),
                _ => format!("no tensors are in it{}", self.keys(root)),
            }));
        };
        let mut tensors = StateDict::new();
        for (name, id) in items {
            let tensor = self.tensor(id, 0).map_err(|problem| ImportError::Tensor { tensor: name.into(), problem })?;
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(tensors)
    }

    /// The named tensors of a dictionary, or else of one in it.
    fn search(&self, id: Id, depth: usize, visited: &mut HashSet<Id>) -> Option<Vec<(&'a str, Id)>> {
        let items = self.items(id).filter(|_| depth < MAX_DEPTH && visited.insert(id))?;
        let mut inside = |wanted: &str| {
            let found = items.iter().find(|(key, _)| self.pickle.text(*key) == Some(wanted));
            found.and_then(|(_, value)| self.search(*value, depth + 1, visited))
        };
        if let Some(found) = CONTAINERS.iter().find_map(|name| inside(name)) {
            return Some(found);
        }
        let tensor = |(key, value): &(Id, Id)| {
            let name = self.pickle.text(*key).filter(|_| self.is_tensor(*value));
            name.map(|name| (name, *value))
        };
        let tensors: Vec<_> = items.iter().filter_map(tensor).collect();
        if !tensors.is_empty() {
            return Some(tensors);
        }
        let others = items.iter().filter_map(|(_, value)| self.search(*value, depth + 1, visited));
        others.max_by_key(Vec::len)
    }

    /// The items of a dictionary, plain or ordered. Python 2 gave an ordered one its items as a list of pairs.
    fn items(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.pickle.get(id) {
            Object::Dict(items) => Some(items.clone()),
            Object::Instance(call) if (call.callee.module, call.callee.name) == ("collections", "OrderedDict") => {
                let list = self.pickle.sequence(call.arguments)?.first().and_then(|list| self.pickle.sequence(*list));
                let pair = |id: &Id| match self.pickle.sequence(*id) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                };
                Some(list.into_iter().flatten().filter_map(pair).chain(call.items.iter().copied()).collect())
            }
            _ => None,
        }
    }

    /// Whether PyTorch would make a tensor of it.
    fn is_tensor(&self, id: Id) -> bool {
        let is_rebuilt = |call: &Instance<'_>| {
            matches!(call.callee.module, "torch._utils" | "torch._tensor") && call.callee.name.starts_with("_rebuild")
        };
        matches!(self.pickle.get(id), Object::Instance(call) if is_rebuilt(call))
    }

    /// Reads `_rebuild_tensor_v2(storage, offset, size, stride, …)`, and what wraps it.
    fn tensor(&self, id: Id, depth: usize) -> Result<StoredTensor<'a>, String> {
        let Object::Instance(call) = self.pickle.get(id) else { return Err("it is no tensor".to_owned()) };
        let arguments = self.pickle.sequence(call.arguments).unwrap_or_default();
        match (call.callee.name, arguments) {
            ("_rebuild_tensor" | "_rebuild_tensor_v2", &[storage, offset, shape, strides, ..]) => {
                self.strided(storage, offset, shape, strides)
            }
            ("_rebuild_parameter" | "_rebuild_parameter_with_state", &[data, ..]) if depth < MAX_DEPTH => {
                self.tensor(data, depth + 1)
            }
            _ => Err(format!("what {} makes of {} arguments is not supported", call.callee, arguments.len())),
        }
    }

    fn strided(&self, id: Id, offset: Id, shape: Id, strides: Id) -> Result<StoredTensor<'a>, String> {
        let Storage { element, key, start } = storage(self.pickle, self.pickle.get(id))?;
        let bytes = self.storages.get(key).ok_or_else(|| format!("its storage {key:?} is not in the file"))?;
        let numbers = |id: Id| {
            let elements = self.pickle.sequence(self.size(id))?;
            elements.iter().map(|id| self.pickle.integer(*id)).collect::<Option<Vec<usize>>>()
        };
        let offset = self.pickle.integer(offset).and_then(|offset: usize| offset.checked_add(start));
        match (offset, numbers(shape), numbers(strides)) {
            (Some(offset), Some(shape), Some(strides)) => StoredTensor::new(element, shape, strides, offset, bytes),
            _ => Err("its offset, sizes or strides are no natural numbers".to_owned()),
        }
    }

    /// The tuple in a `torch.Size`, or what else this is.
    fn size(&self, id: Id) -> Id {
        match self.pickle.get(id) {
            Object::Instance(call) if (call.callee.module, call.callee.name) == ("torch", "Size") => {
                self.pickle.sequence(call.arguments).and_then(|arguments| arguments.first().copied()).unwrap_or(id)
            }
            _ => id,
        }
    }

    /// What a dictionary has, for a message.
    fn keys(&self, id: Id) -> String {
        let items = self.items(id).unwrap_or_default();
        let names: Vec<&str> = items.iter().filter_map(|(key, _)| self.pickle.text(*key)).take(10).collect();
        if names.is_empty() { String::new() } else { format!(", only {}", names.join(", ")) }
    }
}

fn big_endian() -> ImportError {
    ImportError::Checkpoint("its numbers are big-endian, which is not supported".to_owned())
}

fn damaged(problem: &str) -> ImportError {
    ImportError::Damaged(problem.to_owned())
}
