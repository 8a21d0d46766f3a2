//! Truth values, and integers of fewer than eight bits: one a byte in memory, whatever files do.

use super::{Element, Number};

/// A truth value: a byte that is true unless it is 0, so that no byte of a file is a wrong one.
#[derive(Clone, Copy, Default, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// The truth value.
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Bool {
        Bool(value.into())
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Bool) -> bool {
        self.get() == other.get()
    }
}

impl Element for Bool {
    type Wide = u64;

    fn widen(self) -> u64 {
        self.get().into()
    }

    fn narrow(wide: u64) -> Bool {
        (wide != 0).into()
    }

    fn cast<N: Number>(number: N) -> Bool {
        (number != N::ZERO).into()
    }
}

macro_rules! narrow_integers {
    ($($name:ident, $byte:ident, $wide:ident, $bits:literal, $doc:literal;)*) => { $(
        #[doc = $doc]
        ///
        /// The byte's other bits are of no account.
        #[derive(Clone, Copy, Default, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(transparent)]
        pub struct $name($byte);

        impl $name {
            /// The number.
            pub fn get(self) -> $byte {
                (self.0 << (8 - $bits)) >> (8 - $bits)
            }

            /// The number with the same low bits.
            pub fn from_low_bits(bits: $byte) -> $name {
                $name($name(bits).get())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                self.get() == other.get()
            }
        }

        impl Element for $name {
            type Wide = $wide;

            fn widen(self) -> $wide {
                self.get().into()
            }

            fn narrow(wide: $wide) -> $name {
                $name::from_low_bits(wide as $byte)
            }

            /// A float beyond the bounds keeps the low bits of the integer that it is cut to.
            fn cast<N: Number>(number: N) -> $name {
                let bits = number.integer_bits().unwrap_or_else(|| number.to_f64() as i64);
                $name::from_low_bits(bits as $byte)
            }
        }
    )* };
}

narrow_integers! {
    I4, i8, i64, 4, "An integer from −8 to 7.";
    U4, u8, u64, 4, "An integer from 0 to 15.";
    I2, i8, i64, 2, "An integer from −2 to 1.";
    U2, u8, u64, 2, "An integer from 0 to 3.";
}
