//! From the bytes of an image file, or a frame's picture, to RGB. Sizes are checked before anything is allocated, and
//! an image that was cut short is an error, never a half-gray picture.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::codecs::{bmp::BmpDecoder, png::PngDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage};
use libjpeg_turbo_rs::{ComponentInfo, DecodeLimits, Decoder, PixelFormat};

use crate::color;
use crate::error::{Result, VisionError};
use crate::frame::{Picture, Rgb};
use crate::jpeg::{self, Extent};

/// The most pixels that a side of a picture may have.
pub const MAX_SIDE: u32 = 16_384;
/// The most pixels, in millions, that a picture may have.
pub const MAX_MEGAPIXELS: u64 = 100;

/// What an image file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// JPEG: baseline, extended or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// Windows bitmap.
    Bmp,
}

impl ImageFormat {
    /// Tells the format from the first bytes of a file, whatever its name is.
    pub fn of(bytes: &[u8]) -> Option<ImageFormat> {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Some(ImageFormat::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(ImageFormat::Png),
            [b'B', b'M', ..] => Some(ImageFormat::Bmp),
            _ => None,
        }
    }
}

/// The longest image file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Reads a file that should be an image, as far as an image can reach.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |error| VisionError::File { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    (&mut file).take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(damaged("unknown", "longer than 256 MiB").in_file(path));
    }
    Ok(bytes)
}

/// Decodes an image file's bytes: JPEG, PNG or BMP. What its EXIF says about its orientation is done.
///
/// # Errors
/// When the bytes are none of these, are damaged or cut short, or speak of more than [`MAX_SIDE`] or
/// [`MAX_MEGAPIXELS`].
pub fn image(bytes: &[u8]) -> Result<Rgb> {
    match ImageFormat::of(bytes) {
        Some(ImageFormat::Jpeg) => {
            let mut rgb = Rgb::new();
            let orientation = jpeg_into(bytes, &mut rgb)?;
            oriented(rgb, orientation)
        }
        Some(ImageFormat::Png) => {
            let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(|e| damaged("PNG", e))?;
            by_image_crate("PNG", decoder, bytes.len())
        }
        Some(ImageFormat::Bmp) => {
            let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|e| damaged("BMP", e))?;
            by_image_crate("BMP", decoder, bytes.len())
        }
        None if bytes.is_empty() => Err(damaged("empty", "the file has no bytes")),
        None => Err(damaged("unknown", "neither JPEG nor PNG nor BMP, by its first bytes")),
    }
}

/// Decodes a frame's picture into `out`, whose memory is used again. A JPEG's orientation tag is left alone: sources
/// turn such pictures themselves.
///
/// # Errors
/// As [`image()`]. A live loop skips such a frame.
pub fn picture(picture: &Picture, out: &mut Rgb) -> Result<()> {
    match picture {
        Picture::Jpeg(bytes) => jpeg_into(bytes, out).map(drop),
        Picture::Pixels(pixels) => {
            color::to_rgb(pixels, out);
            Ok(())
        }
    }
}

/// Refuses sizes that are 0 or above the limits.
pub(crate) fn check_size(format: &'static str, width: u64, height: u64) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(damaged(format, format!("{width}x{height} has no pixels")));
    }
    let max_side = u64::from(MAX_SIDE);
    if width > max_side || height > max_side || width * height > MAX_MEGAPIXELS * 1_000_000 {
        let (max_side, max_megapixels) = (MAX_SIDE, MAX_MEGAPIXELS);
        return Err(VisionError::TooLarge { format, width, height, max_side, max_megapixels });
    }
    Ok(())
}

fn damaged(format: &'static str, problem: impl ToString) -> VisionError {
    VisionError::Picture { format, problem: problem.to_string() }
}

/// What a JPEG's headers say.
pub(crate) struct JpegHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) orientation: Orientation,
}

/// Reads a JPEG's headers, and makes sure that it is not cut short, without decoding it.
pub(crate) fn jpeg_header(bytes: &[u8]) -> Result<JpegHeader> {
    open_jpeg(bytes).map(|(_, header)| header)
}

