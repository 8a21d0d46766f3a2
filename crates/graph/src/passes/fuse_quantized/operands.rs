//! Weights, biases and numbers as quantized operators take them.

use super::Fusion;
use crate::{DType, Data, Quantization, Tensor, TensorType, ValueId};

impl Fusion<'_> {
    /// Constant weights that were dequantized, as signed bytes.
    pub(super) fn quantized_weights(&mut self, real: ValueId) -> Option<ValueId> {
        let source = *self.dequantized.get(&real)?;
        let weights = self.graph.constant(source)?;
        match weights.data() {
            Data::I8(_) => Some(source),
            Data::U8(values) => {
                if let Some(signed) = self.signed.get(&source) {
                    return Some(*signed);
                }
                let mut ty = TensorType { dtype: DType::I8, ..weights.ty().clone() };
                ty.quantization.iter_mut().flat_map(|q| &mut q.zero_points).for_each(|zero_point| *zero_point -= 128);
                let values: Vec<i8> = values.iter().map(|q| (q ^ 0x80) as i8).collect();
                let signed = Tensor::with_type(ty, values).ok()?;
                let signed = self.graph.add_constant(self.graph.value(source).name.clone(), signed);
                self.signed.insert(source, signed);
                Some(signed)
            }
            _ => None,
        }
    }

    /// A constant bias at the scale of input times weights: one that was dequantized from this scale as it is, another
    /// rounded to it. `None` where sums with it might not fit 32 bits.
    pub(super) fn quantized_bias(&mut self, real: ValueId, x: ValueId, weights: ValueId) -> Option<ValueId> {
        let source = self.dequantized.get(&real).copied().unwrap_or(real);
        let bias = self.graph.constant(source)?;
        let (x, weights) = (self.ty(x), self.ty(weights));
        let (from, to) = (x.quantization.as_ref()?, weights.quantization.as_ref()?);
        let scale = |channel: usize| f64::from(from.scale()) * f64::from(to.scale_at(channel));
        let quantized: Vec<f64> = match (bias.data(), &bias.ty().quantization) {
            (Data::I32(values), Some(own)) => {
                let ratio = |channel: usize| f64::from(own.scale_at(channel)) / scale(channel);
                let in_ratio = |(channel, q): (usize, &i32)| {
                    let ratio = ratio(channel);
                    // Scales are written as floats, their product rounded.
                    if (ratio - 1.0).abs() < 1e-6 { f64::from(*q) } else { f64::from(*q) * ratio }
                };
                values.iter().enumerate().map(in_ratio).collect()
            }
            (Data::F32(values), _) => {
                values.iter().enumerate().map(|(channel, value)| f64::from(*value) / scale(channel)).collect()
            }
            _ => return None,
        };
        let limit = f64::from(i32::MAX) - largest_sum(x, from, weights, to, quantized.len());
        let bounded = quantized.iter().all(|q| q.abs() <= limit);
        let values: Vec<i32> = quantized.iter().map(|q| q.round_ties_even() as i32).collect();
        let unchanged = matches!(bias.data(), Data::I32(own) if *own == values);
        if !bounded || unchanged {
            return bounded.then_some(source);
        }
        let bias = Tensor::new(bias.shape(), values).ok()?;
        Some(self.graph.add_constant(self.graph.value(source).name.clone(), bias))
    }

    /// A constant whose elements are all one number, as bytes that mean it exactly.
    pub(super) fn quantized_number(&mut self, real: ValueId) -> Option<ValueId> {
        let constant = self.graph.constant(real)?;
        let Data::F32(values) = constant.data() else { return None };
        let value = *values.first()?;
        if !value.is_finite() || values.iter().any(|other| *other != value) {
            return None;
        }
        let (q, scale) = if value == 0.0 { (0, 1.0) } else { (value.signum() as i8, value.abs()) };
        let ty = TensorType::quantized(DType::I8, constant.shape(), scale, 0);
        let quantized = Tensor::with_type(ty, vec![q; values.len()]).ok()?;
        Some(self.graph.add_constant(self.graph.value(real).name.clone(), quantized))
    }
}

/// The largest sum of products that input and weights can give, of so many output channels.
fn largest_sum(x: &TensorType, from: &Quantization, weights: &TensorType, to: &Quantization, channels: usize) -> f64 {
    let depth = weights.len().checked_div(channels).unwrap_or(0);
    let reach = |ty: &TensorType, zero_points: &[i32]| {
        let (min, max) = ty.dtype.bounds_8_bit();
        zero_points.iter().map(|zero_point| (zero_point - min).max(max - zero_point)).max().unwrap_or(0)
    };
    depth as f64 * f64::from(reach(x, &from.zero_points)) * f64::from(reach(weights, &to.zero_points))
}
