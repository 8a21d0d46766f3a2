//! A model that takes one picture: its session, the preparation of its input, and its outputs as real numbers. What the
//! outputs mean is the matter of those who hold one.

use std::time::{Duration, Instant};

use kinglet_runtime::graph::{DType, Graph, TensorType, View, ViewMut, qmath};
use kinglet_runtime::{Session, SessionOptions};

use crate::error::{Result, VisionError};
use crate::frame::Rgb;
use crate::preprocess::{Element, Input, Layout, Normalize, Output, Placement, Preprocess, Preprocessor};

/// How long the parts of the last answer took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Resize, crop, normalize, quantize.
    pub preprocess: Duration,
    /// The model itself.
    pub inference: Duration,
    /// From the model's outputs to the answer.
    pub postprocess: Duration,
}

/// A session and the preparation of its one input.
#[derive(Debug)]
pub(crate) struct Network {
    session: Session,
    preprocessor: Preprocessor,
    times: Times,
}

impl Network {
    pub(crate) fn new(
        graph: &Graph,
        preprocess: Preprocess,
        input: Input,
        options: &SessionOptions,
    ) -> Result<Network> {
        let preprocessor = Preprocessor::new(preprocess, input)?;
        Ok(Network { session: Session::new(graph, options)?, preprocessor, times: Times::default() })
    }

    /// Runs the model on a picture.
    pub(crate) fn run(&mut self, image: &Rgb) -> Result<()> {
        let start = Instant::now();
        let out = match self.session.input_mut(0) {
            ViewMut::U8(values) => Output::U8(values),
            ViewMut::I8(values) => Output::I8(values),
            ViewMut::F32(values) => Output::F32(values),
            ViewMut::I32(values) => Output::I32(values),
            other => return Err(VisionError::Model(format!("the input is {}, which no picture is", other.dtype()))),
        };
        self.preprocessor.run(image, out)?;
        let ready = Instant::now();
        self.session.execute()?;
        self.times = Times { preprocess: ready - start, inference: ready.elapsed(), postprocess: Duration::ZERO };
        Ok(())
    }

    /// Notes how long it took to read the outputs.
    pub(crate) fn answered_since(&mut self, start: Instant) {
        self.times.postprocess = start.elapsed();
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Where a picture of this size lies in the input.
    pub(crate) fn placement(&self, image: &Rgb) -> Result<Placement> {
        self.preprocessor.placement(image.width(), image.height())
    }

    /// An output as real numbers: those of a float model as they lie in memory, others put into `scratch`.
    pub(crate) fn output<'a>(&'a self, index: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        match self.session.output(index) {
            View::F32(values) => values,
            _ => {
                scratch.clear();
                self.output_into(index, scratch);
                scratch
            }
        }
    }

    /// Up to four outputs, each as [`Network::output`] gives it; those that there are not are empty.
    pub(crate) fn some_outputs<'a>(&'a self, indices: &[usize], scratch: &'a mut [Vec<f32>; 4]) -> [&'a [f32]; 4] {
        let mut outputs: [&[f32]; 4] = [&[]; 4];
        for ((output, &index), scratch) in outputs.iter_mut().zip(indices).zip(scratch) {
            *output = self.output(index, scratch);
        }
        outputs
    }

    /// Adds an output's real numbers to `out`.
    pub(crate) fn output_into(&self, index: usize, out: &mut Vec<f32>) {
        let quantization = self.session.outputs()[index].ty.quantization.as_ref();
        let real = |q: i32| quantization.map_or(q as f32, |p| qmath::dequantize(q, p.scale(), p.zero_point()));
        match self.session.output(index) {
            View::F32(values) => out.extend_from_slice(values),
            View::F16(values) => out.extend(values.iter().map(|value| value.to_f32())),
            View::U8(values) => out.extend(values.iter().map(|&q| real(q.into()))),
            View::I8(values) => out.extend(values.iter().map(|&q| real(q.into()))),
            View::I32(values) => out.extend(values.iter().map(|&value| value as f32)),
            other => out.extend(other.to_f64().into_iter().map(|value| value as f32)),
        }
    }
}

/// Size, layout and type of the model's one input.
pub(crate) fn picture_input(graph: &Graph) -> Result<Input> {
    let [input] = graph.inputs[..] else {
        return Err(VisionError::Model(format!("{} inputs, where a picture is one", graph.inputs.len())));
    };
    let ty = &graph.value(input).ty;
    let (height, width, layout) = match ty.shape[..] {
        [1, height, width, 3] => (height, width, Layout::Nhwc),
        [1, 3, height, width] => (height, width, Layout::Nchw),
        _ => {
            let found = &ty.shape;
            let problem = format!(
                "the input has shape {found:?}, where a picture is [1, height, width, 3] or [1, 3, height, width]"
            );
            return Err(VisionError::Model(problem));
        }
    };
    let side =
        |side: usize| u32::try_from(side).map_err(|_| VisionError::Model(format!("an input {side} pixels wide")));
    Ok(Input { width: side(width)?, height: side(height)?, layout, element: element(ty)? })
}

fn element(ty: &TensorType) -> Result<Element> {
    let scale = || match &ty.quantization {
        // Bytes without a scale are meant as they are.
        None => Ok((1.0, 0)),
        Some(_) => match ty.activation_quantization("the input") {
            Ok(q) => Ok((q.scale(), q.zero_point())),
            Err(error) => Err(VisionError::Model(error.to_string())),
        },
    };
    match ty.dtype {
        DType::F32 => Ok(Element::F32),
        DType::U8 => scale().map(|(scale, zero_point)| Element::U8 { scale, zero_point }),
        DType::I8 => scale().map(|(scale, zero_point)| Element::I8 { scale, zero_point }),
        DType::I32 => Ok(Element::I32),
        other => Err(VisionError::Model(format!("the input is {other}, which no picture is"))),
    }
}

/// What a byte is worth: by the mean and standard deviation that were asked for, or else the usual.
pub(crate) fn normalize(mean: Option<[f32; 3]>, std: Option<[f32; 3]>, usual: Normalize) -> Result<Normalize> {
    match (mean, std) {
        (Some(mean), Some(std)) => Ok(Normalize::MeanStd { mean, std }),
        (None, None) => Ok(usual),
        _ => Err(VisionError::Preprocess("a mean needs a standard deviation, and the other way round".into())),
    }
}
