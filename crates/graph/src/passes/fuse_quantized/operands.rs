//! Weights, biases and numbers as quantized operators take them.

use super::Fusion;
use crate::{DType, Data, Tensor, TensorType, ValueId};

impl Fusion<'_> {
    /// Constant weights that were dequantized, as signed bytes.
    pub(super) fn quantized_weights(&mut self, real: ValueId) -> Option<ValueId> {
        let source = *self.dequantized.get(&real)?;
        self.signed(source)
    }

    /// A constant of bytes as signed ones: value and zero point move by 128 together.
    pub(super) fn signed(&mut self, constant: ValueId) -> Option<ValueId> {
        if let Some(signed) = self.signed.get(&constant) {
            return Some(*signed);
        }
        let tensor = self.graph.constant(constant)?;
        match tensor.data() {
            Data::I8(_) => Some(constant),
            Data::U8(values) => {
                let mut ty = TensorType { dtype: DType::I8, ..tensor.ty().clone() };
                ty.quantization.as_mut()?.zero_points.iter_mut().for_each(|zero_point| *zero_point -= 128);
                let values: Vec<i8> = values.iter().map(|q| (q ^ 0x80) as i8).collect();
                let signed = Tensor::with_type(ty, values).ok()?;
                let signed = self.graph.add_constant(self.graph.value(constant).name.clone(), signed);
                self.signed.insert(constant, signed);
                Some(signed)
            }
            _ => None,
        }
    }

    /// A constant bias at the scale of input times weights: one that was dequantized from this scale as it is, another
    /// rounded to it. `None` where sums with it would not fit 32 bits.
    ///
    /// Channels whose weights are next to nothing have tiny scales, and quantizers then write a bias that just fits 32
    /// bits by itself. It is made smaller by what the products may add, where that is little beside a step of the
    /// output.
    pub(super) fn quantized_bias(
        &mut self,
        real: ValueId,
        [x, weights, output]: [ValueId; 3],
        channel_axis: usize,
    ) -> Option<ValueId> {
        let source = self.dequantized.get(&real).copied().unwrap_or(real);
        let bias = self.graph.constant(source)?;
        let quantization = |id: ValueId| self.ty(id).quantization.as_ref();
        let (from, to, step) = (quantization(x)?, quantization(weights)?, f64::from(quantization(output)?.scale()));
        let scale = |channel: usize| f64::from(from.scale()) * f64::from(to.scale_at(channel));
        let exact: Vec<f64> = match (bias.data(), &bias.ty().quantization) {
            (Data::I32(values), Some(own)) => {
                let ratio = |channel: usize| f64::from(own.scale_at(channel)) / scale(channel);
                // Scales are written as floats: the product of two is rounded.
                let ratio = |channel| if (ratio(channel) - 1.0).abs() < 1e-6 { 1.0 } else { ratio(channel) };
                values.iter().enumerate().map(|(channel, q)| f64::from(*q) * ratio(channel)).collect()
            }
            (Data::F32(values), _) => {
                values.iter().enumerate().map(|(channel, value)| f64::from(*value) / scale(channel)).collect()
            }
            _ => return None,
        };
        let sums = largest_sums(self.ty(x), self.graph.constant(weights)?, exact.len(), channel_axis)?;
        let mut values = Vec::with_capacity(exact.len());
        for (channel, (q, sum)) in exact.iter().zip(sums).enumerate() {
            let limit = f64::from(i32::MAX) - sum;
            if !(limit >= 0.0 && (q.abs() - limit) * scale(channel) <= step / 8.0) {
                return None;
            }
            values.push(q.clamp(-limit, limit).round_ties_even() as i32);
        }
        if matches!(bias.data(), Data::I32(own) if *own == values) {
            return Some(source);
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

/// For each output channel, the largest sum of products that its weights can give with an input of this type.
fn largest_sums(x: &TensorType, weights: &Tensor, channels: usize, channel_axis: usize) -> Option<Vec<f64>> {
    let (Data::I8(values), Some(quantization)) = (weights.data(), &weights.ty().quantization) else { return None };
    let (min, max) = x.dtype.bounds_8_bit();
    let zero_point = x.quantization.as_ref()?.zero_point();
    let reach = f64::from((zero_point - min).max(max - zero_point));
    // Output channels lie along the first axis or the last.
    let block = if channel_axis == 0 { values.len().checked_div(channels)? } else { 1 };
    let mut sums = vec![0.0; channels];
    for (index, weight) in values.iter().enumerate() {
        let channel = index.checked_div(block)? % channels;
        sums[channel] += reach * f64::from((i32::from(*weight) - quantization.zero_point_at(channel)).abs());
    }
    Some(sums)
}
