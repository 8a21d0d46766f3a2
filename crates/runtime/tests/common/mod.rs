//! A small repeatable source of random tensors.

use kinglet_graph::{Data, Tensor, TensorType};

/// Xorshift64*: the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() >> 16) as i64 % (high - low + 1)
    }

    /// A number in -1 to 1.
    pub fn real(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A tensor whose 8-bit values use their whole range.
    pub fn tensor(&mut self, ty: &TensorType) -> Tensor {
        let mut data = Data::zeroed(ty.dtype, ty.len());
        match &mut data {
            Data::F32(values) => values.iter_mut().for_each(|value| *value = self.real() * 4.0),
            Data::I8(values) => values.iter_mut().for_each(|value| *value = self.next() as i8),
            Data::U8(values) => values.iter_mut().for_each(|value| *value = (self.next() >> 9) as u8),
            other => {
                let values: Vec<f64> = (0..ty.len()).map(|_| self.between(-9, 9) as f64).collect();
                *other = Data::from_f64(ty.dtype, &values);
            }
        }
        Tensor::with_type(ty.clone(), data).unwrap()
    }
}
