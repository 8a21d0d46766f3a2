//! The numeric contract: each formula of `qmath` against real arithmetic, its ties, and its edges.

use kinglet_graph::ops::{Activation, Unary, unary_table};
use kinglet_graph::qmath::*;
use kinglet_graph::{DType, GraphError, TensorType};
use proptest::prelude::*;

fn int8(scale: f32, zero_point: i32) -> TensorType {
    TensorType::quantized(DType::I8, [1], scale, zero_point)
}

#[test]
fn rounding_takes_ties_to_even_and_stays_in_range() {
    let cases = [
        (2.5, 2),
        (3.5, 4),
        (-2.5, -2),
        (-0.5, 0),
        (1e9, 127),
        (-1e9, -128),
        (3e38, 127),
        (f32::INFINITY, 127),
        (f32::NEG_INFINITY, -128),
    ];
    for (x, expected) in cases {
        assert_eq!(round_and_clamp(x, 0, -128, 127), expected, "of {x}");
    }
    assert_eq!(round_and_clamp(f32::NAN, 5, -128, 127), 5);
    assert_eq!(round_and_clamp(117.5, 10, -128, 127), 127);
    assert_eq!(round_and_clamp(-2.5, 10, -128, 127), 8);
    assert_eq!(round_and_clamp(f32::NEG_INFINITY, 10, 0, 255), 0);
    assert_eq!(requantize(i32::MAX, 1.0, 3, -128, 127), 127);
    assert_eq!(requantize(i32::MIN, f32::MAX, 3, -128, 127), -128);
}

#[test]
fn activations_cut_the_range_at_their_bounds() {
    let range = |activation, scale, zero_point| {
        let ty = int8(scale, zero_point);
        activation_range(activation, DType::I8, ty.quantization.as_ref().unwrap())
    };
    assert_eq!(range(Activation::None, 0.1, 5), (-128, 127));
    assert_eq!(range(Activation::Relu, 0.1, 5), (5, 127));
    assert_eq!(range(Activation::Relu6, 0.1, 5), (5, 65));
    assert_eq!(range(Activation::Relu6, 0.01, -128), (-128, 127));
    assert_eq!(range(Activation::ReluN1To1, 0.1, 5), (-5, 15));
}

#[test]
fn division_by_zero_goes_to_the_bound_of_its_sign() {
    let divide = DivideParameters::new(&int8(0.1, 2), &int8(0.1, 7), &int8(0.5, 11), Activation::None).unwrap();
    assert_eq!(divide.apply(3, 7), 127);
    assert_eq!(divide.apply(1, 7), -128);
    assert_eq!(divide.apply(2, 7), 11);
}

#[test]
fn scales_that_are_too_far_apart_are_refused() {
    let (tiny, giant, one) = (int8(1e-38, 0), int8(3e38, 0), int8(1.0, 0));
    let refused = |result: Result<(), GraphError>| assert!(matches!(result, Err(GraphError::Quantization { .. })));
    refused(Rescale::new(&giant, &tiny, Activation::None).map(drop));
    refused(AddParameters::new(&one, &giant, &tiny, Activation::None).map(drop));
    refused(MultiplyParameters::new(&giant, &giant, &one, Activation::None).map(drop));
    refused(PreluParameters::new(&giant, &one, &tiny).map(drop));
    refused(MeanParameters::new(&giant, &tiny, Activation::None).map(drop));
    refused(Requantization::of_product(&giant, &giant, &one, Activation::None).map(drop));
}

#[test]
fn equal_quantization_rescales_to_the_same() {
    for (scale, zero_point) in [(0.1, 3), (1e-30, -128), (1e30, 127)] {
        let rescale = Rescale::new(&int8(scale, zero_point), &int8(scale, zero_point), Activation::None).unwrap();
        assert!((-128..128).all(|q| rescale.apply(q) == q), "scale {scale}");
    }
}

