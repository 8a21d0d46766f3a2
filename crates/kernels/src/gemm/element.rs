//! What a convolution multiplies: floats as they are, or rounded to 16 bits.

use bytemuck::{Pod, Zeroable};

use super::{HALF_TABLE, Kernel, TABLE};
use crate::cpu::Isa;
use crate::table::{Choice, Table};

/// The numbers that a convolution of floats multiplies: `f32`, or [`Half`].
pub trait Element: Pod + Default + std::fmt::Debug + Send + Sync + private::Sealed {
    /// Whether floats must be rounded to become such.
    const ROUNDS: bool;
    /// Elements of a window whose weights for a channel lie together, as one instruction multiplies and adds them.
    const TOGETHER: usize;
    /// The most elements of a window that are summed in the precision of the products.
    const MOST_SUMMED: usize;
    /// The rows that multiply them.
    fn table() -> &'static Table<Kernel<Self>>;
    /// The nearest one.
    fn of(value: f32) -> Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for super::Half {}
}

impl Element for f32 {
    const ROUNDS: bool = false;
    const TOGETHER: usize = 1;
    const MOST_SUMMED: usize = usize::MAX;

    fn table() -> &'static Table<Kernel> {
        &TABLE
    }

    fn of(value: f32) -> f32 {
        value
    }
}

/// A number of 16 bits, as this architecture's CPUs multiply them.
///
/// On x86-64 it is a bfloat16: the upper half of an `f32`, with its range and 8 significant bits. Sums are of `f32` and
/// take the products in pairs, of each pair the second first; numbers below 2⁻¹²⁶ count as zeros.
///
/// Elsewhere it is an IEEE 754 binary16, with 11 significant bits and numbers up to 65504; what is larger becomes
/// infinite. Sums of up to 64 products have as many bits, by fused multiply-adds that begin with 0; these sums are then
/// added in `f32`.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Half(u16);

impl Half {
    /// What a CPU must have for kernels of [`HALF_TABLE`] that are faster than those of `f32`, to be shown.
    pub const NEEDS: &str = "AVX512_BF16 (x86-64: Intel Cooper Lake and Sapphire Rapids, AMD Zen 4, and later ones) \
        or FEAT_FP16 (AArch64: asimdhp in /proc/cpuinfo, which the Raspberry Pi 5's Cortex-A76 has and the Pi 4's \
        Cortex-A72 has not)";

    /// Whether this CPU has a kernel that `choice` allows, other than the plain one.
    pub fn is_supported(choice: Choice) -> bool {
        HALF_TABLE.pick(choice).isa != Isa::Scalar
    }
}

#[cfg(target_arch = "x86_64")]
impl Half {
    /// The number.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The sum of `start` and the products, as [`Half`] says.
    pub(super) fn sum_of_products(start: f32, products: impl Iterator<Item = [[Half; 2]; 2]>) -> f32 {
        products.fold(start, |sum, [first, second]| {
            // A product of two such numbers is an `f32` but for its exponent.
            let add = |sum: f32, [a, b]: [Half; 2]| flushed(a.to_f32().mul_add(b.to_f32(), flushed(sum)));
            add(add(sum, second), first)
        })
    }
}

#[cfg(target_arch = "x86_64")]
impl Element for Half {
    const ROUNDS: bool = true;
    const TOGETHER: usize = 2;
    const MOST_SUMMED: usize = usize::MAX;

    fn table() -> &'static Table<Kernel<Half>> {
        &HALF_TABLE
    }

    fn of(value: f32) -> Half {
        let bits = flushed(value).to_bits();
        Half(if value.is_nan() {
            // A NaN stays one, whichever its bits.
            (bits >> 16) as u16 | 0x40
        } else {
            ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
        })
    }
}

/// A zero in the place of a subnormal number.
#[cfg(target_arch = "x86_64")]
fn flushed(value: f32) -> f32 {
    if value.is_subnormal() { 0f32.copysign(value) } else { value }
}

#[cfg(not(target_arch = "x86_64"))]
impl Half {
    /// The number.
    pub fn to_f32(self) -> f32 {
        let (exponent, fraction) = (i32::from(self.0 >> 10 & 31), f32::from(self.0 & 0x3ff));
        let magnitude = match exponent {
            0 => fraction * 2f32.powi(-24),
            31 if fraction == 0.0 => f32::INFINITY,
            31 => f32::NAN,
            _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
        };
        if self.0 >> 15 == 1 { -magnitude } else { magnitude }
    }

    /// The nearest one, of two the even one.
    fn nearest(value: f64) -> Half {
        let sign = u16::from(value.is_sign_negative()) << 15;
        let magnitude = value.abs();
        let bits = if value.is_nan() {
            0x7e00
        } else if magnitude >= 65520.0 {
            0x7c00
        } else {
            // Between 2^exponent and its double, numbers are 2^(exponent - 10) apart, and below 2^-14 as they are
            // above.
            let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(-14);
            let fraction = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
            // A fraction that was rounded up to the next power of two carries into the exponent.
            ((exponent + 14) as u16 * 1024).wrapping_add(fraction)
        };
        Half(sign | bits)
    }

    /// The sum of `start` and the products, as [`Half`] says.
    pub(super) fn sum_of_products(start: f32, products: impl Iterator<Item = [[Half; 2]; 1]>) -> f32 {
        let sum = products.fold(Half(0), |sum, [[a, b]]| {
            // Products have 22 bits, and what an `f64` loses of a sum is too far from the middle of two halves to
            // count.
            Half::nearest(f64::from(a.to_f32()) * f64::from(b.to_f32()) + f64::from(sum.to_f32()))
        });
        start + sum.to_f32()
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Element for Half {
    const ROUNDS: bool = true;
    const TOGETHER: usize = 1;
    const MOST_SUMMED: usize = 64;

    fn table() -> &'static Table<Kernel<Half>> {
        &HALF_TABLE
    }

    fn of(value: f32) -> Half {
        Half::nearest(value.into())
    }
}

/// The plain rows' way to round.
pub(super) fn round(from: &[f32], to: &mut [Half]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = Half::of(from));
}

/// Floats are copied as they are.
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    to.copy_from_slice(from);
}
