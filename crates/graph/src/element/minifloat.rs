//! Floats of eight bits and fewer, one a byte in memory, whatever files do.
//!
//! Sources: Micikevicius et al., "FP8 formats for deep learning", 2022 (E4M3FN, E5M2); Noune et al., "8-bit numerical
//! formats for deep neural networks", 2022 (the FNUZ ones, without −0 and infinity); the OCP Microscaling Formats
//! specification 1.0 (E8M0, E2M1). ONNX's Cast says what is beyond their bounds.

/// A float with a sign, a few bits of exponent and a few of mantissa.
struct Format {
    mantissa_bits: i32,
    /// What is added to an exponent to store it; numbers whose stored exponent is 0 are subnormal.
    bias: i32,
    /// The byte's bit that is the sign.
    sign: u8,
    /// The largest finite number.
    max: u8,
    /// What stands for numbers beyond it, and for those that are none.
    special: Special,
}

#[derive(Clone, Copy)]
enum Special {
    /// The byte above the largest number is infinity, those above are no numbers.
    InfinityAndNan,
    /// The byte above the largest number is no number, of either sign.
    Nan,
    /// The byte that would be −0 is no number; there is no −0.
    NanForNegativeZero,
    /// There is neither: what is beyond is the largest number, and what is none is −0, as in ml_dtypes.
    Neither,
}

impl Format {
    fn decode(&self, byte: u8) -> f32 {
        let magnitude = byte & (self.sign - 1);
        let negative = byte & self.sign != 0;
        let number = match self.special {
            Special::NanForNegativeZero if negative && magnitude == 0 => f32::NAN,
            Special::InfinityAndNan if magnitude == self.max + 1 => f32::INFINITY,
            Special::InfinityAndNan | Special::Nan if magnitude > self.max => f32::NAN,
            _ => {
                let (exponent, mantissa) = (i32::from(magnitude >> self.mantissa_bits), self.mantissa(magnitude));
                let implicit = if exponent == 0 { 0 } else { 1 << self.mantissa_bits };
                let quantum = power_of_two(exponent.max(1) - self.bias - self.mantissa_bits);
                (f64::from(implicit + mantissa) * quantum) as f32
            }
        };
        if negative { -number } else { number }
    }

    fn mantissa(&self, magnitude: u8) -> i32 {
        i32::from(magnitude) & ((1 << self.mantissa_bits) - 1)
    }

    /// The nearest number, ties to even.
    fn encode(&self, x: f64) -> u8 {
        let sign = if x.is_sign_negative() { self.sign } else { 0 };
        if x.is_nan() {
            return self.nan(sign);
        }
        let (least, exponent) = (1 - self.bias, exponent(x));
        if exponent > least + 0xff {
            return self.beyond(sign);
        }
        let exponent = exponent.max(least);
        let quantums = (x.abs() / power_of_two(exponent - self.mantissa_bits)).round_ties_even() as i32;
        // The implicit bit counts as one step of the exponent, and so does a mantissa that was rounded up to two.
        let magnitude = ((exponent - least) << self.mantissa_bits) + quantums;
        match u8::try_from(magnitude) {
            Ok(0) if matches!(self.special, Special::NanForNegativeZero) => 0,
            Ok(magnitude) if magnitude <= self.max => sign | magnitude,
            _ => self.beyond(sign),
        }
    }

    fn nan(&self, sign: u8) -> u8 {
        match self.special {
            Special::InfinityAndNan => sign | (self.max + 3),
            Special::Nan => sign | (self.max + 1),
            Special::NanForNegativeZero => self.sign,
            Special::Neither => self.sign,
        }
    }

    fn beyond(&self, sign: u8) -> u8 {
        match self.special {
            Special::InfinityAndNan => sign | (self.max + 1),
            Special::Nan | Special::NanForNegativeZero => self.nan(sign),
            Special::Neither => sign | self.max,
        }
    }
}

/// The exponent of the largest power of two that is not above |x|; very low for 0 and subnormal numbers.
fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

/// Two to an exponent from −1022 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

