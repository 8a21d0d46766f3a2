//! `kinglet eval`: how often a model is right about labelled images.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kinglet::Classifier;
use kinglet::kernels::table::Choice;
use serde::Serialize;

use crate::arguments::{Common, CropArgs, LoadArgs, PictureArgs};
use crate::dataset::{self, Sample};
use crate::{milliseconds, output};

/// Measure accuracy on labelled images
#[derive(Args, Debug)]
#[command(
    after_help = "DIR has a file labels.csv with the columns file and label (a class's index, counted from 0, or \
its name), or one folder of images a class, called by the class's index or name; as many folders of other names \
as there are classes are the classes in alphabetical order.

Examples:
  kinglet eval mobilenet_v2 --data imagenet/
  kinglet eval my_model.tflite --data imagenet/ --limit 100 --json

With --json: images, top1, top5 (percent, 0 to 100), median_ms (one inference, without reading and preparing the \
image)."
)]
pub struct Eval {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    /// The folder of labelled images
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Only this many of the images, evenly spread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    pictures: PictureArgs,

    #[command(flatten)]
    crop: CropArgs,
}

/// What was measured.
#[derive(Serialize)]
struct Accuracy {
    images: usize,
    top1: f64,
    top5: f64,
    median_ms: f64,
}

impl Eval {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.crop.apply(self.pictures.open(&self.model, &self.load)?);
        let mut classifier = Classifier::with_options(&model, &self.load.session(common, Choice::Best))
            .with_context(|| self.model.clone())?;
        let samples = dataset::open(&self.data, model.labels(), classifier.classes())?;
        let samples = dataset::spread(samples, self.limit.map_or(usize::MAX, |limit| limit as usize));
        if let Some(beyond) = samples.iter().find(|sample| sample.class >= classifier.classes()) {
            let (file, class, classes) = (beyond.file.display(), beyond.class, classifier.classes());
            anyhow::bail!("{file}: its class is {class}, and the model has {classes}, counted from 0");
        }
        let accuracy = measure(&mut classifier, &samples)?;
        if common.json {
            return output::json(&accuracy);
        }
        let Accuracy { images, top1, top5, median_ms } = accuracy;
        output::line(format!("{images} images: top-1 {top1:.1} %, top-5 {top5:.1} %, median {median_ms:.2} ms"))
    }
}

fn measure(classifier: &mut Classifier, samples: &[Sample]) -> Result<Accuracy> {
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg} {eta}").context("the progress bar")?;
    let bar = ProgressBar::new(samples.len() as u64).with_style(style);
    let (mut first, mut among_five) = (0, 0);
    let mut times: Vec<Duration> = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        let image = kinglet::open_image(&sample.file)?;
        let top = classifier.classify(&image).map_err(|error| error.in_file(&sample.file))?.top(5);
        first += usize::from(top.first().is_some_and(|best| best.index == sample.class));
        among_five += usize::from(top.iter().any(|one| one.index == sample.class));
        times.push(classifier.times().inference);
        bar.set_message(format!("top-1 {:.1} %", percent(first, index + 1)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(!times.is_empty(), "no images");
    times.sort_unstable();
    Ok(Accuracy {
        images: samples.len(),
        top1: percent(first, samples.len()),
        top5: percent(among_five, samples.len()),
        median_ms: milliseconds(times[(times.len() - 1) / 2]),
    })
}

/// In percent, to the thousandth.
fn percent(part: usize, whole: usize) -> f64 {
    (part as f64 / whole as f64 * 1e5).round() / 1e3
}
