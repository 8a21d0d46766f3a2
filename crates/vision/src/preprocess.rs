//! From an RGB picture to a model's input: resize, crop, normalize, quantize. The last two are one table look-up a
//! byte, because a byte has only 256 values.

use crate::error::{Result, VisionError};
use crate::frame::Rgb;
pub use crate::resample::Interpolation;
use crate::resample::{Geometry, Resampler};

/// How a picture gets to the size that is cropped from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes this long; the longer one keeps the picture's proportions.
    ShorterSide(u32),
    /// Width and height become exactly these.
    Exact(u32, u32),
}

/// What a byte of a picture is worth in the model's terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalize {
    /// The byte is the quantized value: for uint8 as it is, for int8 less 128, for float 0 to 255. What the range of
    /// bytes means is then the matter of the input's own scale and zero point, as models quantized for images have
    /// them.
    Bytes,
    /// (byte / 255 − mean) / std for each of R, G, B; [−1, 1] is mean 0.5 and std 0.5.
    MeanStd {
        /// One mean a channel, for values in [0, 1].
        mean: [f32; 3],
        /// One standard deviation a channel, for values in [0, 1].
        std: [f32; 3],
    },
}

impl Normalize {
    /// [−1, 1].
    pub const SYMMETRIC: Normalize = Normalize::MeanStd { mean: [0.5; 3], std: [0.5; 3] };
    /// The mean and standard deviation of ImageNet that PyTorch's models are trained with.
    pub const IMAGENET: Normalize = Normalize::MeanStd { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

/// How a picture is made into a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// To which size the picture is resized. The model's input is cropped from its middle.
    pub resize: Resize,
    /// How it is resized.
    pub interpolation: Interpolation,
    /// What a byte is worth.
    pub normalize: Normalize,
}

impl Preprocess {
    /// ImageNet's usual for an input of `width` × `height`: shorter side to 256 / 224 of the input's, and its centre.
    pub fn imagenet(width: u32, height: u32, normalize: Normalize) -> Preprocess {
        let shorter = (f64::from(width.max(height)) * 256.0 / 224.0).round() as u32;
        Preprocess { resize: Resize::ShorterSide(shorter), interpolation: Interpolation::Bilinear, normalize }
    }
}

/// How values lie in the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channels last: height, width, R G B.
    Nhwc,
    /// Channels first: three planes of height × width.
    Nchw,
}

/// The type of the model's input values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    /// Real value = (q − zero_point) · scale, q in 0..=255.
    U8 {
        /// The size of a step.
        scale: f32,
        /// The q that means 0.
        zero_point: i32,
    },
    /// Real value = (q − zero_point) · scale, q in −128..=127.
    I8 {
        /// The size of a step.
        scale: f32,
        /// The q that means 0.
        zero_point: i32,
    },
    /// Real values.
    F32,
}

/// The model's input, for one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The order of its values.
    pub layout: Layout,
    /// Their type.
    pub element: Element,
}

