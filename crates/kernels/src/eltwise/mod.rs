//! Elementwise operators: quantized addition and table lookup, functions of one and of two floats, and the two ways
//! between floats and quantized values.

use crate::Activation;
use crate::cpu::Isa;
use crate::quantized::{Addition, Output};
use crate::table::{Choice, Row, Table};
use crate::threads::ThreadPool;

mod functions;
#[cfg(target_arch = "aarch64")]
mod lookup_neon;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// What the doors know of a row: a function for each operator. Inputs and output of a call have the same length.
///
/// # Safety
/// To call one, the CPU must have the instruction set of the row.
#[derive(Debug)]
pub struct Kernel {
    q_add: unsafe fn(addition: &Addition, a: &[Activation], b: &[Activation], output: &mut [Activation]),
    lookup: unsafe fn(table: &[Activation; 256], input: &[Activation], output: &mut [Activation]),
    binary: BinaryKernel,
    unary: unsafe fn(function: Function, input: &[f32], output: &mut [f32]),
    quantize: unsafe fn(scale: f32, range: &Output, input: &[f32], output: &mut [Activation]),
    dequantize: unsafe fn(scale: f32, zero_point: Activation, input: &[Activation], output: &mut [f32]),
}

/// A function of two floats, clamped. `b` is as long as `a`, or one element for all of `a`.
type BinaryKernel = unsafe fn(operation: Operation, bounds: [f32; 2], a: &[f32], b: &[f32], output: &mut [f32]);

/// The kernels for elementwise operators.
pub static TABLE: Table<Kernel> = Table {
    family: "eltwise",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "eltwise_avx512",
            isa: Isa::Avx512,
            kernel: Kernel {
                q_add: vector::q_add::avx512,
                lookup: scalar::lookup,
                binary: vector::binary::avx512,
                unary: vector::unary::avx512,
                quantize: vector::quantize::avx512,
                dequantize: vector::dequantize::avx512,
            },
        },
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "eltwise_avx2",
            isa: Isa::Avx2,
            kernel: Kernel {
                q_add: vector::q_add::avx2,
                lookup: scalar::lookup,
                binary: vector::binary::avx2,
                unary: vector::unary::avx2,
                quantize: vector::quantize::avx2,
                dequantize: vector::dequantize::avx2,
            },
        },
        #[cfg(target_arch = "aarch64")]
        Row {
            name: "eltwise_neon",
            isa: Isa::Neon,
            kernel: Kernel {
                q_add: vector::q_add::neon,
                lookup: lookup_neon::lookup,
                binary: vector::binary::neon,
                unary: vector::unary::neon,
                quantize: vector::quantize::neon,
                dequantize: vector::dequantize::neon,
            },
        },
        Row {
            name: "eltwise_scalar",
            isa: Isa::Scalar,
            kernel: Kernel {
                q_add: scalar::q_add,
                lookup: scalar::lookup,
                binary: scalar::binary,
                unary: scalar::unary,
                quantize: scalar::quantize,
                dequantize: scalar::dequantize,
            },
        },
    ],
};

/// Elements below which a second thread costs more than it brings.
const LEAST_CHUNK: usize = 4096;

/// Addition of quantized values.
#[derive(Debug)]
pub struct QAdd {
    row: &'static Row<Kernel>,
    addition: Addition,
}

impl QAdd {
    /// An addition by the best kernel that `choice` allows.
    pub fn new(choice: Choice, addition: Addition) -> QAdd {
        QAdd { row: TABLE.pick(choice), addition }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Adds slices of the same length.
    ///
    /// # Panics
    /// When lengths differ.
    pub fn run(&self, pool: &ThreadPool, a: &[Activation], b: &[Activation], output: &mut [Activation]) {
        assert!(a.len() == output.len() && b.len() == output.len(), "the operands' lengths are the same");
        split(pool, output, |start, output| {
            let (a, b) = (&a[start..][..output.len()], &b[start..][..output.len()]);
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.q_add)(&self.addition, a, b, output) };
        });
    }
}

/// A function of one quantized value, as a table.
#[derive(Debug)]
pub struct Lookup {
    row: &'static Row<Kernel>,
    table: [Activation; 256],
}

impl Lookup {
    /// The function's value for `x` is `table[x as u8 as usize]`.
    pub fn new(choice: Choice, table: [Activation; 256]) -> Lookup {
        Lookup { row: TABLE.pick(choice), table }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Looks up every value.
    ///
    /// # Panics
    /// When lengths differ.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [Activation]) {
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        split(pool, output, |start, output| {
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.lookup)(&self.table, &input[start..][..output.len()], output) };
        });
    }
}

/// Functions of two floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `a + b`
    Add,
    /// `a − b`
    Subtract,
    /// `a · b`
    Multiply,
    /// `a / b`
    Divide,
    /// `if a > b { a } else { b }`
    Maximum,
    /// `if a < b { a } else { b }`
    Minimum,
}

