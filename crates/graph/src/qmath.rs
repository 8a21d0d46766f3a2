//! The numeric contract: every formula of quantized arithmetic, defined once.
//!
//! A real value is (q − zero point) · scale. Products are accumulated in `i32` exactly, then requantized by one `f32`
//! multiplication, one rounding to the nearest integer with ties to even, and a clamp. Each formula fixes the order of
//! its float operations, and uses only those that IEEE 754 defines to the bit (no fused multiply-add, no platform's
//! `exp`), so that every kernel on every CPU gives the same bytes. Simulation in training and quantization calls these
//! functions.

use crate::{DType, GraphError, Quantization, TensorType, ops::Activation};

/// The multiplier that takes an accumulator at scale `input · weight` to the output's scale. (XNNPACK uses the same
/// order.)
pub fn product_multiplier(input_scale: f32, weight_scale: f32, output_scale: f32) -> f32 {
    input_scale * weight_scale / output_scale
}

/// The multiplier that takes a sum of `count` values to the output's scale of their mean.
pub fn mean_multiplier(input_scale: f32, output_scale: f32, count: usize) -> f32 {
    input_scale / (output_scale * count as f32)
}

/// Rounds to the nearest integer, ties to even, adds the zero point and clamps to `min..=max`.
///
/// The upper bound is applied to the float: CPUs disagree on what a float beyond `i32` converts to. The result is the
/// same, since `max − zero_point` is an integer that `f32` holds. NaN, which only a float model can bring, becomes the
/// zero point.
pub fn round_and_clamp(x: f32, zero_point: i32, min: i32, max: i32) -> i32 {
    let bounded = if x > (max - zero_point) as f32 { (max - zero_point) as f32 } else { x };
    (bounded.round_ties_even() as i32).saturating_add(zero_point).max(min)
}

/// An accumulator to a quantized value: `clamp(round_ties_even(acc · multiplier) + zero_point)`.
pub fn requantize(acc: i32, multiplier: f32, zero_point: i32, min: i32, max: i32) -> i32 {
    round_and_clamp(acc as f32 * multiplier, zero_point, min, max)
}

/// A real number to a quantized one: `clamp(round_ties_even(x / scale) + zero_point)`, as ONNX's QuantizeLinear.
pub fn quantize(x: f32, scale: f32, zero_point: i32, min: i32, max: i32) -> i32 {
    round_and_clamp(x / scale, zero_point, min, max)
}

/// A quantized number to a real one.
pub fn dequantize(q: i32, scale: f32, zero_point: i32) -> f32 {
    (q - zero_point) as f32 * scale
}

/// The range of an activation's 8-bit values: the type's own, cut where the activation clamps.
pub fn activation_range(activation: Activation, dtype: DType, quantization: &Quantization) -> (i32, i32) {
    let (min, max) = dtype.bounds_8_bit();
    let (scale, zero_point) = (quantization.scale(), quantization.zero_point());
    let (low, high) = activation.bounds();
    let bound = |x: f32| quantize(x, scale, zero_point, min, max);
    (if low.is_finite() { bound(low) } else { min }, if high.is_finite() { bound(high) } else { max })
}

/// Refuses a multiplier that is not finite: 0 times infinity is no number, and CPUs disagree on what it converts to.
fn finite(multiplier: f32) -> Result<f32, GraphError> {
    if multiplier.is_finite() {
        return Ok(multiplier);
    }
    Err(too_far_apart())
}

fn too_far_apart() -> GraphError {
    GraphError::Quantization { what: "scales".into(), problem: "are too far apart to be related".into() }
}