/// Where the values go; the variant must be that of the input's [`Element`].
#[derive(Debug)]
pub enum Output<'a> {
    /// For a uint8 input.
    U8(&'a mut [u8]),
    /// For an int8 input.
    I8(&'a mut [i8]),
    /// For a float input.
    F32(&'a mut [f32]),
}

/// What each byte becomes, a table for each of R, G, B.
type Table<T> = Box<[[T; 256]; 3]>;

#[derive(Debug)]
enum Tables {
    U8(Table<u8>),
    I8(Table<i8>),
    F32(Table<f32>),
}

/// Makes pictures into one model's input. Memory and filter weights are kept while pictures have the same size.
#[derive(Debug)]
pub struct Preprocessor {
    preprocess: Preprocess,
    input: Input,
    tables: Tables,
    resampler: Resampler,
    cropped: Vec<u8>,
}

impl Preprocessor {
    /// Sets up for one model.
    ///
    /// # Errors
    /// When a size is 0 or beyond the limit, the crop is larger than what it is cropped from, or a scale or a standard
    /// deviation is not a positive number.
    pub fn new(preprocess: Preprocess, input: Input) -> Result<Preprocessor> {
        let wrong = |problem: String| Err(VisionError::Preprocess(problem));
        crate::decode::check_size("input", input.width.into(), input.height.into())?;
        let (width, height) = match preprocess.resize {
            Resize::ShorterSide(side) => (side, side),
            Resize::Exact(width, height) => (width, height),
        };
        crate::decode::check_size("resized", width.into(), height.into())?;
        if width < input.width || height < input.height {
            let (w, h) = (input.width, input.height);
            return wrong(format!(
                "a picture resized to {width}x{height} is too small to crop the model's {w}x{h} from"
            ));
        }
        if let Normalize::MeanStd { mean, std } = preprocess.normalize
            && (!std.iter().all(|&s| s.is_normal() && s > 0.0) || !mean.iter().all(|m| m.is_finite()))
        {
            return wrong(format!(
                "mean {mean:?} and standard deviation {std:?} must be finite, and the latter positive"
            ));
        }
        if let Element::U8 { scale, .. } | Element::I8 { scale, .. } = input.element
            && !(scale.is_normal() && scale > 0.0)
        {
            return wrong(format!("the input's scale {scale} must be a positive number"));
        }
        let tables = tables(preprocess.normalize, input.element);
        Ok(Preprocessor { preprocess, input, tables, resampler: Resampler::default(), cropped: Vec::new() })
    }

    /// The number of values in the model's input.
    pub fn values(&self) -> usize {
        self.input.width as usize * self.input.height as usize * 3
    }

    /// Writes the model's input for `image` into `out`.
    ///
    /// # Errors
    /// When `out` has another type or another number of values than the model's input, or a picture is so long and
    /// narrow that resizing it would make a side longer than [`crate::decode::MAX_SIDE`].
    pub fn run(&mut self, image: &Rgb, out: Output<'_>) -> Result<()> {
        let geometry = self.geometry(image.width(), image.height())?;
        let (values, layout) = (self.values(), self.input.layout);
        let found = match &out {
            Output::U8(out) => out.len(),
            Output::I8(out) => out.len(),
            Output::F32(out) => out.len(),
        };
        if found != values {
            return Err(VisionError::Preprocess(format!("the input takes {values} values, and there are {found}")));
        }
        self.cropped.resize(values, 0);
        self.resampler.run(image, geometry, &mut self.cropped);
        match (&self.tables, out) {
            (Tables::U8(table), Output::U8(out)) => look_up(&self.cropped, table, layout, out),
            (Tables::I8(table), Output::I8(out)) => look_up(&self.cropped, table, layout, out),
            (Tables::F32(table), Output::F32(out)) => look_up(&self.cropped, table, layout, out),
            _ => return Err(VisionError::Preprocess(format!("the input is {:?}", self.input.element))),
        }
        Ok(())
    }

    /// The resized picture's size, and where in it the model's input lies.
    fn geometry(&self, width: u32, height: u32) -> Result<Geometry> {
        let resized = match self.preprocess.resize {
            Resize::Exact(width, height) => (width, height),
            Resize::ShorterSide(side) => {
                let longer = |long: u32, short: u32| {
                    (f64::from(long) * f64::from(side) / f64::from(short)).round_ties_even().max(f64::from(side))
                };
                if width < height { (side, longer(height, width) as u32) } else { (longer(width, height) as u32, side) }
            }
        };
        crate::decode::check_size("resized", resized.0.into(), resized.1.into())?;
        let (size, input) = ((self.input.width, self.input.height), (width, height));
        let corner = ((resized.0 - size.0) / 2, (resized.1 - size.1) / 2);
        Ok(Geometry { input, resized, corner, size, interpolation: self.preprocess.interpolation })
    }
}

/// A table for each channel, made once: after it, normalizing and quantizing costs nothing.
fn tables(normalize: Normalize, element: Element) -> Tables {
    let real = |channel: usize, byte: usize| match normalize {
        Normalize::Bytes => byte as f32,
        Normalize::MeanStd { mean, std } => (byte as f32 / 255.0 - mean[channel]) / std[channel],
    };
    let quantized = |channel, byte, scale: f32, zero_point: i32, (min, max): (f32, f32)| {
        let q = match normalize {
            Normalize::Bytes => byte as f32 + min,
            Normalize::MeanStd { .. } => (real(channel, byte) / scale).round_ties_even() + zero_point as f32,
        };
        q.clamp(min, max) as i32
    };
    match element {
        Element::U8 { scale, zero_point } => {
            Tables::U8(table(|channel, byte| quantized(channel, byte, scale, zero_point, (0.0, 255.0)) as u8))
        }
        Element::I8 { scale, zero_point } => {
            Tables::I8(table(|channel, byte| quantized(channel, byte, scale, zero_point, (-128.0, 127.0)) as i8))
        }
        Element::F32 => Tables::F32(table(real)),
    }
}

fn table<T>(value: impl Fn(usize, usize) -> T) -> Table<T> {
    Box::new(std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte))))
}