/// A function of two floats, then a clamp.
#[derive(Debug)]
pub struct Binary {
    row: &'static Row<Kernel>,
    operation: Operation,
    bounds: [f32; 2],
}

impl Binary {
    /// The result is clamped to `min..=max`.
    pub fn new(choice: Choice, operation: Operation, min: f32, max: f32) -> Binary {
        Binary { row: TABLE.pick(choice), operation, bounds: [min, max] }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Combines `a` with `b`, which is repeated where it is shorter: one element with all of `a`, or one with each
    /// channel of an image whose channels come last.
    ///
    /// # Panics
    /// When `a` and the output differ in length, or that is no multiple of the length of `b`.
    pub fn run(&self, pool: &ThreadPool, a: &[f32], b: &[f32], output: &mut [f32]) {
        assert_eq!(a.len(), output.len(), "the lengths of the first operand and the output");
        if output.is_empty() {
            return;
        }
        assert!(output.len().is_multiple_of(b.len()), "{} elements repeated to {}", b.len(), output.len());
        // SAFETY: the table gives only rows that this CPU can run.
        let run = |a: &[f32], b: &[f32], output: &mut [f32]| unsafe {
            (self.row.kernel.binary)(self.operation, self.bounds, a, b, output);
        };
        if b.len() == output.len() || b.len() == 1 {
            return split(pool, output, |start, output| {
                let b = if b.len() == 1 { b } else { &b[start..][..output.len()] };
                run(&a[start..][..output.len()], b, output);
            });
        }
        let rows = (output.len() / b.len()).div_ceil(pool.threads()).max(LEAST_CHUNK.div_ceil(b.len()));
        pool.for_each_chunk(output, rows * b.len(), |index, _, output| {
            let a = &a[index * rows * b.len()..][..output.len()];
            a.chunks_exact(b.len()).zip(output.chunks_exact_mut(b.len())).for_each(|(a, output)| run(a, b, output));
        });
    }
}

/// Functions of one float. NaN gives NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `x` where it is not negative, else `slope · x`
    LeakyRelu {
        /// The factor of negative numbers.
        slope: f32,
    },
    /// `min(max(alpha · x + beta, 0), 1)`
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// `x · min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `1 / (1 + exp(−x))`
    Logistic,
    /// `x / (1 + exp(−x))`
    Silu,
}

/// A function of one float.
#[derive(Debug)]
pub struct Unary {
    row: &'static Row<Kernel>,
    function: Function,
}

impl Unary {
    /// This function by the best kernel that `choice` allows.
    pub fn new(choice: Choice, function: Function) -> Unary {
        Unary { row: TABLE.pick(choice), function }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Applies it to every element.
    ///
    /// # Panics
    /// When lengths differ.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        split(pool, output, |start, output| {
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.unary)(self.function, &input[start..][..output.len()], output) };
        });
    }
}

/// Floats to quantized values.
#[derive(Debug)]
pub struct Quantize {
    row: &'static Row<Kernel>,
    scale: f32,
    range: Output,
}

impl Quantize {
    /// A value becomes `clamp(round_ties_even(x / scale) + zero_point)`; NaN becomes the zero point.
    ///
    /// # Panics
    /// When the scale is not positive and finite.
    pub fn new(choice: Choice, scale: f32, zero_point: Activation) -> Quantize {
        assert!(scale > 0.0 && scale.is_finite(), "the scale {scale} is not positive and finite");
        let range = Output { zero_point, min: Activation::MIN, max: Activation::MAX };
        Quantize { row: TABLE.pick(choice), scale, range }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Quantizes every value.
    ///
    /// # Panics
    /// When lengths differ.
    pub fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [Activation]) {
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        split(pool, output, |start, output| {
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.quantize)(self.scale, &self.range, &input[start..][..output.len()], output) };
        });
    }
}

/// Quantized values to floats.
#[derive(Debug)]
pub struct Dequantize {
    row: &'static Row<Kernel>,
    scale: f32,
    zero_point: Activation,
}

impl Dequantize {
    /// A value becomes `(q − zero_point) · scale`.
    pub fn new(choice: Choice, scale: f32, zero_point: Activation) -> Dequantize {
        Dequantize { row: TABLE.pick(choice), scale, zero_point }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Dequantizes every value.
    ///
    /// # Panics
    /// When lengths differ.
    pub fn run(&self, pool: &ThreadPool, input: &[Activation], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        split(pool, output, |start, output| {
            let input = &input[start..][..output.len()];
            // SAFETY: the table gives only rows that this CPU can run.
            unsafe { (self.row.kernel.dequantize)(self.scale, self.zero_point, input, output) };
        });
    }
}

/// Gives each thread its part of the output, with where it starts.
fn split<T: Send>(pool: &ThreadPool, output: &mut [T], body: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = output.len().div_ceil(pool.threads()).next_multiple_of(64).max(LEAST_CHUNK);
    pool.for_each_chunk(output, chunk, |index, _, output| body(index * chunk, output));
}
