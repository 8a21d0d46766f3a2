//! `kinglet detect`: finds objects and bodies in images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use kinglet::kernels::table::Choice;
use kinglet::vision::draw;
use kinglet::{Detection, Detector};
use serde::Serialize;

use crate::arguments::{Common, LoadArgs, ObjectArgs, PictureArgs};
use crate::pictures::{Drawings, each};
use crate::{milliseconds, output};

/// Find objects and bodies in images
#[derive(Args, Debug)]
#[command(
    after_help = "Models are SSD, the YOLO family (with outlines and keypoints, too), MoveNet and others whose outputs \
have a form that --decoder lists.

Examples:
  kinglet detect ssd_mobilenet_v2.tflite street.jpg
  kinglet detect yolov8n.onnx --threshold 0.5 -o drawn.png street.jpg
  kinglet detect yolov8n-pose.onnx --json -o drawn/ *.jpg

With --json, a line an image: file, detections (index, label, score from 0 to 1, box as left, top, right, bottom in pixels, \
and keypoints as x, y, score where the model gives them), preprocess_ms (reading, decoding, resizing), inference_ms (the \
model), postprocess_ms (from its outputs to boxes)."
)]
pub struct Detect {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    /// JPEG, PNG or BMP files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    /// Draw what was found: into this .png or .jpg file, or into a folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    #[command(flatten)]
    objects: ObjectArgs,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    pictures: PictureArgs,
}

/// The answer for an image.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    detections: &'a [Detection],
    preprocess_ms: f64,
    inference_ms: f64,
    postprocess_ms: f64,
}

impl Detect {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.pictures.open(&self.model, &self.load)?;
        let mut detector =
            Detector::with_options(&model, self.objects.options(), &self.load.session(common, Choice::Best))
                .with_context(|| self.model.clone())?;
        let mut drawings = Drawings::to(self.output.as_deref(), &self.images)?;
        each(&self.images, "looked through", |file| answer(&mut detector, file, common.json, &mut drawings))
    }
}

fn answer(detector: &mut Detector, file: &Path, json: bool, drawings: &mut Drawings) -> Result<()> {
    let start = Instant::now();
    let mut image = kinglet::open_image(file)?;
    let opened = start.elapsed();
    let found = detector.detect(&image).map_err(|error| kinglet::Error::from(error.in_file(file)))?.to_vec();
    let times = detector.times();
    let answer = Answer {
        file,
        detections: &found,
        preprocess_ms: milliseconds(opened + times.preprocess),
        inference_ms: milliseconds(times.inference),
        postprocess_ms: milliseconds(times.postprocess),
    };
    if json {
        output::json(&answer)?
    } else {
        print(&answer)?
    }
    if drawings.wanted() {
        draw::detections(&mut image, &found);
        drawings.save(file, &image)?;
    }
    Ok(())
}

fn print(answer: &Answer<'_>) -> Result<()> {
    let Answer { preprocess_ms, inference_ms, postprocess_ms, .. } = answer;
    let times = format!("preparing {preprocess_ms:.1} ms, model {inference_ms:.1} ms, boxes {postprocess_ms:.1} ms");
    output::line(format!("{}  {}", style(answer.file.display()).bold(), style(times).dim()))?;
    for Detection { label, score, bounds, keypoints, .. } in answer.detections {
        let points = if keypoints.is_empty() { String::new() } else { format!("  {} keypoints", keypoints.len()) };
        let [x0, y0, x1, y1] = [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(f32::round);
        let place = style(format!("at {x0}, {y0} to {x1}, {y1}{points}")).dim();
        output::line(format!("{:>6.1} %  {}  {place}", 100.0 * score, output::plain(label)))?;
    }
    if answer.detections.is_empty() {
        output::line("          nothing")?;
    }
    Ok(())
}