fn look_up<T: Copy>(rgb: &[u8], table: &[[T; 256]; 3], layout: Layout, out: &mut [T]) {
    let [red, green, blue] = table;
    match layout {
        Layout::Nhwc => {
            for (out, pixel) in out.chunks_exact_mut(3).zip(rgb.chunks_exact(3)) {
                out[0] = red[usize::from(pixel[0])];
                out[1] = green[usize::from(pixel[1])];
                out[2] = blue[usize::from(pixel[2])];
            }
        }
        Layout::Nchw => {
            let plane = out.len() / 3;
            for (channel, (out, table)) in out.chunks_exact_mut(plane).zip(table).enumerate() {
                for (out, pixel) in out.iter_mut().zip(rgb.chunks_exact(3)) {
                    *out = table[usize::from(pixel[channel])];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NHWC: Layout = Layout::Nhwc;

    fn input(width: u32, height: u32, layout: Layout, element: Element) -> Input {
        Input { width, height, layout, element }
    }

    /// Every byte once in each channel, as a picture of 16 × 16.
    fn all_bytes() -> Rgb {
        Rgb::from_bytes(16, 16, (0..=255u8).flat_map(|b| [b, 255 - b, b ^ 0x5A]).collect()).unwrap()
    }

    fn exact(normalize: Normalize) -> Preprocess {
        Preprocess { resize: Resize::Exact(16, 16), interpolation: Interpolation::Bilinear, normalize }
    }

    #[test]
    fn bytes_go_straight_into_a_uint8_model_and_shifted_into_an_int8_one() {
        let image = all_bytes();
        let u8_element = Element::U8 { scale: 1.0 / 128.0, zero_point: 128 };
        let mut preprocessor = Preprocessor::new(exact(Normalize::Bytes), input(16, 16, NHWC, u8_element)).unwrap();
        let mut out = vec![0; 768];
        preprocessor.run(&image, Output::U8(&mut out)).unwrap();
        assert_eq!(out, image.bytes());

        let i8_element = Element::I8 { scale: 1.0 / 128.0, zero_point: 0 };
        let mut preprocessor = Preprocessor::new(exact(Normalize::Bytes), input(16, 16, NHWC, i8_element)).unwrap();
        let mut out = vec![0; 768];
        preprocessor.run(&image, Output::I8(&mut out)).unwrap();
        assert!(out.iter().zip(image.bytes()).all(|(&q, &byte)| i32::from(q) == i32::from(byte) - 128));
    }

    #[test]
    fn float_inputs_are_normalized_in_both_layouts() {
        let image = all_bytes();
        let Normalize::MeanStd { mean, std } = Normalize::IMAGENET else { unreachable!() };
        for layout in [Layout::Nhwc, Layout::Nchw] {
            let mut preprocessor =
                Preprocessor::new(exact(Normalize::IMAGENET), input(16, 16, layout, Element::F32)).unwrap();
            let mut out = vec![0.0; 768];
            preprocessor.run(&image, Output::F32(&mut out)).unwrap();
            for (i, pixel) in image.bytes().chunks_exact(3).enumerate() {
                for c in 0..3 {
                    let expected = (f64::from(pixel[c]) / 255.0 - f64::from(mean[c])) / f64::from(std[c]);
                    let got = out[if layout == NHWC { i * 3 + c } else { c * 256 + i }];
                    assert!((f64::from(got) - expected).abs() < 1e-6, "{layout:?} {i} {c}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn quantizing_rounds_ties_to_even_and_saturates() {
        let image = all_bytes();
        // A step of 2/255 in [−1, 1]: real / scale = byte − 127.5, a tie for every byte.
        let element = Element::I8 { scale: 2.0 / 255.0, zero_point: 3 };
        let mut preprocessor = Preprocessor::new(exact(Normalize::SYMMETRIC), input(16, 16, NHWC, element)).unwrap();
        let mut out = vec![0; 768];
        preprocessor.run(&image, Output::I8(&mut out)).unwrap();
        for (&q, &byte) in out.iter().zip(image.bytes()) {
            let real = (f32::from(byte) / 255.0 - 0.5) / 0.5;
            let expected = ((real / (2.0_f32 / 255.0)).round_ties_even() + 3.0).clamp(-128.0, 127.0);
            assert_eq!(f32::from(q), expected, "{byte}");
        }
        assert_eq!(out[255 * 3], 127, "saturated");
    }

    #[test]
    fn the_shorter_side_decides_and_the_crop_is_the_middle() {
        let element = Element::F32;
        let preprocessor =
            Preprocessor::new(Preprocess::imagenet(128, 128, Normalize::Bytes), input(128, 128, NHWC, element))
                .unwrap();
        let landscape = preprocessor.geometry(341, 256).unwrap();
        assert_eq!((landscape.resized, landscape.corner), ((194, 146), (33, 9)));
        let portrait = preprocessor.geometry(256, 384).unwrap();
        assert_eq!((portrait.resized, portrait.corner), ((146, 219), (9, 45)));
        let square = preprocessor.geometry(7, 7).unwrap();
        assert_eq!((square.resized, square.corner), ((146, 146), (9, 9)));
        assert!(preprocessor.geometry(1, 16_384).is_err(), "a thread of pixels must not become a giant picture");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = input(16, 16, NHWC, Element::F32);
        let too_small = Preprocess { resize: Resize::ShorterSide(15), ..exact(Normalize::Bytes) };
        assert!(Preprocessor::new(too_small, good).is_err());
        let no_spread = Normalize::MeanStd { mean: [0.0; 3], std: [1.0, 0.0, 1.0] };
        assert!(Preprocessor::new(exact(no_spread), good).is_err());
        assert!(Preprocessor::new(exact(Normalize::Bytes), input(0, 16, NHWC, Element::F32)).is_err());
        let no_scale = Element::U8 { scale: f32::NAN, zero_point: 0 };
        assert!(Preprocessor::new(exact(Normalize::Bytes), input(16, 16, NHWC, no_scale)).is_err());
        let mut preprocessor = Preprocessor::new(exact(Normalize::Bytes), good).unwrap();
        assert!(preprocessor.run(&all_bytes(), Output::F32(&mut [0.0; 767])).is_err());
        assert!(preprocessor.run(&all_bytes(), Output::U8(&mut [0; 768])).is_err());
    }
}
