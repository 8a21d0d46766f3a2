//! One step of a session: a kernel with its packed weights, where its operands lie, and how to call it.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use kinglet_graph::{Op, Tensor, TensorMut, TensorRef, TensorType, View, ViewMut};
use kinglet_kernels::Activation;
use kinglet_kernels::depth_first::DepthFirst;
use kinglet_kernels::dwconv::DepthwiseConv2d;
use kinglet_kernels::eltwise::{Binary, Dequantize, Lookup, QAdd, Quantize, Unary};
use kinglet_kernels::gemm::{Conv2d, Half, MatMul};
use kinglet_kernels::memory::{Arena, Reader};
use kinglet_kernels::pooling::{AveragePool, MaxPool, QAveragePool, QMaxPool};
use kinglet_kernels::qdwconv::QDepthwiseConv2d;
use kinglet_kernels::qgemm::QConv2d;
use kinglet_kernels::qwinograd::QWinogradConv2d;
use kinglet_kernels::softmax::QSoftmax;
use kinglet_kernels::threads::ThreadPool;
use kinglet_kernels::transpose::Transpose;
use kinglet_kernels::winograd;

use crate::{RuntimeError, StepInfo};

/// The most inputs that a node may have.
pub(crate) const MAX_INPUTS: usize = 128;

/// Why a kernel of two operands has them.
const BOTH: &str = "lowering gave the kernel both operands";

/// Where the elements of a tensor lie.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Arena(Range<usize>),
    Input(usize),
    Constant(Arc<Tensor>),
}

impl Place {
    /// The bytes there; `arena` reads a range of the arena.
    pub fn bytes<'a>(&'a self, inputs: &'a [Tensor], arena: impl FnOnce(Range<usize>) -> &'a [u8]) -> &'a [u8] {
        match self {
            Place::Arena(range) => arena(range.clone()),
            Place::Input(index) => inputs[*index].data().view().bytes(),
            Place::Constant(tensor) => tensor.data().view().bytes(),
        }
    }
}

/// A tensor that a step reads.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub ty: TensorType,
    pub place: Place,
}

/// What computes a step. Kernels of images run once for each image of a batch.
pub(crate) enum Kernel {
    QConv2d(QConv2d),
    QWinogradConv2d(QWinogradConv2d),
    QDepthwiseConv2d(QDepthwiseConv2d),
    DepthFirst(Box<DepthFirst>),
    Conv2d(Conv2d),
    HalfConv2d(Conv2d<Half>),
    WinogradConv2d(winograd::Conv2d),
    DepthwiseConv2d(DepthwiseConv2d),
    MatMul(MatMul),
    QAveragePool(QAveragePool),
    QMaxPool(QMaxPool),
    AveragePool(AveragePool),
    MaxPool(MaxPool),
    QAdd(QAdd),
    Binary(Binary),
    Unary(Unary),
    Lookup(Lookup),
    QSoftmax(QSoftmax),
    Quantize(Quantize),
    Dequantize(Dequantize),
    Transpose(Transpose),
    /// The operator's own plain loops.
    Plain(Op),
}

pub(crate) struct Step {
    pub info: StepInfo,
    pub kernel: Kernel,
    /// In the node's order. A fused residual addition's other operand comes last.
    pub inputs: Vec<Option<Operand>>,
    pub output: TensorType,
    pub output_range: Range<usize>,
    pub scratch: Range<usize>,
    /// Images in a batch, for kernels that run once for each.
    pub batch: usize,
}

impl Step {
    /// Bytes of packed weights and tables, and of constants that are read as they are.
    pub fn weights_bytes(&self) -> usize {
        let constants = self.inputs.iter().flatten().map(|operand| match &operand.place {
            Place::Constant(tensor) => tensor.ty().bytes(),
            _ => 0,
        });
        constants.sum::<usize>() + self.kernel.weights_bytes()
    }

