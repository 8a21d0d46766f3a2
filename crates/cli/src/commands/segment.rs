//! `kinglet segment`: gives each pixel of images a class.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use kinglet::kernels::table::Choice;
use kinglet::vision::draw;
use kinglet::{ClassShare, Segmenter};
use serde::Serialize;

use crate::arguments::{Common, LoadArgs, PictureArgs};
use crate::pictures::{Drawings, each};
use crate::{milliseconds, output};

/// Say which part of images is what
#[derive(Args, Debug)]
#[command(
    after_help = "Models give a score for each class of each pixel, or its class, on a grid that may be coarser than the \
picture: DeepLab, LR-ASPP, FCN and the like.

Examples:
  kinglet segment deeplab_v3.tflite street.jpg
  kinglet segment lraspp_mobilenet_v3_large.onnx -o drawn.png street.jpg
  kinglet segment my_model.onnx --labels my_labels.txt --json *.jpg

With --json, a line an image: file, classes (index, label, pixels, share of the picture from 0 to 1; the largest first), \
preprocess_ms (reading, decoding, resizing), inference_ms (the model), postprocess_ms (from its output to the mask)."
)]
pub struct Segment {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    /// JPEG, PNG or BMP files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    /// Draw the mask over the picture: into this .png or .jpg file, or into a folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    pictures: PictureArgs,
}

/// The answer for an image.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    classes: Vec<ClassShare>,
    preprocess_ms: f64,
    inference_ms: f64,
    postprocess_ms: f64,
}

impl Segment {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.pictures.open(&self.model, &self.load)?;
        let mut segmenter = Segmenter::with_options(&model, &self.load.session(common, Choice::Best))
            .with_context(|| self.model.clone())?;
        let mut drawings = Drawings::to(self.output.as_deref(), &self.images)?;
        each(&self.images, "segmented", |file| answer(&mut segmenter, file, common.json, &mut drawings))
    }
}

fn answer(segmenter: &mut Segmenter, file: &Path, json: bool, drawings: &mut Drawings) -> Result<()> {
    let start = Instant::now();
    let mut image = kinglet::open_image(file)?;
    let opened = start.elapsed();
    let mask = segmenter.segment(&image).map_err(|error| kinglet::Error::from(error.in_file(file)))?;
    let classes = mask.shares();
    if drawings.wanted() {
        draw::mask(&mut image, mask);
    }
    let times = segmenter.times();
    let answer = Answer {
        file,
        classes,
        preprocess_ms: milliseconds(opened + times.preprocess),
        inference_ms: milliseconds(times.inference),
        postprocess_ms: milliseconds(times.postprocess),
    };
    if json {
        output::json(&answer)?
    } else {
        print(&answer)?
    }
    drawings.save(file, &image)
}

fn print(answer: &Answer<'_>) -> Result<()> {
    let Answer { preprocess_ms, inference_ms, postprocess_ms, .. } = answer;
    let times = format!("preparing {preprocess_ms:.1} ms, model {inference_ms:.1} ms, mask {postprocess_ms:.1} ms");
    output::line(format!("{}  {}", style(answer.file.display()).bold(), style(times).dim()))?;
    for ClassShare { label, share, .. } in &answer.classes {
        output::line(format!("{:>6.1} %  {}", 100.0 * share, output::plain(label)))?;
    }
    Ok(())
}
