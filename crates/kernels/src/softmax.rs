//! Quantized softmax: exponentials from a table, an exact sum, one division for each value that occurs.

use crate::Activation;
use crate::quantized::Output;

/// Softmax of rows of quantized values.
#[derive(Debug)]
pub struct QSoftmax {
    exponentials: Box<[u32; 256]>,
    scale: f32,
    output: Output,
}

impl QSoftmax {
    /// Entry `d` of `exponentials` belongs to values that are `d` below the largest of their row. A result is
    /// `clamp(round_ties_even(entry / sum / scale) + zero_point)`, divided in `f64` and rounded to `f32` in between.
    ///
    /// # Panics
    /// When the scale is not positive, or the entry of the largest value, which divides, is 0.
    pub fn new(exponentials: [u32; 256], scale: f32, output: Output) -> QSoftmax {
        assert!(scale > 0.0, "the scale {scale} is not positive");
        assert!(exponentials[0] > 0, "the exponential of 0 is not 0");
        QSoftmax { exponentials: exponentials.into(), scale, output }
    }

    /// The kernel that runs.
    pub fn kernel_name(&self) -> &'static str {
        "softmax_scalar"
    }

    /// Computes rows of `row` values each.
    ///
    /// # Panics
    /// When the lengths differ, or `row` is 0.
    pub fn run(&self, row: usize, input: &[Activation], output: &mut [Activation]) {
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        for (input, output) in input.chunks(row).zip(output.chunks_mut(row)) {
            self.run_row(input, output);
        }
    }

    fn run_row(&self, input: &[Activation], output: &mut [Activation]) {
        let Some(&largest) = input.iter().max() else { return };
        let below = |value: Activation| usize::from(largest.abs_diff(value));
        let mut counts = [0u64; 256];
        input.iter().for_each(|&value| counts[below(value)] += 1);
        let entries = || counts.iter().zip(self.exponentials.iter());
        let sum = entries().map(|(&count, &entry)| count * u64::from(entry)).sum::<u64>() as f64;
        let mut results = [0; 256];
        for (result, (&count, &entry)) in results.iter_mut().zip(entries()) {
            if count > 0 {
                *result = self.output.quantize((f64::from(entry) / sum / f64::from(self.scale)) as f32);
            }
        }
        output.iter_mut().zip(input).for_each(|(output, &value)| *output = results[below(value)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn equals_the_definition() {
        let mut random = Random::new(3);
        let exponentials = std::array::from_fn(|d| ((-0.05 * d as f64).exp() * f64::from(1u32 << 30)) as u32);
        for row in [1, 2, 10, 1001] {
            let output = Output::new(i32::from(Activation::MIN) + 1, Activation::MIN.into(), Activation::MAX.into());
            let (scale, input) = (1.0 / 256.0, random.activations(3 * row));
            let mut results = vec![0; input.len()];
            QSoftmax::new(exponentials, scale, output).run(row, &input, &mut results);
            for (input, results) in input.chunks(row).zip(results.chunks(row)) {
                let largest = input.iter().copied().max().expect("a row has values");
                let entry = |value: Activation| exponentials[usize::from(largest.abs_diff(value))];
                let sum: u64 = input.iter().map(|&value| u64::from(entry(value))).sum();
                for (&value, &result) in input.iter().zip(results) {
                    let probability = f64::from(entry(value)) / sum as f64;
                    assert_eq!(result, output.quantize((probability / f64::from(scale)) as f32));
                }
            }
        }
    }
}
