//! `kinglet run`: raw tensors in and out, as NumPy files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use kinglet::graph::reference::Reference;
use kinglet::graph::{Data, Execute, Graph, TensorType, ValueId};
use kinglet::kernels::table::Choice;
use kinglet::{DType, Tensor};
use serde::Serialize;

use super::bench::kernels_argument;
use crate::arguments::{Common, LoadArgs};
use crate::npy::{self, Array};
use crate::output;
use crate::table::{Table, left};

/// Run a model on raw tensors, as NumPy files
#[derive(Args, Debug)]
#[command(
    after_help = "Tensors have the model's own types and layout; `kinglet inspect MODEL` shows them. Nothing is \
converted.

Examples:
  kinglet run model.tflite --input x.npy --output y.npy
  kinglet run model.tflite --input image=a.npy --input mask=b.npy --output-dir results/
  kinglet run model.tflite --input x.npy --output plain.npy --reference

With --json: outputs (name, shape, dtype)."
)]
pub struct Run {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    #[command(flatten)]
    load: LoadArgs,

    /// An input as a .npy file; NAME= may be left out where the model has one input
    #[arg(long = "input", value_name = "[NAME=]FILE", required = true)]
    inputs: Vec<String>,

    /// Where to write an output; NAME= may be left out where the model has one output
    #[arg(long = "output", value_name = "[NAME=]FILE")]
    outputs: Vec<String>,

    /// Write every output into this folder, as NAME.npy (what no file name should have becomes _)
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Use the plain, slow executor that the fast one is checked against: for a quantized model both give the same
    /// bytes
    #[arg(long, conflicts_with = "arithmetic")]
    reference: bool,

    /// Use no kernels above this instruction set [default: the best that this CPU has]
    #[arg(long, value_name = "NAME", conflicts_with = "reference", value_parser = kernels_argument)]
    kernels: Option<Choice>,
}

/// An output, as JSON has it.
#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    shape: &'a [usize],
    dtype: &'static str,
}

impl Run {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.load.open(&self.model)?;
        let graph = model.graph();
        let inputs = read_inputs(graph, &self.inputs)?;
        // Where outputs go is settled before the work is done.
        let names: Vec<&str> = graph.outputs.iter().map(|id| graph.value(*id).name.as_str()).collect();
        let files = self.output_files(&names)?;
        let outputs = if self.reference {
            Reference::new(graph)?.execute(&inputs)?
        } else {
            model.session(&self.load.session(common, self.kernels.unwrap_or_default()))?.run(&inputs)?.to_vec()
        };
        for (index, file) in &files {
            npy::write(file, outputs[*index].as_ref())?;
        }
        self.print(common, &names, &outputs)
    }

    /// Which output goes into which file.
    fn output_files(&self, names: &[&str]) -> Result<Vec<(usize, PathBuf)>> {
        let mut files = Vec::new();
        for argument in &self.outputs {
            let (index, file) = named(argument, names, "output")?;
            files.push((index, PathBuf::from(file)));
        }
        if let Some(folder) = &self.output_dir {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let in_folder = file_names(names).into_iter().map(|name| folder.join(name));
            files.extend(in_folder.enumerate());
        }
        Ok(files)
    }

    fn print(&self, common: &Common, names: &[&str], outputs: &[Tensor]) -> Result<()> {
        if common.json {
            let outputs: Vec<_> =
                names.iter().zip(outputs).map(|(name, tensor)| Described::new(name, tensor)).collect();
            return output::json(&serde_json::json!({ "outputs": outputs }));
        }
        let mut table = Table::new(&[left("output"), left("type"), left("shape")]);
        for (name, tensor) in names.iter().zip(outputs) {
            table.row([(*name).to_owned(), tensor.ty().dtype.to_string(), format!("{:?}", tensor.shape())]);
        }
        output::line(table)
    }
}

impl<'a> Described<'a> {
    fn new(name: &'a str, tensor: &'a Tensor) -> Described<'a> {
        Described { name, shape: tensor.shape(), dtype: tensor.ty().dtype.name() }
    }
}

/// Which tensor `NAME=FILE` or `FILE` is about. A name may itself have `=` in it, and so may a path.
fn named<'a>(argument: &'a str, names: &[&str], what: &str) -> Result<(usize, &'a str)> {
    let file_for = |name: &str| argument.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    let by_name = names.iter().enumerate().filter_map(|(index, name)| Some((index, file_for(name)?)));
    match by_name.max_by_key(|(index, _)| names[*index].len()) {
        Some(found) => Ok(found),
        None if names.len() == 1 => Ok((0, argument)),
        None => bail!("{argument}: which {what} is this? say NAME={argument}; the names are {}", names.join(", ")),
    }
}

fn read_inputs(graph: &Graph, arguments: &[String]) -> Result<Vec<Tensor>> {
    let names: Vec<&str> = graph.inputs.iter().map(|id| graph.value(*id).name.as_str()).collect();
    let mut tensors = vec![None; names.len()];
    for argument in arguments {
        let (index, file) = named(argument, &names, "input")?;
        if let Some((name, _)) = file.split_once('=')
            && !Path::new(file).exists()
        {
            bail!("the model has no input {name}; it has {}", names.join(", "));
        }
        ensure!(tensors[index].is_none(), "the input {} is given twice", names[index]);
        let tensor = read_input(graph, graph.inputs[index], Path::new(file)).with_context(|| file.to_owned())?;
        tensors[index] = Some(tensor);
    }
    let missing = |(tensor, name): (Option<Tensor>, _)| {
        tensor.ok_or_else(|| anyhow!("the input {name} is missing: add --input {name}=FILE.npy"))
    };
    tensors.into_iter().zip(names).map(missing).collect()
}