    /// Reads the operands, runs the kernel, writes the output.
    pub fn run(&mut self, arena: &mut Arena, inputs: &[Tensor], pool: &ThreadPool) -> Result<(), RuntimeError> {
        let ([output, scratch], reader) = arena.split([self.output_range.clone(), self.scratch.clone()]);
        let operands = Operands { operands: &self.inputs, inputs, reader };
        let batch = self.batch;
        match &self.kernel {
            Kernel::QConv2d(conv) => operands.each_image(batch, output, |input, residual, output| {
                conv.run(pool, input, residual, output, scratch);
            }),
            Kernel::QWinogradConv2d(conv) => operands.each_image(batch, output, |input, residual, output| {
                conv.run(pool, input, residual, output, scratch);
            }),
            Kernel::DepthFirst(convolutions) => operands.each_image(batch, output, |input, residual, output| {
                convolutions.run(pool, input, residual, output, scratch);
            }),
            Kernel::QDepthwiseConv2d(conv) => {
                operands.each_image(batch, output, |input, _, output| conv.run(pool, input, output, scratch));
            }
            Kernel::Conv2d(conv) => operands.each_image(batch, output, |input, residual, output| {
                conv.run(pool, input, residual, output, scratch);
            }),
            Kernel::HalfConv2d(conv) => operands.each_image(batch, output, |input, residual, output| {
                conv.run(pool, input, residual, output, scratch);
            }),
            Kernel::WinogradConv2d(conv) => operands.each_image(batch, output, |input, residual, output| {
                conv.run(pool, input, residual, output, scratch);
            }),
            Kernel::DepthwiseConv2d(conv) => {
                operands.each_image(batch, output, |input, _, output| conv.run(pool, input, output));
            }
            Kernel::MatMul(product) => operands.each_image(batch, output, |first, second, output| {
                product.run(pool, first, second.expect(BOTH), output, scratch);
            }),
            Kernel::QAveragePool(pooling) => {
                operands.each_image(batch, output, |input, _, output| pooling.run(pool, input, output));
            }
            Kernel::QMaxPool(pooling) => {
                operands.each_image(batch, output, |input, _, output| pooling.run(pool, input, output));
            }
            Kernel::AveragePool(pooling) => {
                operands.each_image(batch, output, |input, _, output| pooling.run(pool, input, output));
            }
            Kernel::MaxPool(pooling) => {
                operands.each_image(batch, output, |input, _, output| pooling.run(pool, input, output));
            }
            Kernel::QAdd(add) => {
                add.run(pool, operands.activations(0), operands.activations(1), activations_mut(output));
            }
            Kernel::Binary(binary) => operands.each_image(batch, output, |first, second, output| {
                binary.run(pool, first, second.expect(BOTH), output);
            }),
            Kernel::Unary(unary) => unary.run(pool, operands.floats(0), floats_mut(output)),
            Kernel::Lookup(lookup) => lookup.run(pool, operands.activations(0), activations_mut(output)),
            Kernel::QSoftmax(softmax) => {
                let row = self.output.shape.last().copied().unwrap_or(1);
                softmax.run(row, operands.activations(0), activations_mut(output));
            }
            Kernel::Quantize(quantize) => quantize.run(pool, operands.floats(0), activations_mut(output)),
            Kernel::Dequantize(dequantize) => dequantize.run(pool, operands.activations(0), floats_mut(output)),
            Kernel::Transpose(transpose) => {
                let input = operands.bytes(0);
                match self.output.dtype.size() {
                    1 => transpose.run::<u8>(pool, input, output),
                    2 => transpose.run::<u16>(pool, bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output)),
                    4 => transpose.run::<u32>(pool, bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output)),
                    _ => transpose.run::<u64>(pool, bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output)),
                }
            }
            Kernel::Plain(op) => {
                let mut views: [Option<TensorRef<'_>>; MAX_INPUTS] = [None; MAX_INPUTS];
                for (index, view) in views.iter_mut().enumerate().take(self.inputs.len()) {
                    *view = operands.tensor(index);
                }
                let view = ViewMut::from_bytes(self.output.dtype, output);
                op.eval(&views[..self.inputs.len()], &mut [TensorMut { ty: &self.output, view }])
                    .map_err(|error| error.at(&self.info.node, op.name()))?;
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// The kernel's name in a profile.
    pub fn name(&self) -> &'static str {
        match self {
            Kernel::QConv2d(kernel) => kernel.kernel_name(),
            Kernel::QWinogradConv2d(kernel) => kernel.kernel_name(),
            Kernel::QDepthwiseConv2d(kernel) => kernel.kernel_name(),
            Kernel::DepthFirst(kernel) => kernel.kernel_name(),
            Kernel::Conv2d(kernel) => kernel.kernel_name(),
            Kernel::HalfConv2d(kernel) => kernel.kernel_name(),
            Kernel::WinogradConv2d(kernel) => kernel.kernel_name(),
            Kernel::DepthwiseConv2d(kernel) => kernel.kernel_name(),
            Kernel::MatMul(kernel) => kernel.kernel_name(),
            Kernel::QAveragePool(kernel) => kernel.kernel_name(),
            Kernel::QMaxPool(kernel) => kernel.kernel_name(),
            Kernel::AveragePool(kernel) => kernel.kernel_name(),
            Kernel::MaxPool(kernel) => kernel.kernel_name(),
            Kernel::QAdd(kernel) => kernel.kernel_name(),
            Kernel::Binary(kernel) => kernel.kernel_name(),
            Kernel::Unary(kernel) => kernel.kernel_name(),
            Kernel::Lookup(kernel) => kernel.kernel_name(),
            Kernel::QSoftmax(kernel) => kernel.kernel_name(),
            Kernel::Quantize(kernel) => kernel.kernel_name(),
            Kernel::Dequantize(kernel) => kernel.kernel_name(),
            Kernel::Transpose(kernel) => kernel.kernel_name(),
            Kernel::Plain(_) => "plain",
        }
    }

    /// Bytes of memory that the kernel needs while it runs.
    pub fn scratch_bytes(&self) -> usize {
        match self {
            Kernel::QConv2d(kernel) => kernel.scratch_bytes(),
            Kernel::QWinogradConv2d(kernel) => kernel.scratch_bytes(),
            Kernel::QDepthwiseConv2d(kernel) => kernel.scratch_bytes(),
            Kernel::DepthFirst(kernel) => kernel.scratch_bytes(),
            Kernel::Conv2d(kernel) => kernel.scratch_bytes(),
            Kernel::HalfConv2d(kernel) => kernel.scratch_bytes(),
            Kernel::WinogradConv2d(kernel) => kernel.scratch_bytes(),
            Kernel::MatMul(kernel) => kernel.scratch_bytes(),
            _ => 0,
        }
    }

    /// Bytes of packed weights.
    pub fn weights_bytes(&self) -> usize {
        match self {
            Kernel::QConv2d(kernel) => kernel.weights_bytes(),
            Kernel::QWinogradConv2d(kernel) => kernel.weights_bytes(),
            Kernel::QDepthwiseConv2d(kernel) => kernel.weights_bytes(),
            Kernel::DepthFirst(kernel) => kernel.weights_bytes(),
            Kernel::Conv2d(kernel) => kernel.weights_bytes(),
            Kernel::HalfConv2d(kernel) => kernel.weights_bytes(),
            Kernel::WinogradConv2d(kernel) => kernel.weights_bytes(),
            Kernel::DepthwiseConv2d(kernel) => kernel.weights_bytes(),
            _ => 0,
        }
    }
}