macro_rules! minifloats {
    ($($name:ident, $format:expr, $doc:literal;)*) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Default, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(transparent)]
        pub struct $name(u8);

        impl $name {
            const FORMAT: Format = $format;

            /// The float of these bits; a byte's higher bits are of no account.
            pub fn from_bits(bits: u8) -> $name {
                $name(bits)
            }

            /// The byte that it is.
            pub fn to_bits(self) -> u8 {
                self.0
            }

            /// Its value.
            pub fn to_f32(self) -> f32 {
                Self::FORMAT.decode(self.0)
            }

            /// The nearest, ties to even; beyond the largest, what the format has for that.
            pub fn from_f64(x: f64) -> $name {
                $name(Self::FORMAT.encode(x))
            }

            /// The largest finite number.
            pub fn max() -> f32 {
                Self::FORMAT.decode(Self::FORMAT.max)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                self.to_f32() == other.to_f32()
            }
        }
    )* };
}

minifloats! {
    F8E4M3FN, Format { mantissa_bits: 3, bias: 7, sign: 0x80, max: 0x7e, special: Special::Nan },
        "Four bits of exponent, three of mantissa; no infinity. Up to 448.";
    F8E4M3FNUZ, Format { mantissa_bits: 3, bias: 8, sign: 0x80, max: 0x7f, special: Special::NanForNegativeZero },
        "Four bits of exponent, three of mantissa; no infinity and no −0. Up to 240.";
    F8E5M2, Format { mantissa_bits: 2, bias: 15, sign: 0x80, max: 0x7b, special: Special::InfinityAndNan },
        "Five bits of exponent, two of mantissa: half precision cut short. Up to 57344.";
    F8E5M2FNUZ, Format { mantissa_bits: 2, bias: 16, sign: 0x80, max: 0x7f, special: Special::NanForNegativeZero },
        "Five bits of exponent, two of mantissa; no infinity and no −0. Up to 57344.";
    F4E2M1, Format { mantissa_bits: 1, bias: 1, sign: 0x8, max: 0x7, special: Special::Neither },
        "Two bits of exponent, one of mantissa: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.";
}

/// A power of two from 2⁻¹²⁷ to 2¹²⁷, or no number: the scale of a block of smaller floats.
#[derive(Clone, Copy, Default, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F8E8M0(u8);

/// How a number between two becomes one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Round {
    /// The larger.
    #[default]
    Up,
    /// The smaller.
    Down,
    /// The nearer; the larger of equally near ones.
    Nearest,
}

impl F8E8M0 {
    const NAN: u8 = 0xff;
    const BIAS: i32 = 127;

    /// The float of these bits.
    pub fn from_bits(bits: u8) -> F8E8M0 {
        F8E8M0(bits)
    }

    /// The byte that it is.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// Its value.
    pub fn to_f32(self) -> f32 {
        if self.0 == Self::NAN { f32::NAN } else { power_of_two(i32::from(self.0) - Self::BIAS) as f32 }
    }

    /// The nearest power of two, or no number.
    pub(super) fn nearest(x: f64) -> F8E8M0 {
        F8E8M0::from_f64(x, Round::Nearest, false)
    }

    /// A power of two near a number. One out of range is no number, or where it is to saturate, the largest or the
    /// smallest power. No negative number has one.
    pub fn from_f64(x: f64, round: Round, saturate: bool) -> F8E8M0 {
        if x.is_nan() || x < 0.0 {
            return F8E8M0(Self::NAN);
        }
        let exponent = exponent(x);
        let mantissa = x / power_of_two(exponent.clamp(-1022, 1023));
        let above = match round {
            Round::Up => mantissa > 1.0,
            Round::Down => false,
            Round::Nearest => mantissa >= 1.5,
        };
        match exponent + i32::from(above) + Self::BIAS {
            stored @ 0..=0xfe => F8E8M0(stored as u8),
            _ if !saturate => F8E8M0(Self::NAN),
            stored => F8E8M0(stored.clamp(0, 0xfe) as u8),
        }
    }
}

impl PartialEq for F8E8M0 {
    fn eq(&self, other: &F8E8M0) -> bool {
        self.to_f32() == other.to_f32()
    }
}
