//! Every row against the definition, written here once more in the plainest way.

use proptest::prelude::*;

use super::*;
use crate::testing::{Random, bits, clamp, each_choice, misaligned};

const LOW: i32 = Activation::MIN as i32;
const HIGH: i32 = Activation::MAX as i32;

/// Lengths around the width of vectors, and one for several threads.
const LENGTHS: [usize; 12] = [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 100, 10_000];

/// Calls `body(choice, pool)` for every row, with 1 to 3 threads.
fn each_row(mut body: impl FnMut(Choice, &ThreadPool)) {
    for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
        body(choice, &ThreadPool::new(threads));
    }
}

#[test]
fn required_rows_run_here() {
    for isa in crate::table::required().into_iter().filter(|isa| !isa.adds_narrow_products_only()) {
        assert!(TABLE.available().any(|row| row.isa == isa), "{} has no row of its own", isa.name());
    }
}

fn check_q_add(a: &[Activation], b: &[Activation], points: [i32; 2], multipliers: [i32; 2], shift: u32) {
    for [zero_point, min, max] in [[LOW + 7, LOW, HIGH], [HIGH, LOW + 20, HIGH - 30]] {
        let expected: Vec<Activation> = std::iter::zip(a, b)
            .map(|(&a, &b)| {
                let term = |x: Activation, i: usize| i64::from(i32::from(x) - points[i]) * i64::from(multipliers[i]);
                // Rounds to the nearest integer, halves up.
                let sum = (term(a, 0) + term(b, 1)) as f64 / f64::from(1u32 << shift);
                ((sum + 0.5).floor() + f64::from(zero_point)).clamp(min.into(), max.into()) as Activation
            })
            .collect();
        let (a, b) = (misaligned(a), misaligned(b));
        each_row(|choice, pool| {
            let op = QAdd::new(choice, Addition::new(points, multipliers, shift, Output::new(zero_point, min, max)));
            let mut output = misaligned(&vec![0; a.len()]);
            op.run(pool, &a, &b, &mut output);
            assert_eq!(*output, *expected, "{}", op.kernel_name());
        });
    }
}

#[test]
fn quantized_sums() {
    for (seed, length) in LENGTHS.into_iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let (a, b) = (random.activations(length), random.activations(length));
        let points = [random.activations(1)[0].into(), random.activations(1)[0].into()];
        let multipliers = [random.within(0, 1 << 21), random.within(-1 << 21, 1 << 21)];
        check_q_add(&a, &b, points, multipliers, 20);
    }
}

#[test]
fn every_pair_and_every_tie() {
    let a: Vec<Activation> = (0..1 << 16).map(|pair| (pair >> 8) as Activation).collect();
    let b: Vec<Activation> = (0..1 << 16).map(|pair| pair as Activation).collect();
    check_q_add(&a, &b, [LOW + 3, LOW + 120], [2, 1], 2);
    check_q_add(&a, &b, [LOW, LOW], [1 << 20, -(1 << 20)], 21);
    for shift in [1, 10, 30] {
        check_q_add(&a, &b, [LOW, HIGH], [1 << 21, 1 << 21], shift);
        check_q_add(&a, &b, [HIGH, LOW], [-(1 << 21), 1 << 21], shift);
    }
}

#[test]
fn tables() {
    for length in LENGTHS {
        let mut random = Random::new(length as u64);
        let table: [Activation; 256] = std::array::from_fn(|_| random.next() as Activation);
        let input = misaligned(&(0..length).map(|i| i as Activation).collect::<Vec<_>>());
        let expected: Vec<Activation> = (0..length).map(|i| table[i % 256]).collect();
        each_row(|choice, pool| {
            let op = Lookup::new(choice, table);
            let mut output = misaligned(&vec![0; length]);
            op.run(pool, &input, &mut output);
            assert_eq!(*output, *expected, "{}", op.kernel_name());
        });
    }
}

const SPECIAL: [f32; 8] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, f32::MAX, f32::MIN_POSITIVE, 1e-40];

type Definition = fn(f32, f32) -> f32;

const OPERATIONS: [(Operation, Definition); 6] = [
    (Operation::Add, |a, b| a + b),
    (Operation::Subtract, |a, b| a - b),
    (Operation::Multiply, |a, b| a * b),
    (Operation::Divide, |a, b| a / b),
    (Operation::Maximum, |a, b| if a > b || a.is_nan() { a } else { b }),
    (Operation::Minimum, |a, b| if a < b || a.is_nan() { a } else { b }),
];

fn check_binary(a: &[f32], b: &[f32]) {
    for ([min, max], (operation, definition)) in [[f32::NEG_INFINITY, f32::INFINITY], [0.0, 6.0], [-1.0, 0.5]]
        .into_iter()
        .flat_map(|bounds| OPERATIONS.map(|operation| (bounds, operation)))
    {
        let bounded = |(a, b): (&f32, &f32)| clamp(definition(*a, *b), [min, max]);
        let expected: Vec<f32> = a.iter().zip(b.iter().cycle()).map(bounded).collect();
        let (a, b) = (misaligned(a), misaligned(b));
        each_row(|choice, pool| {
            let op = Binary::new(choice, operation, min, max);
            let mut output = misaligned(&vec![0.0; a.len()]);
            op.run(pool, &a, &b, &mut output);
            assert_eq!(bits(&output), bits(&expected), "{operation:?}, {}", op.kernel_name());
        });
    }
}

