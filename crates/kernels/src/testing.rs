//! What the tests of all families share: random content, misaligned slices, and the rows that this CPU can run.

use std::ops::{Deref, DerefMut, Range};

use proptest::prelude::*;

use crate::Activation;
use crate::geometry::Geometry;
use crate::table::{Choice, Table};

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: i32, high: i32) -> i32 {
        low + (self.next() % (high - low + 1) as u64) as i32
    }

    /// From 0 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub(crate) fn activations(&mut self, len: usize) -> Vec<Activation> {
        (0..len).map(|_| self.next() as Activation).collect()
    }

    /// Floats of either sign.
    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| 4.0 * self.unit() - 2.0).collect()
    }

    /// A zero point and bounds for activations.
    pub(crate) fn output(&mut self) -> [i32; 3] {
        let mut activation = || i32::from(self.next() as Activation);
        let (zero_point, a, b) = (activation(), activation(), activation());
        // Half of the time no bound at all.
        if a % 2 == 0 {
            [zero_point, Activation::MIN.into(), Activation::MAX.into()]
        } else {
            [zero_point, a.min(b), a.max(b)]
        }
    }
}

/// A choice for each row of a table that this CPU can run.
pub(crate) fn each_choice<K>(table: &Table<K>) -> impl Iterator<Item = Choice> + use<K> {
    table.available().map(|row| Choice::UpTo(row.isa))
}

/// The bits of floats, so that the signs of zeros count and every NaN is the same.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { f32::NAN } else { *value }.to_bits()).collect()
}

/// What lies between two bounds. NaN stays, and a bound that is 0 is +0, as is what is clamped to it; `f32::clamp`
/// promises no sign.
pub(crate) fn clamp(x: f32, [min, max]: [f32; 2]) -> f32 {
    match x {
        x if x <= min => min + 0.0,
        x if x > max => max + 0.0,
        x => x,
    }
}

/// Small geometries of every kind, windows that lie wholly in the padding among them, with up to `multipliers` output
/// channels for each input channel and no two channels that see each other.
pub(crate) fn geometries(multipliers: usize) -> impl Strategy<Value = Geometry> {
    let pair = |range: Range<usize>| [range.clone(), range];
    let sizes = (pair(1..12), pair(1..9), 1..40usize, 1..=multipliers);
    let windows = (pair(1..6), pair(1..4), pair(1..4), pair(0..6));
    (sizes, windows).prop_map(|((input, output, channels, multiplier), (kernel, stride, dilation, padding))| Geometry {
        input: [input[0], input[1], channels],
        output: [output[0], output[1], channels * multiplier],
        kernel,
        stride,
        dilation,
        padding,
        groups: channels,
    })
}

/// A copy that does not begin where vectors like it.
pub(crate) struct Misaligned<T>(Vec<T>);

/// Copies items to a place that is one item off alignment.
pub(crate) fn misaligned<T: Copy + Default>(items: &[T]) -> Misaligned<T> {
    let mut copy = vec![T::default()];
    copy.extend_from_slice(items);
    Misaligned(copy)
}

impl<T> Deref for Misaligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0[1..]
    }
}

impl<T> DerefMut for Misaligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0[1..]
    }
}
