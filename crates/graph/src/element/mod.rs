//! Element types as numbers: what an operator that is written once for all types needs of each.
//!
//! An operator widens elements to one of four types that it computes with, and narrows the result, rounding once.

mod minifloat;
mod narrow;

pub use minifloat::{F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, Round};
pub use narrow::{Bool, I2, I4, U2, U4};

use half::{bf16, f16};

/// A type that operators compute with.
pub trait Number: Copy + Default + PartialEq + PartialOrd + 'static {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The smallest: minus infinity of floats.
    const LOWEST: Self;
    /// The largest: infinity of floats.
    const HIGHEST: Self;
    /// The sum; integers wrap around, here and below.
    fn add(self, other: Self) -> Self;
    /// The difference.
    fn subtract(self, other: Self) -> Self;
    /// The product.
    fn multiply(self, other: Self) -> Self;
    /// The product with `factor`, plus `sum`: rounded once for floats.
    fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// The quotient, cut toward zero for integers, where division by 0 gives 0.
    fn divide(self, other: Self) -> Self;
    /// What the quotient cut toward zero leaves; of an integer divided by 0, the integer.
    fn remainder(self, other: Self) -> Self;
    /// The power. One of an integer to a negative exponent is cut toward zero, and 0 for 0.
    fn power(self, exponent: Self) -> Self;
    /// The square root, cut to an integer for integers.
    fn square_root(self) -> Self;
    /// From a count, the nearest.
    fn from_count(count: usize) -> Self;
    /// As a float, the nearest.
    fn to_f64(self) -> f64;
    /// As a float, rounded to odd: rounding that once more to a narrower float gives what rounding once would have
    /// given. (Boldo and Melquiond, "When double rounding is odd", 2005)
    fn to_f64_odd(self) -> f64;
    /// The low 64 bits of an integer; `None` of a float.
    fn integer_bits(self) -> Option<i64>;
    /// From a float: the nearest, or cut toward zero and stopped at the bounds for integers.
    fn from_f64(x: f64) -> Self;
    /// Whether it is a float that is no number.
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
}

macro_rules! floats {
    ($($type:ident, $pow:path, $sqrt:path;)*) => { $(impl Number for $type {
        const ZERO: $type = 0.0;
        const ONE: $type = 1.0;
        const LOWEST: $type = $type::NEG_INFINITY;
        const HIGHEST: $type = $type::INFINITY;

        fn add(self, other: $type) -> $type {
            self + other
        }

        fn subtract(self, other: $type) -> $type {
            self - other
        }

        fn multiply(self, other: $type) -> $type {
            self * other
        }

        fn multiply_add(self, factor: $type, sum: $type) -> $type {
            self.mul_add(factor, sum)
        }

        fn divide(self, other: $type) -> $type {
            self / other
        }

        fn remainder(self, other: $type) -> $type {
            self % other
        }

        fn power(self, exponent: $type) -> $type {
            $pow(self, exponent)
        }

        fn square_root(self) -> $type {
            $sqrt(self)
        }

        fn from_count(count: usize) -> $type {
            count as $type
        }

        fn to_f64(self) -> f64 {
            self.into()
        }

        fn to_f64_odd(self) -> f64 {
            self.into()
        }

        fn integer_bits(self) -> Option<i64> {
            None
        }

        fn from_f64(x: f64) -> $type {
            x as $type
        }
    })* };
}

floats! {
    f32, libm::powf, f32::sqrt;
    f64, libm::pow, f64::sqrt;
}

macro_rules! integers {
    ($($type:ident),*) => { $(impl Number for $type {
        const ZERO: $type = 0;
        const ONE: $type = 1;
        const LOWEST: $type = $type::MIN;
        const HIGHEST: $type = $type::MAX;

        fn add(self, other: $type) -> $type {
            self.wrapping_add(other)
        }

        fn subtract(self, other: $type) -> $type {
            self.wrapping_sub(other)
        }

        fn multiply(self, other: $type) -> $type {
            self.wrapping_mul(other)
        }

        fn multiply_add(self, factor: $type, sum: $type) -> $type {
            self.wrapping_mul(factor).wrapping_add(sum)
        }

        fn divide(self, other: $type) -> $type {
            if other == 0 { 0 } else { self.wrapping_div(other) }
        }

        fn remainder(self, other: $type) -> $type {
            if other == 0 { self } else { self.wrapping_rem(other) }
        }

        fn power(self, exponent: $type) -> $type {
            if exponent < Self::ZERO {
                return match self {
                    1 => 1,
                    one if one.wrapping_add(1) == 0 => if exponent % 2 == 0 { 1 } else { one },
                    _ => 0,
                };
            }
            // Squares, and their product where the exponent has a one.
            let (mut square, mut power, mut left) = (self, 1 as $type, exponent);
            while left > 0 {
                if left % 2 == 1 {
                    power = power.wrapping_mul(square);
                }
                square = square.wrapping_mul(square);
                left /= 2;
            }
            power
        }

        fn square_root(self) -> $type {
            self.to_f64().sqrt() as $type
        }

        fn from_count(count: usize) -> $type {
            count as $type
        }

        fn to_f64(self) -> f64 {
            self as f64
        }

        fn to_f64_odd(self) -> f64 {
            // A float holds 53 bits: the lowest that is left stands for all that are cut.
            let cut = 11;
            let whole = (self >> cut) << cut;
            if self.abs_diff(0) >> 53 == 0 || whole == self { self as f64 } else { (whole | 1 << cut) as f64 }
        }

        fn integer_bits(self) -> Option<i64> {
            Some(self as i64)
        }

        fn from_f64(x: f64) -> $type {
            x as $type
        }
    })* };
}