#[test]
fn functions_of_two_floats() {
    for length in LENGTHS {
        let mut random = Random::new(length as u64);
        let (mut a, mut b) = (random.floats(length), random.floats(length));
        for (i, value) in SPECIAL.into_iter().enumerate().take_while(|&(i, _)| i < length) {
            a[i] = value;
            b[length - 1 - i] = value;
        }
        check_binary(&a, &b);
        check_binary(&a, &[-1.5]);
    }
    // One element a channel.
    for (pixels, channels) in [(1, 1), (7, 3), (5, 16), (300, 17), (2, 4100)] {
        let mut random = Random::new(channels as u64);
        check_binary(&random.floats(pixels * channels), &random.floats(channels));
    }
}

/// Within a bound of what double precision gives, and the same bits from every row.
#[test]
fn functions_of_one_float() {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let definitions: [(Function, &dyn Fn(f64) -> f64); 6] = [
        (Function::LeakyRelu { slope: 0.1 }, &|x| if x < 0.0 { f64::from(0.1f32) * x } else { x }),
        (Function::LeakyRelu { slope: -0.5 }, &|x| if x < 0.0 { -0.5 * x } else { x }),
        (Function::HardSigmoid { alpha: 0.25, beta: 0.5 }, &|x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        (Function::HardSwish, &|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        (Function::Logistic, &logistic),
        (Function::Silu, &|x| x * logistic(x)),
    ];
    let grid = (-4000..4000).map(|i| i as f32 * 0.01).chain((-90..90).map(|i| i as f32));
    let input: Vec<f32> = grid.chain([0.0, -0.0, 1e-30, -1e-30, 1e-41]).collect();
    for (function, definition) in definitions {
        let mut rows: Vec<Vec<u32>> = Vec::new();
        each_row(|choice, pool| {
            let op = Unary::new(choice, function);
            let mut output = misaligned(&vec![0.0; input.len()]);
            op.run(pool, &misaligned(&input), &mut output);
            rows.push(bits(&output));
            for (&x, &y) in input.iter().zip(&*output) {
                let exact = definition(x.into());
                let error = (f64::from(y) - exact).abs();
                assert!(error <= 4e-7 * exact.abs() + 1e-35, "{function:?} of {x} is {exact}, not {y}");
            }
            let special = misaligned(&[f32::NAN; 20]);
            let mut output = misaligned(&[0.0; 20]);
            op.run(pool, &special, &mut output);
            assert!(output.iter().all(|y| y.is_nan()), "{function:?} of NaN, {}", op.kernel_name());
            op.run(pool, &misaligned(&[f32::INFINITY; 20]), &mut output);
            let limit = if definition(1e30) > 1.0 { f32::INFINITY } else { 1.0 };
            assert!(output.iter().all(|&y| y == limit), "{function:?} of infinity, {}", op.kernel_name());
        });
        assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{function:?} differs from row to row");
    }
}

fn check_quantize(input: &[f32], scale: f32, zero_point: Activation) {
    let expected: Vec<Activation> = input
        .iter()
        .map(|x| match (x / scale).round_ties_even() {
            rounded if rounded.is_nan() => zero_point,
            rounded => (f64::from(rounded) + f64::from(zero_point))
                .clamp(Activation::MIN.into(), Activation::MAX.into()) as Activation,
        })
        .collect();
    let input = misaligned(input);
    each_row(|choice, pool| {
        let op = Quantize::new(choice, scale, zero_point);
        let mut output = misaligned(&vec![0; input.len()]);
        op.run(pool, &input, &mut output);
        assert_eq!(*output, *expected, "{}", op.kernel_name());
    });
}

#[test]
fn floats_to_quantized_values() {
    for length in LENGTHS {
        check_quantize(&Random::new(length as u64).floats(length), 0.013, 5);
    }
    let limits = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2147483648.0, -2147483904.0, 3e38, -3e38];
    let halves = (-600..600).map(|i| i as f32 * 0.5);
    let input: Vec<f32> = limits.into_iter().chain(halves).collect();
    for zero_point in [Activation::MIN, 0, 100, Activation::MAX] {
        for scale in [1.0, 0.5, 1e-30, 1e30] {
            check_quantize(&input, scale, zero_point);
        }
    }
}

#[test]
fn quantized_values_to_floats() {
    for length in LENGTHS {
        let input = Random::new(length as u64).activations(length);
        for zero_point in [Activation::MIN, 17, Activation::MAX] {
            let expected: Vec<f32> =
                input.iter().map(|&q| (i32::from(q) - i32::from(zero_point)) as f32 * 0.0173).collect();
            let input = misaligned(&input);
            each_row(|choice, pool| {
                let op = Dequantize::new(choice, 0.0173, zero_point);
                let mut output = misaligned(&vec![0.0; length]);
                op.run(pool, &input, &mut output);
                assert_eq!(bits(&output), bits(&expected), "{}", op.kernel_name());
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_scale(bits in proptest::collection::vec(any::<u32>(), 0..70), scale in 1e-38f32..1e38, zero_point: Activation) {
        check_quantize(&bits.into_iter().map(f32::from_bits).collect::<Vec<_>>(), scale, zero_point);
    }

    #[test]
    fn any_sum(
        pairs in proptest::collection::vec(any::<(Activation, Activation)>(), 0..70),
        points: [Activation; 2],
        multipliers in [-(1i32 << 21)..=1 << 21, -(1i32 << 21)..=1 << 21],
        shift in 1u32..=30,
    ) {
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        check_q_add(&a, &b, points.map(i32::from), multipliers, shift);
    }
}
