//! Pooling: the mean or the greatest value of each window, channel by channel, over quantized values or floats.
//!
//! Padding is never counted: it neither adds to a mean nor can be the greatest.

use std::ops::Range;

use crate::Activation;
use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::quantized::Output;
use crate::table::{Choice, Row, Table};
use crate::threads::ThreadPool;

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// What the doors know of a row: a function for each reduction.
#[derive(Debug)]
pub struct Kernel {
    q_average: Run<QAverage, Activation>,
    q_max: Run<QMax, Activation>,
    average: Run<Average, f32>,
    max: Run<Max, f32>,
}

/// Computes rows of the output into `output`, which holds just those.
///
/// # Safety
/// The CPU must have the instruction set of the row.
type Run<R, T> = unsafe fn(reduction: &R, geometry: &Geometry, input: &[T], rows: Range<usize>, output: &mut [T]);

/// The kernels for pooling.
pub static TABLE: Table<Kernel> = Table {
    family: "pooling",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "pooling_avx512",
            isa: Isa::Avx512,
            kernel: Kernel {
                q_average: vector::q_average::avx512,
                q_max: vector::q_max::avx512,
                average: vector::average::avx512,
                max: vector::max::avx512,
            },
        },
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "pooling_avx2",
            isa: Isa::Avx2,
            kernel: Kernel {
                q_average: vector::q_average::avx2,
                q_max: vector::q_max::avx2,
                average: vector::average::avx2,
                max: vector::max::avx2,
            },
        },
        #[cfg(target_arch = "aarch64")]
        Row {
            name: "pooling_neon",
            isa: Isa::Neon,
            kernel: Kernel {
                q_average: vector::q_average::neon,
                q_max: vector::q_max::neon,
                average: vector::average::neon,
                max: vector::max::neon,
            },
        },
        Row {
            name: "pooling_scalar",
            isa: Isa::Scalar,
            kernel: Kernel {
                q_average: scalar::run::<QAverage>,
                q_max: scalar::run::<QMax>,
                average: scalar::run::<Average>,
                max: scalar::run::<Max>,
            },
        },
    ],
};

/// The mean of quantized values: their exact sum without zero points, requantized.
#[derive(Debug)]
struct QAverage {
    zero_point: i32,
    input_scale: f32,
    output_scale: f32,
    bias: f32,
    output: Output,
}

impl QAverage {
    /// What takes a sum of `count` values to the output's scale of their mean.
    fn multiplier(&self, count: usize) -> f32 {
        self.input_scale / (self.output_scale * count as f32)
    }
}

/// The greatest quantized value, between bounds.
#[derive(Debug)]
struct QMax {
    bounds: [Activation; 2],
}

/// The mean of floats: added row by row, then divided by their number, between bounds.
#[derive(Debug)]
struct Average {
    bounds: [f32; 2],
}

/// The greatest float, between bounds.
#[derive(Debug)]
struct Max {
    bounds: [f32; 2],
}

/// Average pooling of quantized values.
#[derive(Debug)]
pub struct QAveragePool(Pool<QAverage>);

impl QAveragePool {
    /// The mean of `count` values is `clamp(round_ties_even((Σ(q − input_zero_point) + bias) · (input scale / (output
    /// scale · count))) + zero point)`. `scales` are those of the input and of the output.
    ///
    /// # Panics
    /// When the geometry is no pooling's, the sum of a window may exceed an `i32`, or the scales' quotient is not
    /// finite.
    pub fn new(
        choice: Choice,
        geometry: &Geometry,
        input_zero_point: i32,
        scales: [f32; 2],
        bias: f32,
        output: Output,
    ) -> Self {
        let [input_scale, output_scale] = scales;
        assert!((0.0..0.5).contains(&bias), "a bias below a half");
        assert!((input_scale / output_scale).is_finite(), "the scales' quotient is finite");
        assert!(Activation::try_from(input_zero_point).is_ok(), "the input's zero point is a value of an activation");
        let [height, width] = [0, 1].map(|axis| geometry.kernel[axis].min(geometry.input[axis]));
        assert!(height.saturating_mul(width) <= i32::MAX as usize / 255, "a window's sum must fit an i32");
        let reduction = QAverage { zero_point: input_zero_point, input_scale, output_scale, bias, output };
        QAveragePool(Pool::new(choice, geometry, reduction))
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.0.row.name
    }