#[test]
fn tables_hold_the_function_of_every_byte() {
    let table = unary_table(&Unary::Logistic, &int8(0.1, 5), &int8(1.0 / 256.0, -128)).unwrap();
    for q in -128..128i32 {
        let real = 1.0 / (1.0 + (-f64::from(q - 5) * f64::from(0.1f32)).exp());
        let found = f64::from(i32::from(table[usize::from(q as u8)] as i8));
        assert!((found - (real * 256.0 - 128.0).min(127.0)).abs() <= 0.5 + 1e-6, "of {q}: {found}");
    }
    let roots = unary_table(&Unary::Rsqrt, &int8(1.0, 0), &int8(0.1, 0)).unwrap();
    assert_eq!((roots[0] as i8, roots[255] as i8), (127, 0), "1/√0 is the largest, 1/√−1 is no number");
}

#[test]
fn probabilities_of_a_softmax_add_up() {
    let table = softmax_table(0.1, 1.0);
    assert_eq!(table[0], 1 << 30);
    assert!(table.is_sorted_by(|a, b| a >= b));
    let logits = [0usize, 3, 10, 40, 255];
    let sum = logits.iter().map(|d| u64::from(table[*d])).sum();
    let total: i32 = logits.iter().map(|d| softmax_output(table[*d], sum, 1.0 / 256.0, -128, -128, 127) + 128).sum();
    assert!((254..=258).contains(&total), "{total}");
}

/// Checks a quantized result against the real number that it stands for: at most half a step away, and the little that
/// multipliers of 20 bits and more are off.
fn close(q: i32, real: f64, output: &TensorType) -> Result<(), TestCaseError> {
    let quantization = output.quantization.as_ref().unwrap();
    let exact = real / f64::from(quantization.scale()) + f64::from(quantization.zero_point());
    let distance = (f64::from(q) - exact.clamp(-128.0, 127.0)).abs();
    prop_assert!(distance <= 0.501, "{} stands for {}, which is {}", q, real, exact);
    Ok(())
}

fn real(q: i32, ty: &TensorType) -> f64 {
    let quantization = ty.quantization.as_ref().unwrap();
    f64::from(q - quantization.zero_point()) * f64::from(quantization.scale())
}

fn any_quantization() -> impl Strategy<Value = TensorType> {
    (0.01f32..1.0, -128i32..128).prop_map(|(scale, zero_point)| int8(scale, zero_point))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formulas_round_what_real_numbers_give(
        types in [any_quantization(), any_quantization(), any_quantization()],
        p in -128i32..128,
        q in -128i32..128,
        count in 1usize..100,
    ) {
        let [a, b, out] = &types;
        let (x, y, none) = (real(p, a), real(q, b), Activation::None);
        let add = AddParameters::new(a, b, out, none).unwrap();
        close(add.apply(p, q), x + y, out)?;
        close(add.subtraction().apply(p, q), x - y, out)?;
        close(MultiplyParameters::new(a, b, out, none).unwrap().apply(p, q), x * y, out)?;
        if y != 0.0 {
            close(DivideParameters::new(a, b, out, none).unwrap().apply(p, q), x / y, out)?;
        }
        close(Rescale::new(a, out, none).unwrap().apply(p), x, out)?;
        let expected = if x >= 0.0 { x } else { x * y };
        close(PreluParameters::new(a, b, out).unwrap().apply(p, q), expected, out)?;
        let sum = (p - a.quantization.as_ref().unwrap().zero_point()) * count as i32 + q;
        let mean = f64::from(sum) * f64::from(a.quantization.as_ref().unwrap().scale()) / count as f64;
        close(MeanParameters::new(a, out, none).unwrap().apply(sum, count), mean, out)?;
        close(MeanParameters::of_pool(a, out, none).unwrap().apply(sum, count), mean, out)?;
    }
}

#[test]
fn a_pool_of_one_scale_rounds_halves_up() {
    for zero_point in [-128, -3, 0, 127] {
        let ty = TensorType::quantized(DType::I8, [1, 1, 1, 1], 0.3, zero_point);
        let pool = MeanParameters::of_pool(&ty, &ty, Activation::None).unwrap();
        for count in [1, 2, 4, 6, 9, 16, 49] {
            for sum in -600..600i32 {
                let up = (2 * sum + count).div_euclid(2 * count) + zero_point;
                assert_eq!(pool.apply(sum, count as usize), up.clamp(-128, 127), "{sum} / {count}");
            }
        }
    }
}
