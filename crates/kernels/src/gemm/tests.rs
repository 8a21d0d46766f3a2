//! Every row against the definition, written here once more in the plainest way, bit for bit.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, bits, each_choice, geometries, misaligned};

fn check(geometry: &Geometry, seed: u64) {
    let Geometry { input: [in_h, in_w, in_c], output: [out_h, out_w, out_c], kernel, groups, .. } = *geometry;
    let mut random = Random::new(seed);
    let depth = in_c / groups;
    let input = random.floats(geometry.input_len());
    let weights = random.floats(out_c * kernel[0] * kernel[1] * depth);
    let bias = random.floats(out_c);
    let residual = seed.is_multiple_of(2).then(|| random.floats(geometry.output_len()));
    let (min, max) = (-random.unit() * 3.0, random.unit() * 3.0);
    let position = |axis: usize, window: usize, tap: usize| {
        (window * geometry.stride[axis] + tap * geometry.dilation[axis]) as isize - geometry.padding[axis] as isize
    };
    let mut expected = Vec::new();
    for index in 0..out_h * out_w * out_c {
        let (y, x, channel) = (index / out_c / out_w, index / out_c % out_w, index % out_c);
        let weights = &weights[channel * kernel[0] * kernel[1] * depth..];
        let mut sum = bias[channel];
        for tap in 0..kernel[0] * kernel[1] {
            let (iy, ix) = (position(0, y, tap / kernel[1]), position(1, x, tap % kernel[1]));
            if (0..in_h as isize).contains(&iy) && (0..in_w as isize).contains(&ix) {
                let pixel = (iy as usize * in_w + ix as usize) * in_c + channel / (out_c / groups) * depth;
                for ci in 0..depth {
                    sum = input[pixel + ci].mul_add(weights[tap * depth + ci], sum);
                }
            }
        }
        if let Some(residual) = &residual {
            sum += residual[index];
        }
        expected.push(sum.clamp(min, max));
    }
    let input = misaligned(&input);
    for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
        let layer = Conv2d::<f32>::new(choice, geometry, &weights, Some(&bias), [min, max], threads);
        let mut output = misaligned(&vec![0.0; expected.len()]);
        let mut scratch = misaligned(&vec![0xa5; layer.scratch_bytes()]);
        layer.run(&ThreadPool::new(threads), &input, residual.as_deref(), &mut output, &mut scratch);
        assert_eq!(bits(&output), bits(&expected), "{} with {geometry:?}", layer.kernel_name());
    }
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_narrow_products_only()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
    for isa in crate::table::required().into_iter().filter(|isa| isa.adds_half_products()) {
        assert!(HALF_TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

/// Significant bits of a half, and how many products are summed in as many.
const HALF: (i32, usize) = if cfg!(target_arch = "x86_64") { (8, 0) } else { (11, 64) };

/// The nearest number of so many significant bits, of which those below 2⁻²⁴ are missing where halves have eleven.
fn nearest(value: f32, bits: i32) -> f64 {
    let value = f64::from(value);
    let last = value.abs().max(1e-30).log2().floor() as i32 + 1 - bits;
    let step = 2f64.powi(if bits == 11 { last.max(-24) } else { last });
    (value / step).round_ties_even() * step
}

/// Every row in half precision gives the plain one's bits, and that one what the exact sum of the products of rounded
/// numbers is, but for the rounding of its sums.
fn check_half(geometry: &Geometry, seed: u64) {
    let Geometry { input: [in_h, in_w, in_c], output: [_, out_w, out_c], kernel, .. } = *geometry;
    let mut random = Random::new(seed);
    let (input, bias) = (random.floats(geometry.input_len()), random.floats(out_c));
    let weights = random.floats(out_c * kernel[0] * kernel[1] * in_c);
    let residual = seed.is_multiple_of(2).then(|| random.floats(geometry.output_len()));
    let bounds = [-8.0, 9.0];
    let mut outputs: Vec<(Vec<f32>, &str)> = Vec::new();
    for (choice, threads) in each_choice(&HALF_TABLE).zip([1, 2, 3].into_iter().cycle()) {
        let layer = Conv2d::<Half>::new(choice, geometry, &weights, Some(&bias), bounds, threads);
        let mut output = misaligned(&vec![0.0; geometry.output_len()]);
        let mut scratch = misaligned(&vec![0xa5; layer.scratch_bytes()]);
        let (pool, input) = (ThreadPool::new(threads), misaligned(&input));
        layer.run(&pool, &input, residual.as_deref(), &mut output, &mut scratch);
        outputs.push((output.to_vec(), layer.kernel_name()));
    }
    let (plain, _) = outputs.pop().expect("there is a plain row");
    for (output, name) in outputs {
        assert_eq!(bits(&output), bits(&plain), "{name} with {geometry:?}");
    }
    let (digits, together) = HALF;
    let [input, weights] = [input, weights].map(|values| values.into_iter().map(|value| nearest(value, digits)));
    let (input, weights): (Vec<f64>, Vec<f64>) = (input.collect(), weights.collect());
    for (index, &found) in plain.iter().enumerate() {
        let (y, x, channel) = (index / out_c / out_w, index / out_c % out_w, index % out_c);
        let (mut sum, mut sum_of_magnitudes) = (f64::from(bias[channel]), f64::from(bias[channel].abs()));
        for (ky, iy) in geometry.taps(0, y) {
            for (kx, ix) in geometry.taps(1, x) {
                assert!(iy < in_h && ix < in_w);
                let (pixel, tap) = ((iy * in_w + ix) * in_c, (channel * kernel[0] + ky) * kernel[1] + kx);
                for (a, b) in input[pixel..][..in_c].iter().zip(&weights[tap * in_c..][..in_c]) {
                    sum += a * b;
                    sum_of_magnitudes += (a * b).abs();
                }
            }
        }
        let depth = kernel[0] * kernel[1] * in_c;
        let of_halves = together.min(depth) as f64 * 2f64.powi(-digits);
        let error = sum_of_magnitudes * (of_halves + (depth + 2) as f64 * 2f64.powi(-24));
        let sum = sum + residual.as_ref().map_or(0.0, |residual| f64::from(residual[index]));
        let expected = sum.clamp(bounds[0].into(), bounds[1].into());
        assert!((f64::from(found) - expected).abs() <= error + 1e-6, "{found} for {expected} with {geometry:?}");
    }
}

/// Numbers of 16 bits are multiplied as rounded, whatever the exponent; NaN and infinities stay what they are.
#[test]
fn halves_are_the_nearest_numbers() {
    let (digits, _) = HALF;
    let mut random = Random::new(7);
    for value in random.floats(1000).into_iter().flat_map(|value| [value, value * 1e-3, value * 1e4]) {
        assert_eq!(f64::from(Half::of(value).to_f32()), nearest(value, digits), "{value}");
    }
    for value in [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1.0, -2.0, 2f32.powi(-14)] {
        assert_eq!(Half::of(value).to_f32().to_bits(), value.to_bits());
    }
    assert!(Half::of(f32::NAN).to_f32().is_nan() && Half::of(f32::MAX).to_f32().is_infinite());
    let values = [random.floats(200), vec![0.0, -0.0, 1e-40, f32::INFINITY, 70000.0, 2e-6, -3e-7, 65519.0]].concat();
    for row in HALF_TABLE.available() {
        for len in [0, 1, 15, 16, 17, 31, 33, 64, values.len()] {
            let (from, mut to) = (misaligned(&values[values.len() - len..]), misaligned(&vec![Half::default(); len]));
            // SAFETY: this CPU has the row's instruction set, and the lengths are equal.
            unsafe { (row.kernel.round)(&from, &mut to) };
            let expected: Vec<_> = from.iter().map(|&value| Half::of(value)).collect();
            assert_eq!(*to, expected[..], "{} rounds {len} floats", row.name);
        }
    }
}

#[test]
fn matrices_in_half_precision() {
    for rows in [1, 2, 3, 5, 7, 8, 9, 11, 12, 13, 48, 57] {
        for columns in [1, 7, 8, 15, 16, 17, 33, 80] {
            check_half(&Geometry::matrix(rows, 19, columns), rows as u64);
        }
    }
    for depth in [0, 1, 2, 63, 64, 65, 100, 1024, 2048] {
        check_half(&Geometry::matrix(14, depth, 20), depth as u64);
    }
}

/// An element that follows a window of an odd number of them takes no part, whatever it is.
#[test]
fn windows_of_odd_lengths_end_where_they_do() {
    let geometry = Geometry::matrix(2, 3, 40);
    for choice in each_choice(&HALF_TABLE) {
        let layer = Conv2d::<Half>::new(choice, &geometry, &[1.0; 3 * 40], None, [-100.0, 100.0], 1);
        let (mut output, mut scratch) = (vec![0.0; 80], vec![0; layer.scratch_bytes()]);
        let input = [1.0, 2.0, 3.0, f32::INFINITY, f32::NAN, 1.0];
        layer.run(&ThreadPool::new(1), &input, None, &mut output, &mut scratch);
        assert_eq!(output[..40], [6.0; 40], "{}", layer.kernel_name());
    }
}

#[test]
fn tiles_cover_the_pixels_evenly() {
    for (pixels, rows) in [(0, 4), (1, 4), (4, 4), (5, 4), (49, 12), (13, 12), (100, 6)] {
        let tiles: Vec<_> = tiles(pixels, rows).collect();
        assert!(tiles.iter().flat_map(|&(start, height)| start..start + height).eq(0..pixels));
        let heights = || tiles.iter().map(|&(_, height)| height);
        assert!(heights().max() <= Some(rows) && heights().max().unwrap_or(0) - heights().min().unwrap_or(0) <= 1);
    }
}

/// Windows of more elements than the first-level cache takes weights of, in long pieces and in short ones.
#[test]
fn deep_windows_are_multiplied_in_blocks() {
    for (kernel, channels) in [([1, 1], 1000), ([3, 3], 300), ([5, 5], 40), ([7, 7], 3), ([3, 1], 2000), ([1, 1], 1024)]
    {
        let input = [9, 8, channels];
        let padding = kernel.map(|size| size / 2);
        let geometry = Geometry { input, output: [9, 8, 37], kernel, padding, ..Geometry::matrix(1, 1, 1) };
        check(&geometry, 1);
        check(&geometry, 2);
        check_half(&geometry, 1);
    }
}

#[test]
fn matrices_around_the_tiles() {
    for rows in [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 47, 48, 49, 100] {
        for columns in [1, 4, 7, 12, 15, 16, 17, 33, 80] {
            check(&Geometry::matrix(rows, 19, columns), rows as u64);
        }
    }
    for depth in [1, 2, 100] {
        check(&Geometry::matrix(7, depth, 20), depth as u64);
    }
}

/// Zeros of either sign, infinities and NaN: the sum is what the bias is, and is clamped as the plain row clamps it.
#[test]
fn clamping_is_defined_to_the_bit() {
    let bias = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-42];
    let geometry = Geometry::matrix(1, 0, bias.len());
    for bounds in [[0.0, 6.0], [-0.0, 6.0], [-1.0, 0.0], [-1.0, -0.0], [f32::NEG_INFINITY, f32::INFINITY]] {
        let mut outputs = each_choice(&TABLE).map(|choice| {
            let mut output = vec![0.0; bias.len()];
            let layer = Conv2d::<f32>::new(choice, &geometry, &[], Some(&bias), bounds, 1);
            let mut scratch = vec![0; layer.scratch_bytes()];
            layer.run(&ThreadPool::new(1), &[], None, &mut output, &mut scratch);
            bits(&output)
        });
        let first = outputs.next().expect("there is a plain row");
        assert!(outputs.all(|output| output == first), "{bounds:?}");
        assert_eq!(first[6], f32::NAN.to_bits(), "{bounds:?}");
    }
}

/// NaN in a row, in a column of weights and in a residual.
#[test]
fn nan_stays() {
    let (geometry, [rows, depth, columns]) = (Geometry::matrix(13, 20, 37), [13, 20, 37]);
    let (mut input, mut weights) = (vec![1.0; rows * depth], vec![1.0; columns * depth]);
    let mut residual = vec![1.0; rows * columns];
    (input[3 * depth + 7], weights[36 * depth + 19], residual[5 * columns + 2]) = (f32::NAN, f32::NAN, f32::NAN);
    for choice in each_choice(&TABLE) {
        let mut output = vec![0.0; rows * columns];
        let layer = Conv2d::<f32>::new(choice, &geometry, &weights, None, [0.0, 6.0], 1);
        let mut scratch = vec![0; layer.scratch_bytes()];
        layer.run(&ThreadPool::new(1), &input, Some(&residual), &mut output, &mut scratch);
        for (at, value) in output.into_iter().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let expected = row == 3 || column == 36 || [row, column] == [5, 2];
            assert_eq!(value.is_nan(), expected, "{} in row {row}, column {column}", layer.kernel_name());
        }
    }
}

#[test]
fn nothing_to_do() {
    check(&Geometry::matrix(0, 5, 16), 1);
    check(&Geometry::matrix(5, 0, 16), 1);
    check(&Geometry::matrix(5, 5, 0), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_geometry(geometry in geometries(1), groups in 1..4usize, inputs in 1..9usize, outputs in 1..40usize, seed: u64) {
        let Geometry { input: [in_h, in_w, _], output: [out_h, out_w, _], .. } = geometry;
        let input = [in_h, in_w, inputs * groups];
        let output = [out_h, out_w, outputs * groups];
        check(&Geometry { input, output, groups, ..geometry }, seed);
        check_half(&Geometry { input, output, groups: 1, ..geometry }, seed);
    }
}
