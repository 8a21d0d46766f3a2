//! Every row against the definition, written here once more in the plainest way.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, bits, each_choice, geometries, misaligned};

/// The values under the window of each output element.
fn windows<T: Copy>(geometry: &Geometry, input: &[T]) -> Vec<Vec<T>> {
    let Geometry { input: [in_h, in_w, channels], output: [out_h, out_w, _], .. } = *geometry;
    let position = |axis: usize, window: usize, tap: usize| {
        (window * geometry.stride[axis] + tap * geometry.dilation[axis]) as isize - geometry.padding[axis] as isize
    };
    let mut all = Vec::new();
    for index in 0..out_h * out_w * channels {
        let (y, x, channel) = (index / channels / out_w, index / channels % out_w, index % channels);
        let mut values = Vec::new();
        for ky in 0..geometry.kernel[0] {
            for kx in 0..geometry.kernel[1] {
                let (iy, ix) = (position(0, y, ky), position(1, x, kx));
                if (0..in_h as isize).contains(&iy) && (0..in_w as isize).contains(&ix) {
                    values.push(input[(iy as usize * in_w + ix as usize) * channels + channel]);
                }
            }
        }
        all.push(values);
    }
    all
}

fn check_quantized(geometry: &Geometry, seed: u64) {
    let mut random = Random::new(seed);
    let input = random.activations(geometry.input_len());
    let input_zero_point = i32::from(random.activations(1)[0]);
    let scales = [0.01 + random.unit(), 0.01 + random.unit()];
    let bias = if random.next().is_multiple_of(2) { 0.25 } else { 0.0 };
    let [zero_point, min, max] = random.output();
    let average: Vec<Activation> = windows(geometry, &input)
        .iter()
        .map(|values| {
            let sum: i32 = values.iter().map(|&value| i32::from(value) - input_zero_point).sum();
            let scaled = (sum as f32 + bias) * (scales[0] / (scales[1] * values.len().max(1) as f32));
            (scaled.round_ties_even() as i64 + i64::from(zero_point)).clamp(min.into(), max.into()) as Activation
        })
        .collect();
    let greatest: Vec<Activation> = windows(geometry, &input)
        .iter()
        .map(|values| values.iter().map(|&value| i32::from(value)).max().unwrap_or(min).clamp(min, max) as Activation)
        .collect();
    let input = misaligned(&input);
    for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
        let pool = ThreadPool::new(threads);
        let mut output = misaligned(&vec![0; geometry.output_len()]);
        let op = QAveragePool::new(choice, geometry, input_zero_point, scales, bias, Output::new(zero_point, min, max));
        op.run(&pool, &input, &mut output);
        assert_eq!(*output, *average, "average, {} with {geometry:?}", op.kernel_name());
        let op = QMaxPool::new(choice, geometry, min as Activation, max as Activation);
        op.run(&pool, &input, &mut output);
        assert_eq!(*output, *greatest, "maximum, {} with {geometry:?}", op.kernel_name());
    }
}

fn check_floats(geometry: &Geometry, seed: u64) {
    let mut random = Random::new(seed);
    let input = random.floats(geometry.input_len());
    let (min, max) = (-random.unit(), random.unit());
    let average: Vec<f32> = windows(geometry, &input)
        .iter()
        .map(|values| (values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f32).clamp(min, max))
        .collect();
    let greatest: Vec<f32> = windows(geometry, &input)
        .iter()
        .map(|values| values.iter().copied().fold(f32::NEG_INFINITY, f32::max).clamp(min, max))
        .collect();
    let input = misaligned(&input);
    for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
        let pool = ThreadPool::new(threads);
        let mut output = misaligned(&vec![0.0; geometry.output_len()]);
        let op = AveragePool::new(choice, geometry, min, max);
        op.run(&pool, &input, &mut output);
        assert_eq!(bits(&output), bits(&average), "average, {} with {geometry:?}", op.kernel_name());
        let op = MaxPool::new(choice, geometry, min, max);
        op.run(&pool, &input, &mut output);
        assert_eq!(bits(&output), bits(&greatest), "maximum, {} with {geometry:?}", op.kernel_name());
    }
}

fn global(height: usize, width: usize, channels: usize) -> Geometry {
    Geometry {
        input: [height, width, channels],
        output: [1, 1, channels],
        kernel: [height, width],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [0, 0],
        groups: channels,
    }
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_narrow_products_only()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

#[test]
fn whole_images() {
    for channels in [1, 2, 15, 16, 17, 31, 32, 33, 100, 1280] {
        check_quantized(&global(7, 7, channels), channels as u64);
        check_floats(&global(7, 7, channels), channels as u64);
    }
}

#[test]
fn extremes_are_exact() {
    let geometry = global(64, 64, 16);
    for value in [Activation::MIN, Activation::MAX] {
        for zero_point in [Activation::MIN, Activation::MAX] {
            let input = vec![value; geometry.input_len()];
            for choice in each_choice(&TABLE) {
                let output = Output::new(zero_point.into(), Activation::MIN.into(), Activation::MAX.into());
                let op = QAveragePool::new(choice, &geometry, zero_point.into(), [1.0, 1.0], 0.0, output);
                let mut means = vec![0; 16];
                op.run(&ThreadPool::new(1), &input, &mut means);
                assert_eq!(means, vec![value; 16], "{}", op.kernel_name());
            }
        }
    }
}

#[test]
fn floats_that_are_no_numbers() {
    let input = [f32::NAN, 1.0, -0.0, f32::INFINITY].repeat(16);
    let geometry = Geometry { input: [1, 4, 16], ..global(1, 1, 16) };
    let geometry = Geometry { output: [1, 4, 16], ..geometry };
    for choice in each_choice(&TABLE) {
        let mut output = vec![0.0; 64];
        let op = MaxPool::new(choice, &geometry, -1.0, 6.0);
        op.run(&ThreadPool::new(1), &input, &mut output);
        // The maximum is of the numbers that are there.
        assert_eq!(bits(&output), bits(&[-1.0, 1.0, -0.0, 6.0].repeat(16)), "{}", op.kernel_name());
        let op = AveragePool::new(choice, &geometry, -1.0, 6.0);
        op.run(&ThreadPool::new(1), &input, &mut output);
        // The sum begins at +0.
        assert_eq!(bits(&output), bits(&[f32::NAN, 1.0, 0.0, 6.0].repeat(16)), "{}", op.kernel_name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_geometry(geometry in geometries(1), seed: u64) {
        check_quantized(&geometry, seed);
        check_floats(&geometry, seed);
    }
}