    /// Pools one image.
    ///
    /// # Panics
    /// When a length does not match the geometry.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [Activation]) {
        self.0.run(self.0.row.kernel.q_average, pool, input, output);
    }
}

/// Maximum pooling of quantized values; input and output have the same scale and zero point.
#[derive(Debug)]
pub struct QMaxPool(Pool<QMax>);

impl QMaxPool {
    /// The output is clamped to `min..=max`.
    ///
    /// # Panics
    /// When the geometry is no pooling's.
    pub fn new(choice: Choice, geometry: &Geometry, min: Activation, max: Activation) -> Self {
        QMaxPool(Pool::new(choice, geometry, QMax { bounds: [min, max] }))
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.0.row.name
    }

    /// Pools one image.
    ///
    /// # Panics
    /// When a length does not match the geometry.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [Activation]) {
        self.0.run(self.0.row.kernel.q_max, pool, input, output);
    }
}

/// Average pooling of floats.
#[derive(Debug)]
pub struct AveragePool(Pool<Average>);

impl AveragePool {
    /// The output is clamped to `min..=max`.
    ///
    /// # Panics
    /// When the geometry is no pooling's.
    pub fn new(choice: Choice, geometry: &Geometry, min: f32, max: f32) -> Self {
        AveragePool(Pool::new(choice, geometry, Average { bounds: [min, max] }))
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.0.row.name
    }

    /// Pools one image.
    ///
    /// # Panics
    /// When a length does not match the geometry.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32]) {
        self.0.run(self.0.row.kernel.average, pool, input, output);
    }
}

/// Maximum pooling of floats. NaN is less than everything, as in ONNX Runtime nearly always.
#[derive(Debug)]
pub struct MaxPool(Pool<Max>);

impl MaxPool {
    /// The output is clamped to `min..=max`.
    ///
    /// # Panics
    /// When the geometry is no pooling's.
    pub fn new(choice: Choice, geometry: &Geometry, min: f32, max: f32) -> Self {
        MaxPool(Pool::new(choice, geometry, Max { bounds: [min, max] }))
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.0.row.name
    }

    /// Pools one image.
    ///
    /// # Panics
    /// When a length does not match the geometry.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32]) {
        self.0.run(self.0.row.kernel.max, pool, input, output);
    }
}

/// What the four doors share.
#[derive(Debug)]
struct Pool<R> {
    row: &'static Row<Kernel>,
    geometry: Geometry,
    reduction: R,
}

impl<R: Sync> Pool<R> {
    fn new(choice: Choice, geometry: &Geometry, reduction: R) -> Self {
        assert_eq!(geometry.input[2], geometry.output[2], "pooling keeps the channels");
        assert!(geometry.kernel.iter().all(|&size| size > 0), "a window is not empty");
        let steps = geometry.stride.iter().chain(&geometry.dilation);
        assert!(steps.into_iter().all(|&step| step > 0), "strides and dilations are positive");
        Pool { row: TABLE.pick(choice), geometry: *geometry, reduction }
    }

    fn run<T: Send + Sync>(&self, run: Run<R, T>, pool: &ThreadPool, input: &[T], output: &mut [T]) {
        assert_eq!(input.len(), self.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.geometry.output_len(), "elements of the output");
        if output.is_empty() {
            return;
        }
        let [height, width, channels] = self.geometry.output;
        let band = height.div_ceil(pool.threads());
        pool.for_each_chunk(output, band * width * channels, |index, _, output| {
            let rows = index * band..height.min((index + 1) * band);
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { run(&self.reduction, &self.geometry, input, rows, output) };
        });
    }
}
