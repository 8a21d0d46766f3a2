//! Every row against the definition, written here once more in the plainest way.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, each_choice, geometries, misaligned};

/// A convolution with everything that it needs.
#[derive(Debug)]
struct Case {
    geometry: Geometry,
    input: Vec<Activation>,
    values: Vec<i8>,
    zero_points: Vec<i32>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    input_zero_point: i32,
    output: [i32; 3],
}

impl Case {
    /// Random content for a geometry.
    fn random(geometry: Geometry, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let channels = geometry.output[2];
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let points = if random.next().is_multiple_of(2) { 1 } else { channels };
        let symmetric = random.next().is_multiple_of(2);
        let scale = 1.0 / (taps as f32 * 40.0);
        Case {
            geometry,
            input: random.activations(geometry.input_len()),
            values: (0..taps * channels).map(|_| random.next() as i8).collect(),
            zero_points: (0..points).map(|_| if symmetric { 0 } else { random.within(-128, 127) }).collect(),
            bias: (0..channels).map(|_| random.within(-5000, 5000)).collect(),
            multipliers: (0..channels).map(|_| scale * (0.5 + random.unit())).collect(),
            input_zero_point: random.activations(1)[0].into(),
            output: random.output(),
        }
    }

    /// The definition.
    fn expected(&self) -> Vec<Activation> {
        let Geometry { input: [_, in_w, in_c], output: [out_h, out_w, out_c], kernel, .. } = self.geometry;
        let mut output = Vec::new();
        for index in 0..out_h * out_w * out_c {
            let (y, x, channel) = (index / out_c / out_w, index / out_c % out_w, index % out_c);
            let mut sum = i64::from(self.bias[channel]);
            for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
                let (Some(iy), Some(ix)) = (self.geometry.tap(0, y, ky), self.geometry.tap(1, x, kx)) else { continue };
                let value = i32::from(self.input[(iy * in_w + ix) * in_c + channel / (out_c / in_c)]);
                let point = self.zero_points[if self.zero_points.len() == 1 { 0 } else { channel }];
                let weight = i32::from(self.values[(ky * kernel[1] + kx) * out_c + channel]) - point;
                sum += i64::from((value - self.input_zero_point) * weight);
            }
            let scaled = i32::try_from(sum).expect("an i32 holds every sum") as f32 * self.multipliers[channel];
            let [zero_point, min, max] = self.output.map(f64::from);
            output.push((f64::from(scaled.round_ties_even()) + zero_point).clamp(min, max) as Activation);
        }
        output
    }

    /// Holds every row to it, with 1 to 3 threads and slices that are not aligned.
    fn check(&self) {
        let expected = self.expected();
        let weights = Weights { values: &self.values, zero_points: &self.zero_points, bias: Some(&self.bias) };
        let [zero_point, min, max] = self.output;
        let requantize = Requantize { multipliers: &self.multipliers, zero_point, min, max };
        let input = misaligned(&self.input);
        for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
            let layer =
                QDepthwiseConv2d::new(choice, &self.geometry, &weights, self.input_zero_point, &requantize, threads);
            let mut output = misaligned(&vec![0; expected.len()]);
            let mut scratch = misaligned(&vec![0xa5; layer.scratch_bytes()]);
            layer.run(&ThreadPool::new(threads), &input, &mut output, &mut scratch);
            assert_eq!(*output, *expected, "{} with {:?}", layer.kernel_name(), self.geometry);
        }
    }
}