fn read_input(graph: &Graph, id: ValueId, file: &Path) -> Result<Tensor> {
    let value = graph.value(id);
    let array = Array::open(file)?;
    check(&value.name, &value.ty, array.dtype(), array.shape())?;
    let tensor = array.read()?;
    let own = tensor.data().dtype() == value.ty.dtype;
    let data = if own { tensor.data().clone() } else { Data::from_f64(value.ty.dtype, &tensor.data().view().to_f64()) };
    // The file says nothing of scale and zero point: they are the model's.
    Ok(Tensor::with_type(value.ty.clone(), data)?)
}

/// Says how an array differs from what the model takes, and what to do about it.
fn check(name: &str, ty: &TensorType, dtype: DType, shape: &[usize]) -> Result<()> {
    let stored = npy::stored_type(ty.dtype);
    if dtype != stored {
        let how = match &ty.quantization {
            Some(q) if dtype == DType::F32 && q.scales.len() == 1 => {
                format!(": quantize it, round(x / {}) + {}", q.scale(), q.zero_point())
            }
            _ => format!(": convert it with astype(\"{stored}\")"),
        };
        bail!("the array is {dtype}, and the input {name} takes {stored}{how}");
    }
    if shape == ty.shape {
        return Ok(());
    }
    let hint = match ty.shape.split_first() {
        Some((1, rest)) if rest == shape => ": add a batch of one, array[None]".to_owned(),
        Some((batch, rest)) if shape.first() != Some(batch) && shape.get(1..) == Some(rest) => {
            format!(": the model takes a batch of {batch}, run it once for each")
        }
        _ => String::new(),
    };
    bail!("the array has shape {shape:?}, and the input {name} takes {:?}{hint}", ty.shape)
}

/// A file name for each tensor: what could be a path, or no file name at all, becomes `_`, and no two are the same.
fn file_names(names: &[&str]) -> Vec<String> {
    const LONGEST: usize = 200;
    let mut taken = HashSet::new();
    let file_name = |(index, name): (usize, &&str)| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = name.chars().take(LONGEST).map(plain).collect();
        let name = match name.trim_start_matches('.') {
            "" => format!("output_{index}"),
            name => name.to_owned(),
        };
        let candidates = std::iter::once(name.clone()).chain((index..).map(|number| format!("{name}_{number}")));
        let free = candidates.into_iter().find(|name| taken.insert(name.to_ascii_lowercase()));
        format!("{}.npy", free.expect("numbers do not end"))
    };
    names.iter().enumerate().map(file_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_named_before_their_files() {
        assert_eq!(named("x.npy", &["in"], "input").unwrap(), (0, "x.npy"));
        assert_eq!(named("a=b.npy", &["in"], "input").unwrap(), (0, "a=b.npy"));
        assert_eq!(named("b=x.npy", &["a", "b"], "input").unwrap(), (1, "x.npy"));
        assert_eq!(named("a=b=x.npy", &["a", "a=b"], "input").unwrap(), (1, "x.npy"));
        assert!(named("x.npy", &["a", "b"], "input").unwrap_err().to_string().contains("a, b"));
    }

    #[test]
    fn file_names_stay_in_their_folder() {
        let names = ["MobilenetV2/Predictions/Softmax", "../../etc/passwd", "", "..", "a", "A", "a_5", "ünï:0", "/"];
        let expected = [
            "MobilenetV2_Predictions_Softmax.npy",
            "_.._etc_passwd.npy",
            "output_2.npy",
            "output_3.npy",
            "a.npy",
            "A_5.npy",
            "a_5_6.npy",
            "_n__0.npy",
            "_.npy",
        ];
        assert_eq!(file_names(&names), expected);
        assert!(file_names(&[&"x".repeat(999)])[0].len() < 255);
    }

    #[test]
    fn what_does_not_fit_is_explained() {
        let ty = TensorType::quantized(DType::U8, [1, 4, 4, 3], 0.5, 128);
        for (dtype, shape, problem) in [
            (DType::F32, &[1, 4, 4, 3][..], "float32, and the input x takes uint8: quantize it, round(x / 0.5) + 128"),
            (DType::I8, &[1, 4, 4, 3], "astype(\"uint8\")"),
            (DType::U8, &[4, 4, 3], "array[None]"),
            (DType::U8, &[8, 4, 4, 3], "a batch of 1, run it once for each"),
            (DType::U8, &[1, 3, 4, 4], "takes [1, 4, 4, 3]"),
        ] {
            let message = check("x", &ty, dtype, shape).unwrap_err().to_string();
            assert!(message.contains(problem), "{message} should say {problem}");
        }
        check("x", &ty, DType::U8, &[1, 4, 4, 3]).unwrap();
    }
}
