//! Every row against the definition, written here once more in the plainest way, bit for bit.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, bits, each_choice, geometries, misaligned};

fn check(geometry: &Geometry, seed: u64) {
    let Geometry { input: [in_h, in_w, in_c], output: [out_h, out_w, out_c], kernel, .. } = *geometry;
    let mut random = Random::new(seed);
    let input = random.floats(geometry.input_len());
    let weights = random.floats(kernel[0] * kernel[1] * out_c);
    let bias = random.floats(out_c);
    let (min, max) = (-random.unit(), random.unit());
    let position = |axis: usize, window: usize, tap: usize| {
        (window * geometry.stride[axis] + tap * geometry.dilation[axis]) as isize - geometry.padding[axis] as isize
    };
    let mut expected = Vec::new();
    for index in 0..out_h * out_w * out_c {
        let (y, x, channel) = (index / out_c / out_w, index / out_c % out_w, index % out_c);
        let mut sum = bias[channel];
        for (tap, weight) in weights.iter().skip(channel).step_by(out_c).enumerate() {
            let (iy, ix) = (position(0, y, tap / kernel[1]), position(1, x, tap % kernel[1]));
            if (0..in_h as isize).contains(&iy) && (0..in_w as isize).contains(&ix) {
                let value = input[(iy as usize * in_w + ix as usize) * in_c + channel / (out_c / in_c)];
                sum = value.mul_add(*weight, sum);
            }
        }
        expected.push(sum.clamp(min, max));
    }
    let input = misaligned(&input);
    for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
        let layer = DepthwiseConv2d::new(choice, geometry, &weights, Some(&bias), [min, max]);
        let mut output = misaligned(&vec![0.0; expected.len()]);
        layer.run(&ThreadPool::new(threads), &input, &mut output);
        assert_eq!(bits(&output), bits(&expected), "{} with {geometry:?}", layer.kernel_name());
    }
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_narrow_products_only()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

#[test]
fn channels_around_the_width_of_vectors() {
    for channels in [1, 7, 15, 16, 17, 24, 31, 32, 33, 96] {
        for stride in [1, 2] {
            let geometry = Geometry {
                input: [6, 7, channels],
                output: [6 / stride, 7 / stride, channels],
                kernel: [3, 3],
                stride: [stride; 2],
                dilation: [1, 1],
                padding: [1, 1],
                groups: channels,
            };
            check(&geometry, channels as u64);
        }
    }
}

/// Wide enough for several windows at a time, with borders of all widths.
#[test]
fn windows_side_by_side() {
    for kernel in [3, 5] {
        for (stride, padding) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
            for width in [5, 6, 7, 11, 12, 13, 17, 25] {
                let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
                let geometry = Geometry {
                    input: [6, width, 40],
                    output: [out(6), out(width), 40],
                    kernel: [kernel; 2],
                    stride: [stride; 2],
                    dilation: [1, 1],
                    padding: [padding; 2],
                    groups: 40,
                };
                check(&geometry, width as u64);
            }
        }
    }
}

/// NaN in an input, a weight and a bias: each is seen by every window over it, and by no other channel.
#[test]
fn nan_stays() {
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1)] {
        let geometry = Geometry {
            input: [8, 17, 40],
            output: [(7 / stride) + 1, (16 / stride) + 1, 40],
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1, 1],
            padding: [kernel / 2; 2],
            groups: 40,
        };
        let (mut input, mut bias) = (vec![1.0; geometry.input_len()], vec![1.0; 40]);
        let mut weights = vec![1.0; kernel * kernel * 40];
        input[3..].iter_mut().step_by(40).for_each(|value| *value = f32::NAN);
        // The middle of the window, which is never in the padding.
        (weights[kernel * kernel / 2 * 40 + 20], bias[39]) = (f32::NAN, f32::NAN);
        for choice in each_choice(&TABLE) {
            let mut output = vec![0.0; geometry.output_len()];
            let layer = DepthwiseConv2d::new(choice, &geometry, &weights, Some(&bias), [0.0, 6.0]);
            layer.run(&ThreadPool::new(1), &input, &mut output);
            for (at, value) in output.into_iter().enumerate() {
                let channel = at % 40;
                let expected = [3, 20, 39].contains(&channel);
                assert_eq!(value.is_nan(), expected, "{} in channel {channel}", layer.kernel_name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_geometry(geometry in geometries(2), seed: u64) {
        check(&geometry, seed);
    }
}
