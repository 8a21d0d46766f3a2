//! The kernel's V4L2 interface as bytes: the structures and request numbers of `linux/videodev2.h` that capturing
//! needs, for 64-bit systems. They are part of the kernel's promise never to change; the assertions hold each size to
//! it.

use std::mem::size_of;

use bytemuck::Zeroable;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`.
pub(super) const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`.
pub(super) const MEMORY_MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`: whole frames, not interlaced.
pub(super) const FIELD_NONE: u32 = 1;

/// Bits of [`Capability::capabilities`] and `device_caps`.
pub(super) mod cap {
    pub(crate) const VIDEO_CAPTURE: u32 = 0x0000_0001;
    pub(crate) const VIDEO_M2M_MPLANE: u32 = 0x0000_4000;
    pub(crate) const VIDEO_M2M: u32 = 0x0000_8000;
    pub(crate) const STREAMING: u32 = 0x0400_0000;
    pub(crate) const DEVICE_CAPS: u32 = 0x8000_0000;
}

/// Bits of [`Buffer::flags`].
pub(super) mod flag {
    pub(crate) const ERROR: u32 = 0x0000_0040;
    pub(crate) const TIMESTAMP_MASK: u32 = 0x0000_E000;
    pub(crate) const TIMESTAMP_MONOTONIC: u32 = 0x0000_2000;
}

/// `V4L2_CAP_TIMEPERFRAME`: the driver can be asked for a rate.
pub(super) const CAP_TIME_PER_FRAME: u32 = 0x1000;
/// `V4L2_COLORSPACE_REC709` and `_JPEG`.
pub(super) const COLORSPACE_REC709: u32 = 3;
pub(super) const COLORSPACE_JPEG: u32 = 7;
/// `V4L2_YCBCR_ENC_601`, `_709`; 0 is the color space's own.
pub(super) const YCBCR_ENC_601: u32 = 1;
pub(super) const YCBCR_ENC_709: u32 = 2;
/// `V4L2_QUANTIZATION_FULL_RANGE`, `_LIM_RANGE`; 0 is the color space's own.
pub(super) const QUANTIZATION_FULL: u32 = 1;
pub(super) const QUANTIZATION_LIMITED: u32 = 2;

/// `V4L2_FRMSIZE_TYPE_DISCRETE` and `V4L2_FRMIVAL_TYPE_DISCRETE`.
pub(super) const DISCRETE: u32 = 1;

/// `struct v4l2_capability`.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct FormatDescription {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixel_format: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_pix_format`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Zeroable)]
pub(super) struct PixelFormatAbi {
    pub width: u32,
    pub height: u32,
    pub pixel_format: u32,
    pub field: u32,
    pub bytes_per_line: u32,
    pub size_image: u32,
    pub colorspace: u32,
    pub private: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub transfer: u32,
}

/// `struct v4l2_format`, with the member of its union that capturing uses; pointers in others align it to 8.
#[repr(C, align(8))]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct Format {
    pub kind: u32,
    pub padding: u32,
    pub pixels: PixelFormatAbi,
    pub rest_of_union: [u32; 38],
}

/// `struct v4l2_requestbuffers`.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags_and_reserved: [u8; 4],
}

/// `struct v4l2_buffer`; of the union `m`, the offset.
#[repr(C)]
#[derive(Debug, Clone, Copy, Zeroable)]
pub(super) struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytes_used: u32,
    pub flags: u32,
    pub field: u32,
    pub padding: u32,
    pub seconds: i64,
    pub microseconds: i64,
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    pub offset: u32,
    pub rest_of_union: u32,
    pub length: u32,
    pub reserved: u32,
    pub request: u32,
    pub padding_at_end: u32,
}

/// `struct v4l2_fract`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Zeroable, PartialEq, Eq)]
pub(super) struct Fraction {
    pub numerator: u32,
    pub denominator: u32,
}

/// `struct v4l2_streamparm`, with `struct v4l2_captureparm` of its union.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct StreamParameters {
    pub kind: u32,
    pub capability: u32,
    pub mode: u32,
    pub time_per_frame: Fraction,
    pub extended_mode: u32,
    pub read_buffers: u32,
    pub rest_of_union: [u32; 44],
}

