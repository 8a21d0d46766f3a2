//! A model with all that is needed to use it: its graph, its classes' names, how its pictures are prepared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kinglet_graph::{DType, Graph, Tensor, passes};
use kinglet_import::torch::{Architecture, architectures};
use kinglet_runtime::{Session, SessionOptions};
use kinglet_vision::classifier::{PreprocessOptions, Recipe};
use kinglet_vision::postprocess::{Form, Task};

use crate::zoo::{self, LabelSet, Progress, Zoo};
use crate::{Error, Memory, files, labels};

/// The largest model file: a FlatBuffers file cannot be larger.
const LARGEST_MODEL: u64 = 1 << 31;
/// Memory that loading takes, in sizes of the file: its bytes, the graph's copy of them, and the packed weights. Measured
/// on sixteen models, the peak was 2.4 to 5.5 sizes, the least with large float models.
const MEMORY_A_BYTE: u64 = 3;
const ADVICE: &str = "give the path of a model file, or a name that `kinglet models` lists";

/// What is bound when a model file is opened. A size that the file leaves open and nobody gives is 1 for the first axis
/// of an input (the batch), and an error for any other.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Sizes of axes that the file leaves open, by the axis's name or as `input:axis`.
    pub sizes: BTreeMap<String, usize>,
    /// Shapes of inputs, by name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that are constants from now on, by name.
    pub values: BTreeMap<String, Tensor>,
    /// Whether the graph stays as the file has it, without the passes that make it faster. It runs all the same.
    pub as_imported: bool,
    /// The architecture of a file that holds parameters alone, such as a checkpoint of PyTorch: one that
    /// [`architectures::find`](kinglet_import::torch::architectures::find) gives, or any other. It is recognized where
    /// none is given.
    pub architecture: Option<Architecture>,
}

/// A model: what it computes, and what its inputs and outputs mean.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    description: String,
    file_bytes: u64,
    graph: Graph,
    architecture: Option<&'static str>,
    labels: Arc<[String]>,
    preprocess: PreprocessOptions,
    metadata: BTreeMap<String, String>,
    form: Option<Form>,
}

