//! Images in another height and width.

/// How a pixel between pixels is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeKind {
    /// From the four around it, each by its nearness.
    Bilinear,
    /// From the nearest one.
    Nearest,
}

impl ResizeKind {
    /// The operator's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            ResizeKind::Bilinear => "ResizeBilinear",
            ResizeKind::Nearest => "ResizeNearest",
        }
    }
}

/// Where output pixel x lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinateMode {
    /// x · in / out
    Asymmetric,
    /// x · (in − 1) / (out − 1): the corner pixels' centers fall on each other.
    AlignCorners,
    /// (x + ½) · in / out − ½: the images' edges fall on each other.
    HalfPixel,
}

/// Gives an NHWC image another height and width.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// How a pixel is made.
    pub kind: ResizeKind,
    /// Where it lies.
    pub mode: CoordinateMode,
    /// The new height and width.
    pub size: [usize; 2],
}
