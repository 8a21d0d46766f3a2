//! Antialiased bilinear and bicubic resampling, as Pillow and torchvision do it for 8-bit images, byte for byte: a
//! filter that widens with the reduction, weights of 22 fractional bits, columns first and then rows, each rounded to
//! bytes.

use crate::frame::Rgb;

/// Fractional bits of a weight: 8 bits of pixel and 2 of sum leave 22 in an int32.
const PRECISION: u32 = 22;

/// How samples between pixels are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The triangle filter.
    #[default]
    Bilinear,
    /// The cubic filter of Keys (1981) with a = −0.5.
    Bicubic,
}

impl Interpolation {
    /// How many samples away the filter ends.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    /// The weight of a sample at this distance, in samples.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Interpolation::Bilinear => (1.0 - x).max(0.0),
            Interpolation::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Interpolation::Bicubic => 0.0,
        }
    }
}

/// The weights with which one output sample is made from neighbouring input samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// The first input sample.
    start: usize,
    /// Its weights are `weights[from..from + taps]`.
    from: usize,
    taps: usize,
}

/// The filter along one axis, for a range of output samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Axis {
    windows: Vec<Window>,
    weights: Vec<i32>,
}

impl Axis {
    /// Maps `input` samples to `output` samples, and keeps those of `first..first + count`.
    fn new(interpolation: Interpolation, input: usize, output: usize, first: usize, count: usize) -> Axis {
        let scale = input as f64 / output as f64;
        let filter_scale = scale.max(1.0);
        let mut axis = Axis::default();
        let mut reals = Vec::new();
        for i in first..first + count {
            let center = (i as f64 + 0.5) * scale;
            // Half-open, and rounded to the nearest sample: a filter is 0 at its ends.
            let reach = interpolation.support() * filter_scale;
            let start = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(input);
            reals.clear();
            let weight = |x: usize| interpolation.weight((x as f64 - center + 0.5) * (1.0 / filter_scale));
            reals.extend((start..end).map(weight));
            let sum: f64 = reals.iter().sum();
            axis.windows.push(Window { start, from: axis.weights.len(), taps: end - start });
            axis.weights
                .extend(reals.iter().map(|w| (0.5f64.copysign(*w) + w / sum * f64::from(1 << PRECISION)) as i32));
        }
        axis
    }

    /// The input samples that any output sample is made from.
    fn reach(&self) -> (usize, usize) {
        let start = self.windows.iter().map(|window| window.start).min().unwrap_or(0);
        let end = self.windows.iter().map(|window| window.start + window.taps).max().unwrap_or(0);
        (start, end)
    }
}

/// A rectangle of a picture that was resized, made without resizing what lies outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Size of the picture that comes in.
    pub(crate) input: (u32, u32),
    /// Size that all of it is resized to.
    pub(crate) resized: (u32, u32),
    /// Left and top of the rectangle in the resized picture.
    pub(crate) corner: (u32, u32),
    /// Size of the rectangle.
    pub(crate) size: (u32, u32),
    /// How it is resized.
    pub(crate) interpolation: Interpolation,
}

/// Resizes and crops; keeps weights and scratch memory while the geometry stays the same.
#[derive(Debug, Default)]
pub(crate) struct Resampler {
    geometry: Option<Geometry>,
    columns: Axis,
    rows: Axis,
    /// The input rows that matter, at the output's width.
    middle: Vec<u8>,
}

