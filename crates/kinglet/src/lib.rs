//! Deep-learning models in real time on small computers: a Raspberry Pi, or any Linux machine, on the CPU alone.
//!
//! A [`Model`] comes from a file or from the [`zoo`]; a [`Classifier`] made of it says what is in pictures:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = kinglet::Model::zoo("mobilenet_v2")?; // or Model::open("mobilenet_v2.tflite")?
//! let mut classifier = kinglet::Classifier::new(&model)?;
//! let image = kinglet::open_image("photograph.jpg")?;
//! for p in classifier.classify(&image)?.top(10) {
//!     println!("{} {:.1}%", p.label, 100.0 * p.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Models that find objects and bodies are run by a [`Detector`], models that give each pixel a class by a
//! [`Segmenter`]; what they answer can be drawn:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = kinglet::Model::open("yolov8n.onnx")?;
//! let mut detector = kinglet::Detector::new(&model)?;
//! let mut image = kinglet::open_image("street.jpg")?;
//! let found = detector.detect(&image)?;
//! for one in found {
//!     println!("{} {:.1}% at {:?}", one.label, 100.0 * one.score, one.bounds);
//! }
//! kinglet::vision::draw::detections(&mut image, found);
//!
//! let model = kinglet::Model::open("deeplab_v3.tflite")?;
//! let mut segmenter = kinglet::Segmenter::new(&model)?;
//! let mask = segmenter.segment(&kinglet::open_image("street.jpg")?)?;
//! for class in mask.shares() {
//!     println!("{} {:.1}%", class.label, 100.0 * class.share);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A floor lower, a [`Session`] runs any model on raw [`Tensor`]s, in the model's own types and layout. After the first
//! call it allocates nothing:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use kinglet::{Model, SessionOptions, Tensor};
//!
//! let model = Model::open("model.tflite")?;
//! let options = SessionOptions { threads: kinglet::physical_cores(), ..SessionOptions::default() };
//! let mut session = model.session(&options)?;
//! let inputs: Vec<Tensor> = session.inputs().iter().map(|port| Tensor::zeroed(port.ty.clone())).collect();
//! let outputs = session.run(&inputs)?;
//! println!("{:?}", outputs[0].shape());
//! # Ok(())
//! # }
//! ```
//!
//! [`doctor::examine`] says what is wrong with a machine, and how to mend it.
//!
//! The same quantized model gives the same bytes on every CPU. The crates behind this one are its modules: [`graph`],
//! [`kernels`], [`runtime`] and [`vision`], whose `live` module is the loop behind `kinglet live`.

#![forbid(unsafe_code)]

pub mod doctor;
mod error;
mod files;
pub mod labels;
mod machine;
mod model;
pub mod zoo;

pub use error::Error;
pub use files::open_image;
pub use kinglet_graph::{self as graph, DType, Graph, Tensor};
pub use kinglet_import as import;
pub use kinglet_kernels as kernels;
pub use kinglet_runtime::{self as runtime, Arithmetic, Session, SessionOptions};
pub use kinglet_vision as vision;
pub use kinglet_vision::classifier::{Classifier, Prediction, Predictions, PreprocessOptions};
pub use kinglet_vision::detector::{DetectOptions, Detector};
pub use kinglet_vision::frame::Rgb;
pub use kinglet_vision::postprocess::{Bounds, Detection, Form, Keypoint, Task};
pub use kinglet_vision::segmenter::{ClassShare, Mask, Segmenter};
pub use machine::{Memory, physical_cores};
pub use model::{Model, OpenOptions};
