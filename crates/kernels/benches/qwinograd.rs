//! Every row of `qwinograd`, and the row of `qgemm` that would run in its place, on the 3×3 layers of ResNet-18 and
//! ResNet-50 at 224, one thread. An "item" is one multiply-add of the convolution as it is defined.
//!
//! `cargo bench -p kinglet-kernels --bench qwinograd [FILTER]`

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use kinglet_kernels::Activation;
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::qgemm::QConv2d;
use kinglet_kernels::quantized::{Requantize, Weights};
use kinglet_kernels::qwinograd::{QWinogradConv2d, TABLE};
use kinglet_kernels::table::Choice;
use kinglet_kernels::threads::ThreadPool;

fn main() {
    divan::main();
}

/// A layer of so many channels on an image of so many pixels a side.
#[derive(Clone, Copy)]
struct Layer {
    size: usize,
    channels: usize,
}

const LAYERS: [Layer; 4] = [
    Layer { size: 56, channels: 64 },
    Layer { size: 28, channels: 128 },
    Layer { size: 14, channels: 256 },
    Layer { size: 7, channels: 512 },
];

impl Layer {
    fn geometry(&self) -> Geometry {
        let shape = [self.size, self.size, self.channels];
        Geometry { input: shape, output: shape, kernel: [3, 3], padding: [1, 1], ..Geometry::matrix(1, 1, 1) }
    }

    /// Weights as they are after training: most are small.
    fn weights(&self) -> Vec<i8> {
        let small = |i: usize| (i * 89 % 43) as i8 - 21;
        (0..9 * self.channels * self.channels).map(|i| small(i) + small(i / 7) + small(i / 11)).collect()
    }
}

struct Case {
    isa: Isa,
    layer: Layer,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layer { size, channels } = self.layer;
        write!(f, "{} {size}x{size} {channels}", self.isa.name())
    }
}

fn cases() -> impl Iterator<Item = Case> {
    TABLE.available().flat_map(|row| LAYERS.into_iter().map(|layer| Case { isa: row.isa, layer }))
}

/// What both families are made with: an input's zero point, and how sums become activations.
const ZERO_POINT: i32 = 7;
const REQUANTIZE: Requantize =
    Requantize { multipliers: &[1e-3], zero_point: 3, min: Activation::MIN as i32, max: Activation::MAX as i32 };

/// Times `run(input, output, scratch)`.
fn time(
    bencher: Bencher,
    layer: Layer,
    scratch_bytes: usize,
    run: impl Fn(&[Activation], &mut [Activation], &mut [u8]),
) {
    let geometry = layer.geometry();
    let input: Vec<Activation> = (0..geometry.input_len()).map(|i| (i * 31) as Activation).collect();
    let (mut output, mut scratch) = (vec![0; geometry.output_len()], vec![0; scratch_bytes]);
    let count = ItemsCount::new(geometry.output_len() * 9 * layer.channels);
    bencher.counter(count).bench_local(|| run(&input, &mut output, &mut scratch));
}

#[divan::bench(args = cases())]
fn transformed(bencher: Bencher, &Case { isa, layer }: &Case) {
    let (pool, values) = (ThreadPool::new(1), layer.weights());
    let weights = Weights { values: &values, zero_points: &[0], bias: None };
    let choice = Choice::UpTo(isa);
    let conv = QWinogradConv2d::new(choice, layer.geometry(), &weights, ZERO_POINT, &REQUANTIZE, None, 1);
    time(bencher, layer, conv.scratch_bytes(), |input, output, scratch| conv.run(&pool, input, None, output, scratch));
}

#[divan::bench(args = cases())]
fn direct(bencher: Bencher, &Case { isa, layer }: &Case) {
    let (pool, values) = (ThreadPool::new(1), layer.weights());
    let weights = Weights { values: &values, zero_points: &[0], bias: None };
    let conv = QConv2d::new(Choice::UpTo(isa), layer.geometry(), &weights, ZERO_POINT, &REQUANTIZE, None, 1);
    time(bencher, layer, conv.scratch_bytes(), |input, output, scratch| conv.run(&pool, input, None, output, scratch));
}