impl Model {
    /// Opens a model file.
    ///
    /// Class names are those that the file has, or else those of ImageNet, COCO or PASCAL VOC where the model gives as
    /// many classes. A checkpoint of a network for CIFAR-10 that gives ten gets its names and preparation of pictures.
    /// See [`Model::with_labels`] and [`Model::with_preprocess`].
    ///
    /// # Errors
    /// When the file cannot be read, or is no model that is supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::open_with(path, &OpenOptions::default())
    }

    /// Opens a model file and binds what it leaves open.
    ///
    /// # Errors
    /// As [`Model::open`], and when the options do not fit the model.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model, Error> {
        let path = path.as_ref();
        check_memory(path, Memory::read())?;
        let bytes = files::read(path, LARGEST_MODEL, ADVICE)?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        let beside = files::Beside(path);
        let OpenOptions { sizes, shapes, values, architecture, as_imported } = options.clone();
        let options = kinglet_import::Options { sizes, shapes, values, architecture, external: Some(&beside) };
        let model = Model::import(&bytes, &path.to_string_lossy(), &name, &options)?;
        if as_imported { Ok(model) } else { model.optimized(&path.to_string_lossy()) }
    }

    /// Takes a model that is in memory; `name` is for people.
    ///
    /// # Errors
    /// When the bytes are no model that is supported.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Model, Error> {
        Model::import(bytes, name, name, &kinglet_import::Options::default())?.optimized(name)
    }

    /// The zoo's model of this name; downloaded now if it never was before.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be downloaded.
    pub fn zoo(name: &str) -> Result<Model, Error> {
        Model::from_zoo(&Zoo::from_env()?, zoo::find(name)?, &OpenOptions::default(), &mut |_| ())
    }

    /// The zoo's model of this name or else the file at this path, as the command line takes models. To open a file
    /// that is named like a model of the zoo, say `./NAME`.
    ///
    /// # Errors
    /// As [`Model::zoo`] and [`Model::open_with`].
    pub fn load(
        name_or_path: &str,
        options: &OpenOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Model, Error> {
        match zoo::find(name_or_path) {
            Ok(entry) => Model::from_zoo(&Zoo::from_env()?, entry, options, progress),
            Err(unknown) => {
                let path = Path::new(name_or_path);
                let meant_as_path = path.extension().is_some() || name_or_path.contains('/') || path.exists();
                if meant_as_path { Model::open_with(path, options) } else { Err(unknown) }
            }
        }
    }

    /// A model of a zoo, opened with these options; `progress` is told how a download goes on.
    ///
    /// # Errors
    /// When it cannot be downloaded, or the options do not fit it.
    pub fn from_zoo(
        zoo: &Zoo,
        entry: &zoo::Entry,
        options: &OpenOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Model, Error> {
        let path = zoo.fetch(entry, progress)?;
        let known = || entry.architecture.map(architectures::find).transpose();
        let architecture = match options.architecture {
            None => known().map_err(|error| Error::Import { model: entry.name.to_owned(), error })?,
            given => given,
        };
        let model = Model::open_with(path, &OpenOptions { architecture, ..options.clone() })?;
        let labels = match entry.labels {
            LabelSet::ImageNet => labels::imagenet(),
            LabelSet::Cifar10 => labels::cifar10(),
        };
        Ok(Model { name: entry.name.to_owned(), labels, preprocess: entry.preprocess.clone(), ..model })
    }

    fn import(bytes: &[u8], place: &str, name: &str, options: &kinglet_import::Options<'_>) -> Result<Model, Error> {
        let wrong = |error| Error::Import { model: place.to_owned(), error };
        let imported = kinglet_import::import_with(bytes, place, options).map_err(wrong)?;
        let kinglet_import::Model { mut graph, description, architecture, metadata } = imported;
        graph.name = name.to_owned();
        let form = form_by_metadata(&metadata);
        Ok(Model {
            name: name.to_owned(),
            description,
            file_bytes: bytes.len() as u64,
            architecture,
            labels: usual_labels(&graph, architecture, form, &metadata),
            graph,
            preprocess: architecture.map_or_else(PreprocessOptions::default, usual_preprocess),
            metadata,
            form,
        })
    }

    fn optimized(mut self, place: &str) -> Result<Model, Error> {
        let wrong = |error| Error::Import { model: place.to_owned(), error };
        passes::optimize(&mut self.graph).map_err(|error| wrong(error.into()))?;
        Ok(self)
    }

    /// The same model with these class names, in the order of its outputs. Where there is one fewer than outputs,
    /// output 0 is a background class, which is not counted.
    pub fn with_labels(self, labels: Arc<[String]>) -> Model {
        Model { labels, ..self }
    }

    /// The same model with outputs that are read in this form, whatever their shapes look like, and with the class
    /// names that are usual then.
    pub fn with_form(self, form: Form) -> Model {
        let labels = usual_labels(&self.graph, self.architecture, Some(form), &self.metadata);
        Model { form: Some(form), labels, ..self }
    }

    /// The form of its outputs and what it is for; `None` where it is no model for pictures, or none that is known.
    pub fn form(&self) -> Option<Form> {
        Form::of(&self.graph, self.form).ok().map(|(form, _)| form)
    }

    /// What its file says of itself, by name.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The same model with pictures prepared in this way.
    pub fn with_preprocess(self, preprocess: PreprocessOptions) -> Model {
        Model { preprocess, ..self }
    }

    /// The zoo's name of it, or the file's without its ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its maker wrote about it; empty where nothing.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The name of the architecture, of a model whose file holds parameters alone.
    pub fn architecture(&self) -> Option<&'static str> {
        self.architecture
    }

    /// The size of its file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// What it computes, after optimization unless it was opened [as imported](OpenOptions::as_imported).
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The type that it computes in: the one that most of its nodes' results have.
    pub fn dtype(&self) -> DType {
        let results = self.graph.nodes.iter().flat_map(|node| &node.outputs).map(|id| self.graph.value(*id).ty.dtype);
        let mut counts: Vec<(DType, usize)> = Vec::new();
        for dtype in results {
            match counts.iter_mut().find(|(counted, _)| *counted == dtype) {
                Some((_, count)) => *count += 1,
                None => counts.push((dtype, 1)),
            }
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map_or(DType::F32, |(dtype, _)| dtype)
    }

    /// The names of its classes; empty where they are not known.
    pub fn labels(&self) -> &Arc<[String]> {
        &self.labels
    }

    /// How its pictures are prepared, where that is not the usual.
    pub fn preprocess(&self) -> &PreprocessOptions {
        &self.preprocess
    }

    /// The model made ready to run on raw tensors.
    ///
    /// # Errors
    /// When the runtime cannot run it.
    pub fn session(&self, options: &SessionOptions) -> Result<Session, Error> {
        Ok(Session::new(&self.graph, options)?)
    }
}

/// Refuses a file that takes more memory than there is, before the kernel ends this process or another one for it.
fn check_memory(path: &Path, memory: Option<Memory>) -> Result<(), Error> {
    // What is no file or cannot be asked is refused when it is read.
    let (Ok(file), Some(memory)) = (std::fs::metadata(path), memory) else { return Ok(()) };
    let (needed, free) = (file.len().saturating_mul(MEMORY_A_BYTE), memory.free());
    match file.is_file() && file.len() <= LARGEST_MODEL && needed > free {
        true => Err(Error::Memory { path: path.to_owned(), needed, free }),
        false => Ok(()),
    }
}

impl<'a> From<&'a Model> for Recipe<'a> {
    fn from(model: &'a Model) -> Recipe<'a> {
        Recipe {
            graph: &model.graph,
            labels: Arc::clone(&model.labels),
            preprocess: model.preprocess.clone(),
            form: model.form,
        }
    }
}

/// The networks that were made for CIFAR-10, and for hardly anything else.
fn is_for_cifar10(architecture: &str) -> bool {
    matches!(architecture, "resnet20" | "resnet32" | "resnet44" | "resnet56" | "resnet110")
}

/// The form that Ultralytics' exports say they have, where shapes leave it open.
fn form_by_metadata(metadata: &BTreeMap<String, String>) -> Option<Form> {
    (metadata.get("task").map(String::as_str) == Some("pose") && !metadata.contains_key("end2end"))
        .then_some(Form::YoloV8Pose)
}

/// The names that the file has, or else those of the usual data with so many classes.
fn usual_labels(
    graph: &Graph,
    architecture: Option<&str>,
    form: Option<Form>,
    metadata: &BTreeMap<String, String>,
) -> Arc<[String]> {
    if let Some(names) = metadata.get("names").and_then(|names| labels::from_dictionary(names)) {
        return names;
    }
    let Ok((form, classes)) = Form::of(graph, form) else { return Arc::default() };
    match (form.task(), form, classes) {
        (Task::Classify, _, Some(1000 | 1001)) => labels::imagenet(),
        (Task::Classify, _, Some(10)) if architecture.is_some_and(is_for_cifar10) => labels::cifar10(),
        (Task::Segment, _, Some(21)) => labels::voc(),
        (Task::Detect, Form::YoloV8Pose | Form::MoveNet | Form::Heatmaps, _) => Arc::new(["person".to_owned()]),
        (Task::Detect, _, Some(80)) => labels::coco(),
        (Task::Detect, Form::BoxList, Some(90)) | (Task::Detect, Form::ScoredBoxes, Some(90 | 91)) => labels::coco_90(),
        (Task::Detect, Form::ScoredBoxes, Some(81)) => labels::coco(),
        (Task::Detect, Form::ScoredBoxes, Some(21)) => labels::voc(),
        _ => Arc::default(),
    }
}

/// CIFAR-10's pictures are shown as they are, not as the middle of larger ones.
fn usual_preprocess(architecture: &str) -> PreprocessOptions {
    match is_for_cifar10(architecture) {
        true => PreprocessOptions { resize: Some(32), crop: Some(32), ..PreprocessOptions::default() },
        false => PreprocessOptions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_does_not_fit_the_memory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(10_000_000).unwrap();
        let memory = |available| {
            Some(Memory {
                total: 1 << 30,
                available,
                swap_total: 0,
                swap_free: 1_000_000,
                group_left: Some(50_000_000),
            })
        };
        assert!(check_memory(file.path(), memory(29_000_000)).is_ok());
        let error = check_memory(file.path(), memory(28_000_000)).unwrap_err().to_string();
        assert!(error.contains("about 30 MB") && error.contains("29 MB are free"), "{error}");
        assert!(check_memory(file.path(), None).is_ok(), "nothing is known");
        assert!(check_memory(Path::new("/nonexistent"), memory(0)).is_ok(), "it is refused when it is read");
    }
}