/// How one output of a quantized operator is made from accumulators: what a kernel's epilogue needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantization {
    /// One for the tensor, or one an output channel.
    pub multipliers: Vec<f32>,
    /// Added after rounding.
    pub zero_point: i32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl Requantization {
    /// The requantization of a convolution or matrix product.
    pub fn of_product(
        input: &TensorType,
        weights: &TensorType,
        output: &TensorType,
        activation: Activation,
    ) -> Result<Requantization, GraphError> {
        let input_scale = input.activation_quantization("input")?.scale();
        let out = output.activation_quantization("output")?;
        let weights = weights
            .quantization
            .as_ref()
            .ok_or_else(|| GraphError::Quantization { what: "weights".into(), problem: "have no scale".into() })?;
        let multiplier = |scale: &f32| finite(product_multiplier(input_scale, *scale, out.scale()));
        let (min, max) = activation_range(activation, output.dtype, out);
        let multipliers = weights.scales.iter().map(multiplier).collect::<Result<_, _>>()?;
        Ok(Requantization { multipliers, zero_point: out.zero_point(), min, max })
    }

    /// The multiplier of output channel `channel`.
    pub fn multiplier(&self, channel: usize) -> f32 {
        self.multipliers[if self.multipliers.len() == 1 { 0 } else { channel }]
    }

    /// An accumulator of output channel `channel` to its quantized value.
    pub fn apply(&self, acc: i32, channel: usize) -> i32 {
        requantize(acc, self.multiplier(channel), self.zero_point, self.min, self.max)
    }
}

/// A quantized number in another quantization: `clamp(round((q − zi)·m) + zo)`. Equal scales change nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescale {
    /// Zero points of the input and of the output.
    pub zero_points: [i32; 2],
    /// The input's scale over the output's.
    pub multiplier: f32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl Rescale {
    /// From the input's quantization to the output's.
    pub fn new(input: &TensorType, output: &TensorType, activation: Activation) -> Result<Rescale, GraphError> {
        let (from, to) = (input.activation_quantization("input")?, output.activation_quantization("output")?);
        let (min, max) = activation_range(activation, output.dtype, to);
        let multiplier = finite(from.scale() / to.scale())?;
        Ok(Rescale { zero_points: [from.zero_point(), to.zero_point()], multiplier, min, max })
    }

    /// The number in the other quantization.
    pub fn apply(&self, q: i32) -> i32 {
        self.apply_real((q - self.zero_points[0]) as f32)
    }

    /// The same of a number between the input's steps, from which its zero point is subtracted already.
    pub fn apply_real(&self, x: f32) -> i32 {
        round_and_clamp(x * self.multiplier, self.zero_points[1], self.min, self.max)
    }
}

/// The parameters of a quantized multiplication: `requantize((a − za)·(b − zb))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiplyParameters {
    /// Zero points of the two inputs and of the output.
    pub zero_points: [i32; 3],
    /// The product of the inputs' scales over the output's.
    pub multiplier: f32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl MultiplyParameters {
    /// The product of two quantized tensors.
    pub fn new(
        a: &TensorType,
        b: &TensorType,
        output: &TensorType,
        activation: Activation,
    ) -> Result<MultiplyParameters, GraphError> {
        let (qa, qb) = (a.activation_quantization("first input")?, b.activation_quantization("second input")?);
        let out = output.activation_quantization("output")?;
        let (min, max) = activation_range(activation, output.dtype, out);
        let multiplier = finite(product_multiplier(qa.scale(), qb.scale(), out.scale()))?;
        Ok(MultiplyParameters {
            zero_points: [qa.zero_point(), qb.zero_point(), out.zero_point()],
            multiplier,
            min,
            max,
        })
    }

    /// The product.
    pub fn apply(&self, a: i32, b: i32) -> i32 {
        let [za, zb, zo] = self.zero_points;
        requantize((a - za) * (b - zb), self.multiplier, zo, self.min, self.max)
    }
}

