//! Arguments that commands share, and what they mean.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use kinglet::import::torch::{Architecture, architectures};
use kinglet::kernels::table::Choice;
use kinglet::vision::preprocess::Interpolation;
use kinglet::{Arithmetic, DetectOptions, Form, Model, OpenOptions, SessionOptions, labels};

use tracing::level_filters::LevelFilter;

use crate::fetch;

/// What every command takes.
#[derive(Args, Debug)]
pub struct Common {
    /// Print JSON instead of text: one object, or one a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Threads that compute [default: the physical cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// A file with settings [default: ~/.config/kinglet/config.toml, else /etc/kinglet/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "KINGLET_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// What is told on standard error: this and worse (error, warn, info, debug, trace)
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        env = "KINGLET_LOG",
        hide_env_values = true
    )]
    #[arg(value_parser = PossibleValuesParser::new(["error", "warn", "info", "debug", "trace"]).map(level))]
    pub log: LevelFilter,
}

/// One of the possible values.
fn level(name: String) -> LevelFilter {
    name.parse().expect("it is one of tracing's own names")
}

impl Common {
    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(kinglet::physical_cores, usize::from)
    }
}

/// How a model is opened, and how it computes.
#[derive(Args, Debug)]
pub struct LoadArgs {
    #[command(flatten)]
    compute: ComputeArgs,

    #[command(flatten)]
    sizes: SizeArgs,
}

impl LoadArgs {
    /// The model of this name or path with what was asked for.
    pub fn open(&self, name_or_path: &str) -> Result<Model> {
        Ok(fetch::load(name_or_path, &self.sizes.options())?)
    }

    /// The same as the file has it, not optimized.
    pub fn open_as_imported(&self, name_or_path: &str) -> Result<Model> {
        Ok(fetch::load(name_or_path, &OpenOptions { as_imported: true, ..self.sizes.options() })?)
    }

    /// Sessions with these kernels.
    pub fn session(&self, common: &Common, kernels: Choice) -> SessionOptions {
        SessionOptions { threads: common.threads(), kernels, arithmetic: self.arithmetic() }
    }

    /// How floats are multiplied.
    pub fn arithmetic(&self) -> Arithmetic {
        match self.compute.arithmetic {
            Precision::F32 => Arithmetic::F32,
            Precision::Half => Arithmetic::Half,
        }
    }
}

/// How a model computes.
#[derive(Args, Debug)]
struct ComputeArgs {
    /// How floats are multiplied
    #[arg(long, value_name = "PRECISION", value_enum, default_value_t)]
    arithmetic: Precision,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Precision {
    /// In f32, to the same bits on every CPU
    #[default]
    F32,
    /// In 16 bits (bfloat16 on x86-64, fp16 on AArch64) where the CPU can and it pays: faster and less accurate
    Half,
}

/// What is bound in a model whose file leaves it open: sizes, and the network of one that holds parameters alone.
#[derive(Args, Debug)]
#[command(next_help_heading = "What the model's file leaves open")]
struct SizeArgs {
    /// Give the axis NAME (or axis A of an input: INPUT:A) this size [default: 1 for the batch]
    #[arg(long, value_name = "NAME=SIZE", value_parser = named_size)]
    dim: Vec<(String, usize)>,

    /// Give an input this shape, such as input=1x3x224x224
    #[arg(long, value_name = "INPUT=SHAPE", value_parser = named_shape)]
    shape: Vec<(String, Vec<usize>)>,

    /// The network of a PyTorch checkpoint or of safetensors [default: recognized by its parameters]
    #[arg(long, value_name = "NAME", value_parser = architecture)]
    arch: Option<Architecture>,
}

impl SizeArgs {
    fn options(&self) -> OpenOptions {
        let sizes = self.dim.iter().cloned().collect();
        let shapes = self.shape.iter().cloned().collect();
        OpenOptions { sizes, shapes, architecture: self.arch, ..OpenOptions::default() }
    }
}

/// The name of an architecture.
fn architecture(name: &str) -> Result<Architecture, String> {
    architectures::find(name).map_err(|error| error.to_string())
}

/// `batch=1`. Names of tensors may hold `=` themselves.
fn named_size(text: &str) -> Result<(String, usize), String> {
    let parts = text.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, size)| Some((name.to_owned(), size.trim().parse().ok()?)));
    parsed.ok_or_else(|| "give a name and a size, such as batch=1".to_owned())
}

/// `input=1x3x224x224`.
fn named_shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let parts = text.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, shape)| {
        let sizes: Result<Vec<usize>, _> = shape.split('x').map(|size| size.trim().parse()).collect();
        Some((name.to_owned(), sizes.ok()?))
    });
    parsed.ok_or_else(|| "give an input and its shape, such as input=1x3x224x224".to_owned())
}

