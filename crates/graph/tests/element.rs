//! Element types as numbers: values from the Python package ml_dtypes 0.5.

use kinglet_graph::element::{Bool, Round};
use kinglet_graph::ops::Cast;
use kinglet_graph::{DType, Data, Op, Tensor, TensorType};

/// Numbers between, half way, tiny, huge, infinite, and none.
const NUMBERS: [f64; 12] =
    [0.47892547, 1.0625, 1.1875, 1e6, 1e-7, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-7, -3.5, -0.0, 0.01];

#[test]
fn small_floats_round_to_nearest() {
    let cases: [(DType, [u8; 12]); 6] = [
        (DType::F8E4M3FN, [0x2f, 0x38, 0x3a, 0x7f, 0x0, 0x7f, 0x7f, 0xff, 0x80, 0xc6, 0x80, 0x5]),
        (DType::F8E4M3FNUZ, [0x37, 0x40, 0x42, 0x80, 0x0, 0x80, 0x80, 0x80, 0x0, 0xce, 0x0, 0xa]),
        (DType::F8E5M2, [0x38, 0x3c, 0x3d, 0x7c, 0x0, 0x7e, 0x7c, 0xfc, 0x80, 0xc3, 0x80, 0x21]),
        (DType::F8E5M2FNUZ, [0x3c, 0x40, 0x41, 0x80, 0x0, 0x80, 0x80, 0x80, 0x0, 0xc7, 0x0, 0x25]),
        (DType::F4E2M1, [0x1, 0x2, 0x2, 0x7, 0x0, 0x8, 0x7, 0xf, 0x8, 0xe, 0x8, 0x0]),
        (DType::F8E8M0, [0x7e, 0x7f, 0x7f, 0x93, 0x68, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x78]),
    ];
    for (dtype, expected) in cases {
        assert_eq!(Data::from_f64(dtype, &NUMBERS).view().bytes(), expected, "{dtype}");
    }
}

/// The sum of each byte's value times its place, counted from 1, and how many bytes are no numbers and infinite.
#[test]
fn every_byte_has_its_value() {
    for (dtype, sum, nan, infinite) in [
        (DType::F8E4M3FN, -692208.0, 2, 0),
        (DType::F8E4M3FNUZ, -376824.0, 1, 0),
        (DType::F8E5M2, -46137343.96875, 6, 2),
        (DType::F8E5M2FNUZ, -46137343.984375, 1, 0),
        (DType::F8E8M0, 8.643172119791837e40, 1, 0),
    ] {
        let bytes: Vec<u8> = (0..=255).collect();
        let values = Data::from_little_endian(dtype, &bytes).view().to_f64();
        let finite = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        assert_eq!(finite.map(|(place, value)| value * (place + 1) as f64).sum::<f64>(), sum, "{dtype}");
        let count = |which: fn(&f64) -> bool| values.iter().filter(|value| which(value)).count();
        assert_eq!((count(|x| x.is_nan()), count(|x| x.is_infinite())), (nan, infinite), "{dtype}");
        // What is a number comes back as the same byte.
        let back = Data::from_f64(dtype, &values);
        for (byte, (value, back)) in bytes.iter().zip(values.iter().zip(back.view().bytes())) {
            assert!(value.is_nan() || byte == back, "{dtype}: {byte:#x} is {value} and becomes {back:#x}");
        }
    }
    let fours = Data::from_little_endian(DType::F4E2M1, &(0..=255).collect::<Vec<u8>>()).view().to_f64();
    assert_eq!(fours[..8], [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    assert_eq!((fours[9], fours[0x17]), (-0.5, 6.0), "higher bits are of no account");
}

fn cast(op: Cast, from: Data, to: DType) -> Data {
    let from = Tensor::new([from.len()], from).unwrap();
    let mut output = Tensor::zeroed(TensorType::new(to, from.shape()));
    Op::Cast(op).eval(&[Some(from.as_ref())], &mut [output.as_mut()]).unwrap();
    output.data().clone()
}

#[test]
fn casts_follow_onnx() {
    let floats = || Data::from(vec![1e6f32, f32::INFINITY, -1e6, 500.0, f32::NAN]);
    let plain = Cast { saturate: false, ..Cast::default() };
    let bytes = |op, to| cast(op, floats(), to).view().bytes().to_vec();
    assert_eq!(bytes(Cast::default(), DType::F8E4M3FN), [0x7e, 0x7e, 0xfe, 0x7e, 0x7f]);
    assert_eq!(bytes(plain, DType::F8E4M3FN), [0x7f, 0x7f, 0xff, 0x7f, 0x7f]);
    assert_eq!(bytes(Cast::default(), DType::F8E5M2FNUZ), [0x7f, 0x7f, 0xff, 0x64, 0x80]);
    assert_eq!(bytes(plain, DType::F8E5M2), [0x7c, 0x7c, 0xfc, 0x60, 0x7e]);
    // A float stops at an integer's bounds, an integer keeps its low bits.
    assert_eq!(cast(plain, floats(), DType::I16), Data::from(vec![i16::MAX, i16::MAX, i16::MIN, 500, 0]));
    assert_eq!(cast(plain, Data::from(vec![200i16, -1, 256]), DType::I8), Data::from(vec![-56i8, -1, 0]));
    assert_eq!(
        cast(plain, Data::from(vec![7.9f32, -9.0, 8.0]), DType::I4),
        Data::from_f64(DType::I4, &[7.0, 7.0, -8.0])
    );
    assert_eq!(
        cast(plain, Data::from(vec![f32::NAN, 0.0, -0.0, 0.1]), DType::Bool),
        Data::from([true, false, false, true].map(Bool::from).to_vec(),)
    );
    assert_eq!(cast(plain, Data::from(vec![u64::MAX, 3]), DType::I64), Data::from(vec![-1i64, 3]));
    // 2⁵³ + 2⁴⁵ + 1 lies just above half way between two of bfloat16's numbers: rounded twice it would be even.
    let odd = (1i64 << 53) + (1 << 45) + 1;
    assert_eq!(cast(plain, Data::from(vec![odd]), DType::BF16).view().to_f64(), [((1i64 << 53) + (1 << 46)) as f64]);
    assert_eq!(cast(plain, Data::from(vec![odd]), DType::F64).view().to_f64(), [odd as f64]);
}

#[test]
fn powers_of_two_round_as_asked() {
    let numbers = || Data::from(vec![0.0f32, 1.1, 1.5, 2.0, f32::MAX, f32::INFINITY, f32::NAN]);
    let bytes = |round, saturate| cast(Cast { round, saturate }, numbers(), DType::F8E8M0).view().bytes().to_vec();
    assert_eq!(bytes(Round::Up, true), [0, 128, 128, 128, 254, 254, 255]);
    assert_eq!(bytes(Round::Down, true), [0, 127, 127, 128, 254, 254, 255]);
    assert_eq!(bytes(Round::Nearest, false), [255, 127, 128, 128, 255, 255, 255]);
}