/// The parameters of a quantized division: the real numbers are divided and the quotient is quantized.
///
/// What is divided by zero goes to the bound of its sign; 0 / 0 is the zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivideParameters {
    /// Zero points of the two inputs and of the output.
    pub zero_points: [i32; 3],
    /// Their scales.
    pub scales: [f32; 3],
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl DivideParameters {
    /// The quotient of two quantized tensors.
    pub fn new(
        a: &TensorType,
        b: &TensorType,
        output: &TensorType,
        activation: Activation,
    ) -> Result<DivideParameters, GraphError> {
        let (qa, qb) = (a.activation_quantization("first input")?, b.activation_quantization("second input")?);
        let out = output.activation_quantization("output")?;
        let (min, max) = activation_range(activation, output.dtype, out);
        Ok(DivideParameters {
            zero_points: [qa.zero_point(), qb.zero_point(), out.zero_point()],
            scales: [qa.scale(), qb.scale(), out.scale()],
            min,
            max,
        })
    }

    /// The quotient.
    pub fn apply(&self, a: i32, b: i32) -> i32 {
        let [za, zb, zo] = self.zero_points;
        let [sa, sb, so] = self.scales;
        quantize(dequantize(a, sa, za) / dequantize(b, sb, zb), so, zo, self.min, self.max)
    }
}

/// The parameters of a quantized PReLU: a rescaling where x ≥ 0, a product with the slope where x < 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreluParameters {
    /// For numbers that are not negative.
    pub positive: Rescale,
    /// For negative ones, with their slopes.
    pub negative: MultiplyParameters,
}

impl PreluParameters {
    /// PReLU of a quantized tensor with quantized slopes.
    pub fn new(x: &TensorType, slope: &TensorType, output: &TensorType) -> Result<PreluParameters, GraphError> {
        let positive = Rescale::new(x, output, Activation::None)?;
        Ok(PreluParameters { positive, negative: MultiplyParameters::new(x, slope, output, Activation::None)? })
    }

    /// x or its product with the slope.
    pub fn apply(&self, x: i32, slope: i32) -> i32 {
        if x >= self.positive.zero_points[0] { self.positive.apply(x) } else { self.negative.apply(x, slope) }
    }
}

/// The parameters of a quantized mean: `requantize(Σ (q − zi))`, the number of summands being part of the multiplier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanParameters {
    /// Zero points of the input and of the output.
    pub zero_points: [i32; 2],
    /// Their scales.
    pub scales: [f32; 2],
    /// Added to the sum, an integer: a quarter makes ties round up and no other sum round otherwise.
    pub bias: f32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl MeanParameters {
    /// The mean of a quantized tensor's elements.
    pub fn new(input: &TensorType, output: &TensorType, activation: Activation) -> Result<MeanParameters, GraphError> {
        let (from, to) = (input.activation_quantization("input")?, output.activation_quantization("output")?);
        let (min, max) = activation_range(activation, output.dtype, to);
        finite(mean_multiplier(from.scale(), to.scale(), 1))?;
        Ok(MeanParameters {
            zero_points: [from.zero_point(), to.zero_point()],
            scales: [from.scale(), to.scale()],
            bias: 0.0,
            min,
            max,
        })
    }

    /// The mean under a pooling's window. Where input and output have one scale, it is one of the integers themselves,
    /// and ties, which are frequent then, round up: so does TensorFlow Lite.
    pub fn of_pool(
        input: &TensorType,
        output: &TensorType,
        activation: Activation,
    ) -> Result<MeanParameters, GraphError> {
        let mean = MeanParameters::new(input, output, activation)?;
        Ok(MeanParameters { bias: if mean.scales[0] == mean.scales[1] { 0.25 } else { 0.0 }, ..mean })
    }

    /// The mean of `count` elements, from which the zero point is subtracted before they are summed.
    pub fn apply(&self, sum: i32, count: usize) -> i32 {
        let multiplier = mean_multiplier(self.scales[0], self.scales[1], count);
        round_and_clamp((sum as f32 + self.bias) * multiplier, self.zero_points[1], self.min, self.max)
    }
}

/// Bilinear interpolation between four neighbours (top left, top right, bottom left, bottom right): first along each
/// row, then between the rows. `down` and `right` are the distances from the top left one, 0 to 1.
pub fn interpolate([tl, tr, bl, br]: [f32; 4], down: f32, right: f32) -> f32 {
    let top = tl * (1.0 - right) + tr * right;
    let bottom = bl * (1.0 - right) + br * right;
    top * (1.0 - down) + bottom * down
}