impl Resampler {
    /// Writes the rectangle that `geometry` names into `out`, as RGB rows that begin `stride` bytes apart.
    pub(crate) fn run(&mut self, image: &Rgb, geometry: Geometry, out: &mut [u8], stride: usize) {
        debug_assert_eq!(geometry.input, (image.width(), image.height()));
        if self.geometry != Some(geometry) {
            self.prepare(geometry);
        }
        let (width, out_width) = (image.width() as usize, geometry.size.0 as usize);
        let (first, end) = self.rows.reach();
        self.middle.resize((end - first) * out_width * 3, 0);
        let input = image.bytes()[first * width * 3..end * width * 3].chunks_exact(width * 3);
        let same_width = geometry.input.0 == geometry.resized.0;
        for (row, from) in self.middle.chunks_exact_mut(out_width * 3).zip(input) {
            if same_width {
                row.copy_from_slice(&from[geometry.corner.0 as usize * 3..][..out_width * 3]);
            } else {
                resample_row(from, &self.columns, row);
            }
        }
        let same_height = geometry.input.1 == geometry.resized.1;
        for (row, window) in out.chunks_mut(stride).zip(&self.rows.windows) {
            let row = &mut row[..out_width * 3];
            let from = &self.middle[(window.start - first) * out_width * 3..];
            if same_height {
                row.copy_from_slice(&from[..out_width * 3]);
            } else {
                combine_rows(from, &self.rows.weights[window.from..][..window.taps], row);
            }
        }
    }

    fn prepare(&mut self, geometry: Geometry) {
        let axis = |input: u32, resized: u32, first: u32, count: u32| {
            if input == resized {
                // Not resampled: each sample is made from itself.
                let windows = (first..first + count).map(|i| Window { start: i as usize, from: 0, taps: 1 }).collect();
                return Axis { windows, weights: vec![1 << PRECISION] };
            }
            Axis::new(geometry.interpolation, input as usize, resized as usize, first as usize, count as usize)
        };
        self.columns = axis(geometry.input.0, geometry.resized.0, geometry.corner.0, geometry.size.0);
        self.rows = axis(geometry.input.1, geometry.resized.1, geometry.corner.1, geometry.size.1);
        self.geometry = Some(geometry);
    }
}