/// The most scans that a progressive JPEG may have. Encoders write some ten; each costs a pass over the whole picture.
const MAX_SCANS: usize = 128;

fn open_jpeg(bytes: &[u8]) -> Result<(Decoder<'_>, JpegHeader)> {
    match jpeg::extent(bytes) {
        Extent::Whole(_) => {}
        Extent::Cut => return Err(damaged("JPEG", "cut short: it ends before its end-of-image marker")),
        Extent::Invalid => return Err(damaged("JPEG", "damaged: its markers are not in order")),
    }
    let limits = DecodeLimits { max_scans: MAX_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(|e| damaged("JPEG", e))?;
    decoder.set_output_format(PixelFormat::Rgb);
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    check_size("JPEG", width.into(), height.into())?;
    // Each block of 8×8 samples takes a bit at the very least, and one block covers 32×32 pixels at the very most.
    if u64::from(width) * u64::from(height) / 1024 > bytes.len() as u64 * 8 {
        return Err(damaged("JPEG", format!("{} bytes cannot hold {width}x{height} pixels", bytes.len())));
    }
    if !is_common_sampling(&decoder.header().components) {
        return Err(damaged("JPEG", "color components of sizes that are not supported"));
    }
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok((decoder, JpegHeader { width, height, orientation }))
}

/// Whether the second and third of four color components are of one size, and the other two of full size, a multiple of
/// it, as every encoder writes CMYK and YCCK. The decoder takes that for granted, and would panic.
fn is_common_sampling(components: &[ComponentInfo]) -> bool {
    let sampling = |component: &ComponentInfo| (component.horizontal_sampling, component.vertical_sampling);
    match components {
        [c, m, y, k] => {
            let (full, part) = (sampling(c), sampling(m));
            sampling(k) == full && sampling(y) == part && full.0.is_multiple_of(part.0) && full.1.is_multiple_of(part.1)
        }
        _ => true,
    }
}

fn jpeg_into(bytes: &[u8], out: &mut Rgb) -> Result<Orientation> {
    let (decoder, header) = open_jpeg(bytes)?;
    let pixels = out.reshape(header.width, header.height);
    let decoded = decoder.decode_image_into(pixels).map_err(|e| damaged("JPEG", e))?;
    if decoded.bytes_written != pixels.len() {
        return Err(damaged("JPEG", "not all of its pixels are there"));
    }
    Ok(header.orientation)
}

fn by_image_crate(format: &'static str, mut decoder: impl ImageDecoder, file_bytes: usize) -> Result<Rgb> {
    let (width, height) = decoder.dimensions();
    check_size(format, width.into(), height.into())?;
    // Deflate expands by 1032 at the very most, and the sizes of a bitmap that is not compressed must be there.
    if decoder.total_bytes() / 8 / 1032 > file_bytes as u64 {
        return Err(damaged(format, format!("cut short: {file_bytes} bytes cannot hold {width}x{height} pixels")));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let decoded = DynamicImage::from_decoder(decoder).map_err(|e| damaged(format, e))?;
    let decoded = decoded.into_rgb8();
    oriented(Rgb::from_bytes(width, height, decoded.into_raw())?, orientation)
}

/// Turns and mirrors a picture as its orientation tag says.
fn oriented(rgb: Rgb, orientation: Orientation) -> Result<Rgb> {
    if orientation == Orientation::NoTransforms {
        return Ok(rgb);
    }
    let (width, height) = (rgb.width(), rgb.height());
    let buffer = RgbImage::from_raw(width, height, rgb.into_bytes());
    let mut turned = DynamicImage::ImageRgb8(buffer.ok_or_else(|| damaged("RGB", "sizes do not fit"))?);
    turned.apply_orientation(orientation);
    let turned = turned.into_rgb8();
    Rgb::from_bytes(turned.width(), turned.height(), turned.into_raw())
}