/// The parameters of a quantized addition or subtraction, in integers throughout:
/// `clamp((((a − za)·ma + (b − zb)·mb + 2^(shift − 1)) >> shift) + zo)`.
///
/// XNNPACK computes additions so, and models are converted and judged with it; a sum in floats differs from it where
/// multipliers of about 1 make near ties frequent. No step can leave `i32`: 2 · 255 · 2²¹ + 2²⁹ < 2³¹.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddParameters {
    /// Zero points of the two inputs and of the output.
    pub zero_points: [i32; 3],
    /// Each input's scale over the output's, in units of 2^−shift; at most 2²¹, the second negative for a subtraction.
    pub multipliers: [i32; 2],
    /// 1 to 30: the larger multiplier has 21 bits, unless both inputs' scales are far below the output's.
    pub shift: u32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl AddParameters {
    /// The addition of two quantized tensors.
    pub fn new(
        a: &TensorType,
        b: &TensorType,
        output: &TensorType,
        activation: Activation,
    ) -> Result<AddParameters, GraphError> {
        let (qa, qb) = (a.activation_quantization("first input")?, b.activation_quantization("second input")?);
        let out = output.activation_quantization("output")?;
        let (min, max) = activation_range(activation, output.dtype, out);
        let ratios = [qa.scale() / out.scale(), qb.scale() / out.scale()];
        let exponent = (ratios[0].max(ratios[1]).to_bits() >> 23) as i32 - 127;
        if exponent >= 20 {
            return Err(too_far_apart());
        }
        let shift = (20 - exponent).clamp(1, 30) as u32;
        let multiplier = |ratio: f32| (f64::from(ratio) * f64::from(1u32 << shift)).round_ties_even() as i32;
        Ok(AddParameters {
            zero_points: [qa.zero_point(), qb.zero_point(), out.zero_point()],
            multipliers: ratios.map(multiplier),
            shift,
            min,
            max,
        })
    }

    /// The same as a subtraction: the second multiplier negated.
    pub fn subtraction(mut self) -> AddParameters {
        self.multipliers[1] = -self.multipliers[1];
        self
    }

    /// The sum.
    pub fn apply(&self, a: i32, b: i32) -> i32 {
        let [za, zb, zo] = self.zero_points;
        let [ma, mb] = self.multipliers;
        let sum = (a - za) * ma + (b - zb) * mb + (1 << (self.shift - 1));
        ((sum >> self.shift) + zo).clamp(self.min, self.max)
    }
}

/// Exponentials for a quantized softmax: entry d is exp(−d · scale · beta), the largest input being d below itself,
/// in units of 2⁻³⁰. Integers, so that their sum depends on no order.
pub fn softmax_table(scale: f32, beta: f32) -> [u32; 256] {
    let step = f64::from(scale) * f64::from(beta);
    std::array::from_fn(|d| (libm::exp(-(d as f64) * step) * f64::from(1u32 << 30)).round_ties_even() as u32)
}

/// One softmax output from its table entry and the sum of all entries: `clamp(round(entry / sum / scale) +
/// zero_point)`, divided in `f64`.
pub fn softmax_output(entry: u32, sum: u64, scale: f32, zero_point: i32, min: i32, max: i32) -> i32 {
    let probability = f64::from(entry) / sum as f64;
    round_and_clamp((probability / f64::from(scale)) as f32, zero_point, min, max)
}

/// The table of an elementwise function on 8-bit values: entry `q as u8` is the quantized f of what q means.
/// The function is evaluated in `f64` by the portable mathematics of the crate `libm`.
pub fn lookup_table(
    f: impl Fn(f64) -> f64,
    input: (DType, &Quantization),
    output: (DType, &Quantization),
) -> [u8; 256] {
    let (in_min, _) = input.0.bounds_8_bit();
    let (out_min, out_max) = output.0.bounds_8_bit();
    let mut table = [0; 256];
    for q in in_min..in_min + 256 {
        let real = f64::from(q - input.1.zero_point()) * f64::from(input.1.scale());
        let scaled = (f(real) / f64::from(output.1.scale())) as f32;
        table[usize::from(q as u8)] = round_and_clamp(scaled, output.1.zero_point(), out_min, out_max) as u8;
    }
    table
}
