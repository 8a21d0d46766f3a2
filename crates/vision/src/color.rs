//! From YUV to RGB. Cameras and y4m files are BT.601 limited range unless they say otherwise; chroma is taken from the
//! nearest sample. Integer arithmetic of 16 fractional bits, over blocks that the compiler turns into vectors.

use crate::frame::{PixelFormat, Pixels, Rgb};

/// Which weights luma was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum YuvMatrix {
    /// ITU-R BT.601: standard definition, webcams, JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// Which codes stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum YuvRange {
    /// Luma 16 to 235, chroma 16 to 240.
    #[default]
    Limited,
    /// Luma and chroma 0 to 255, as in JPEG.
    Full,
}

/// What the YUV values of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct YuvColor {
    /// The weights.
    pub matrix: YuvMatrix,
    /// The codes of black and white.
    pub range: YuvRange,
}

/// The inverse matrix in 16 fractional bits:
/// R = y·luma + v·red_v, G = y·luma − u·green_u − v·green_v, B = y·luma + u·blue_u, for y, u, v less their offsets.
#[derive(Debug, Clone, Copy)]
struct Coefficients {
    offset: i32,
    luma: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl YuvColor {
    fn coefficients(self) -> Coefficients {
        // Kr and Kb of the two recommendations; Kg = 1 − Kr − Kb.
        let (kr, kb) = match self.matrix {
            YuvMatrix::Bt601 => (0.299_f64, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
        };
        let (offset, luma, chroma) = match self.range {
            YuvRange::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            YuvRange::Full => (0, 1.0, 1.0),
        };
        let kg = 1.0 - kr - kb;
        let fixed = |x: f64| (x * 65536.0).round() as i32;
        Coefficients {
            offset,
            luma: fixed(luma),
            red_v: fixed(2.0 * (1.0 - kr) * chroma),
            green_u: fixed(2.0 * (1.0 - kb) * kb / kg * chroma),
            green_v: fixed(2.0 * (1.0 - kr) * kr / kg * chroma),
            blue_u: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }
}

/// Pixels that are converted at once; even, so that a block begins with a whole chroma sample.
const BLOCK: usize = 64;

/// A block with a chroma sample for each pixel.
struct Block {
    y: [u8; BLOCK],
    u: [u8; BLOCK],
    v: [u8; BLOCK],
}

/// Writes `pixels` into `out` as RGB.
pub fn to_rgb(pixels: &Pixels, out: &mut Rgb) {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let rgb = out.reshape(pixels.width(), pixels.height());
    let rows = rgb.chunks_exact_mut(width * 3);
    if pixels.format() == PixelFormat::Rgb8 {
        for (row, from) in rows.zip(pixels.first_plane().chunks_exact(pixels.stride())) {
            row.copy_from_slice(&from[..width * 3]);
        }
        return;
    }
    let coefficients = pixels.color().coefficients();
    let mut block = Block { y: [0; BLOCK], u: [128; BLOCK], v: [128; BLOCK] };
    debug_assert_eq!(rows.len(), height);
    for (y, row) in rows.enumerate() {
        let planes = RowPlanes::of(pixels, y);
        for (x, out) in row.chunks_mut(BLOCK * 3).enumerate() {
            planes.load(x * BLOCK, out.len() / 3, &mut block);
            let converted = convert(&block, coefficients);
            out.copy_from_slice(&converted[..out.len()]);
        }
    }
}

/// The bytes that one row of pixels is made from.
struct RowPlanes<'a> {
    format: PixelFormat,
    y: &'a [u8],
    u: &'a [u8],
    v: &'a [u8],
}

impl<'a> RowPlanes<'a> {
    fn of(pixels: &'a Pixels, row: usize) -> RowPlanes<'a> {
        let (format, stride) = (pixels.format(), pixels.stride());
        let y = &pixels.first_plane()[row * stride..][..stride];
        let chroma_row = match format {
            PixelFormat::Nv12 | PixelFormat::I420 => row / 2,
            _ => row,
        };
        let chroma_stride = format.chroma_stride(stride);
        let (u, v) = pixels.chroma_planes();
        let row_of = |plane: &'a [u8]| {
            if plane.is_empty() { plane } else { &plane[chroma_row * chroma_stride..][..chroma_stride] }
        };
        RowPlanes { format, y, u: row_of(u), v: row_of(v) }
    }

    /// Puts `n` pixels from `x` into `block`; `x` is even. What lies behind them in the block stays as it was.
    fn load(&self, x: usize, n: usize, block: &mut Block) {
        if self.format == PixelFormat::Yuyv {
            let pairs = self.y[x * 2..].chunks_exact(4).take(n.div_ceil(2));
            for (i, pair) in pairs.enumerate() {
                block.y[2 * i..2 * i + 2].copy_from_slice(&[pair[0], pair[2]]);
                block.u[2 * i..2 * i + 2].fill(pair[1]);
                block.v[2 * i..2 * i + 2].fill(pair[3]);
            }
            return;
        }
        block.y[..n].copy_from_slice(&self.y[x..x + n]);
        match self.format {
            PixelFormat::I420 | PixelFormat::I422 => {
                double(&self.u[x / 2..], n, &mut block.u);
                double(&self.v[x / 2..], n, &mut block.v);
            }
            PixelFormat::Nv12 => {
                for (i, uv) in self.u[x..].chunks_exact(2).take(n.div_ceil(2)).enumerate() {
                    block.u[2 * i..2 * i + 2].fill(uv[0]);
                    block.v[2 * i..2 * i + 2].fill(uv[1]);
                }
            }
            PixelFormat::I444 => {
                block.u[..n].copy_from_slice(&self.u[x..x + n]);
                block.v[..n].copy_from_slice(&self.v[x..x + n]);
            }
            PixelFormat::Gray8 | PixelFormat::Rgb8 | PixelFormat::Yuyv => {}
        }
    }
}

/// Gives each sample to two pixels.
fn double(samples: &[u8], n: usize, out: &mut [u8; BLOCK]) {
    for (pair, &sample) in out.chunks_exact_mut(2).zip(&samples[..n.div_ceil(2)]) {
        pair.fill(sample);
    }
}

/// The arithmetic: exact products, rounded once to the nearest.
fn convert(block: &Block, c: Coefficients) -> [u8; BLOCK * 3] {
    let (mut r, mut g, mut b) = ([0u8; BLOCK], [0u8; BLOCK], [0u8; BLOCK]);
    for i in 0..BLOCK {
        let y = (i32::from(block.y[i]) - c.offset) * c.luma + (1 << 15);
        let u = i32::from(block.u[i]) - 128;
        let v = i32::from(block.v[i]) - 128;
        r[i] = ((y + v * c.red_v) >> 16).clamp(0, 255) as u8;
        g[i] = ((y - u * c.green_u - v * c.green_v) >> 16).clamp(0, 255) as u8;
        b[i] = ((y + u * c.blue_u) >> 16).clamp(0, 255) as u8;
    }
    let mut rgb = [0u8; BLOCK * 3];
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        pixel[0] = r[i];
        pixel[1] = g[i];
        pixel[2] = b[i];
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two recommendations in floating point.
    fn reference(y: u8, u: u8, v: u8, color: YuvColor) -> [u8; 3] {
        let (kr, kb) = if color.matrix == YuvMatrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
        let (y, u, v) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (y, u, v) = match color.range {
            YuvRange::Limited => ((y - 16.0) / 219.0, u / 224.0, v / 224.0),
            YuvRange::Full => (y / 255.0, u / 255.0, v / 255.0),
        };
        let r = y + 2.0 * (1.0 - kr) * v;
        let b = y + 2.0 * (1.0 - kb) * u;
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|x| (x * 255.0).round().clamp(0.0, 255.0) as u8)
    }

    fn colors() -> impl Iterator<Item = YuvColor> {
        [YuvMatrix::Bt601, YuvMatrix::Bt709]
            .into_iter()
            .flat_map(|matrix| [YuvRange::Limited, YuvRange::Full].map(|range| YuvColor { matrix, range }))
    }

    #[test]
    fn agrees_with_the_recommendations_in_floating_point() {
        for color in colors() {
            let (mut differ, mut total) = (0, 0);
            for y in (0..=255u8).step_by(3) {
                for u in (0..=255u8).step_by(5) {
                    let v: Vec<u8> = (0..64).map(|i| i * 4).collect();
                    let block = Block { y: [y; BLOCK], u: [u; BLOCK], v: v.clone().try_into().unwrap() };
                    let rgb = convert(&block, color.coefficients());
                    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
                        let expected = reference(y, u, v[i], color);
                        for (&got, want) in pixel.iter().zip(expected) {
                            assert!(got.abs_diff(want) <= 1, "{color:?} {y} {u} {}: {pixel:?} {expected:?}", v[i]);
                            differ += usize::from(got != want);
                            total += 1;
                        }
                    }
                }
            }
            assert!(differ * 1000 < total, "{color:?}: {differ} of {total} are not the nearest value");
        }
    }