integers!(i64, u64);

/// An element of a tensor.
pub trait Element: bytemuck::Pod {
    /// The type that operators compute with, which holds every element's value exactly.
    type Wide: Number;

    /// The element's value.
    fn widen(self) -> Self::Wide;

    /// The nearest element, ties to even, of floats; the one with the same low bits, of integers.
    fn narrow(wide: Self::Wide) -> Self;

    /// Another number as this type, as ONNX's Cast: floats are rounded to nearest, ties to even; a float becomes an
    /// integer by cutting it toward zero, and stops at the bounds; integers keep their low bits.
    fn cast<N: Number>(number: N) -> Self;
}

/// A float rounded to odd: what is between two becomes the one whose last bit is set.
fn to_f32_odd(x: f64) -> f32 {
    let nearest = x as f32;
    if x.is_nan() || f64::from(nearest) == x {
        return nearest;
    }
    let away = u32::from(f64::from(nearest).abs() > x.abs());
    f32::from_bits((nearest.to_bits() - away) | 1)
}

macro_rules! float_elements {
    ($($type:ty, $wide:ty, |$x:ident| $widen:expr, |$w:ident| $narrow:expr, |$f:ident| $cast:expr;)*) => {
        $(impl Element for $type {
            type Wide = $wide;

            fn widen(self) -> $wide {
                let $x = self;
                $widen
            }

            fn narrow($w: $wide) -> $type {
                $narrow
            }

            fn cast<N: Number>(number: N) -> $type {
                let $f = number.to_f64_odd();
                $cast
            }
        })*
    };
}

float_elements! {
    f32, f32, |x| x, |w| w, |f| f as f32;
    f16, f32, |x| x.to_f32(), |w| f16::from_f32(w), |f| f16::from_f32(to_f32_odd(f));
    bf16, f32, |x| x.to_f32(), |w| bf16::from_f32(w), |f| bf16::from_f32(to_f32_odd(f));
    F8E4M3FN, f32, |x| x.to_f32(), |w| F8E4M3FN::from_f64(w.into()), |f| F8E4M3FN::from_f64(f);
    F8E4M3FNUZ, f32, |x| x.to_f32(), |w| F8E4M3FNUZ::from_f64(w.into()), |f| F8E4M3FNUZ::from_f64(f);
    F8E5M2, f32, |x| x.to_f32(), |w| F8E5M2::from_f64(w.into()), |f| F8E5M2::from_f64(f);
    F8E5M2FNUZ, f32, |x| x.to_f32(), |w| F8E5M2FNUZ::from_f64(w.into()), |f| F8E5M2FNUZ::from_f64(f);
    F8E8M0, f32, |x| x.to_f32(), |w| F8E8M0::nearest(w.into()), |f| F8E8M0::nearest(f);
    F4E2M1, f32, |x| x.to_f32(), |w| F4E2M1::from_f64(w.into()), |f| F4E2M1::from_f64(f);
}

impl Element for f64 {
    type Wide = f64;

    fn widen(self) -> f64 {
        self
    }

    fn narrow(wide: f64) -> f64 {
        wide
    }

    fn cast<N: Number>(number: N) -> f64 {
        number.to_f64()
    }
}

macro_rules! integer_elements {
    ($($wide:ident: $($type:ident),*;)*) => { $($(impl Element for $type {
        type Wide = $wide;

        fn widen(self) -> $wide {
            self.into()
        }

        fn narrow(wide: $wide) -> $type {
            wide as $type
        }

        fn cast<N: Number>(number: N) -> $type {
            number.integer_bits().map_or_else(|| number.to_f64() as $type, |bits| bits as $type)
        }
    })*)* };
}

integer_elements! {
    i64: i8, i16, i32, i64;
    u64: u8, u16, u32, u64;
}
