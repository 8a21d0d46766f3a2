//! Every row against the scalar one, bit for bit, and that one against the definition, in `f64`.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, bits, each_choice, misaligned};

/// How far a result is from the definition's at most, relative to the largest one.
const TOLERANCE: f64 = 2e-5;

const FILTERS: [Filter; 2] = [Filter::Four, Filter::Two];

fn geometry([height, width]: [usize; 2], [inputs, outputs]: [usize; 2], padding: usize) -> Geometry {
    let output = [height + 2 * padding - 2, width + 2 * padding - 2, outputs];
    let matrix = Geometry::matrix(1, 1, 1);
    Geometry { input: [height, width, inputs], output, kernel: [3, 3], padding: [padding; 2], ..matrix }
}

fn definition(geometry: &Geometry, input: &[f32], weights: &[f32], bias: &[f32], residual: Option<&[f32]>) -> Vec<f64> {
    let Geometry { input: [_, in_w, in_c], output: [height, width, outputs], .. } = *geometry;
    let mut sums = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for output in 0..outputs {
            let mut sum = f64::from(bias[output]);
            for (ky, iy) in geometry.taps(0, y) {
                for (kx, ix) in geometry.taps(1, x) {
                    let pixel = &input[(iy * in_w + ix) * in_c..][..in_c];
                    let weights = &weights[((output * 3 + ky) * 3 + kx) * in_c..][..in_c];
                    sum += pixel.iter().zip(weights).map(|(&a, &w)| f64::from(a) * f64::from(w)).sum::<f64>();
                }
            }
            sums.push(sum + residual.map_or(0.0, |residual| residual[sums.len()].into()));
        }
    }
    sums
}

/// The largest difference from the definition, relative to the largest result.
fn check(geometry: &Geometry, filter: Filter, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let [inputs, outputs] = [geometry.input[2], geometry.output[2]];
    let input = random.floats(geometry.input_len());
    let weights = random.floats(outputs * 9 * inputs);
    let bias = random.floats(outputs);
    let residual = seed.is_multiple_of(2).then(|| random.floats(geometry.output_len()));
    let expected = definition(geometry, &input, &weights, &bias, residual.as_deref());
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let bounds = [-0.4 * largest as f32, 0.6 * largest as f32];
    let input = misaligned(&input);
    let run = |choice, threads| {
        let layer = Conv2d::new(choice, geometry, filter, &weights, Some(&bias), bounds, threads);
        let mut output = misaligned(&vec![0.0; expected.len()]);
        let mut scratch = misaligned(&vec![0xa5; layer.scratch_bytes()]);
        layer.run(&ThreadPool::new(threads), &input, residual.as_deref(), &mut output, &mut scratch);
        (layer.kernel_name(), output.to_vec())
    };
    let (_, plain) = run(Choice::UpTo(Isa::Scalar), 1);
    for (choice, threads) in each_choice(&TABLE).flat_map(|choice| [1, 2, 3].map(|threads| (choice, threads))) {
        let (name, output) = run(choice, threads);
        assert_eq!(bits(&output), bits(&plain), "{name}, {threads} threads, {filter:?}, {geometry:?}");
    }
    let bounded = expected.iter().map(|value| value.clamp(bounds[0].into(), bounds[1].into()));
    let differences = bounded.zip(&plain).map(|(expected, &found)| (f64::from(found) - expected).abs());
    let worst = differences.fold(0.0, f64::max) / largest;
    assert!(worst < TOLERANCE, "{worst:e} of the largest result, {filter:?}, {geometry:?}");
    worst
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_narrow_products_only()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

#[test]
fn tiles_fit_the_pointers() {
    assert!(gemm::TABLE.rows.iter().all(|row| row.kernel.rows <= MAX_ROWS));
}

#[test]
fn images_around_the_blocks() {
    for (height, width) in [(3, 3), (4, 4), (5, 9), (6, 6), (7, 8), (12, 5), (14, 14)] {
        for padding in 0..=2 {
            for channels in [[16, 16], [17, 33], [40, 3]] {
                for filter in FILTERS {
                    let seed = (height * width + padding) as u64;
                    check(&geometry([height, width], channels, padding), filter, seed);
                }
            }
        }
    }
}

/// NaN in an input reaches the blocks around it, NaN in a filter its channel.
#[test]
fn nan_stays() {
    let geometry = geometry([16, 16], [16, 33], 1);
    let (mut input, mut weights) = (vec![1.0; geometry.input_len()], vec![1.0; 33 * 9 * 16]);
    input[..16].fill(f32::NAN);
    weights[32 * 9 * 16] = f32::NAN;
    for (choice, filter) in each_choice(&TABLE).flat_map(|choice| FILTERS.map(|filter| (choice, filter))) {
        let layer = Conv2d::new(choice, &geometry, filter, &weights, None, [0.0, 6.0], 1);
        let mut output = vec![0.0; geometry.output_len()];
        layer.run(&ThreadPool::new(1), &input, None, &mut output, &mut vec![0; layer.scratch_bytes()]);
        let name = layer.kernel_name();
        for (pixel, values) in output.chunks_exact(33).enumerate() {
            assert!(values[32].is_nan(), "{name} with a filter of NaN");
            if [0, 1, 16, 17].contains(&pixel) {
                assert!(values.iter().all(|value| value.is_nan()), "{name} with an input of NaN, pixel {pixel}");
            }
        }
        assert_eq!(output[33 * 255..][..32], [6.0; 32], "{name} far from it");
    }
}

#[test]
fn errors_stay_small_where_channels_are_many() {
    for (channels, filter) in [64, 512].into_iter().flat_map(|channels| FILTERS.map(|filter| (channels, filter))) {
        let worst = check(&geometry([14, 14], [channels, 64], 1), filter, 1);
        eprintln!("{filter:?}, {channels} channels: {worst:e} of the largest result");
    }
}

#[test]
fn it_pays_where_channels_and_squares_are_many() {
    let filter = |size, channels| Filter::of(&geometry([size; 2], [channels; 2], 1));
    assert!([filter(56, 64), filter(28, 128)].iter().all(|&filter| filter == Some(Filter::Four)));
    assert_eq!(filter(14, 256), Some(Filter::Two), "few squares");
    assert_eq!(filter(7, 512), None, "fewer squares");
    assert_eq!(filter(56, 16), None, "few channels");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_geometry(size in [3..20usize, 3..20usize], channels in [16..50usize, 1..70usize], padding in 0..3usize, seed: u64) {
        for filter in FILTERS {
            check(&geometry(size, channels, padding), filter, seed);
        }
    }
}
