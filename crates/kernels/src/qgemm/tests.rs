//! Every row against the definition, written here once more in the plainest way, in 64-bit integers.

use proptest::prelude::*;

use super::*;
use crate::quantized::Output;
use crate::table;
use crate::testing::{Random, each_choice, misaligned};

const LOW: i32 = Activation::MIN as i32;
const HIGH: i32 = Activation::MAX as i32;

/// A convolution with everything that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) geometry: Geometry,
    pub(crate) input: Vec<Activation>,
    pub(crate) values: Vec<i8>,
    pub(crate) zero_points: Vec<i32>,
    pub(crate) bias: Option<Vec<i32>>,
    pub(crate) multipliers: Vec<f32>,
    pub(crate) input_zero_point: i32,
    pub(crate) output: [i32; 3],
    pub(crate) residual: Option<(Vec<Activation>, Addition)>,
}

impl Case {
    /// Random content for a geometry, in the ranges that models have, everything optional half of the time.
    pub(crate) fn random(geometry: Geometry, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let channels = geometry.output[2];
        let depth = im2col::window_len(&geometry);
        let one_or_each = |flag: bool| if flag { 1 } else { channels };
        let points = one_or_each(random.next().is_multiple_of(2));
        let symmetric = random.next().is_multiple_of(2);
        let multipliers = one_or_each(random.next().is_multiple_of(2));
        let scale = 100.0 / ((depth as f32).sqrt() * 74.0 * 74.0);
        let residual = random.next().is_multiple_of(2).then(|| {
            let zero_points = [random.within(LOW, HIGH), random.within(LOW, HIGH)];
            let multipliers = [random.within(-200_000, 900_000), random.within(-200_000, 900_000)];
            let [zero_point, min, max] = random.output();
            let add = Addition::new(zero_points, multipliers, 20, Output::new(zero_point, min, max));
            (random.activations(geometry.output_len()), add)
        });
        Case {
            geometry,
            input: random.activations(geometry.input_len()),
            values: (0..depth * channels).map(|_| random.next() as i8).collect(),
            zero_points: (0..points).map(|_| if symmetric { 0 } else { random.within(-128, 127) }).collect(),
            bias: random.next().is_multiple_of(2).then(|| (0..channels).map(|_| random.within(-5000, 5000)).collect()),
            multipliers: (0..multipliers).map(|_| scale * (0.5 + random.unit())).collect(),
            input_zero_point: random.within(LOW, HIGH),
            output: random.output(),
            residual,
        }
    }

    /// Random content without a residual and with full output range.
    pub(crate) fn plain(geometry: Geometry, seed: u64) -> Case {
        Case { residual: None, output: [LOW + 100, LOW, HIGH], ..Case::random(geometry, seed) }
    }

    fn multiplier(&self, channel: usize) -> f32 {
        self.multipliers[if self.multipliers.len() == 1 { 0 } else { channel }]
    }

