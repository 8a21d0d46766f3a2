//! Every row against the definition, as `qgemm`'s tests write it.

use proptest::prelude::*;

use super::*;
use crate::qgemm::tests::Case;
use crate::table;
use crate::testing::{each_choice, misaligned};

fn geometry(
    [height, width, depth]: [usize; 3],
    [out_height, out_width, columns]: [usize; 3],
    padding: [usize; 2],
) -> Geometry {
    Geometry {
        input: [height, width, depth],
        output: [out_height, out_width, columns],
        kernel: [3, 3],
        padding,
        ..Geometry::matrix(1, 1, 1)
    }
}

/// An image of this size, padded so that it keeps it.
fn same(height: usize, width: usize, depth: usize, columns: usize) -> Geometry {
    geometry([height, width, depth], [height, width, columns], [1, 1])
}

fn convolution(case: &Case, choice: Choice, threads: usize) -> QWinogradConv2d {
    let (geometry, zero_point) = (case.geometry, case.input_zero_point);
    QWinogradConv2d::new(choice, geometry, &case.weights(), zero_point, &case.requantize(), case.addition(), threads)
}

/// Every row of the table, with one thread, two and three, against the definition.
fn check(case: &Case) {
    let expected = case.expected();
    let input = misaligned(&case.input);
    let residual = case.residual.as_ref().map(|(other, _)| misaligned(other));
    for choice in each_choice(&TABLE) {
        for threads in 1..=3 {
            let convolution = convolution(case, choice, threads);
            let mut output = misaligned(&vec![77; expected.len()]);
            let mut scratch = misaligned(&vec![0xa5; convolution.scratch_bytes()]);
            convolution.run(&ThreadPool::new(threads), &input, residual.as_deref(), &mut output, &mut scratch);
            if let Some(at) = (0..expected.len()).find(|&at| output[at] != expected[at]) {
                panic!(
                    "{}, {threads} threads, element {at}: {} is not {}; {:?}",
                    convolution.kernel_name(),
                    output[at],
                    expected[at],
                    case.geometry
                );
            }
        }
    }
}

#[test]
fn required_rows_are_there() {
    for isa in table::required().into_iter().filter(|isa| TABLE.rows.iter().any(|row| row.isa == *isa)) {
        assert_eq!(TABLE.pick(Choice::UpTo(isa)).isa, isa);
    }
}

#[test]
fn edges_of_tiles() {
    for size in 1..=9 {
        check(&Case::random(same(size, 10 - size, 16, 16), size as u64));
        check(&Case::random(same(size, size, 32, 48), 10 + size as u64));
    }
}

#[test]
fn numbers_of_tiles() {
    // From 1 to 26 tiles, around the rows of every kernel.
    for tiles in 1..=26 {
        check(&Case::random(same(3, 4 * tiles, 16, 32), 30 + tiles as u64));
    }
}

#[test]
fn several_blocks_and_panels() {
    check(&Case::random(same(40, 37, 48, 80), 1));
    check(&Case::random(same(9, 9, 272, 112), 2));
}

#[test]
fn padding() {
    for padding in [[0, 0], [0, 1], [1, 0], [2, 2], [7, 3]] {
        for [height, width] in [[5, 6], [2, 3], [9, 4]] {
            let output = [(height + 2 * padding[0]).max(3) - 2, (width + 2 * padding[1]).max(3) - 2, 16];
            check(&Case::random(geometry([height, width, 16], output, padding), 3));
        }
    }
}

#[test]
fn extremes() {
    const LOW: i32 = Activation::MIN as i32;
    const HIGH: i32 = Activation::MAX as i32;
    for (input, input_zero_point) in [(LOW, HIGH), (HIGH, LOW), (LOW, LOW), (HIGH, HIGH), (LOW + 128, LOW + 128)] {
        for (weight, zero_point) in [(-128, 0), (127, 0), (-128, 127), (127, -128), (-128, -128), (-127, 1)] {
            let mut case = Case::plain(same(6, 7, 32, 48), 4);
            case.input.fill(input as Activation);
            case.input_zero_point = input_zero_point;
            case.values.fill(weight as i8);
            case.zero_points = vec![zero_point];
            check(&case);
            // Signs that make the transforms of either as large as can be.
            case.values.iter_mut().skip(1).step_by(3).for_each(|w| *w = if weight < 0 { 127 } else { -128 });
            check(&case);
            let opposite = (LOW + HIGH - input) as Activation;
            case.input.chunks_exact_mut(32).step_by(2).for_each(|pixel| pixel.fill(opposite));
            check(&case);
        }
    }
}

#[test]
fn sums_at_the_end_of_what_is_known() {
    // 127 · 2064 is just less than 2¹⁸, so that every weight may be as large as it can be.
    let mut case = Case::plain(same(5, 5, 224, 16), 5);
    case.zero_points = vec![0];
    case.multipliers = vec![100.0 / (1 << 25) as f32];
    for weight in [127, -127] {
        case.values.fill(weight);
        for input in [Activation::MIN, Activation::MAX] {
            case.input.fill(input);
            assert!(QWinogradConv2d::fits(&case.geometry, &case.weights()));
            check(&case);
        }
    }
    let mut case = Case::plain(same(5, 5, 240, 16), 5);
    case.zero_points = vec![0];
    case.values.fill(127);
    assert!(!QWinogradConv2d::fits(&case.geometry, &case.weights()), "127 · 2160 is more than 2¹⁸");
}

#[test]
fn multipliers_that_leave_the_range_of_i32() {
    for multiplier in [1e30, -1e30, f32::MAX, f32::MIN, 5e6, -5e6, 1e-30, 0.0, -0.0] {
        let mut case = Case::plain(same(5, 4, 16, 32), 6);
        case.multipliers = vec![multiplier];
        check(&case);
    }
}

#[test]
fn what_does_not_fit_is_found_out() {
    let case = Case::plain(same(8, 8, 16, 16), 7);
    let fits = |geometry: Geometry| QWinogradConv2d::fits(&geometry, &case.weights());
    assert!(fits(case.geometry));
    for other in [
        Geometry { kernel: [1, 3], ..case.geometry },
        Geometry { stride: [1, 2], ..case.geometry },
        Geometry { dilation: [2, 1], ..case.geometry },
        Geometry { groups: 2, ..case.geometry },
        Geometry { input: [8, 8, 24], ..case.geometry },
        Geometry { output: [8, 8, 8], ..case.geometry },
    ] {
        assert!(!fits(other), "{other:?}");
    }
}

#[test]
fn it_pays_for_many_tiles_and_channels() {
    let pays = |geometry| {
        let mut case = Case::plain(geometry, 8);
        case.zero_points = vec![0];
        case.values.iter_mut().for_each(|value| *value /= 4);
        QWinogradConv2d::pays(Choice::UpTo(Isa::Scalar), &case.geometry, &case.weights())
    };
    assert!(pays(same(28, 28, 128, 128)));
    assert!(!pays(same(4, 4, 16, 16)), "one tile");
    assert!(!pays(same(2, 2, 256, 256)), "a quarter of a tile");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn any_convolution(
        [height, width] in [1usize..12, 1..12],
        [depth, columns] in [1usize..4, 1..5],
        padding in [0usize..4, 0..4],
        output in [1usize..14, 1..14],
        seed: u64,
    ) {
        check(&Case::random(
            geometry([height, width, depth * LANES], [output[0], output[1], columns * LANES], padding),
            seed,
        ));
    }
}