/// How pictures are prepared and classes named, where the model does not say.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArgs {
    /// Class names: a text file with one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// How pictures are scaled [default: bilinear]
    #[arg(long, value_name = "FILTER", value_enum)]
    interpolation: Option<Filter>,

    /// Subtract this from R, G, B (each 0 to 1) [default: what the model's input wants]
    #[arg(long, value_name = "R,G,B", requires = "std", value_parser = three_numbers)]
    mean: Option<[f32; 3]>,

    /// Then divide R, G, B by this
    #[arg(long, value_name = "R,G,B", requires = "mean", value_parser = three_positive_numbers)]
    std: Option<[f32; 3]>,

    /// How the outputs are to be read [default: what their shapes say]
    #[arg(long, value_name = "FORM", value_parser = form())]
    decoder: Option<Form>,
}

/// The filter that pictures are scaled with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Filter {
    Bilinear,
    Bicubic,
}

impl Filter {
    fn interpolation(self) -> Interpolation {
        match self {
            Filter::Bilinear => Interpolation::Bilinear,
            Filter::Bicubic => Interpolation::Bicubic,
        }
    }
}

impl PictureArgs {
    /// The model of this name or path with what was asked for.
    pub fn open(&self, name_or_path: &str, load: &LoadArgs) -> Result<Model> {
        let mut model = load.open(name_or_path)?;
        if let Some(form) = self.decoder {
            model = model.with_form(form);
        }
        if let Some(path) = &self.labels {
            model = model.with_labels(labels::read(path)?);
        }
        let mut preprocess = model.preprocess().clone();
        preprocess.interpolation = self.interpolation.map(Filter::interpolation).or(preprocess.interpolation);
        preprocess.mean = self.mean.or(preprocess.mean);
        preprocess.std = self.std.or(preprocess.std);
        Ok(model.with_preprocess(preprocess))
    }
}

/// Which part of a picture a classifier is shown.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pictures")]
pub struct CropArgs {
    /// Scale pictures so that the shorter side has this many pixels [default: 256/224 of the model's input]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    resize: Option<u32>,

    /// Show the model the square of this many pixels in the middle [default: the model's input size]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    crop: Option<u32>,
}

impl CropArgs {
    /// The model with what was asked for.
    pub fn apply(&self, model: Model) -> Model {
        let mut preprocess = model.preprocess().clone();
        preprocess.resize = self.resize.or(preprocess.resize);
        preprocess.crop = self.crop.or(preprocess.crop);
        model.with_preprocess(preprocess)
    }
}

/// Which objects are told.
#[derive(Args, Debug)]
#[command(next_help_heading = "Objects")]
pub struct ObjectArgs {
    /// Tell objects of at least this score, 0 to 1
    #[arg(long, default_value_t = DetectOptions::default().threshold, value_name = "SCORE", value_parser = fraction)]
    threshold: f32,

    /// Of two boxes of a class that share more than this of their area, keep the better
    #[arg(long, default_value_t = DetectOptions::default().iou, value_name = "SHARE", value_parser = fraction)]
    iou: f32,
}

impl ObjectArgs {
    /// The same for a detector.
    pub fn options(&self) -> DetectOptions {
        DetectOptions { threshold: self.threshold, iou: self.iou, ..DetectOptions::default() }
    }
}

fn fraction(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| "give a number from 0 to 1".to_owned())
}

fn form() -> impl TypedValueParser<Value = Form> {
    PossibleValuesParser::new(Form::ALL.iter().map(|form| form.name())).try_map(|name| name.parse::<Form>())
}

/// `0.5` or `0.485,0.456,0.406`.
fn three_numbers(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let finite = numbers.ok().filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    match finite.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[r, g, b]) => Ok([r, g, b]),
        _ => Err("give one number, or three with commas between them".to_owned()),
    }
}

fn three_positive_numbers(text: &str) -> Result<[f32; 3], String> {
    let numbers = three_numbers(text)?;
    if numbers.iter().all(|&number| number > 0.0) { Ok(numbers) } else { Err("must be above 0".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_three_numbers_are_taken() {
        assert_eq!(three_numbers("0.5"), Ok([0.5; 3]));
        assert_eq!(three_numbers("0.485, 0.456,0.406"), Ok([0.485, 0.456, 0.406]));
        for text in ["", "1,2", "1,2,3,4", "a", "nan", "1,,2"] {
            assert!(three_numbers(text).is_err(), "{text}");
        }
        assert!(three_positive_numbers("0.5,0,0.5").is_err());
        assert_eq!(fraction("0.25"), Ok(0.25));
        assert!(["1.1", "-0.1", "nan", ""].iter().all(|text| fraction(text).is_err()));
    }
    #[test]
    fn sizes_and_shapes_have_names() {
        assert_eq!(named_size("a=b=3"), Ok(("a=b".to_owned(), 3)));
        assert_eq!(named_shape("input=1x3x224x224"), Ok(("input".to_owned(), vec![1, 3, 224, 224])));
        for text in ["", "=1", "n=", "n", "n=-1", "n=x"] {
            assert!(named_size(text).is_err() && named_shape(text).is_err(), "{text}");
        }
    }
}
