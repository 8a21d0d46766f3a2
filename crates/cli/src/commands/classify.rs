//! `kinglet classify`: names what is in images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use kinglet::kernels::table::Choice;
use kinglet::{Classifier, Prediction};
use serde::Serialize;

use crate::arguments::{Common, CropArgs, LoadArgs, PictureArgs};
use crate::pictures::each;
use crate::{milliseconds, output};

/// Name what is in images
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kinglet classify mobilenet_v2 photograph.jpg
  kinglet classify mobilenet_v2 --top 1 --json *.jpg
  kinglet classify my_model.tflite --labels my_labels.txt photograph.png

With --json, a line an image: file, predictions (index, label, score from 0 to 1), preprocess_ms (reading, decoding, \
resizing), inference_ms (the model).")]
pub struct Classify {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    /// JPEG, PNG or BMP files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    /// How many answers an image gets
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    pictures: PictureArgs,

    #[command(flatten)]
    crop: CropArgs,
}

/// The answer for an image.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    predictions: Vec<Prediction>,
    preprocess_ms: f64,
    inference_ms: f64,
}

impl Classify {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.crop.apply(self.pictures.open(&self.model, &self.load)?);
        let mut classifier = Classifier::with_options(&model, &self.load.session(common, Choice::Best))
            .with_context(|| self.model.clone())?;
        each(&self.images, "classified", |file| {
            let answer = self.answer(&mut classifier, file)?;
            if common.json { output::json(&answer) } else { print(&answer) }
        })
    }

    fn answer<'a>(&self, classifier: &mut Classifier, file: &'a Path) -> Result<Answer<'a>, kinglet::Error> {
        let start = Instant::now();
        let image = kinglet::open_image(file)?;
        let opened = start.elapsed();
        let top = classifier.classify(&image).map_err(|error| error.in_file(file))?.top(self.top as usize);
        let times = classifier.times();
        Ok(Answer {
            file,
            predictions: top,
            preprocess_ms: milliseconds(opened + times.preprocess),
            inference_ms: milliseconds(times.inference),
        })
    }
}

fn print(answer: &Answer<'_>) -> Result<()> {
    let times = format!("preparing {:.1} ms, model {:.1} ms", answer.preprocess_ms, answer.inference_ms);
    output::line(format!("{}  {}", style(answer.file.display()).bold(), style(times).dim()))?;
    for one in &answer.predictions {
        output::line(format!("{:>6.1} %  {}", 100.0 * one.score, one.label))?;
    }
    Ok(())
}
