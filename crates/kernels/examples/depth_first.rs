//! The wide inverted residuals of MobileNetV2 1.0 at 224, layer by layer and depth first, on one thread: how long each
//! takes.
//!
//!     cargo run --release -p kinglet-kernels --example depth_first
//!
//! With `layers` or `depth-first` it runs each just once in that one way, to be counted by cachegrind, here with the
//! caches of a Cortex-A72 (Raspberry Pi 4: 32 KiB for data, 1 MiB for four cores). Valgrind knows no AVX-512: kernels
//! are those of AVX2.
//!
//!     valgrind --tool=cachegrind --cache-sim=yes --D1=32768,2,64 --LL=1048576,16,64 \
//!         target/release/examples/depth_first layers

use std::time::{Duration, Instant};

use kinglet_kernels::Activation;
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::depth_first::DepthFirst;
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::memory::AlignedBytes;
use kinglet_kernels::qdwconv::QDepthwiseConv2d;
use kinglet_kernels::qgemm::QConv2d;
use kinglet_kernels::quantized::{Requantize, Weights};
use kinglet_kernels::table::Choice;
use kinglet_kernels::threads::ThreadPool;

/// Height and width of the input, its channels, those between, those of the output, and the stride.
const BLOCKS: [[usize; 5]; 4] =
    [[112, 16, 96, 24, 2], [56, 24, 144, 24, 1], [56, 24, 144, 32, 2], [28, 32, 192, 32, 1]];

/// Runs of each block whose median is taken.
const RUNS: usize = 200;

/// An inverted residual with made-up weights: what a kernel does does not depend on them.
struct Block {
    name: String,
    convolutions: [Geometry; 3],
    choice: Choice,
    pool: ThreadPool,
}

impl Block {
    fn new([size, channels, wide, out, stride]: [usize; 5], choice: Choice) -> Block {
        let end = size / stride;
        let pointwise = |size: usize, from: usize, to: usize| Geometry {
            input: [size, size, from],
            output: [size, size, to],
            ..Geometry::matrix(1, 1, 1)
        };
        let depthwise = Geometry {
            input: [size, size, wide],
            output: [end, end, wide],
            kernel: [3, 3],
            stride: [stride; 2],
            dilation: [1, 1],
            // TFLite pads the even sizes of stride 2 below and to the right.
            padding: [2 - stride; 2],
            groups: wide,
        };
        Block {
            name: format!("{size}x{size}x{channels} -> {wide} /{stride} -> {out}"),
            convolutions: [pointwise(size, channels, wide), depthwise, pointwise(end, wide, out)],
            choice,
            pool: ThreadPool::new(1),
        }
    }

    fn pack(&self) -> (QConv2d, QDepthwiseConv2d, QConv2d) {
        let [expand, depthwise, project] = self.convolutions;
        let values: Vec<i8> = (0..1 << 16).map(|i: i32| (i * 37 % 255 - 127) as i8).collect();
        let weights = |len: usize| Weights { values: &values[..len], zero_points: &[0], bias: None };
        let (zero_point, max) = (i32::from(Activation::MIN), i32::from(Activation::MAX));
        let requantize = |multipliers| Requantize { multipliers, zero_point, min: zero_point, max };
        let pointwise = |geometry: Geometry| {
            let weights = weights(geometry.input[2] * geometry.output[2]);
            QConv2d::new(self.choice, geometry, &weights, zero_point, &requantize(&[1e-3]), None, 1)
        };
        let filter = weights(9 * depthwise.input[2]);
        let depthwise = QDepthwiseConv2d::new(self.choice, &depthwise, &filter, zero_point, &requantize(&[2e-3]), 1);
        (pointwise(expand), depthwise, pointwise(project))
    }

    fn input(&self) -> Vec<Activation> {
        (0..self.convolutions[0].input_len()).map(|i| (i * 31 % 251) as Activation).collect()
    }

    /// A function that runs the block layer by layer.
    fn layers(&self) -> impl FnMut() {
        let (expand, depthwise, project) = self.pack();
        let input = self.input();
        let mut tensors = self.convolutions.map(|geometry| vec![0 as Activation; geometry.output_len()]);
        let scratch = expand.scratch_bytes().max(depthwise.scratch_bytes()).max(project.scratch_bytes());
        let mut scratch = AlignedBytes::zeroed(scratch);
        move || {
            let [wide, filtered, output] = &mut tensors;
            expand.run(&self.pool, &input, None, wide, &mut scratch);
            depthwise.run(&self.pool, wide, filtered, &mut scratch);
            project.run(&self.pool, filtered, None, output, &mut scratch);
        }
    }

    /// A function that runs it depth first.
    fn depth_first(&self) -> impl FnMut() {
        let (expand, depthwise, project) = self.pack();
        let convolutions = DepthFirst::new(Some(expand), depthwise, Some(project), 1);
        let input = self.input();
        let mut output = vec![0; self.convolutions[2].output_len()];
        let mut scratch = AlignedBytes::zeroed(convolutions.scratch_bytes());
        move || convolutions.run(&self.pool, &input, None, &mut output, &mut scratch)
    }
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

fn main() {
    let way = std::env::args().nth(1);
    let choice = if way.is_some() { Choice::UpTo(Isa::Avx2) } else { Choice::Best };
    for block in BLOCKS.map(|block| Block::new(block, choice)) {
        match way.as_deref() {
            Some("layers") => block.layers()(),
            Some("depth-first") => block.depth_first()(),
            Some(other) => panic!("layers or depth-first, not {other}"),
            None => {
                let (layers, depth_first) = (median(block.layers()), median(block.depth_first()));
                let ratio = depth_first.as_secs_f64() / layers.as_secs_f64();
                println!("{:32} layer by layer {layers:9.1?}, depth first {depth_first:9.1?}: {ratio:.2}", block.name);
            }
        }
    }
}