    /// The sum that output element `index` is made of.
    fn sum(&self, index: usize) -> i64 {
        let Geometry { input: [_, in_w, in_c], output: [_, out_w, out_c], kernel, groups, .. } = self.geometry;
        let (y, x, channel) = (index / out_c / out_w, index / out_c % out_w, index % out_c);
        let (depth, group) = (in_c / groups, channel / (out_c / groups));
        let point = self.zero_points[if self.zero_points.len() == 1 { 0 } else { channel }];
        let mut sum = self.bias.as_ref().map_or(0, |bias| bias[channel].into());
        for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
            let (Some(iy), Some(ix)) = (self.geometry.tap(0, y, ky), self.geometry.tap(1, x, kx)) else { continue };
            for c in 0..depth {
                let value = i32::from(self.input[(iy * in_w + ix) * in_c + group * depth + c]);
                let weight = self.values[((channel * kernel[0] + ky) * kernel[1] + kx) * depth + c];
                sum += i64::from(value - self.input_zero_point) * i64::from(i32::from(weight) - point);
            }
        }
        sum
    }

    /// The definition.
    pub(crate) fn expected(&self) -> Vec<Activation> {
        let quantize = |scaled: f32, [zero_point, min, max]: [i32; 3]| {
            let rounded = f64::from(scaled).round_ties_even() + f64::from(zero_point);
            rounded.clamp(min.into(), max.into()) as i32
        };
        let element = |index: usize| {
            let sum = i32::try_from(self.sum(index)).expect("an i32 holds every sum");
            let q = quantize(sum as f32 * self.multiplier(index % self.geometry.output[2]), self.output);
            let Some((other, add)) = &self.residual else { return q as Activation };
            add.apply(q as Activation, other[index])
        };
        (0..self.geometry.output_len()).map(element).collect()
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights { values: &self.values, zero_points: &self.zero_points, bias: self.bias.as_deref() }
    }

    pub(crate) fn requantize(&self) -> Requantize<'_> {
        let [zero_point, min, max] = self.output;
        Requantize { multipliers: &self.multipliers, zero_point, min, max }
    }

    pub(crate) fn addition(&self) -> Option<Addition> {
        self.residual.as_ref().map(|(_, add)| *add)
    }

    fn convolution(&self, choice: Choice, threads: usize) -> QConv2d {
        let (weights, requantize) = (self.weights(), self.requantize());
        let (geometry, zero_point) = (self.geometry, self.input_zero_point);
        QConv2d::new(choice, geometry, &weights, zero_point, &requantize, self.addition(), threads)
    }

    /// Every row of the table, with one thread, two and three, against the definition.
    fn check(&self) {
        let expected = self.expected();
        let input = misaligned(&self.input);
        let residual = self.residual.as_ref().map(|(other, _)| misaligned(other));
        for choice in each_choice(&TABLE) {
            for threads in 1..=3 {
                let convolution = self.convolution(choice, threads);
                let mut output = misaligned(&vec![77; expected.len()]);
                let mut scratch = misaligned(&vec![0xa5; convolution.scratch_bytes()]);
                convolution.run(&ThreadPool::new(threads), &input, residual.as_deref(), &mut output, &mut scratch);
                if let Some(at) = (0..expected.len()).find(|&at| output[at] != expected[at]) {
                    panic!(
                        "{}, {threads} threads, element {at}: {} is not {}; {:?}",
                        convolution.kernel_name(),
                        output[at],
                        expected[at],
                        self.geometry
                    );
                }
            }
        }
    }
}