/// `struct v4l2_frmsizeenum`. A discrete size has width and height in the first two of `size`; a range has minimum,
/// maximum and step of the width, then of the height.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct FrameSize {
    pub index: u32,
    pub pixel_format: u32,
    pub kind: u32,
    pub size: [u32; 6],
    pub reserved: [u32; 2],
}

/// `struct v4l2_frmivalenum`. A discrete interval is the first; a range has minimum, maximum and step.
#[repr(C)]
#[derive(Clone, Copy, Zeroable)]
pub(super) struct FrameInterval {
    pub index: u32,
    pub pixel_format: u32,
    pub width: u32,
    pub height: u32,
    pub kind: u32,
    pub intervals: [Fraction; 3],
    pub reserved: [u32; 2],
}

const _: () = {
    assert!(size_of::<Capability>() == 104);
    assert!(size_of::<FormatDescription>() == 64);
    assert!(size_of::<PixelFormatAbi>() == 48);
    assert!(size_of::<Format>() == 208);
    assert!(size_of::<RequestBuffers>() == 20);
    assert!(size_of::<Buffer>() == 88);
    assert!(size_of::<StreamParameters>() == 204);
    assert!(size_of::<FrameSize>() == 44);
    assert!(size_of::<FrameInterval>() == 52);
};

/// The number of a request whose argument goes both ways, is only read by the kernel, or only written: direction, size,
/// the letter of V4L2, and its own number.
const fn request<T>(direction: u32, number: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | (b'V' as u32) << 8 | number
}
const WRITE: u32 = 1;
const READ: u32 = 2;

pub(super) const QUERYCAP: u32 = request::<Capability>(READ, 0);
pub(super) const ENUM_FMT: u32 = request::<FormatDescription>(READ | WRITE, 2);
pub(super) const S_FMT: u32 = request::<Format>(READ | WRITE, 5);
pub(super) const REQBUFS: u32 = request::<RequestBuffers>(READ | WRITE, 8);
pub(super) const QUERYBUF: u32 = request::<Buffer>(READ | WRITE, 9);
pub(super) const QBUF: u32 = request::<Buffer>(READ | WRITE, 15);
pub(super) const DQBUF: u32 = request::<Buffer>(READ | WRITE, 17);
pub(super) const STREAMON: u32 = request::<u32>(WRITE, 18);
pub(super) const STREAMOFF: u32 = request::<u32>(WRITE, 19);
pub(super) const G_PARM: u32 = request::<StreamParameters>(READ | WRITE, 21);
pub(super) const S_PARM: u32 = request::<StreamParameters>(READ | WRITE, 22);
pub(super) const ENUM_FRAMESIZES: u32 = request::<FrameSize>(READ | WRITE, 74);
pub(super) const ENUM_FRAMEINTERVALS: u32 = request::<FrameInterval>(READ | WRITE, 75);

// The numbers as strace and the kernel's documentation show them.
const _: () = {
    assert!(QUERYCAP == 0x8068_5600);
    assert!(ENUM_FMT == 0xC040_5602);
    assert!(S_FMT == 0xC0D0_5605);
    assert!(REQBUFS == 0xC014_5608);
    assert!(QUERYBUF == 0xC058_5609);
    assert!(DQBUF == 0xC058_5611);
    assert!(STREAMON == 0x4004_5612);
    assert!(S_PARM == 0xC0CC_5616);
    assert!(ENUM_FRAMESIZES == 0xC02C_564A);
    assert!(ENUM_FRAMEINTERVALS == 0xC034_564B);
};

/// Four letters that name a pixel format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FourCc(pub u32);

impl FourCc {
    pub(super) const fn new(letters: &[u8; 4]) -> FourCc {
        FourCc(u32::from_le_bytes(*letters))
    }
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.0.to_le_bytes() {
            // The highest bit of the last letter says big-endian; nothing else than letters is expected.
            let letter = char::from(byte & 0x7F);
            write!(f, "{}", if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{self}'")
    }
}

/// Text that a driver wrote into a fixed number of bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
