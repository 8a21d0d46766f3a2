//! A frame: one picture with its number and the instant at which it was captured. Pictures stay in the form in which
//! the source had them, until somebody needs their pixels.

use std::sync::Arc;
use std::time::Instant;

use crate::color::YuvColor;
use crate::error::{Result, VisionError};

/// One picture of a source. Cloning it shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The number of the picture, from 0, counting also those that the source had to throw away.
    pub sequence: u64,
    /// When the picture was taken, or when it was due for a source that is paced.
    pub captured: Instant,
    /// The picture itself.
    pub picture: Picture,
    /// The file that it comes from, for a folder of images.
    pub name: Option<Arc<str>>,
}

/// A picture as its source has it.
#[derive(Debug, Clone)]
pub enum Picture {
    /// A JPEG, byte for byte: what the page shows without encoding it again.
    Jpeg(Arc<[u8]>),
    /// Pixels that are not compressed.
    Pixels(Pixels),
}

/// How the pixels of a [`Pixels`] lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// R, G, B bytes in turn.
    Rgb8,
    /// Luma alone, one byte a pixel.
    Gray8,
    /// 4:2:2 in one plane: Y0 U Y1 V for each pair of pixels.
    Yuyv,
    /// 4:2:0 in two planes: Y, then U and V in turn at half the size.
    Nv12,
    /// 4:2:0 in three planes: Y, U, V (V4L2 calls it YU12).
    I420,
    /// 4:2:2 in three planes.
    I422,
    /// 4:4:4 in three planes.
    I444,
}

/// A picture that is not compressed. Its bytes are known to hold all the rows that its size and stride speak of.
#[derive(Debug, Clone)]
pub struct Pixels {
    format: PixelFormat,
    width: u32,
    height: u32,
    stride: usize,
    color: YuvColor,
    data: Arc<[u8]>,
}

impl PixelFormat {
    /// The bytes that a row of the first plane needs at least.
    pub fn row_bytes(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            PixelFormat::Rgb8 => width * 3,
            PixelFormat::Yuyv => width.div_ceil(2) * 4,
            PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::I422 | PixelFormat::I444 => width,
        }
    }

    /// The stride of the chroma planes where the first plane has `stride`: V4L2 defines it so, and packed planes agree.
    pub(crate) fn chroma_stride(self, stride: usize) -> usize {
        match self {
            PixelFormat::I420 | PixelFormat::I422 => stride.div_ceil(2),
            PixelFormat::Nv12 => stride.next_multiple_of(2),
            PixelFormat::I444 => stride,
            PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::Yuyv => 0,
        }
    }

    /// The rows of a chroma plane.
    fn chroma_rows(self, height: u32) -> usize {
        match self {
            PixelFormat::I420 | PixelFormat::Nv12 => height.div_ceil(2) as usize,
            PixelFormat::I422 | PixelFormat::I444 => height as usize,
            PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::Yuyv => 0,
        }
    }

    /// The bytes of a whole picture whose first plane has rows of `stride` bytes.
    pub fn picture_bytes(self, height: u32, stride: usize) -> usize {
        let planes = match self {
            PixelFormat::I420 | PixelFormat::I422 | PixelFormat::I444 => 2,
            _ => 1,
        };
        stride * height as usize + planes * self.chroma_stride(stride) * self.chroma_rows(height)
    }
}

impl Pixels {
    /// A picture of `width` × `height` whose first plane has rows of `stride` bytes.
    ///
    /// # Errors
    /// When a side is 0 or above [`crate::decode::MAX_SIDE`], a row does not fit its stride, or `data` is too short.
    pub fn new(format: PixelFormat, width: u32, height: u32, stride: usize, data: Arc<[u8]>) -> Result<Pixels> {
        let problem = |problem| Err(VisionError::Picture { format: "raw", problem });
        crate::decode::check_size("raw", u64::from(width), u64::from(height))?;
        if stride < format.row_bytes(width) || stride > (1 << 20) {
            return problem(format!("rows of {stride} bytes do not fit {width} pixels of {format:?}"));
        }
        let needed = format.picture_bytes(height, stride);
        if data.len() < needed {
            return problem(format!("{width}x{height} {format:?} needs {needed} bytes, and there are {}", data.len()));
        }
        Ok(Pixels { format, width, height, stride, color: YuvColor::default(), data })
    }

    /// The same picture with another meaning of its YUV values.
    pub fn with_color(self, color: YuvColor) -> Pixels {
        Pixels { color, ..self }
    }

    /// How the pixels lie in memory.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row of the first plane to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// What the YUV values mean.
    pub fn color(&self) -> YuvColor {
        self.color
    }

    /// The first plane (luma, or all of a format of one plane).
    pub(crate) fn first_plane(&self) -> &[u8] {
        &self.data[..self.stride * self.height as usize]
    }

    /// The chroma planes: U and V, or the one plane that holds both in turn and nothing.
    pub(crate) fn chroma_planes(&self) -> (&[u8], &[u8]) {
        let rest = &self.data[self.stride * self.height as usize..];
        let plane = self.format.chroma_stride(self.stride) * self.format.chroma_rows(self.height);
        let (u, rest) = rest.split_at(plane);
        match self.format {
            PixelFormat::I420 | PixelFormat::I422 | PixelFormat::I444 => (u, &rest[..plane]),
            _ => (u, &[]),
        }
    }
}

/// An RGB picture in memory of its own, rows packed. The buffer is kept when the next picture is put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rgb {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Rgb {
    /// An empty picture, to be filled by a decoder.
    pub fn new() -> Rgb {
        Rgb::default()
    }

    /// A picture of `width` × `height` from R, G, B bytes.
    ///
    /// # Errors
    /// When there are not exactly width · height · 3 bytes.
    pub fn from_bytes(width: u32, height: u32, data: Vec<u8>) -> Result<Rgb> {
        crate::decode::check_size("RGB", u64::from(width), u64::from(height))?;
        let needed = width as usize * height as usize * 3;
        if data.len() != needed {
            let problem = format!("{width}x{height} needs {needed} bytes, and there are {}", data.len());
            return Err(VisionError::Picture { format: "RGB", problem });
        }
        Ok(Rgb { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels: R, G, B bytes, row after row.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The same, to change them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the pixels away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.data
    }

    /// Takes a new size, and hands out the bytes to be filled; what they hold is unspecified.
    pub(crate) fn reshape(&mut self, width: u32, height: u32) -> &mut [u8] {
        (self.width, self.height) = (width, height);
        self.data.resize(width as usize * height as usize * 3, 0);
        &mut self.data
    }

    /// Fills a slice of pixels as a picture of one's own.
    pub(crate) fn into_pixels(self) -> Pixels {
        let stride = self.width as usize * 3;
        Pixels {
            format: PixelFormat::Rgb8,
            width: self.width,
            height: self.height,
            stride,
            color: YuvColor::default(),
            data: self.data.into(),
        }
    }
}
