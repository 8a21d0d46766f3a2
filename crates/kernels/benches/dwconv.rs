//! Every row of `qdwconv` and `dwconv` on the depthwise layers of MobileNetV2 1.0 at 224, one thread. An "item" is one
//! multiply-add.
//!
//! `cargo bench -p kinglet-kernels --bench dwconv [FILTER]`

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::dwconv::{self, DepthwiseConv2d};
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::qdwconv::{self, QDepthwiseConv2d};
use kinglet_kernels::quantized::{Requantize, Weights};
use kinglet_kernels::table::{Choice, Table};
use kinglet_kernels::threads::ThreadPool;
use kinglet_kernels::{Activation, memory::AlignedBytes};

fn main() {
    divan::main();
}

/// Height and width of the input, channels, stride, and how many such layers there are.
const LAYERS: [(usize, usize, usize, usize); 10] = [
    (112, 32, 1, 1),
    (112, 96, 2, 1),
    (56, 144, 1, 1),
    (56, 144, 2, 1),
    (28, 192, 1, 2),
    (28, 192, 2, 1),
    (14, 384, 1, 4),
    (14, 576, 1, 2),
    (14, 576, 2, 1),
    (7, 960, 1, 3),
];

#[derive(Clone, Copy)]
struct Layer {
    geometry: Geometry,
    count: usize,
}

impl Layer {
    fn all() -> impl Iterator<Item = Layer> {
        LAYERS.into_iter().map(|(size, channels, stride, count)| {
            let geometry = Geometry {
                input: [size, size, channels],
                output: [size / stride, size / stride, channels],
                kernel: [3, 3],
                stride: [stride; 2],
                dilation: [1, 1],
                // TFLite pads the even sizes of stride 2 below and to the right.
                padding: [2 - stride; 2],
                groups: channels,
            };
            Layer { geometry, count }
        })
    }

    fn multiply_adds(&self) -> usize {
        self.geometry.output_len() * 9
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { input: [height, width, channels], stride: [stride, _], .. } = self.geometry;
        write!(f, "{height}x{width}x{channels} /{stride}")
    }
}

/// A layer with all that it needs to run.
trait Job {
    fn new(layer: &Layer, isa: Isa) -> Self;
    fn run(&mut self, pool: &ThreadPool);
}

struct Quantized {
    convolution: QDepthwiseConv2d,
    input: Vec<Activation>,
    output: Vec<Activation>,
    scratch: AlignedBytes,
}

impl Job for Quantized {
    fn new(Layer { geometry, .. }: &Layer, isa: Isa) -> Self {
        let values: Vec<i8> = (0..9 * geometry.output[2]).map(|i| (i * 89 % 255) as i8).collect();
        let (min, max) = (Activation::MIN.into(), Activation::MAX.into());
        let weights = Weights { values: &values, zero_points: &[0], bias: None };
        let requantize = Requantize { multipliers: &[1e-3], zero_point: 3, min, max };
        let convolution = QDepthwiseConv2d::new(Choice::UpTo(isa), geometry, &weights, 7, &requantize, 1);
        Quantized {
            input: (0..geometry.input_len()).map(|i| (i * 31) as Activation).collect(),
            output: vec![0; geometry.output_len()],
            scratch: AlignedBytes::zeroed(convolution.scratch_bytes()),
            convolution,
        }
    }

    fn run(&mut self, pool: &ThreadPool) {
        self.convolution.run(pool, &self.input, &mut self.output, &mut self.scratch);
    }
}

struct Float {
    convolution: DepthwiseConv2d,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Job for Float {
    fn new(Layer { geometry, .. }: &Layer, isa: Isa) -> Self {
        let weights = vec![0.5; 9 * geometry.output[2]];
        Float {
            convolution: DepthwiseConv2d::new(Choice::UpTo(isa), geometry, &weights, None, [0.0, 6.0]),
            input: vec![0.25; geometry.input_len()],
            output: vec![0.0; geometry.output_len()],
        }
    }

    fn run(&mut self, pool: &ThreadPool) {
        self.convolution.run(pool, &self.input, &mut self.output);
    }
}

fn rows<K>(table: &Table<K>) -> Vec<&'static str> {
    table.available().map(|row| row.isa.name()).collect()
}

/// All layers one after the other, as often as the network has them.
fn network<J: Job>(bencher: Bencher, name: &str) {
    let pool = ThreadPool::new(1);
    let isa = Isa::from_name(name).expect("names come from the table");
    let mut jobs: Vec<(Layer, J)> = Layer::all().map(|layer| (layer, J::new(&layer, isa))).collect();
    let total: usize = jobs.iter().map(|(layer, _)| layer.count * layer.multiply_adds()).sum();
    bencher.counter(ItemsCount::new(total)).bench_local(|| {
        jobs.iter_mut().for_each(|(layer, job)| (0..layer.count).for_each(|_| job.run(&pool)));
    });
}

#[divan::bench(args = rows(&qdwconv::TABLE))]
fn quantized_network(bencher: Bencher, name: &str) {
    network::<Quantized>(bencher, name);
}

#[divan::bench(args = rows(&dwconv::TABLE))]
fn float_network(bencher: Bencher, name: &str) {
    network::<Float>(bencher, name);
}

/// Each quantized layer by itself.
#[divan::bench(args = Case::all())]
fn quantized_layer(bencher: Bencher, Case { name, layer }: &Case) {
    let pool = ThreadPool::new(1);
    let mut job = Quantized::new(layer, Isa::from_name(name).expect("names come from the table"));
    bencher.counter(ItemsCount::new(layer.multiply_adds())).bench_local(|| job.run(&pool));
}

struct Case {
    name: &'static str,
    layer: Layer,
}

impl Case {
    fn all() -> Vec<Case> {
        let cases = |name| Layer::all().map(move |layer| Case { name, layer });
        rows(&qdwconv::TABLE).into_iter().flat_map(cases).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.layer)
    }
}