/// Sizes at and around the edges of every kernel's tile.
fn edges(of: impl Fn(&Kernel) -> usize) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        TABLE.rows.iter().map(|row| of(&row.kernel)).flat_map(|n| [n.max(2) - 1, n, n + 1]).collect();
    sizes.extend([1, 2, 3]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn required_rows_are_there() {
    for isa in table::required().into_iter().filter(|isa| !isa.adds_no_byte_products()) {
        let row = TABLE.rows.iter().find(|row| row.isa == isa).unwrap_or_else(|| panic!("no row for {}", isa.name()));
        assert!(TABLE.available().any(|available| available.name == row.name));
        assert_eq!(TABLE.pick(Choice::UpTo(isa)).name, row.name);
    }
}

#[test]
fn edges_of_tiles() {
    for (i, rows) in edges(|kernel| kernel.rows).into_iter().enumerate() {
        for (j, columns) in edges(|kernel| kernel.columns).into_iter().chain(edges(|kernel| kernel.granule)).enumerate()
        {
            let depth = 1 + (7 * i + 5 * j) % 40;
            Case::random(Geometry::matrix(rows, depth, columns), (100 * i + j) as u64).check();
        }
    }
}

#[test]
fn every_depth() {
    for depth in (1..=80).chain([127, 128, 129, 960]) {
        Case::random(Geometry::matrix(5, depth, 9), depth as u64).check();
    }
}

#[test]
fn several_bands() {
    // A band holds at most 32 KiB.
    Case::random(Geometry::matrix(333, 300, 7), 1).check();
    Case::random(Geometry::matrix(40, 4100, 3), 2).check();
}

#[test]
fn sums_of_long_rows() {
    // Weights that fit a byte only after a shift, which is paid back by the sum of a row.
    for depth in [15, 16, 17, 63, 64, 1983, 1984, 1985, 2000, 4100] {
        for input in [LOW, HIGH] {
            let mut case = Case::plain(Geometry::matrix(3, depth, 5), 16);
            case.zero_points = vec![127];
            case.input.fill(input as Activation);
            case.check();
            case.input = Random::new(17).activations(3 * depth);
            case.check();
        }
    }
}

#[test]
fn extremes() {
    for (input, input_zero_point) in [(LOW, HIGH), (HIGH, LOW), (LOW, LOW), (HIGH, HIGH), (HIGH, 0), (LOW, 0)] {
        for (weight, zero_point) in [(-128, 0), (127, 0), (-128, 127), (127, -128), (-128, -128), (-127, 1)] {
            let mut case = Case::plain(Geometry::matrix(9, 70, 10), 3);
            case.input.fill(input as Activation);
            case.input_zero_point = input_zero_point;
            case.values.fill(weight as i8);
            case.zero_points = vec![zero_point];
            case.check();
            // Neighbours of opposite sign, which leave 8 bits only in pairs.
            case.values.iter_mut().skip(1).step_by(3).for_each(|w| *w = if weight < 0 { 127 } else { -128 });
            case.check();
        }
    }
}

#[test]
fn multipliers_that_leave_the_range_of_i32() {
    for multiplier in [1e30, -1e30, f32::MAX, f32::MIN, 5e6, -5e6, 1e-30, f32::MIN_POSITIVE / 4.0, 0.0, -0.0] {
        for output in [[LOW, LOW, HIGH], [HIGH, LOW, HIGH], [LOW + 7, LOW + 3, HIGH - 5], [0, 0, 0]] {
            let mut case = Case::plain(Geometry::matrix(5, 33, 19), 4);
            case.multipliers = vec![multiplier];
            case.output = output;
            case.check();
        }
    }
}

#[test]
fn ties_go_to_even() {
    let mut case = Case::plain(Geometry::matrix(64, 1, 18), 7);
    case.input = (0..64).map(|q| (LOW + 96 + q) as Activation).collect();
    case.input_zero_point = LOW + 128;
    case.zero_points = vec![0];
    case.bias = None;
    // Zero points even and odd, with bounds and without.
    for output in
        [[LOW + 128, LOW, HIGH], [LOW + 127, LOW, HIGH], [LOW + 128, LOW, HIGH - 1], [LOW + 99, LOW + 1, HIGH]]
    {
        case.output = output;
        for (weight, multiplier) in [(1, 0.5), (3, 0.5), (-1, 0.5), (2, 0.25), (1, 1.5)] {
            case.values.fill(weight);
            case.multipliers = vec![multiplier];
            case.check();
        }
    }
}

#[test]
fn products_at_the_limits_of_16_bits() {
    // Weights of pairs that follow each other, of which as many may be added in 16 bits as sum up to 255.
    for weights in [
        [64, 64, 64, 63],
        [64, 64, 64, 64],
        [65, 63, 64, 64],
        [127, 127, 1, 0],
        [127, 127, 1, 1],
        [127, 127, 2, 0],
        [-128, 127, 0, 0],
        [-128, -127, 0, 0],
        [-128, -127, -1, 0],
        [-128, -128, 0, 0],
        [-128, 0, -128, 127],
        [85, 85, 85, 85],
        [-85, -85, -85, -85],
    ] {
        for sign in [1i32, -1] {
            for (column, place) in [(0, 0), (7, 1), (15, 0), (17, 1), (23, 0)] {
                let depth = 48 + 2 * place;
                let mut case = Case::plain(Geometry::matrix(6, depth, 24), 12);
                case.zero_points = vec![0];
                case.values.fill(3);
                for (i, weight) in weights.iter().cycle().take(depth / 2).enumerate() {
                    case.values[column * depth + 2 * i + place] = (sign * weight).clamp(-128, 127) as i8;
                }
                for input in [LOW, HIGH] {
                    case.input.fill(input as Activation);
                    case.check();
                }
            }
        }
    }
}

#[test]
fn scaled_sums_at_the_limits_of_16_bits() {
    // The farthest sum, at a multiplier of 1: what is near must not be taken for what fits, and what fits must not be
    // cut.
    let farthest = 128.0 * 127.0 * 70.0;
    for limit in
        [300.0, 31_990.0, 32_010.0, 32_640.0, 32_767.0, 32_768.0, 33_000.0, 65_536.0, 98_304.0, 4_194_304.0, 1e7]
    {
        for output in [[LOW, LOW, HIGH], [HIGH, LOW, HIGH], [LOW + 7, LOW + 3, HIGH - 5], [LOW + 77, LOW, HIGH]] {
            for (input, weight) in [(LOW, 127), (LOW, -127), (HIGH, 127), (HIGH, -127)] {
                let mut case = Case::random(Geometry::matrix(7, 70, 19), 13 + limit as u64 + (output[0] & 1) as u64);
                case.input.fill(input as Activation);
                case.input_zero_point = LOW + 128;
                case.zero_points = vec![0];
                case.bias = None;
                case.values.fill(weight);
                case.multipliers = vec![limit / farthest];
                case.output = output;
                case.check();
            }
        }
    }
}

#[test]
fn additions_at_their_limits() {
    const MOST: i32 = 1 << 21;
    for shift in [1, 13, 15, 16, 17, 20, 21, 22, 24, 30] {
        for multipliers in [[MOST, MOST], [-MOST, MOST], [MOST, -3], [1, -MOST], [700_001, 900_001], [0, 0]] {
            for (own, zero_points) in [(HIGH, [HIGH, LOW]), (LOW, [LOW, LOW]), (LOW + 101, [LOW + 101, HIGH])] {
                let mut case = Case::random(Geometry::matrix(7, 20, 25), 14);
                let mut random = Random::new(15);
                case.output = [own, LOW, HIGH - (shift as i32 & 1)];
                let sum = Output::new(own, LOW + (shift as i32 & 3), HIGH);
                let mut other = random.activations(case.geometry.output_len());
                other.iter_mut().step_by(5).for_each(|other| *other = Activation::MIN);
                other.iter_mut().skip(1).step_by(5).for_each(|other| *other = Activation::MAX);
                case.residual = Some((other, Addition::new(zero_points, multipliers, shift, sum)));
                case.check();
            }
        }
    }
}

#[test]
fn sums_beyond_24_bits_are_rounded_to_floats() {
    // An f32 holds integers up to 2²⁴ only; how the rest is rounded shows where the product is near a tie.
    let mut case = Case::plain(Geometry::matrix(7, 1200, 33), 8);
    case.zero_points = vec![0];
    case.bias = Some((0..33).map(|n| (1 << 25) + n).collect());
    case.multipliers = vec![100.0 / (1 << 25) as f32];
    case.check();
}

#[test]
fn windows() {
    for (i, (input, output, kernel, stride, dilation, padding, groups)) in [
        // The first layer of an image network: SAME padding, which is uneven at stride 2.
        ([20, 22, 3], [10, 11, 32], [3, 3], [2, 2], [1, 1], [0, 0], 1),
        ([9, 9, 3], [9, 9, 17], [3, 3], [1, 1], [1, 1], [1, 1], 1),
        ([12, 7, 20], [6, 4, 9], [1, 1], [2, 2], [1, 1], [0, 0], 1),
        ([9, 11, 6], [9, 11, 10], [3, 3], [1, 1], [2, 3], [2, 3], 1),
        ([8, 8, 12], [8, 8, 24], [3, 3], [1, 1], [1, 1], [1, 1], 4),
        ([5, 5, 6], [5, 5, 6], [3, 3], [1, 1], [1, 1], [1, 1], 6),
        ([6, 5, 10], [6, 5, 70], [1, 1], [1, 1], [1, 1], [0, 0], 2),
        ([4, 4, 5], [2, 2, 3], [4, 4], [3, 3], [1, 1], [2, 2], 1),
        ([1, 1, 1], [1, 1, 1], [1, 1], [1, 1], [1, 1], [0, 0], 1),
        ([3, 3, 2], [4, 4, 5], [1, 1], [1, 1], [1, 1], [0, 0], 1),
        ([17, 13, 4], [6, 5, 16], [5, 2], [3, 3], [1, 1], [1, 0], 1),
    ]
    .into_iter()
    .enumerate()
    {
        let geometry = Geometry { input, output, kernel, stride, dilation, padding, groups };
        (0..4).for_each(|seed| Case::random(geometry, (100 + 10 * i + seed) as u64).check());
    }
}

#[test]
fn nothing_is_allocated_for_no_rows() {
    Case::random(Geometry::matrix(0, 5, 7), 9).check();
}

#[test]
#[should_panic(expected = "planned for 1 threads")]
fn more_threads_than_planned_are_refused() {
    let case = Case::plain(Geometry::matrix(4, 4, 4), 10);
    let convolution = case.convolution(Choice::Best, 1);
    let mut scratch = vec![0; convolution.scratch_bytes()];
    convolution.run(&ThreadPool::new(2), &case.input, None, &mut [0; 16], &mut scratch);
}

#[test]
#[should_panic(expected = "weights")]
fn weights_of_another_shape_are_refused() {
    let mut case = Case::plain(Geometry::matrix(4, 4, 4), 11);
    case.values.pop();
    case.convolution(Choice::Best, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_convolution(
        [height, width] in [1usize..12, 1..12],
        groups in 1usize..4,
        [depth, columns] in [1usize..24, 1..40],
        kernel in [1usize..4, 1..4],
        stride in [1usize..4, 1..4],
        dilation in [1usize..3, 1..3],
        padding in [0usize..3, 0..3],
        output in [1usize..9, 1..9],
        seed: u64,
    ) {
        let geometry = Geometry {
            input: [height, width, groups * depth],
            output: [output[0], output[1], groups * columns],
            kernel, stride, dilation, padding, groups,
        };
        Case::random(geometry, seed).check();
    }

    #[test]
    fn any_matrix([rows, depth, columns] in [1usize..70, 1..200, 1..70], seed: u64) {
        Case::random(Geometry::matrix(rows, depth, columns), seed).check();
    }
}