/// A step's operands, resolved.
struct Operands<'a> {
    operands: &'a [Option<Operand>],
    inputs: &'a [Tensor],
    reader: Reader<'a, 2>,
}

impl<'a> Operands<'a> {
    fn get(&self, index: usize) -> Option<&'a [u8]> {
        let operand = self.operands.get(index)?.as_ref()?;
        Some(operand.place.bytes(self.inputs, |range| self.reader.get(range)))
    }

    fn bytes(&self, index: usize) -> &'a [u8] {
        self.get(index).expect("lowering gave the kernel this operand")
    }

    fn activations(&self, index: usize) -> &'a [Activation] {
        bytemuck::cast_slice(self.bytes(index))
    }

    fn floats(&self, index: usize) -> &'a [f32] {
        bytemuck::cast_slice(self.bytes(index))
    }

    /// Calls `run(first, second, output)` for each image of a batch, with its parts of the first operand, of the second where
    /// there is one, and of the output.
    fn each_image<T: Pod>(&self, batch: usize, output: &mut [u8], mut run: impl FnMut(&[T], Option<&[T]>, &mut [T])) {
        let (first, second) = (bytemuck::cast_slice(self.bytes(0)), self.get(1).map(bytemuck::cast_slice));
        let output: &mut [T] = bytemuck::cast_slice_mut(output);
        let len = output.len() / batch.max(1);
        for image in 0..batch {
            let output = &mut output[image * len..(image + 1) * len];
            run(part(first, image, batch), second.map(|second| part(second, image, batch)), output);
        }
    }

    fn tensor(&self, index: usize) -> Option<TensorRef<'a>> {
        let ty = &self.operands[index].as_ref()?.ty;
        Some(TensorRef { ty, view: View::from_bytes(ty.dtype, self.bytes(index)) })
    }
}

fn activations_mut(bytes: &mut [u8]) -> &mut [Activation] {
    bytemuck::cast_slice_mut(bytes)
}

fn floats_mut(bytes: &mut [u8]) -> &mut [f32] {
    bytemuck::cast_slice_mut(bytes)
}

/// The elements of one image of a batch.
fn part<T>(items: &[T], image: usize, batch: usize) -> &[T] {
    let len = items.len() / batch;
    &items[image * len..(image + 1) * len]
}