    #[test]
    fn every_layout_of_the_same_picture_gives_the_same_rgb() {
        // Chroma is constant over 2×2 pixels, so that each layout can say it exactly; sizes are odd and cross a block.
        let (width, height) = (131usize, 5usize);
        let luma = |x: usize, y: usize| (16 + (x * 7 + y * 31) % 220) as u8;
        let u = |x: usize, y: usize| (40 + (x / 2 * 5 + y / 2 * 11) % 170) as u8;
        let v = |x: usize, y: usize| (220 - (x / 2 * 3 + y / 2 * 13) % 170) as u8;
        let plane = |f: &dyn Fn(usize, usize) -> u8, step_x: usize, step_y: usize, stride: usize| {
            let mut plane = vec![0xEE; stride * height.div_ceil(step_y)];
            for y in 0..height.div_ceil(step_y) {
                for x in 0..width.div_ceil(step_x) {
                    plane[y * stride + x] = f(x * step_x, y * step_y);
                }
            }
            plane
        };
        let stride = width + 5;
        let mut pictures = Vec::new();
        let mut push = |format, stride, data: Vec<u8>| {
            pictures.push(Pixels::new(format, width as u32, height as u32, stride, data.into()).unwrap());
        };
        let y = plane(&luma, 1, 1, stride);
        push(PixelFormat::I444, stride, [y.clone(), plane(&u, 1, 1, stride), plane(&v, 1, 1, stride)].concat());
        push(PixelFormat::I422, stride, [y.clone(), plane(&u, 2, 1, stride / 2), plane(&v, 2, 1, stride / 2)].concat());
        push(PixelFormat::I420, stride, [y.clone(), plane(&u, 2, 2, stride / 2), plane(&v, 2, 2, stride / 2)].concat());
        let both = plane(&|x, y| if x % 2 == 0 { u(x, y) } else { v(x, y) }, 1, 2, stride);
        let mut nv12 = both;
        for row in 0..height.div_ceil(2) {
            nv12[row * stride + width] = v(width - 1, row * 2);
        }
        push(PixelFormat::Nv12, stride, [y, nv12].concat());
        let mut yuyv = vec![0; (width + 1) * 2 * height];
        for row in 0..height {
            for x in 0..=width {
                let at = row * (width + 1) * 2 + x * 2;
                yuyv[at] = luma(x, row);
                yuyv[at + 1] = if x % 2 == 0 { u(x, row) } else { v(x - 1, row) };
            }
        }
        push(PixelFormat::Yuyv, (width + 1) * 2, yuyv);

        let mut first = Rgb::new();
        to_rgb(&pictures[0], &mut first);
        for (i, pixel) in first.bytes().chunks_exact(3).enumerate() {
            let (x, row) = (i % width, i / width);
            let expected = reference(luma(x, row), u(x, row), v(x, row), YuvColor::default());
            assert!(pixel.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 1), "{x},{row}");
        }
        for picture in &pictures[1..] {
            let mut rgb = Rgb::new();
            to_rgb(picture, &mut rgb);
            assert!(rgb == first, "{:?}", picture.format());
        }
    }

    #[test]
    fn black_white_and_gray_are_exact() {
        for (range, black, white) in [(YuvRange::Limited, 16, 235), (YuvRange::Full, 0, 255)] {
            let color = YuvColor { range, ..YuvColor::default() };
            let pixels = Pixels::new(PixelFormat::Gray8, 2, 1, 2, vec![black, white].into()).unwrap().with_color(color);
            let mut rgb = Rgb::new();
            to_rgb(&pixels, &mut rgb);
            assert_eq!(rgb.bytes(), [0, 0, 0, 255, 255, 255]);
        }
    }
}
