//! From a picture to a class for each of its pixels. [`Segmenter`] reuses its memory from picture to picture.

use std::sync::Arc;
use std::time::Instant;

use kinglet_runtime::{Session, SessionOptions};
use serde::Serialize;

use crate::classifier::{PreprocessOptions, Recipe, Times};
use crate::detector::whole_picture;
use crate::error::{Result, VisionError};
use crate::frame::Rgb;
use crate::network::{Network, normalize, picture_input};
use crate::postprocess::Task;
use crate::postprocess::class_map::{ClassMap, Scratch};
use crate::postprocess::reading::{Reader, Reading};
use crate::preprocess::{ChannelOrder, Element, Input, Layout, Normalize, Preprocess, Resize};

/// Gives each pixel of pictures a class.
#[derive(Debug)]
pub struct Segmenter {
    network: Network,
    map: ClassMap,
    labels: Arc<[String]>,
    scratch: Scratch,
    values: Vec<f32>,
    mask: Mask,
}

/// How much of a picture is of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassShare {
    /// The class, counted as the model does: 0 is the background where there is one.
    pub index: usize,
    /// Its name, or `class N` where the model has no names.
    pub label: String,
    /// How many pixels of the picture.
    pub pixels: u64,
    /// The same, as a part of all of them, 0 to 1.
    pub share: f64,
}

/// A class for each pixel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mask {
    width: usize,
    height: usize,
    classes: Vec<u16>,
    labels: Arc<[String]>,
    /// Whether class 0 is what belongs to none of the others.
    background: bool,
    /// Pixels of the picture that the mask is of, which may be finer than the mask.
    picture_pixels: u64,
}

impl Segmenter {
    /// A segmenter with one thread and the best kernels.
    ///
    /// # Errors
    /// When the model does not take one picture, its output has no known form of a segmentation model's, or the labels
    /// are not as many as its classes, or one fewer where class 0 is background.
    pub fn new<'a>(recipe: impl Into<Recipe<'a>>) -> Result<Segmenter> {
        Segmenter::with_options(recipe, &SessionOptions::default())
    }

    /// A segmenter whose session is made with these options.
    ///
    /// # Errors
    /// As [`Segmenter::new`].
    pub fn with_options<'a>(recipe: impl Into<Recipe<'a>>, options: &SessionOptions) -> Result<Segmenter> {
        let recipe = recipe.into();
        let input = picture_input(recipe.graph)?;
        let reading = Reading::for_task(recipe.graph, &input, recipe.form, Task::Segment)?;
        let Reader::ClassMap(map) = reading.reader else { unreachable!("it is the one reader for this task") };
        let background = match (recipe.labels.len(), reading.classes) {
            (0, classes) => classes.is_none_or(|classes| classes == 2),
            (_, None) => is_background(&recipe.labels[0]),
            (labels, Some(classes)) if labels == classes => is_background(&recipe.labels[0]),
            (labels, Some(classes)) if labels + 1 == classes => true,
            (labels, Some(classes)) => return Err(VisionError::Labels { labels, classes }),
        };
        // With a name for each class, a mask need not know whether labels leave the background out.
        let labels = match reading.classes {
            Some(classes) if recipe.labels.len() + 1 == classes && classes > 1 && !recipe.labels.is_empty() => {
                std::iter::once("background".to_owned()).chain(recipe.labels.iter().cloned()).collect()
            }
            _ => recipe.labels,
        };
        Ok(Segmenter {
            network: Network::new(recipe.graph, preprocess(&recipe.preprocess, input)?, input, options)?,
            map,
            mask: Mask { labels: Arc::clone(&labels), background, ..Mask::default() },
            labels,
            scratch: Scratch::default(),
            values: Vec::new(),
        })
    }

    /// Gives each pixel of a picture its class.
    ///
    /// # Errors
    /// When the picture is so long and narrow that it cannot be resized, or the model fails.
    pub fn segment(&mut self, image: &Rgb) -> Result<&Mask> {
        self.segment_coarsely(image, usize::MAX)
    }

    /// The same, with a mask whose sides have at most `most` pixels: for a live picture, less is enough.
    ///
    /// # Errors
    /// As [`Segmenter::segment`].
    pub fn segment_coarsely(&mut self, image: &Rgb, most: usize) -> Result<&Mask> {
        self.network.run(image)?;
        let start = Instant::now();
        let placement = self.network.placement(image)?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let longer = width.max(height);
        let side = |side: usize| if longer > most { (side * most / longer).max(1) } else { side };
        let size = (side(width), side(height));
        let (values, mask) = (self.network.output(0, &mut self.values), &mut self.mask);
        let shown = (image.width(), image.height());
        self.map.read(values, &placement, shown, size, &mut self.scratch, &mut mask.classes);
        (mask.width, mask.height) = size;
        mask.picture_pixels = (width * height) as u64;
        self.network.answered_since(start);
        Ok(&self.mask)
    }

    /// The last answer; a mask without pixels before the first.
    pub fn last(&self) -> &Mask {
        &self.mask
    }

    /// How long the parts of the last call took.
    pub fn times(&self) -> Times {
        self.network.times()
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        self.network.session()
    }

    /// The names of the classes; empty where they are not known.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }
}

impl Mask {
    /// Its columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The class of each pixel, row after row.
    pub fn classes(&self) -> &[u16] {
        &self.classes
    }

    /// Whether class 0 is what belongs to none of the others, so that it is not drawn.
    pub fn has_background(&self) -> bool {
        self.background
    }

    /// How much of the picture each class has that occurs in it, the most first.
    pub fn shares(&self) -> Vec<ClassShare> {
        let most = self.classes.iter().copied().max().map_or(0, usize::from);
        let mut counts = vec![0u64; most + 1];
        self.classes.iter().for_each(|&class| counts[usize::from(class)] += 1);
        let share = |(index, count): (usize, u64)| {
            let share = count as f64 / self.classes.len() as f64;
            let label = self.labels.get(index).cloned().unwrap_or_else(|| format!("class {index}"));
            ClassShare { index, label, pixels: (share * self.picture_pixels as f64).round() as u64, share }
        };
        let mut shares: Vec<_> = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).map(share).collect();
        shares.sort_by_key(|share| std::cmp::Reverse(share.pixels));
        shares
    }
}

fn is_background(label: &str) -> bool {
    ["background", "__background__", "unlabeled"].contains(&label)
}

/// Whole pictures in the range that the model takes, which follows from who made it: TensorFlow's channels are last.
fn preprocess(options: &PreprocessOptions, input: Input) -> Result<Preprocess> {
    whole_picture(options)?;
    let usual = match (input.element, input.layout) {
        (Element::F32, Layout::Nhwc) => Normalize::SYMMETRIC,
        (Element::F32, Layout::Nchw) => Normalize::IMAGENET,
        _ => Normalize::Bytes,
    };
    let normalize = normalize(options.mean, options.std, usual)?;
    let (resize, interpolation) = (Resize::Exact(input.width, input.height), options.interpolation.unwrap_or_default());
    Ok(Preprocess { resize, interpolation, normalize, order: ChannelOrder::Rgb })
}