fn geometry(input: [usize; 3], channels: usize, kernel: [usize; 2], stride: [usize; 2]) -> Geometry {
    let padding = kernel.map(|kernel| kernel / 2);
    let size = |axis: usize| input[axis].div_ceil(stride[axis]);
    let output = [size(0), size(1), channels];
    Geometry { input, output, kernel, stride, dilation: [1, 1], padding, groups: input[2] }
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_no_byte_products()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

#[test]
fn channels_that_a_kernel_cannot_do_are_left_to_the_next() {
    let geometry = geometry([4, 4, 48], 48, [3, 3], [1, 1]);
    let part = |layer: &QDepthwiseConv2d, part: usize| (layer.parts[part].row.name, layer.parts[part].channels.clone());
    for row in TABLE.available().filter(|row| matches!(row.kernel.weight, Weight::Byte(_))) {
        let Windows::ThreeByThree(lanes) = row.kernel.windows else { continue };
        let make = |zero_points: &[i32], multiplier| {
            let weights = Weights { values: &[-127; 9 * 48], zero_points, bias: None };
            let requantize = Requantize { multipliers: &[multiplier], zero_point: 0, min: 0, max: 9 };
            QDepthwiseConv2d::new(Choice::UpTo(row.isa), &geometry, &weights, 0, &requantize, 1)
        };
        let blocks = |from: usize, to: usize| (from..to).step_by(lanes);
        let layer = make(&[0], 1e-3);
        assert_eq!(part(&layer, 0), (row.name, blocks(0, 48).collect()));
        let mut zero_points = [0; 48];
        zero_points[20] = 2;
        let layer = make(&zero_points, 1e-3);
        assert_eq!(part(&layer, 0), (row.name, blocks(0, 16).chain(blocks(32, 48)).collect()));
        let rest = layer.parts[1..].iter().flat_map(|part| &part.channels);
        assert!(rest.clone().count() > 0 && rest.clone().all(|first| (16..32).contains(first)), "{rest:?}");
        assert_eq!(layer.kernel_name(), row.name);
        // Sums that leave 32 bits are none of its.
        let layer = make(&[0], 1e6);
        assert!(layer.parts.iter().all(|part| part.row.kernel.windows == Windows::All));
    }
}

#[test]
fn zero_points_of_some_channels_only() {
    for stride in [1, 2] {
        let mut case = Case::random(geometry([9, 11, 72], 72, [3, 3], [stride; 2]), 11);
        case.zero_points = (0..72).map(|channel| if channel % 32 == 5 { 127 } else { 0 }).collect();
        case.check();
        case.zero_points.fill(0);
        case.values.fill(-128);
        case.check();
    }
}

#[test]
fn paddings_of_the_usual_window() {
    for padding in 0..4 {
        for (stride, width) in [(1, 5), (2, 5), (1, 8), (2, 8), (1, 1), (2, 1), (2, 2)] {
            let output = [5, (width + 4_usize).div_ceil(stride), 24];
            let input = [6, width, 24];
            let padding = [padding, padding];
            let geometry = Geometry { padding, output, ..geometry(input, 24, [3, 3], [stride; 2]) };
            Case::random(geometry, padding[0] as u64).check();
        }
    }
}

#[test]
fn channels_around_the_width_of_vectors() {
    for channels in [1, 2, 7, 8, 15, 16, 17, 24, 31, 32, 33, 48, 63, 65, 96] {
        for stride in [1, 2] {
            Case::random(geometry([6, 7, channels], channels, [3, 3], [stride; 2]), channels as u64).check();
        }
    }
}

#[test]
fn widths_around_the_tiles() {
    for width in 1..12 {
        for height in 1..6 {
            Case::random(geometry([height, width, 16], 16, [3, 3], [1, 1]), width as u64).check();
        }
    }
}

#[test]
fn depth_multipliers() {
    for (inputs, multiplier) in [(1, 16), (3, 2), (16, 2), (5, 7), (1, 1)] {
        Case::random(geometry([5, 5, inputs], inputs * multiplier, [3, 3], [1, 1]), 3).check();
    }
}

#[test]
fn extremes_are_exact() {
    let geometry = geometry([9, 9, 17], 17, [7, 7], [1, 1]);
    let weights = [(i8::MIN, 127), (i8::MAX, -128), (i8::MIN, 0), (i8::MAX, 0)];
    let values = [Activation::MIN, Activation::MAX];
    for ((weight, point), value) in weights.into_iter().flat_map(|weight| values.map(|value| (weight, value))) {
        for input_zero_point in [Activation::MIN, Activation::MAX] {
            let mut case = Case::random(geometry, 5);
            case.input.fill(value);
            case.values.fill(weight);
            case.zero_points = vec![point];
            case.input_zero_point = input_zero_point.into();
            // One more than the sums need, so that differences of 1 show at some pixel, and one that overflows any
            // integer.
            for multiplier in [1e-4, 3.0e12] {
                case.multipliers = vec![multiplier; 17];
                case.check();
            }
        }
    }
}

#[test]
fn windows_of_every_height() {
    for (height, width) in (1..9).flat_map(|height| [1, 3, 5].map(|width| (height, width))) {
        Case::random(geometry([11, 9, 20], 20, [height, width], [1, 1]), height as u64).check();
    }
}

#[test]
fn an_image_larger_than_a_band() {
    Case::random(geometry([64, 40, 160], 160, [3, 3], [1, 1]), 7).check();
}

#[test]
fn nothing_to_do() {
    let mut empty = geometry([4, 4, 16], 16, [3, 3], [1, 1]);
    empty.output[0] = 0;
    Case::random(empty, 1).check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_geometry(geometry in geometries(2), seed: u64) {
        Case::random(geometry, seed).check();
    }
}
