//! From RGB to the bytes of an image file.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use jpeg_encoder::{ColorType, Encoder};

use crate::error::{Result, VisionError};
use crate::frame::Rgb;

/// Adds a picture as a JPEG file of this quality, 1 to 100, to `out`.
///
/// # Errors
/// When the picture is empty.
pub fn jpeg(image: &Rgb, quality: u8, out: &mut Vec<u8>) -> Result<()> {
    let wrong = |problem: String| VisionError::Picture { format: "JPEG", problem };
    let side = |side: u32| u16::try_from(side).map_err(|_| wrong(format!("{side} pixels are too many for a side")));
    let (width, height) = (side(image.width())?, side(image.height())?);
    let encoder = Encoder::new(out, quality);
    encoder.encode(image.bytes(), width, height, ColorType::Rgb).map_err(|error| wrong(error.to_string()))
}

/// Adds a picture as a PNG file to `out`.
///
/// # Errors
/// When the picture is empty.
pub fn png(image: &Rgb, out: &mut Vec<u8>) -> Result<()> {
    PngEncoder::new(out)
        .write_image(image.bytes(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| VisionError::Picture { format: "PNG", problem: error.to_string() })
}