const ROUND: i32 = 1 << (PRECISION - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// One row of RGB at the width of the output.
fn resample_row(from: &[u8], columns: &Axis, out: &mut [u8]) {
    for (pixel, window) in out.chunks_exact_mut(3).zip(&columns.windows) {
        let weights = &columns.weights[window.from..][..window.taps];
        let mut sum = [ROUND; 3];
        for (rgb, &weight) in from[window.start * 3..].chunks_exact(3).zip(weights) {
            for channel in 0..3 {
                sum[channel] += i32::from(rgb[channel]) * weight;
            }
        }
        pixel.copy_from_slice(&sum.map(to_byte));
    }
}

/// Bytes of a row that are summed at once, so that the sums stay in registers.
const SPAN: usize = 32;

/// One output row from rows that lie one behind the other.
fn combine_rows(from: &[u8], weights: &[i32], out: &mut [u8]) {
    let stride = out.len();
    for (span, out) in out.chunks_mut(SPAN).enumerate() {
        let mut sum = [ROUND; SPAN];
        for (row, &weight) in from.chunks(stride).zip(weights) {
            let bytes = &row[span * SPAN..][..out.len()];
            if let Ok(bytes) = <&[u8; SPAN]>::try_from(bytes) {
                for i in 0..SPAN {
                    sum[i] += i32::from(bytes[i]) * weight;
                }
            } else {
                for (sum, &byte) in sum.iter_mut().zip(bytes) {
                    *sum += i32::from(byte) * weight;
                }
            }
        }
        for (byte, sum) in out.iter_mut().zip(sum) {
            *byte = to_byte(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> Rgb {
        let bytes = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [(x * 5) as u8, (y * 9) as u8, (x * y * 3 + 7) as u8]))
            .collect();
        Rgb::from_bytes(width, height, bytes).unwrap()
    }

    const BILINEAR: Interpolation = Interpolation::Bilinear;

    fn resize(image: &Rgb, to: (u32, u32), interpolation: Interpolation) -> Vec<u8> {
        let input = (image.width(), image.height());
        let geometry = Geometry { input, resized: to, corner: (0, 0), size: to, interpolation };
        let mut out = vec![0; to.0 as usize * to.1 as usize * 3];
        Resampler::default().run(image, geometry, &mut out, to.0 as usize * 3);
        out
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let flat = Rgb::from_bytes(37, 23, vec![201; 37 * 23 * 3]).unwrap();
        for to in [(1, 1), (5, 90), (36, 23), (37, 22), (100, 100)] {
            assert!(resize(&flat, to, BILINEAR).iter().all(|&byte| byte == 201), "{to:?}");
            assert!(resize(&flat, to, Interpolation::Bicubic).iter().all(|&byte| byte == 201), "{to:?}");
        }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = gradient(19, 11);
        assert_eq!(resize(&image, (19, 11), BILINEAR), image.bytes());
    }

    #[test]
    fn a_rectangle_equals_that_part_of_the_whole() {
        let image = gradient(83, 61);
        let mut resampler = Resampler::default();
        let sizes = [(40, 29), (83, 30), (120, 61), (200, 151), (83, 61)];
        for (resized, interpolation) in
            sizes.into_iter().flat_map(|size| [(size, BILINEAR), (size, Interpolation::Bicubic)])
        {
            let whole = resize(&image, resized, interpolation);
            let (corner, size) = ((7, 5), (31, 23));
            let mut part = vec![0; (31 * 23 * 3) as usize];
            resampler.run(
                &image,
                Geometry { input: (83, 61), resized, corner, size, interpolation },
                &mut part,
                31 * 3,
            );
            for (y, row) in part.chunks_exact(31 * 3).enumerate() {
                let at = ((y + 5) * resized.0 as usize + 7) * 3;
                assert_eq!(row, &whole[at..][..31 * 3], "{resized:?} row {y}");
            }
        }
    }

    #[test]
    fn halving_averages_with_the_triangle() {
        // Weights of the widened triangle for a factor of two, inside: 1, 3, 3, 1 eighths; the border has 3, 3, 1
        // sevenths.
        let bytes: Vec<u8> = [0u8, 80, 160, 240].iter().flat_map(|&v| [v; 3]).collect();
        let image = Rgb::from_bytes(4, 1, bytes).unwrap();
        let got = resize(&image, (2, 1), BILINEAR);
        let left = (3.0 * 0.0 + 3.0 * 80.0 + 160.0_f64) / 7.0;
        let right = (80.0 + 3.0 * 160.0 + 3.0 * 240.0_f64) / 7.0;
        assert_eq!((got[0], got[3]), (left.round() as u8, right.round() as u8));
    }

    /// FNV-1a, 64 bits.
    fn digest(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// Noise that a formula gives, so that others can make the same picture.
    fn noise(width: u32, height: u32) -> Rgb {
        let byte = |i: u32| {
            let v = i.wrapping_mul(2_654_435_761).wrapping_add(12345);
            ((v ^ (v >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
        };
        Rgb::from_bytes(width, height, (0..width * height * 3).map(byte).collect()).unwrap()
    }

    #[test]
    fn equals_pillow_byte_for_byte() {
        // Digests of what Pillow 13.0.0 made of the same noise with Image.resize(size, BILINEAR), and BICUBIC.
        let cases = [
            ((64, 48), (40, 30), 0x9ab3_8116_9b3a_b2bd, 0x5d9c_1197_8b76_86c7),
            ((97, 61), (256, 161), 0x50fb_f264_bcdd_6750, 0x4103_7534_3251_ca0a),
            ((200, 150), (21, 150), 0x5423_b8cb_e0eb_f77b, 0x7cbc_93ec_66af_591a),
            ((33, 120), (33, 50), 0x693f_b74a_1d7b_d40e, 0xcb59_c267_3ba6_4af1),
            ((341, 256), (194, 146), 0xff02_f703_fa0e_d427, 0x4c9e_32c2_99aa_54e7),
            ((5, 3), (64, 64), 0xe769_9fc6_7354_d5c5, 0xae61_df7f_250f_522d),
        ];
        for ((width, height), to, bilinear, bicubic) in cases {
            for (interpolation, expected) in [(BILINEAR, bilinear), (Interpolation::Bicubic, bicubic)] {
                let found = digest(&resize(&noise(width, height), to, interpolation));
                assert_eq!(found, expected, "{width}x{height} to {to:?}, {interpolation:?}");
            }
        }
    }
}
